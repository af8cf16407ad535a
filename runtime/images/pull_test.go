package images_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
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
	"testing"
	"time"

	"github.com/berthd/berth/runtime/images"
	"golang.org/x/crypto/bcrypt"
)

// registry is a real one, on loopback, with one user when it asks for a login.
type registry struct {
	host           string
	user, password string
}

func startRegistry(t testing.TB, login bool) registry {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI must run this test, and it needs docker-registry")
		}
		t.Skip("needs docker-registry")
	}
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := registry{host: probe.Addr().String()}
	probe.Close()
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: %s/data\nhttp:\n  addr: %s\n", dir, r.host)
	if login {
		r.user, r.password = "captain", "s3cret"
		hash, err := bcrypt.GenerateFromPassword([]byte(r.password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "users"), fmt.Appendf(nil, "%s:%s\n", r.user, hash), 0o600)
		config += fmt.Sprintf("auth:\n  htpasswd:\n    realm: test\n    path: %s/users\n", dir)
	}
	name := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "serve", name)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the registry said: %s", &said)
		}
	})
	for range 100 {
		if conn, err := net.Dial("tcp", r.host); err == nil {
			conn.Close()
			return r
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the registry does not listen: %s", &said)
	return r
}

// push puts an image of one layer into the registry and returns its name.
func (r registry) push(t testing.TB, name, tag, arch string, files map[string]string, config map[string]any) string {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, content := range files {
		w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
		io.WriteString(w, content)
	}
	w.Close()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(archive.Bytes())
	z.Close()
	settings, _ := json.Marshal(map[string]any{"architecture": arch, "os": "linux", "config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(archive.Bytes())}}})
	manifest, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": r.blob(t, name, settings, "application/vnd.oci.image.config.v1+json"),
		"layers": []any{r.blob(t, name, packed.Bytes(), "application/vnd.oci.image.layer.v1.tar+gzip")}})
	index, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{map[string]any{
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digestOf(manifest), "size": len(manifest), "platform": map[string]string{"os": "linux", "architecture": arch}}}})
	r.send(t, "PUT", "/v2/"+name+"/manifests/"+digestOf(manifest), "application/vnd.oci.image.manifest.v1+json", manifest)
	r.send(t, "PUT", "/v2/"+name+"/manifests/"+tag, "application/vnd.oci.image.index.v1+json", index)
	return r.host + "/" + name + ":" + tag
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func (r registry) blob(t testing.TB, name string, data []byte, kind string) map[string]any {
	t.Helper()
	at := r.send(t, "POST", "/v2/"+name+"/blobs/uploads/", "", nil).Header.Get("Location")
	r.send(t, "PUT", at+"&digest="+digestOf(data), "application/octet-stream", data)
	return map[string]any{"mediaType": kind, "digest": digestOf(data), "size": len(data)}
}

