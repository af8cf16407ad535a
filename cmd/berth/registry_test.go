package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	registry "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// putImage REF USER PASSWORD puts an image into a registry, once that answers:
// a server with nothing around it that says $GREETING on port 80.
func putImage() {
	const source = `package main

import ("fmt"; "net/http"; "os")

func main() {
	http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getenv("GREETING")) }))
}
`
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "server")
	if err := os.WriteFile(program+".go", []byte(source), 0o600); err != nil {
		fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, program+".go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "HOME="+dir, "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		fatal(err)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	w.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(binary))})
	w.Write(binary)
	w.Close()

	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/server"}, Env: []string{"GREETING=welcome"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		fatal(err)
	}
	ref, err := name.ParseReference(os.Args[1])
	if err != nil {
		fatal(err)
	}
	login := &authn.Basic{Username: os.Args[2], Password: os.Args[3]}
	for range 100 {
		if err = registry.Write(ref, img, registry.WithAuth(login)); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	fatal(err)
}
