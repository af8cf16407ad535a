package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berthd/berth/runtime"
)

// bridge leaves a berth that is installed on the same machine alone.
const bridge = "berthbench0"

// appliance is a berth of our own, with its data in a scratch directory and
// its engine in the cache.
type appliance struct {
	binary, cache string
	dir           string // scratch: data, home, repositories
	state         string
	ports         map[string]int // "http", "https", "ssh"
	cmd           *exec.Cmd
	ended         chan error
	client        *http.Client
}

func newAppliance(binary, cache string) (*appliance, error) {
	dir, err := os.MkdirTemp("", "berth-bench-")
	if err != nil {
		return nil, err
	}
	a := &appliance{binary: binary, cache: cache, dir: dir, state: "/run/berth-bench", ports: map[string]int{}}
	for _, name := range []string{"http", "https", "ssh"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		a.ports[name] = l.Addr().(*net.TCPAddr).Port
	}
	// git's processes run as another user and must get to the repositories.
	return a, os.Chmod(dir, 0o711)
}

// start starts berth and returns when it answers a command.
func (a *appliance) start(ctx context.Context) error {
	address := func(name string) string { return "127.0.0.1:" + strconv.Itoa(a.ports[name]) }
	log, err := os.OpenFile(filepath.Join(a.dir, "berth.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	a.cmd = exec.Command(a.binary, "serve", "--data", filepath.Join(a.dir, "data"), "--engine", filepath.Join(a.cache, "engine"),
		"--stack-cache", filepath.Join(a.cache, "stack"), "--state", a.state, "--containerd", "embedded", "--bridge", bridge, "--domain", "localhost", "--git-user", "nobody",
		"--http", address("http"), "--https", address("https"), "--ssh", address("ssh"))
	a.cmd.Env = environment()
	a.cmd.Stderr = log
	if err := a.cmd.Start(); err != nil {
		return err
	}
	a.ended = make(chan error, 1)
	go func() { a.ended <- a.cmd.Wait(); close(a.ended) }()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if _, err := a.berth(ctx, nil, "apps:list"); err == nil {
			return nil
		}
		select {
		case err := <-a.ended:
			return fmt.Errorf("berth ended: %w; see %s", err, log.Name())
		case <-ctx.Done():
			return fmt.Errorf("berth does not answer: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// environment is ours without the settings of a berth that is installed on the
// machine.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "BERTH_") })
}

func (a *appliance) stop() error {
	a.cmd.Process.Signal(syscall.SIGTERM)
	return <-a.ended
}

func (a *appliance) kill() error {
	a.cmd.Process.Kill()
	<-a.ended
	return nil
}

// berth runs a command on the appliance and returns what it prints.
func (a *appliance) berth(ctx context.Context, in io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, a.binary, args...)
	cmd.Env = append(environment(), "BERTH_STATE="+a.state)
	cmd.Stdin = in
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("berth %s: %w: %s", strings.Join(args, " "), err, &talk)
	}
	return out, nil
}

// introduce makes an SSH key and lets it in, and trusts the root certificate.
func (a *appliance) introduce(ctx context.Context) error {
	key := filepath.Join(a.dir, "key")
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		return fmt.Errorf("make a key: %w: %s", err, out)
	}
	public, err := os.Open(key + ".pub")
	if err != nil {
		return err
	}
	defer public.Close()
	if _, err := a.berth(ctx, public, "ssh-keys:add", "bench", "--role", "admin"); err != nil {
		return err
	}
	pem, err := a.berth(ctx, nil, "certs:root")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	a.client = &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			DisableKeepAlives: true, // as a visitor who comes for the first time
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, "127.0.0.1:"+strconv.Itoa(a.ports["https"]))
			},
		},
	}
	return nil
}

// page returns what an app answers.
func (a *appliance) page(ctx context.Context, app string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s.localhost:%d/", app, a.ports["https"]), nil)
	if err != nil {
		return "", err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s", app, response.Status)
	}
	return string(body), err
}

// awaitAll returns once every app answers.
func (a *appliance) awaitAll(ctx context.Context, apps []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, app := range apps {
		for {
			_, err := a.page(ctx, app)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// engine opens the appliance's containers from outside, while berth is down.
func (a *appliance) engine(ctx context.Context) (*runtime.Engine, error) {
	return runtime.Open(ctx, runtime.Config{
		Containerd: "embedded", Root: filepath.Join(a.cache, "engine"), State: a.state, Init: a.binary, Bridge: bridge,
	}, discard)
}

func (a *appliance) removeContainers(ctx context.Context) error {
	engine, err := a.engine(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	containers, err := engine.Containers(ctx)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if err := c.Remove(ctx); err != nil {
			return err
		}
	}
	return nil
}

// remove stops everything and removes all but the cache.
func (a *appliance) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if a.cmd != nil && a.cmd.Process != nil {
		a.cmd.Process.Signal(syscall.SIGTERM) // no error of ours when it ended before
		select {
		case <-a.ended:
		case <-ctx.Done():
		}
	}
	if err := a.removeContainers(ctx); err != nil {
		return err
	}
	engine, err := a.engine(ctx)
	if err != nil {
		return err
	}
	return errors.Join(engine.Shutdown(ctx), os.RemoveAll(a.dir), os.RemoveAll(a.state))
}

// repository is a working copy whose remote is the appliance.
type repository struct {
	*appliance
	dir string
	app string
}

func (a *appliance) repository(ctx context.Context, source fs.FS, app string) (*repository, error) {
	r := &repository{appliance: a, dir: filepath.Join(a.dir, app), app: app}
	if err := os.CopyFS(r.dir, source); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "first"}} {
		if err := r.git(ctx, args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *repository) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.dir
	key := filepath.Join(r.appliance.dir, "key")
	cmd.Env = append(os.Environ(),
		"GIT_SSH_COMMAND=ssh -F none -i "+key+" -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile="+key+".hosts",
		"GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@localhost", "GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=bench@localhost")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// steps returns the steps of the last build, in their order, and how long each took.
func (r *repository) steps(ctx context.Context) ([]step, error) {
	out, err := r.berth(ctx, nil, "builds:info", r.app, "--format", "json")
	if err != nil {
		return nil, err
	}
	var build struct{ Steps []step }
	return build.Steps, json.Unmarshal(out, &build)
}

// step is one step of a build, as builds:info tells it.
type step struct {
	Name string
	Took time.Duration
}

func (r *repository) url(app string) string {
	return fmt.Sprintf("ssh://berth@127.0.0.1:%d/%s", r.ports["ssh"], app)
}

func (r *repository) push(ctx context.Context, refspec string) error {
	return r.git(ctx, "push", r.url(r.app), refspec)
}

// pushTo pushes the same commit as another app.
func (r *repository) pushTo(ctx context.Context, app string) error {
	return r.git(ctx, "push", r.url(app), "main")
}

// commit commits a change of the page's words.
func (r *repository) commit(ctx context.Context, words string) error {
	file := filepath.Join(r.dir, "web.py")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "    return ") {
			line = fmt.Sprintf("    return %q\n", words)
		}
		lines = append(lines, line)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644); err != nil {
		return err
	}
	return r.git(ctx, "commit", "-q", "-a", "-m", words)
}

func (r *repository) page(ctx context.Context) (string, error) { return r.appliance.page(ctx, r.app) }
