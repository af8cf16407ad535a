package images_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/enginetest"
	"github.com/berthd/berth/runtime/images"
)

const baseName = "berth.local/stack"

// project writes a build's context: names and contents, in turn.
func project(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// owner returns the name of a cache that goes with the test.
func owner(t testing.TB) string {
	e, _ := open(t)
	t.Cleanup(func() {
		if err := images.New(e, logger()).RemoveCache(context.Background(), t.Name()); err != nil {
			t.Error(err)
		}
	})
	return t.Name()
}

// buildImage builds a Dockerfile over the stack; its layer goes with the test.
func buildImage(t testing.TB, spec images.BuildSpec) (images.Image, string, error) {
	t.Helper()
	e, stack := open(t)
	spec.Bases = map[string]string{baseName: stack}
	var out bytes.Buffer
	img, err := images.New(e, logger()).Build(t.Context(), spec, &out)
	if err == nil {
		forget(t, img)
	}
	return img, out.String(), err
}

func forget(t testing.TB, img images.Image) {
	e := shared.Engine
	t.Cleanup(func() {
		if has, _ := e.HasLayer(context.Background(), img.Layer); !has {
			return
		}
		if err := e.RemoveLayer(context.Background(), img.Layer); err != nil {
			t.Error(err)
		}
	})
}

func within(img images.Image) runtime.Spec { return runtime.Spec{Layer: img.Layer, Foreign: true} }

func TestBuildImage_StagesArgumentsAndFiles(t *testing.T) {
	dir := project(t,
		"Dockerfile", `# syntax=example.com/never/asked:1
ARG GREETING=none
FROM berth.local/stack AS build
ARG GREETING
WORKDIR /src
COPY . .
RUN echo "$GREETING from $(id -un)" > greeting && ls -A > listing
RUN <<EOT
set -e
echo here > doc
EOT
FROM berth.local/stack
ENV MODE=prod
COPY --from=build --chown=33:33 /src/greeting /src/listing /src/doc /srv/
COPY --link extra.txt /srv/extra
WORKDIR /srv
USER www-data
EXPOSE 8080 53/udp
VOLUME /data
STOPSIGNAL SIGQUIT
LABEL team=shop
ENTRYPOINT ["/bin/cat"]
CMD ["greeting"]
`,
		".dockerignore", "secret*\nDockerfile\n", "extra.txt", "more", "secret.env", "x", "sub/file", "y")
	img, out, err := buildImage(t, images.BuildSpec{Context: dir, Owner: owner(t), Args: map[string]string{"GREETING": "hello"}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := img.Config
	if strings.Join(c.Args(), " ") != "/bin/cat greeting" || strings.Join(c.Args("doc"), " ") != "/bin/cat doc" {
		t.Errorf("arguments %q, %q", c.Args(), c.Args("doc"))
	}
	if c.Dir != "/srv" || c.User != "www-data" || strings.Join(c.Ports, " ") != "53/udp 8080/tcp" || strings.Join(c.Volumes, " ") != "/data" || c.StopSignal != "SIGQUIT" || c.Labels["team"] != "shop" {
		t.Errorf("configuration %+v", c)
	}
	if env := strings.Join(c.Env, " "); !strings.Contains(env, "MODE=prod") || !strings.Contains(env, "PATH=") || strings.Contains(env, "CERT") {
		t.Errorf("environment %q", c.Env)
	}
	got, _ := output(t, within(img), "cd /srv; cat greeting listing doc extra; stat -c '%u %g' greeting extra; ls -Ad /.berth/* /run/* /src 2>&1 | grep -v No.such")
	want := "hello from root\n.dockerignore\nextra.txt\ngreeting\nlisting\nsub\nhere\nmore33 33\n0 0\n"
	if !strings.HasPrefix(got, want) || strings.Contains(got, "/.berth/env") || strings.Contains(got, "/src") {
		t.Errorf("in the image:\n%s\nwant\n%s", got, want)
	}
	again, err := images.New(shared.Engine, logger()).Image(t.Context(), img.Layer)
	if err != nil || strings.Join(again.Config.Entrypoint, " ") != "/bin/cat" || again.Digest != img.Digest {
		t.Errorf("the layer's image is %+v, %v", again, err)
	}
	nothingLeft(t)
}

func TestBuildImage_SecondBuildRunsNothing(t *testing.T) {
	counted := func(n string) string {
		return project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo one > /one && date +%N > /when\nCOPY n /n\nRUN cat /n > /two\n", "n", n)
	}
	me := owner(t)
	first, out, err := buildImage(t, images.BuildSpec{Context: counted("1"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	began := time.Now()
	second, out, err := buildImage(t, images.BuildSpec{Context: counted("1"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("second build after %v", time.Since(began))
	if second.Layer != first.Layer || strings.Count(out, "(cached)") != 3 {
		t.Errorf("layer %s, then %s\n%s", first.Layer, second.Layer, out)
	}
	third, out, err := buildImage(t, images.BuildSpec{Context: counted("2"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if third.Layer == first.Layer || strings.Count(out, "(cached)") != 1 {
		t.Errorf("after a change, layer %s\n%s", third.Layer, out)
	}
	when := func(img images.Image) string { got, _ := output(t, within(img), "cat /when"); return got }
	if when(third) != when(first) {
		t.Error("the first step was run again")
	}
	other, out, err := buildImage(t, images.BuildSpec{Context: counted("1"), Owner: owner(t) + "-other"})
	if err != nil {
		t.Fatal(err)
	}
	if err := images.New(shared.Engine, logger()).RemoveCache(t.Context(), t.Name()+"-other"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "(cached)") || when(other) == when(first) {
		t.Errorf("another owner got what is not its own:\n%s", out)
	}
}

func TestBuildImage_ImageOutlivesItsCache(t *testing.T) {
	me := owner(t)
	img, out, err := buildImage(t, images.BuildSpec{Context: project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo stays > /file\n"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := images.New(shared.Engine, logger()).RemoveCache(t.Context(), me); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // for containerd to collect what it thinks it may
	if got, _ := output(t, within(img), "cat /file"); got != "stays" {
		t.Errorf("in the image: %q", got)
	}
	layers, err := shared.Engine.Layers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if l.Key == img.Layer && (l.Parent != shared.Stack || l.Bytes == 0) {
			t.Errorf("listed as %+v", l)
		}
	}
}

func TestBuildImage_FailingStepTellsWhere(t *testing.T) {
	dir := project(t, "deploy/Dockerfile", "FROM berth.local/stack\nRUN echo fine\n\nRUN for i in $(seq 30); do echo line $i; echo error $i >&2; done; \\\n  echo why >&2; exit 9\n")
	_, out, err := buildImage(t, images.BuildSpec{Context: dir, Dockerfile: "deploy/Dockerfile", Owner: owner(t)})
	where, ok := errors.AsType[*images.DockerfileError](err)
	if !ok || where.Line != 4 || where.Path != "deploy/Dockerfile" || !strings.HasPrefix(where.Text, "RUN for") {
		t.Errorf("error %#v", err)
	}
	failed, ok := errors.AsType[*runtime.CommandError](err)
	if !ok || failed.Exit.Code != 9 || len(failed.Tail) < 15 || failed.Tail[len(failed.Tail)-1] != "why" {
		t.Fatalf("error %v: %+v", err, failed)
	}
	want := ""
	for i := range 30 {
		want += fmt.Sprintf("line %d\nerror %[1]d\n", i+1)
	}
	if !strings.Contains(out, want+"why\n") { // two streams, in the order of writing
		t.Errorf("output:\n%s", out)
	}
	nothingLeft(t)
}

func TestBuildImage_BadDockerfiles(t *testing.T) {
	for name, test := range map[string]struct {
		dockerfile string
		line       int
		want       string
	}{
		"syntax":       {"FROM berth.local/stack\nRUM echo\n", 2, "unknown instruction"},
		"stage":        {"FROM berth.local/stack\nCOPY --from=nobody:1@ /x /x\n", 2, "nobody"},
		"file":         {"FROM berth.local/stack\nCOPY missing.txt /x\n", 2, "missing.txt"},
		"empty":        {"", 0, "empty"},
		"absent":       {"-", 0, "no such file"},
		"no from":      {"RUN echo\n", 1, "no build stage"},
		"user":         {"FROM berth.local/stack\nUSER nobody-here\nRUN id\n", 3, "nobody-here"},
		"host network": {"FROM berth.local/stack\nRUN --network=host id\n", 0, "network.host is not allowed"},
		"git":          {"FROM berth.local/stack\nADD https://example.com/x.git /x\n", 0, "git"},
		"platform":     {"FROM --platform=linux/s390x registry.invalid/x\n", 1, "linux/s390x"},
		"unreachable":  {"FROM berth.local/stack AS a\nFROM registry.invalid/x\n", 2, "cannot be reached"},
		"not an image": {"FROM ???\n", 1, "invalid reference"},
	} {
		t.Run(name, func(t *testing.T) {
			files := []string{"Dockerfile", test.dockerfile}
			if test.dockerfile == "-" {
				files = nil
			}
			_, _, err := buildImage(t, images.BuildSpec{Context: project(t, files...), Owner: owner(t)})
			where, ok := errors.AsType[*images.DockerfileError](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			t.Log(err)
			if where.Line != test.line || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v at line %d, want %q at line %d", err, where.Line, test.want, test.line)
			}
		})
	}
}

func TestBuildImage_ContextIsAllThereIs(t *testing.T) {
	outside := project(t, "Dockerfile", "FROM berth.local/stack\n", "secret", "of the host")
	dir := project(t, "Dockerfile", "FROM berth.local/stack\nCOPY link /link\nRUN cat /link\n")
	os.Symlink(filepath.Join(outside, "Dockerfile"), filepath.Join(dir, "Linked"))
	os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link"))
	me := owner(t)
	for _, dockerfile := range []string{"Linked", "../" + filepath.Base(outside) + "/Dockerfile", "Dockerfile"} {
		_, out, err := buildImage(t, images.BuildSpec{Context: dir, Dockerfile: dockerfile, Owner: me})
		if _, ok := errors.AsType[*images.DockerfileError](err); !ok || strings.Contains(out, "of the host") {
			t.Errorf("%s: %v\n%s", dockerfile, err, out)
		}
	}
}

func TestBuildImage_OwnersBuildAtOnce(t *testing.T) {
	e, stack := open(t)
	one, two := owner(t), owner(t)+"-2"
	t.Cleanup(func() { images.New(e, logger()).RemoveCache(context.Background(), two) })
	var wg sync.WaitGroup
	for i, who := range []string{one, two, one, two} {
		dir := project(t, "Dockerfile", fmt.Sprintf("FROM berth.local/stack\nRUN echo %d > /n\nCOPY Dockerfile /\nRUN test $(cat /n) = %[1]d\n", i))
		wg.Go(func() {
			img, err := images.New(e, logger()).Build(t.Context(), images.BuildSpec{Context: dir, Owner: who, Bases: map[string]string{baseName: stack}}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			forget(t, img)
		})
	}
	wg.Wait()
}

func TestBuildImage_LimitsHold(t *testing.T) {
	dir := project(t, "Dockerfile", "FROM berth.local/stack\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true\nRUN head -c 200M /dev/zero | tail -n 1\n")
	_, out, err := buildImage(t, images.BuildSpec{Context: dir, Owner: owner(t), Limits: runtime.Limits{Memory: 64 << 20}})
	failed, ok := errors.AsType[*runtime.CommandError](err)
	if !ok || !failed.Exit.OOM {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out, "67108864") {
		t.Errorf("output:\n%s", out)
	}
	nothingLeft(t)
}

func TestBuildImage_StepsAreConfined(t *testing.T) {
	host, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	_, port, _ := net.SplitHostPort(host.Addr().String())
	dir := project(t, "Dockerfile", `FROM berth.local/stack
SHELL ["/bin/bash", "-c"]
ARG PORT
RUN id -u; hostname; grep -E 'CapEff|Seccomp:' /proc/self/status
RUN ip=$(hostname -I); gateway=${ip%.*.*}.0.1; \
  for h in $gateway 169.254.169.254; do \
    if timeout 3 bash -c "echo > /dev/tcp/$h/$PORT" 2>/dev/null; then echo "$h was"" reached"; else echo "$h is"" closed"; fi; done
RUN --network=none ls /sys/class/net
RUN mknod /disk b 254 0 && cat /disk || echo no"" device; mknod /null c 1 3 || echo no"" node; mount -t tmpfs none /mnt || echo no"" mount
RUN perl -MSocket -e 'for ([17, SOCK_RAW, 768], [AF_INET, SOCK_RAW, 255], [AF_INET, SOCK_RAW, 1], [10, SOCK_RAW, 58]) { socket(my $s, $_->[0], $_->[1], $_->[2]) ? print "a raw"." socket of family $_->[0]\n" : print "no raw"." socket\n" }'
RUN grep NoNewPrivs /proc/self/status; cp /usr/bin/id /id; chown 0:0 /id; chmod 4755 /id; setpriv --reuid 1234 --clear-groups /id -u | sed 's/^/as root it is /'
USER 1234
RUN grep NoNewPrivs /proc/self/status | sed 's/^/user /'; /id -u | sed 's/^/as a user it is /'
`)
	_, out, err := buildImage(t, images.BuildSpec{Context: dir, Owner: owner(t), Args: map[string]string{"PORT": port}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(out, "was reached") || strings.Contains(out, "a raw socket") {
		t.Errorf("a step reached the host:\n%s", out)
	}
	for _, want := range []string{"0\nbuild\n", "Seccomp:\t2", ".0.1 is closed", "254 is closed", "\nlo\n[", "no device", "no node", "no mount",
		"no raw socket\nno raw socket\nno raw socket\nno raw socket\n", "NoNewPrivs:\t1", "as root it is 1234", "user NoNewPrivs:\t0", "as a user it is 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the output:\n%s", want, out)
		}
	}
	nothingLeft(t)
}

func TestBuildImage_SecretsAndCaches(t *testing.T) {
	me := owner(t)
	text := `FROM berth.local/stack
RUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=token --mount=type=cache,target=/cache \
  echo "${#TOKEN} $(wc -c < /run/secrets/token)"; echo x >> /cache/n; wc -l < /cache/n; grep -c s3cret /proc/1/environ /proc/1/cmdline || true
`
	secrets := map[string][]byte{"token": []byte("s3cret-value")}
	img, out, err := buildImage(t, images.BuildSpec{Context: project(t, "Dockerfile", text), Owner: me, Secrets: secrets})
	if err != nil || !strings.Contains(out, "12 12\n1\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	_, out, err = buildImage(t, images.BuildSpec{Context: project(t, "Dockerfile", text+"RUN echo other\n"), Owner: me, Secrets: secrets})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, out, err = buildImage(t, images.BuildSpec{Context: project(t, "Dockerfile", strings.Replace(text, "echo \"", "echo \"again ", 1)), Owner: me, Secrets: secrets})
	if err != nil || !strings.Contains(out, "again 12 12\n2\n") {
		t.Fatalf("the cache was not kept: %v\n%s", err, out)
	}
	if got, _ := output(t, within(img), "ls -A /cache /run/secrets; grep -r s3cret /etc /run /var 2>/dev/null"); strings.Contains(got, "s3cret") || strings.Contains(got, "token") {
		t.Errorf("in the image: %q", got)
	}
}

func TestBuildImage_ProgramsNeedNoShell(t *testing.T) {
	dir := project(t, "Dockerfile", `FROM berth.local/stack
RUN rm -rf /bin/sh /bin/bash /usr/bin/sh /usr/bin/bash /usr/bin/dash
RUN ["/bin/ls", "-d", "/tmp"]
CMD ["/bin/cat"]
`)
	me := owner(t)
	img, out, err := buildImage(t, images.BuildSpec{Context: dir, Owner: me})
	if err != nil || !strings.HasSuffix(out, "/tmp\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	spec := within(img)
	spec.ID, spec.UID = runtime.NewID(), 20001
	var said bytes.Buffer
	exit, err := shared.Engine.Attach(t.Context(), spec, runtime.Command{Args: []string{"cat", "/run/berth/env", "-"}, Env: []string{"A=b"}, Dir: "/"},
		runtime.Attachment{Stdin: strings.NewReader("in"), Stdout: &said, Stderr: &said})
	if err != nil || exit.Code != 0 || !strings.Contains(said.String(), "A=b\x00") || !strings.HasSuffix(said.String(), "in") {
		t.Errorf("a one-off: %+v, %v, %q", exit, err, &said)
	}
	for program, want := range map[string]int{"nothing-here": 127, "/etc/passwd": 126, "/bin/sh": 127} {
		text := "FROM berth.local/stack\nRUN rm -f /bin/sh\nRUN [\"" + program + "\"]\n"
		_, _, err = buildImage(t, images.BuildSpec{Context: project(t, "Dockerfile", text), Owner: me})
		failed, ok := errors.AsType[*runtime.CommandError](err)
		if !ok || failed.Exit.Code != want || len(failed.Tail) != 1 || !strings.Contains(failed.Tail[0], program) {
			t.Errorf("%s: error %v, %+v, want code %d", program, err, failed, want)
		}
	}
}

func TestBuildImage_AddsFromTheNetworkOfContainers(t *testing.T) {
	open(t)
	outside := outsider(t)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			http.NotFound(w, r)
		case "/broken":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
		default:
			io.WriteString(w, "from afar")
		}
	})}
	defer web.Close()
	go web.Serve(outside)
	go web.Serve(insider(t))
	me := owner(t)
	_, out, err := buildImage(t, images.BuildSpec{Owner: me, Context: project(t, "Dockerfile", "FROM berth.local/stack\nADD http://"+outside.Addr().String()+"/file /file\nRUN cat /file\n")})
	if err != nil || !strings.Contains(out, "from afar") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, host := range []string{"127.0.0.1", "198.51.100.1"} { // the host's own addresses
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err = images.New(shared.Engine, logger()).Build(ctx, images.BuildSpec{Owner: me, Bases: map[string]string{baseName: shared.Stack},
			Context: project(t, "Dockerfile", "FROM berth.local/stack\nADD http://"+host+":7357/file /file\n")}, nil)
		cancel()
		if err == nil {
			t.Errorf("it got a file from %s, the host", host)
		}
	}
	for _, url := range []string{"http://198.51.100.2:1/file", "http://nothing.invalid/file", "http://" + outside.Addr().String() + "/missing", "http://" + outside.Addr().String() + "/broken"} {
		_, _, err := buildImage(t, images.BuildSpec{Owner: me, Context: project(t, "Dockerfile", "FROM berth.local/stack\nADD "+url+" /file\n")})
		if failed, ok := errors.AsType[*images.DockerfileError](err); !ok || !strings.Contains(failed.Error(), "cannot be fetched") {
			t.Errorf("ADD %s: %v, want a mistake of the Dockerfile's", url, err)
		}
	}
	nothingLeft(t)
}

// insider listens on all addresses of the host.
func insider(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", ":7357")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// outsider listens in a network beyond the host: in a namespace that hangs on
// it by a cable.
func outsider(t testing.TB) net.Listener {
	t.Helper()
	name := fmt.Sprintf("bt%d", os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", name).Run() })
	ip("link", "add", name+"o", "type", "veth", "peer", "name", "eth0", "netns", name)
	ip("address", "add", "198.51.100.1/30", "dev", name+"o") // a range for documentation
	ip("link", "set", name+"o", "up")
	ip("-n", name, "address", "add", "198.51.100.2/30", "dev", "eth0")
	ip("-n", name, "link", "set", "eth0", "up")
	ns, err := os.Open("/run/netns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	found := make(chan net.Listener)
	go func() {
		goruntime.LockOSThread() // and the thread ends with the goroutine
		var l net.Listener
		if unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET) == nil {
			l, _ = net.Listen("tcp4", "198.51.100.2:80")
		}
		found <- l
	}()
	l := <-found
	if l == nil {
		t.Fatal("no listener in the namespace")
	}
	return l
}

func TestBuildImage_OutlivesContainerd(t *testing.T) {
	me := owner(t)
	e, stack := open(t)
	out := enginetest.NewWatched()
	ready := out.On("ready")
	go func() {
		<-ready
		killContainerd(t)
	}()
	dir := project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo ready; sleep 1; echo made > /file\nRUN cat /file\n")
	img, err := images.New(e, logger()).Build(t.Context(), images.BuildSpec{Context: dir, Owner: me, Bases: map[string]string{baseName: stack}}, out)
	if err != nil || !strings.HasSuffix(out.String(), "made\n") {
		t.Fatalf("error %v, output %q", err, out.String())
	}
	forget(t, img)
}

// A build that is cut short by kill -9 leaves a container, mounts, leases and
// snapshots; the next life sweeps them, and the cache goes on.
func TestBuildImage_KilledWithUs(t *testing.T) {
	needContainerd(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rt")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	context := project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo kept > /file\nRUN echo begun; test -e /go-on || exec sleep 1000\n")
	life := exec.Command(self)
	life.Env = append(os.Environ(), "BERTH_TEST_BUILDS="+dir, "BERTH_TEST_CONTEXT="+context)
	said, err := life.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	life.Stderr = os.Stderr
	if err := life.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && lines.Text() != "begun" {
	}
	life.Process.Kill()
	life.Wait()

	next := &enginetest.Installation{Dir: dir}
	defer next.Close()
	doomed(next, self)
	if err := next.Reopen(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "io", "e", "c", "netns"} {
		if left, _ := os.ReadDir(filepath.Join(next.Config.State, name)); len(left) > 0 {
			t.Errorf("%s holds %v", name, left)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			t.Errorf("a mount is left: %s", line)
		}
	}
	var out bytes.Buffer
	os.WriteFile(filepath.Join(context, "Dockerfile"), []byte("FROM berth.local/stack\nRUN echo kept > /file\nRUN cat /file\n"), 0o644)
	img, err := images.New(next.Engine, logger()).Build(t.Context(), images.BuildSpec{Context: context, Owner: "o", Bases: map[string]string{baseName: next.Stack}}, &out)
	if err != nil || strings.Count(out.String(), "(cached)") != 1 || !strings.HasSuffix(out.String(), "kept\n") {
		t.Errorf("the next life's build: %v\n%s", err, &out)
	}
	if err := errors.Join(next.Engine.RemoveLayer(t.Context(), img.Layer), images.New(next.Engine, logger()).RemoveCaches(t.Context()), next.Engine.RemoveLayer(t.Context(), next.Stack)); err != nil {
		t.Error(err)
	}
	if layers, err := next.Engine.Layers(t.Context()); err != nil || len(layers) > 0 {
		t.Errorf("left are the layers %+v, %v", layers, err)
	}
}

// doomed configures an installation beside the shared one, on a range of
// addresses that is for benchmarks and nobody's.
func doomed(i *enginetest.Installation, self string) {
	i.Configure(self, "bk"+filepath.Base(i.Dir)[2:])
	i.Config.Subnet = "198.18.73.0/24"
}

// buildUntilKilled is the life that is cut short.
func buildUntilKilled(dir, files string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	i := &enginetest.Installation{Dir: dir}
	doomed(i, self)
	if err := i.Reopen(); err != nil {
		return err
	}
	_, err = images.New(i.Engine, logger()).Build(context.Background(), images.BuildSpec{Context: files, Owner: "o", Bases: map[string]string{baseName: i.Stack}}, os.Stdout)
	return err
}

func TestBuildImage_CancelLeavesNoDebris(t *testing.T) {
	e, stack := open(t)
	me := owner(t)
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	out := writerFunc(func(p []byte) (int, error) {
		if bytes.HasPrefix(p, []byte("begun")) {
			once.Do(cancel)
		}
		return len(p), nil
	})
	began := time.Now()
	dir := project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo begun; exec sleep 1000\n")
	_, err := images.New(e, logger()).Build(ctx, images.BuildSpec{Context: dir, Owner: me, Bases: map[string]string{baseName: stack}}, out)
	if !errors.Is(err, context.Canceled) || time.Since(began) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	nothingLeft(t)
	img, said, err := buildImage(t, images.BuildSpec{Context: project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo ok\n"), Owner: me})
	if err != nil || img.Layer == "" {
		t.Errorf("the next build: %v\n%s", err, said)
	}
}

func TestBuildImage_NginxServesAsTheAppsUser(t *testing.T) {
	e, _ := open(t)
	dir := project(t, "Dockerfile", `FROM berth.local/stack
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends nginx-light && rm -rf /var/lib/apt/lists/*
COPY index.html /var/www/html/index.html
EXPOSE 80
CMD ["nginx", "-g", "daemon off;"]
`, "index.html", "it works\n")
	img, out, err := buildImage(t, images.BuildSpec{Context: dir, Owner: owner(t), Limits: runtime.Limits{Memory: 1 << 30}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k := key(t)
	if err := images.New(e, logger()).Own(t.Context(), img, k, 20001, nil); err != nil {
		t.Fatal(err)
	}
	c := create(t, runtime.Spec{Layer: k, UID: 20001, Foreign: true, LogFile: filepath.Join(t.TempDir(), "log")})
	launch(t, c, runtime.Command{Args: img.Config.Args(), Env: img.Config.Env, Dir: img.Config.Dir})
	var page string
	for range 100 {
		conn, err := c.Dial(t.Context(), "127.0.0.1:80")
		if err == nil {
			io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
			data, _ := io.ReadAll(conn)
			conn.Close()
			page = string(data)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.Contains(page, "200 OK") || !strings.HasSuffix(page, "it works\n") {
		t.Errorf("page %q, the container %v", page, c.Exit(t.Context()))
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// key returns a layer key of this test run.
func key(t testing.TB) string {
	k := strings.ReplaceAll(t.Name(), "/", "-") + "-" + runtime.NewID()[:6]
	t.Cleanup(func() {
		if err := shared.Engine.RemoveLayer(context.Background(), k); err != nil {
			t.Error(err)
		}
	})
	return k
}
