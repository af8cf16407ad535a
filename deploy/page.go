package deploy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/store"
)

// pageFiles are where an app carries its pages: beside what else is berth's, so
// that no app's own file becomes one by accident.
var pageFiles = map[string]string{
	store.PageMaintenance: ".berth/maintenance.html",
	store.PageError:       ".berth/error.html",
}

// readPages reads the pages that a source carries, by the page. One that cannot
// be used is told of and left out: it is no reason to refuse a push.
func readPages(root *os.Root, out *progress.Report) map[string][]byte {
	pages := map[string][]byte{}
	for _, page := range []string{store.PageMaintenance, store.PageError} {
		content, err := readPage(root, pageFiles[page])
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			out.Line("warning: %s is not used: %v", pageFiles[page], err)
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
		return nil, errors.New("it is no file")
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

// pageOf returns a page as it is shown: the one that was set by hand, else the
// one that the live release carries, nil when there is neither.
func pageOf(tx *store.Tx, app, page string) (content []byte, carried bool, err error) {
	if content := tx.Page(app, page); content != nil {
		return content, false, nil
	}
	record, err := tx.App(app)
	if err != nil || record.Release == 0 {
		return nil, false, err
	}
	release, err := tx.ReleaseWithoutConfig(app, record.Release)
	if err != nil || release.Pages[page] == "" {
		return nil, false, err
	}
	return tx.CarriedPage(app, release.Pages[page]), true, nil
}

// collectPages forgets the pages that only releases carried which are not kept.
func (d *Deployer) collectPages(app string) {
	var stale []string
	look := func(tx *store.Tx) error {
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		releases, err := build.Keep(record, tx.EachRelease(app), d.build.KeptReleases())
		if err != nil {
			return err
		}
		wanted := map[string]bool{}
		for _, r := range releases {
			for _, key := range r.Pages {
				wanted[key] = true
			}
		}
		stale = nil
		for key := range tx.CarriedPages(app) {
			if !wanted[key] {
				stale = append(stale, key)
			}
		}
		return nil
	}
	err := d.db.View(look)
	if err == nil && len(stale) > 0 {
		err = d.db.Update(func(tx *store.Tx) error {
			if err := look(tx); err != nil { // a release may have come meanwhile
				return err
			}
			for _, key := range stale {
				if err := tx.DeleteCarriedPage(app, key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	d.warn("old pages were not removed", err, "app", app)
}
