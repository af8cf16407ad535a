package edge

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
)

func TestReadPages_AreFilesOfTheSourceAndNotTooLong(t *testing.T) {
	outside := t.TempDir() + "/secret"
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	const name = ".berth/maintenance.html"
	for what, row := range map[string]struct {
		make    func(root *os.Root) error
		want    string
		warning string
	}{
		"none":           {func(*os.Root) error { return nil }, "", ""},
		"a page":         {func(r *os.Root) error { return r.WriteFile(name, []byte("<h1>soon</h1>"), 0o644) }, "<h1>soon</h1>", ""},
		"empty":          {func(r *os.Root) error { return r.WriteFile(name, nil, 0o644) }, "", ""},
		"the longest":    {func(r *os.Root) error { return r.WriteFile(name, bytes.Repeat([]byte("x"), store.MaxPage), 0o644) }, strings.Repeat("x", store.MaxPage), ""},
		"too long":       {func(r *os.Root) error { return r.WriteFile(name, make([]byte, store.MaxPage+1), 0o644) }, "", "more than"},
		"a directory":    {func(r *os.Root) error { return r.Mkdir(name, 0o755) }, "", "not a file"},
		"a link outside": {func(r *os.Root) error { return r.Symlink(outside, name) }, "", "warning"},
		"a link upwards": {func(r *os.Root) error { return r.Symlink("../../secret", name) }, "", "warning"},
		"a link inside": {func(r *os.Root) error {
			if err := r.WriteFile("page.html", []byte("inside"), 0o644); err != nil {
				return err
			}
			return r.Symlink("../page.html", name)
		}, "inside", ""},
	} {
		t.Run(what, func(t *testing.T) {
			root, err := os.OpenRoot(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if err := root.Mkdir(".berth", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := row.make(root); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			got := ReadPages(root, func(format string, args ...any) { fmt.Fprintf(&out, format, args...) })
			if string(got[store.PageMaintenance]) != row.want {
				t.Errorf("got %.60q, want %.60q", got[store.PageMaintenance], row.want)
			}
			if row.warning == "" && out.Len() > 0 || !strings.Contains(out.String(), row.warning) {
				t.Errorf("said %q, want %q", out.String(), row.warning)
			}
		})
	}
}
