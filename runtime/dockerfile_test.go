package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
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
		if err := e.RemoveImageCache(context.Background(), t.Name()); err != nil {
			t.Error(err)
		}
	})
	return t.Name()
}

// buildImage builds a Dockerfile over the stack; its layer goes with the test.
func buildImage(t testing.TB, spec runtime.ImageSpec) (runtime.Image, string, error) {
	t.Helper()
	e, stack := open(t)
	spec.Bases = map[string]string{baseName: stack}
	var out bytes.Buffer
	img, err := e.BuildImage(t.Context(), spec, &out)
	if err == nil {
		forget(t, img)
	}
	return img, out.String(), err
}

func forget(t testing.TB, img runtime.Image) {
	e := shared.engine
	t.Cleanup(func() {
		if has, _ := e.HasLayer(context.Background(), img.Layer); !has {
			return
		}
		if err := e.RemoveLayer(context.Background(), img.Layer); err != nil {
			t.Error(err)
		}
	})
}

func within(img runtime.Image) runtime.Spec { return runtime.Spec{Layer: img.Layer, Foreign: true} }

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
	img, out, err := buildImage(t, runtime.ImageSpec{Context: dir, Owner: owner(t), Args: map[string]string{"GREETING": "hello"}})
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
	again, err := shared.engine.Image(t.Context(), img.Layer)
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
	first, out, err := buildImage(t, runtime.ImageSpec{Context: counted("1"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	began := time.Now()
	second, out, err := buildImage(t, runtime.ImageSpec{Context: counted("1"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("second build after %v", time.Since(began))
	if second.Layer != first.Layer || strings.Count(out, "(cached)") != 3 {
		t.Errorf("layer %s, then %s\n%s", first.Layer, second.Layer, out)
	}
	third, out, err := buildImage(t, runtime.ImageSpec{Context: counted("2"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if third.Layer == first.Layer || strings.Count(out, "(cached)") != 1 {
		t.Errorf("after a change, layer %s\n%s", third.Layer, out)
	}
	when := func(img runtime.Image) string { got, _ := output(t, within(img), "cat /when"); return got }
	if when(third) != when(first) {
		t.Error("the first step was run again")
	}
	other, out, err := buildImage(t, runtime.ImageSpec{Context: counted("1"), Owner: owner(t) + "-other"})
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.engine.RemoveImageCache(t.Context(), t.Name()+"-other"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "(cached)") || when(other) == when(first) {
		t.Errorf("another owner got what is not its own:\n%s", out)
	}
}

func TestBuildImage_ImageOutlivesItsCache(t *testing.T) {
	me := owner(t)
	img, out, err := buildImage(t, runtime.ImageSpec{Context: project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo stays > /file\n"), Owner: me})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := shared.engine.RemoveImageCache(t.Context(), me); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // for containerd to collect what it thinks it may
	if got, _ := output(t, within(img), "cat /file"); got != "stays" {
		t.Errorf("in the image: %q", got)
	}
	layers, err := shared.engine.Layers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if l.Key == img.Layer && (l.Parent != shared.stack || l.Bytes == 0) {
			t.Errorf("listed as %+v", l)
		}
	}
}

func TestBuildImage_FailingStepTellsWhere(t *testing.T) {
	dir := project(t, "deploy/Dockerfile", "FROM berth.local/stack\nRUN echo fine\n\nRUN for i in $(seq 30); do echo line $i; done; \\\n  echo why >&2; exit 9\n")
	_, out, err := buildImage(t, runtime.ImageSpec{Context: dir, Dockerfile: "deploy/Dockerfile", Owner: owner(t)})
	where, ok := errors.AsType[*runtime.DockerfileError](err)
	if !ok || where.Line != 4 || where.Path != "deploy/Dockerfile" || !strings.HasPrefix(where.Text, "RUN for") {
		t.Errorf("error %#v", err)
	}
	failed, ok := errors.AsType[*runtime.CommandError](err)
	if !ok || failed.Exit.Code != 9 || len(failed.Tail) < 15 || failed.Tail[len(failed.Tail)-1] != "why" {
		t.Fatalf("error %v: %+v", err, failed)
	}
	if !strings.Contains(out, "line 30\nwhy\n") {
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
		"not an image": {"FROM ???\n", 1, "invalid reference"},
	} {
		t.Run(name, func(t *testing.T) {
			files := []string{"Dockerfile", test.dockerfile}
			if test.dockerfile == "-" {
				files = nil
			}
			_, _, err := buildImage(t, runtime.ImageSpec{Context: project(t, files...), Owner: owner(t)})
			where, ok := errors.AsType[*runtime.DockerfileError](err)
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

func TestBuildImage_LimitsHold(t *testing.T) {
	dir := project(t, "Dockerfile", "FROM berth.local/stack\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true\nRUN head -c 200M /dev/zero | tail -n 1\n")
	_, out, err := buildImage(t, runtime.ImageSpec{Context: dir, Owner: owner(t), Limits: runtime.Limits{Memory: 64 << 20}})
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
RUN mknod /disk b 254 0 && cat /disk || echo no"" device; mount -t tmpfs none /mnt || echo no"" mount
`)
	_, out, err := buildImage(t, runtime.ImageSpec{Context: dir, Owner: owner(t), Args: map[string]string{"PORT": port}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(out, "was reached") {
		t.Errorf("a step reached the host:\n%s", out)
	}
	for _, want := range []string{"0\nbuild\n", "Seccomp:\t2", ".0.1 is closed", "254 is closed", "\nlo\n[", "no device", "no mount"} {
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
	img, out, err := buildImage(t, runtime.ImageSpec{Context: project(t, "Dockerfile", text), Owner: me, Secrets: secrets})
	if err != nil || !strings.Contains(out, "12 12\n1\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	_, out, err = buildImage(t, runtime.ImageSpec{Context: project(t, "Dockerfile", text+"RUN echo other\n"), Owner: me, Secrets: secrets})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, out, err = buildImage(t, runtime.ImageSpec{Context: project(t, "Dockerfile", strings.Replace(text, "echo \"", "echo \"again ", 1)), Owner: me, Secrets: secrets})
	if err != nil || !strings.Contains(out, "again 12 12\n2\n") {
		t.Fatalf("the cache was not kept: %v\n%s", err, out)
	}
	if got, _ := output(t, within(img), "ls -A /cache /run/secrets; grep -r s3cret /etc /run /var 2>/dev/null"); strings.Contains(got, "s3cret") || strings.Contains(got, "token") {
		t.Errorf("in the image: %q", got)
	}
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
	_, err := e.BuildImage(ctx, runtime.ImageSpec{Context: dir, Owner: me, Bases: map[string]string{baseName: stack}}, out)
	if !errors.Is(err, context.Canceled) || time.Since(began) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	nothingLeft(t)
	img, said, err := buildImage(t, runtime.ImageSpec{Context: project(t, "Dockerfile", "FROM berth.local/stack\nRUN echo ok\n"), Owner: me})
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
	img, out, err := buildImage(t, runtime.ImageSpec{Context: dir, Owner: owner(t), Limits: runtime.Limits{Memory: 1 << 30}})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k := key(t)
	if err := e.OwnImage(t.Context(), img, k, 20001, nil); err != nil {
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
