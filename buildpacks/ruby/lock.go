package ruby

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// lockFile is what Gemfile.lock says.
type lockFile struct {
	gems      []lockedGem
	platforms []string // "ruby", "x86_64-linux"
	ruby      string   // "3.3.5", of RUBY VERSION
	bundler   string   // of BUNDLED WITH
}

// lockedGem is a gem as it was locked. The version has the platform behind it:
// "1.17.2-x86_64-linux-gnu".
type lockedGem struct {
	name, version string
	archive       bool // fetched as a file, not from git or a path
}

var (
	lockedLine = source.NewPattern(`^    ([A-Za-z0-9._-]+) \(([A-Za-z0-9._-]+)\)$`)
	lockedRuby = source.NewPattern(`^\s+ruby (\d+(?:\.\d+){1,2})`)
)

// parseLock reads Gemfile.lock: sections with headings in capitals at the
// beginning of a line, and gems four blanks in.
func parseLock(file, text string) (lock lockFile, err error) {
	section := ""
	for i, line := range source.Lines(text) {
		switch {
		case source.IsConflictMark(line):
			return lock, source.Problemf(source.CodeProject, "%s, line %d: a merge conflict was committed", file, i+1).
				With(fmt.Sprintf("%d | %s", i+1, source.Printable(line))).
				Hint("git checkout --theirs %s, bundle install and commit it", file)
		case line == "":
		case line[0] != ' ':
			section = strings.TrimSpace(line)
		case section == "GEM" || section == "PATH" || section == "GIT":
			if m := lockedLine.FindStringSubmatch(line); m != nil {
				lock.gems = append(lock.gems, lockedGem{m[1], m[2], section == "GEM"})
			}
		case section == "PLATFORMS":
			lock.platforms = append(lock.platforms, strings.TrimSpace(line))
		case section == "RUBY VERSION":
			if m := lockedRuby.FindStringSubmatch(line); m != nil {
				lock.ruby = m[1]
			}
		case section == "BUNDLED WITH":
			lock.bundler = strings.TrimSpace(line)
		}
	}
	return lock, nil
}

// foreign tells a lock file that was written for other machines than Linux.
func (l lockFile) foreign() bool {
	return len(l.platforms) > 0 && !slices.ContainsFunc(l.platforms, func(p string) bool {
		return p == "ruby" || strings.Contains(p, "linux")
	})
}
