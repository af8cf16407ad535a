package edge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/berthd/berth/store"
)

// pageFiles are where an app carries its pages: beside what else is berth's, so
// that no app's own file becomes one by accident.
var pageFiles = map[string]string{
	store.PageMaintenance: ".berth/maintenance.html",
	store.PageError:       ".berth/error.html",
}

// ReadPages reads the pages that a source carries, by the page. One that cannot
// be used is left out with a warning: it is no reason to refuse a push.
func ReadPages(root *os.Root, warn func(format string, args ...any)) map[string][]byte {
	pages := map[string][]byte{}
	for _, page := range RouterPages {
		content, err := readPage(root, pageFiles[page])
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			warn("warning: %s is not used: %v", pageFiles[page], err)
		case len(content) > 0:
			pages[page] = content
		}
	}
	return pages
}

func readPage(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name) // root lets no link lead out of the source
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, store.MaxPage+1))
	if err == nil && len(content) > store.MaxPage {
		return nil, fmt.Errorf("it has more than %d bytes", store.MaxPage)
	}
	return content, err
}

// PageOf returns the page to show: the one that was set for the app, else the one
// of the live release, else the one for all apps; nil when there is none.
func PageOf(tx *store.Tx, app, page string) (content []byte, carried bool, err error) {
	if content := tx.Pages.Get(app, page); content != nil {
		return content, false, nil
	}
	record, err := tx.App(app)
	if err != nil {
		return nil, false, err
	}
	var release store.Release
	if record.Release != 0 {
		if release, err = tx.ReleaseWithoutConfig(app, record.Release); err != nil {
			return nil, false, err
		}
	}
	if release.Pages[page] == "" {
		return tx.Pages.Get(store.Machine, page), false, nil
	}
	return tx.Pages.Carried(app, release.Pages[page]), true, nil
}
