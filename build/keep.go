package build

import "cmp"

// DefaultKeepReleases is how many releases of an app can be rolled back to, the
// live one among them: enough for an afternoon of mishaps. Of an interpreted app
// each is a layer of its source and no more.
const DefaultKeepReleases = 5

// KeptReleases is how many releases of an app can be rolled back to.
func (b *Builder) KeptReleases() int { return cmp.Or(b.cfg.KeepReleases, DefaultKeepReleases) }
