package git

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	maxSubject = 200      // bytes of a commit's subject that are shown
	maxCommit  = 16 << 20 // bytes of a commit object; real ones have some hundred
)

// Commit is what a deploy says of a commit.
type Commit struct {
	ID      string
	Tree    string // object id of its tree: the digest of its source
	Subject string // first line, control characters removed, at most 200 bytes
	Author  string
	Time    time.Time
}

// ReadCommit reads a commit.
func (r Repository) ReadCommit(ctx context.Context, id string) (Commit, error) {
	if err := checkID(id); err != nil {
		return Commit{}, err
	}
	objects, err := r.objects(ctx)
	if err != nil {
		return Commit{}, err
	}
	defer objects.close()
	return objects.commit(id)
}

// TreeID returns the object id of the commit's tree: the digest of its source.
func (r Repository) TreeID(ctx context.Context, id string) (string, error) {
	commit, err := r.ReadCommit(ctx, id)
	return commit.Tree, err
}

// Resolve returns the id of the commit that a name means: a branch, a tag or
// the beginning of an id. ok is false when there is none.
func (r Repository) Resolve(ctx context.Context, name string) (id string, ok bool, err error) {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsRune(name, 0) {
		return "", false, nil
	}
	out, err := r.command(ctx, "rev-parse", "--verify", "--quiet", name+"^{commit}").Output()
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() > 0 && ctx.Err() == nil {
		return "", false, nil
	}
	if err != nil {
		return "", false, failed(ctx, "rev-parse", err, "")
	}
	id = strings.TrimSpace(string(out))
	return id, true, checkID(id)
}

func (o *objects) commit(id string) (Commit, error) {
	data, err := o.one(id, "commit", maxCommit)
	if err != nil {
		return Commit{}, fmt.Errorf("read commit %s: %w", id, err)
	}
	commit := Commit{ID: id}
	header, message, _ := strings.Cut(string(data), "\n\n")
	for line := range strings.Lines(header) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "tree":
			commit.Tree = value
		case "author":
			commit.Author, _ = person(value)
		case "committer":
			_, commit.Time = person(value)
		}
	}
	if err := checkID(commit.Tree); err != nil {
		return Commit{}, fmt.Errorf("read commit %s: its tree: %w", id, err)
	}
	subject, _, _ := strings.Cut(strings.TrimLeft(message, "\r\n\t "), "\n")
	commit.Subject = strings.TrimSpace(Printable(subject, maxSubject))
	return commit, nil
}

// person splits "Ada L <ada@example.org> 1700000000 +0100".
func person(s string) (name string, at time.Time) {
	name, rest, _ := strings.Cut(s, "<")
	if _, when, ok := strings.Cut(rest, "> "); ok {
		seconds, _, _ := strings.Cut(when, " ")
		if n, err := strconv.ParseInt(seconds, 10, 64); err == nil {
			at = time.Unix(n, 0)
		}
	}
	return strings.TrimSpace(Printable(name, maxSubject)), at
}
