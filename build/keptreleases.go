package build

import (
	"cmp"
	"iter"

	"github.com/berthd/berth/store"
)

// DefaultKeepReleases is how many releases of an app can be rolled back to, the
// live one among them: enough for an afternoon of mishaps. Of an interpreted app
// each is a layer of its source and no more.
const DefaultKeepReleases = 5

// KeptReleases is how many releases of an app can be rolled back to.
func (b *Builder) KeptReleases() int { return cmp.Or(b.cfg.KeepReleases, DefaultKeepReleases) }

// Keep chooses the releases of which the layers stay: the live one, those that
// are being rolled out, and the last that served, n with the live one. It reads
// no further than to the last of them.
func Keep(app store.App, newestFirst iter.Seq2[store.Release, error], n int) (kept []store.Release, err error) {
	served := 0
	for r, err := range newestFirst {
		if err != nil {
			return nil, err
		}
		switch {
		case r.Number == app.Release, r.Status == store.ReleasePending:
			kept = append(kept, r)
		case r.Status == store.ReleaseRetired && served < n-1:
			served++
			kept = append(kept, r)
		}
		if served >= n-1 && r.Number <= app.Release {
			break
		}
	}
	return kept, nil
}