func (r registry) send(t testing.TB, method, at, kind string, data []byte) *http.Response {
	t.Helper()
	if !strings.HasPrefix(at, "http") {
		at = "http://" + r.host + at
	}
	req, err := http.NewRequest(method, at, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if r.user != "" {
		req.SetBasicAuth(r.user, r.password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode > 299 {
		t.Fatalf("%s %s: %s: %s", method, at, resp.Status, body)
	}
	return resp
}

func TestPullImage_WithALogin(t *testing.T) {
	e, _ := open(t)
	r := startRegistry(t, true)
	ref := r.push(t, "team/shop", "v1", goruntime.GOARCH, map[string]string{"srv/hello": "from the registry"},
		map[string]any{"Cmd": []string{"/bin/serve"}, "Env": []string{"A=b"}, "ExposedPorts": map[string]any{"8080/tcp": map[string]any{}}, "User": "1000"})
	login := images.Login{Username: r.user, Password: r.password}
	var out bytes.Buffer
	img, err := images.New(e, logger()).Pull(t.Context(), images.PullSpec{Ref: ref, Logins: map[string]images.Login{r.host: login}, Labels: map[string]string{"app": "shop"}}, &out)
	if err != nil {
		t.Fatal(err)
	}
	forget(t, img)
	if c := img.Config; strings.Join(c.Cmd, " ") != "/bin/serve" || strings.Join(c.Ports, " ") != "8080/tcp" || c.User != "1000" || c.Dir != "/" || !strings.HasPrefix(img.Digest, "sha256:") {
		t.Errorf("image %+v", img)
	}
	if !strings.Contains(out.String(), "pulling "+ref) || !strings.Contains(out.String(), "layer ") {
		t.Errorf("output %q", &out)
	}

	time.Sleep(time.Second) // for containerd to collect what it thinks it may
	out.Reset()
	again, err := images.New(e, logger()).Pull(t.Context(), images.PullSpec{Ref: ref, Logins: map[string]images.Login{r.host: login}}, &out)
	if err != nil || again.Layer != img.Layer || again.Config.User != "1000" || out.Len() > 0 {
		t.Errorf("pulled again: %+v, %v, %q", again, err, &out)
	}
	layers, err := e.Layers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if l.Key == img.Layer && (l.Parent != "" || l.Bytes == 0 || l.Labels["app"] != "shop") {
			t.Errorf("listed as %+v", l)
		}
	}

	dir := project(t, "Dockerfile", "FROM "+ref+" AS shop\nFROM berth.local/stack\nCOPY --from=shop /srv/hello /hello\nRUN cat /hello\n")
	host, _, _ := strings.Cut(ref, "/")
	built, said, err := buildImage(t, images.BuildSpec{Context: dir, Owner: owner(t), Logins: map[string]images.Login{host: login}})
	if err != nil || !strings.Contains(said, "from the registry") || built.Layer == "" {
		t.Errorf("built from it: %v\n%s", err, said)
	}
	_, _, err = buildImage(t, images.BuildSpec{Context: dir, Owner: owner(t)})
	where, ok := errors.AsType[*images.DockerfileError](err)
	if !ok || where.Line != 1 || !errors.Is(err, images.ErrDenied) {
		t.Errorf("without a login: %v", err)
	}
}

func TestPullImage_ErrorsHaveKinds(t *testing.T) {
	e, _ := open(t)
	closed, open := startRegistry(t, true), startRegistry(t, false)
	secret := closed.push(t, "secret", "v1", goruntime.GOARCH, map[string]string{"a": "b"}, nil)
	other := open.push(t, "other", "v1", "s390x", map[string]string{"a": "b"}, nil)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	for name, test := range map[string]struct {
		ref  string
		user images.Login
		want error
	}{
		"unknown image":  {open.host + "/nothing:v1", images.Login{}, images.ErrNotFound},
		"unknown tag":    {strings.TrimSuffix(other, "1") + "2", images.Login{}, images.ErrNotFound},
		"no login":       {secret, images.Login{}, images.ErrDenied},
		"wrong password": {secret, images.Login{Username: "captain", Password: "guess"}, images.ErrDenied},
		"other machine":  {other, images.Login{}, images.ErrPlatform},
		"nobody listens": {nobody.Addr().String() + "/x:v1", images.Login{}, images.ErrUnreachable},
		"no such host":   {"registry.invalid/x:v1", images.Login{}, images.ErrUnreachable},
		"no name":        {"Not An Image", images.Login{}, images.ErrName},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := images.New(e, logger()).Pull(t.Context(), images.PullSpec{Ref: test.ref, Logins: logins(test.ref, test.user)}, nil)
			t.Log(err)
			if _, typed := errors.AsType[*images.Error](err); !typed || !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// logins is a login for the registry of an image; none when it is nobody's.
func logins(ref string, login images.Login) map[string]images.Login {
	if login == (images.Login{}) {
		return nil
	}
	host, _, _ := strings.Cut(ref, "/")
	return map[string]images.Login{host: login}
}

func TestPullImage_TheMachinesOwnRegistryIsNotForApps(t *testing.T) {
	e, _ := open(t)
	for _, host := range []string{"127.0.0.1:5000", "127.9.9.9", "localhost:5000", "a.localhost", "[::1]:5000", "169.254.169.254", "0.0.0.0:80", "[::ffff:127.0.0.1]:5000", "localhost.:5000", "100.100.100.200"} {
		_, err := images.New(e, logger()).Pull(t.Context(), images.PullSpec{Ref: host + "/team/x:v1", Foreign: true}, nil)
		if !errors.Is(err, images.ErrAddress) && !errors.Is(err, images.ErrName) {
			t.Errorf("%s: got %v, want that it is refused", host, err)
		}
	}
}
