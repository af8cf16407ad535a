package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// asset is one file that pages refer to. Its address carries the digest of its
// content, so that browsers may keep it for ever.
type asset struct {
	content []byte
	kind    string
}

// assets are the embedded files by their address ("/static/3f7a….admin.css")
// and their addresses by name ("admin.css").
type assets struct {
	files map[string]asset
	url   map[string]string
}

func readAssets() (*assets, error) {
	as := &assets{files: map[string]asset{}, url: map[string]string{}}
	err := fs.WalkDir(staticFiles, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, ".LICENSE") {
			return err
		}
		content, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		kind := mime.TypeByExtension(path.Ext(name))
		if kind == "" {
			return fmt.Errorf("no media type known for %s", name)
		}
		sum := sha256.Sum256(content)
		url := "/static/" + hex.EncodeToString(sum[:8]) + "." + path.Base(name)
		as.files[url] = asset{content, kind}
		as.url[strings.TrimPrefix(name, "static/")] = url
		return nil
	})
	return as, err
}

// URL returns the address of the file of that name. Templates call it; a name
// that does not exist fails the page, and with it the tests.
func (as *assets) URL(name string) (string, error) {
	url, found := as.url[name]
	if !found {
		return "", fmt.Errorf("no asset named %q", name)
	}
	return url, nil
}

// ServeHTTP answers for /static/. It needs no session: the files say nothing
// of the machine but the version of berth that it runs.
func (as *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, found := as.files[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", file.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(file.content)
}
