package build

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

const (
	// leastRoom is the free space below which no build begins; of a small
	// filesystem, a tenth.
	leastRoom = 1 << 30 // bytes

	// buildReserve is what has to stay free while one goes on, for the apps, the
	// logs and the state file; of a small filesystem, a twentieth.
	buildReserve = leastRoom / 2

	// keptInNeed is how long a shared layer outlives its last use when the disk
	// is short.
	keptInNeed = 24 * time.Hour
)

// roomToBuild looks whether there is disk enough for a build, and makes some if
// there is not. If there still is not, it says what takes the disk.
func (b *Builder) roomToBuild(ctx context.Context, record store.App) error {
	short, err := b.shortOfRoom()
	if err != nil || short == nil {
		return err
	}
	b.collecting.Lock()
	b.sweep(ctx, record.Name, keptInNeed)
	b.collecting.Unlock()
	if short, err = b.shortOfRoom(); err != nil || short == nil {
		return err
	}
	f := fault.NoSpace("only %s of disk space is free, a build needs %s", units.Bytes(short.Free), units.Bytes(needed(*short)))
	return f.With(b.disk(ctx)...).
		Hint("free some with berth builds:cache-clear APP or apps:destroy, or use a larger disk")
}

// shortOfRoom returns the filesystem on which there is too little for a build,
// or nil.
func (b *Builder) shortOfRoom() (*runtime.Room, error) {
	layers, err := b.engine.Room()
	if err != nil {
		return nil, err
	}
	data, err := runtime.RoomOf(b.cfg.Logs)
	if err != nil {
		return nil, err
	}
	for _, room := range []runtime.Room{layers, data} {
		if room.Free < needed(room) {
			return &room, nil
		}
	}
	return nil, nil
}

func needed(r runtime.Room) int64 { return min(leastRoom, r.Size/10) }

// disk says what takes the disk, the largest first.
func (b *Builder) disk(ctx context.Context) (lines []string) {
	type use struct {
		what  string
		bytes int64
	}
	var uses []use
	if layers, err := b.engine.Layers(ctx); err == nil {
		var own, shared int64
		for _, l := range layers {
			if _, of := l.Labels[labelApp]; of {
				own += l.Bytes
			} else {
				shared += l.Bytes
			}
		}
		uses = append(uses, use{"layers of apps' releases", own}, use{"the base system and toolchains", shared})
	}
	for _, dir := range []struct{ what, path string }{{"build caches", b.cfg.Caches}, {"logs", b.cfg.Logs}, {"git repositories", b.cfg.Git.Dir}} {
		if bytes, err := runtime.DiskUsed(ctx, dir.path, time.Time{}); err == nil {
			uses = append(uses, use{dir.what, bytes})
		}
	}
	slices.SortStableFunc(uses, func(x, y use) int { return cmp.Compare(y.bytes, x.bytes) })
	for _, u := range uses {
		if u.bytes >= 1<<20 {
			lines = append(lines, fmt.Sprintf("%9s  %s", units.Bytes(u.bytes), u.what))
		}
	}
	return lines
}

// outgrown says that a build was stopped for what it wrote. The caches that it
// wrote to go too: they may be what fills the disk, and the end of a disk cuts
// files short.
func (b *Builder) outgrown(layer plan.Layer, record store.App, short *runtime.DiskError) error {
	f := fault.New(fault.Failed, code.BuildDiskSpent, "the build was stopped at %s: it wrote %s, the limit is %s", layer.Name, units.Bytes(short.Written), units.Bytes(short.Budget))
	if short.Full {
		f = fault.NoSpace("the build was stopped at %s: only %s of disk space was left", layer.Name, units.Bytes(short.Free))
	}
	for _, use := range short.Uses {
		if use.Bytes >= 1<<20 {
			f.With(fmt.Sprintf("%9s written to %s", units.Bytes(use.Bytes), use.Place))
		}
		for _, cache := range layer.Caches {
			if cache.Target == use.Place && use.Bytes > 0 {
				b.warn("a cache that outgrew the disk was not removed", removeCache(b.cacheDir(record), cache.Name), "app", record.Name)
			}
		}
	}
	if short.Full {
		f.Hint("free some disk space and push again")
	}
	f.Hint("the files that the build wrote are removed")
	f.Cause = short
	return f
}

// networkToBuild says why a build could fetch nothing here.
func networkToBuild(stranded bool) error {
	if !stranded {
		return nil
	}
	return IPv6Only()
}

// IPv6Only returns the fault (E506) of a machine on which builds can fetch nothing.
func IPv6Only() *fault.Error {
	return fault.New(fault.Failed, code.IPv6Only, "this machine has internet access only over IPv6, and builds could not get IPv6").
		Hint("berth's log says why; an IPv4 address or a route by NAT or CLAT helps too; running apps are not affected")
}
