package images

// Dockerfiles are built by BuildKit, as a library in this process.
//
// It is the engine behind docker build, maintained by the same people, and the
// only one that speaks today's Dockerfile whole: stages that are built at once
// and only when needed, mounts for caches and secrets, here-documents,
// .dockerignore, COPY --link. What it does is told apart cleanly in it: a
// frontend reads the Dockerfile, a solver knows which steps are made already,
// a cache keeps them as snapshots in containerd, and an executor runs a
// program on such a snapshot. All but the last are taken as they are; the
// executor is ours (step.go and runtime.RunStep), so that a RUN step is a container like every
// other build container here: the same bridge, firewall and resolver, limits,
// cgroup, seccomp profile, proxies and trusted certificates, ended and swept
// the same way. Snapshots being containerd's, a built image becomes a layer
// without a byte being copied, and a layer the start of a build likewise
// (source.go).
//
// What was weighed against it:
//   - buildkitd: a second daemon to install and supervise, with a network and
//     cgroups of its own for RUN.
//   - buildah, from Debian, on the host or in a container of ours: as root it
//     wants CAP_SYS_ADMIN, rootless it wants user namespaces with subordinate
//     ids; either way it has a storage of its own, from which an image is to be
//     exported and unpacked again, and a network of its own for RUN. As a library
//     it brings parts in C, and this program has none.
//   - Rootless: RUN steps are root in their container, with the capabilities that
//     Docker gives and no more. A user namespace would need a copy of the
//     filesystem with other owners, 10 s and twice the disk for 300 MB, as long as
//     idmapped mounts are not to be had from Debian's runc 1.1.
//
// What it costs: 14 MB of the binary (25.8 to 39.9), and in each container's
// first process, which is the same program, 0.7 MB of memory and half a
// millisecond of its start. A build in which all is made already takes 30 ms.
//
// BuildKit is opened for a build and closed after it, with a directory of its own
// for each owner: nothing of one owner's cache can be reached, or poisoned, by
// another's build, and nothing of it takes memory between builds.
//
// What is left out: the "# syntax=" line (this frontend is the one there is),
// ADD of a git repository, RUN --network=host and --security=insecure, ssh
// mounts, and platforms other than the machine's.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/contenthash"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver"
	"github.com/moby/buildkit/solver/llbsolver/compat"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const (
	frontendName = "dockerfile.v0"

	// cacheSpace is what one owner's build steps may take; the oldest go first.
	cacheSpace = 4 << 30
)

// builder is BuildKit, opened for one build.
type builder struct {
	maker    *Maker
	spec     BuildSpec
	out      io.Writer // locked
	dir      string
	mounts   string // where the sweep looks after a crash
	worker   *buildWorker
	workers  *worker.Controller
	sessions *session.Manager
	keys     *bboltcachestorage.Store
	cache    solver.CacheManager
	bridges  *llbsolver.Solver
	solver   *solver.Solver
}

// imageDir is where BuildKit keeps its books about an owner's cache. A name of
// any form makes a name of a directory.
func (m *Maker) cacheDir(owner string) string {
	return filepath.Join(m.engine.ImageRoot(), hexName(owner))
}

// RemoveImageCache forgets an owner's build steps. Images that were made of
// them stay.
func (m *Maker) RemoveCache(ctx context.Context, owner string) error {
	release, err := m.engine.Hold(ctx, "cache of "+owner)
	if err == nil {
		defer release()
		err = m.forgetSteps(ctx, owner)
	}
	if err != nil {
		return fmt.Errorf("remove the image cache of %s: %w", owner, err)
	}
	return nil
}

// RemoveImageCaches forgets the build steps of every owner.
func (m *Maker) RemoveCaches(ctx context.Context) error {
	owners := make(map[string]bool)
	held, err := m.client().LeasesService().List(ctx, m.engine.Filter())
	errs := []error{err}
	for _, l := range held {
		if name, ok := l.Labels[labelOwner]; ok {
			owners[name] = true
		}
	}
	dirs, err := os.ReadDir(m.engine.ImageRoot())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, dir := range dirs {
		owners[dir.Name()] = true
	}
	for name := range owners {
		owner, err := hex.DecodeString(name)
		if err != nil { // not of ours
			continue
		}
		errs = append(errs, m.RemoveCache(ctx, string(owner)))
	}
	return errors.Join(errs...)
}

// forgetSteps is RemoveImageCache for who holds the cache. What nothing else
// needs is gone from the disk when it returns.
func (m *Maker) forgetSteps(ctx context.Context, owner string) error {
	manager := m.buildLeases(owner)
	held, err := manager.List(ctx)
	errs := []error{err}
	for _, l := range held {
		errs = append(errs, outage.Retry(ctx, func() error { return manager.Delete(ctx, l) }))
	}
	return errors.Join(append(errs, os.RemoveAll(m.cacheDir(owner)), m.engine.Collect(ctx))...)
}

func (m *Maker) openBuilder(ctx context.Context, spec BuildSpec, out io.Writer) (_ *builder, err error) {
	b := &builder{maker: m, spec: spec, out: out, dir: m.cacheDir(spec.Owner), mounts: m.engine.MountPool(), workers: &worker.Controller{}}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open BuildKit: %w", errors.Join(err, b.shut()))
		}
	}()
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, err
	}
	if b.sessions, err = session.NewManager(); err != nil {
		return nil, err
	}
	if b.worker, err = b.openWorker(ctx); err != nil {
		return nil, err
	}
	if err := b.workers.Add(b.worker); err != nil {
		return nil, err
	}
	if b.keys, err = bboltcachestorage.NewStore(filepath.Join(b.dir, "keys.db")); err != nil {
		return nil, err
	}
	b.cache = solver.NewCacheManager(ctx, "local", b.keys, worker.NewCacheResultStorage(b.workers))
	if b.bridges, err = llbsolver.New(llbsolver.Opt{
		CacheManager:     b.cache,
		SessionManager:   b.sessions,
		WorkerController: b.workers,
		Frontends:        map[string]frontend.Frontend{frontendName: forwarder.NewGatewayForwarder(b.workers.Infos(), dockerfile.Build)},
	}); err != nil {
		return nil, err
	}
	// llbsolver's own way to solve keeps a history of builds, with a database
	// and a goroutine that has no end. A solver of our own does without.
	b.solver = solver.NewSolver(solver.SolverOpt{DefaultCache: b.cache, ResolveOpFunc: func(v solver.Vertex, inner solver.Builder) (solver.Op, error) {
		return b.worker.ResolveOp(v, b.bridges.Bridge(inner), b.sessions, worker.ProxyOpt{})
	}})
	return b, nil
}

func (b *builder) openWorker(ctx context.Context) (*buildWorker, error) {
	m := b.maker
	id, err := base.ID(b.dir)
	if err != nil {
		return nil, err
	}
	books, err := metadata.NewStore(filepath.Join(b.dir, "snapshots.db"))
	if err != nil {
		return nil, err
	}
	manager := m.buildLeases(b.spec.Owner)
	content := containerdsnapshot.NewContentStore(m.client().ContentStore(), runtime.Namespace)
	w, err := base.NewWorker(ctx, base.WorkerOpt{
		ID:            id,
		Root:          b.dir,
		Platforms:     []ocispec.Platform{buildPlatform()},
		Executor:      m.stepExecutor(ctx, b.spec.Limits),
		Snapshotter:   containerdsnapshot.NewSnapshotter(runtime.Snapshotter, &baseSnapshotter{Snapshotter: m.engine.Snapshots(), id: m.engine.ID()}, runtime.Namespace, nil),
		ContentStore:  content,
		Applier:       m.client().DiffService(),
		Differ:        m.client().DiffService(),
		LeaseManager:  leaseutil.WithNamespace(manager, runtime.Namespace),
		MetadataStore: books,
		MountPoolRoot: b.mounts,
		GarbageCollect: func(ctx context.Context) (gc.Stats, error) {
			return nil, m.engine.Collect(ctx)
		},
	})
	if err != nil {
		return nil, errors.Join(err, books.Close())
	}
	if err := endStaleLeases(ctx, manager, books); err != nil {
		m.log.Warn("what an earlier build left was not ended", "owner", b.spec.Owner, "err", err)
	}
	own := &buildWorker{Worker: w, images: &imageSource{maker: m, spec: b.spec, out: b.out, cache: w.CacheMgr}}
	return own, own.register()
}

// close prunes the cache and closes BuildKit.
func (b *builder) close(ctx context.Context) error {
	ctx, cancel := outage.Lasting(ctx)
	defer cancel()
	if err := b.prune(ctx); err != nil {
		b.maker.log.Warn("build steps were not pruned", "owner", b.spec.Owner, "err", err)
	}
	return b.shut()
}

func (b *builder) shut() error {
	var errs []error
	if b.solver != nil {
		b.solver.Close()
	}
	if b.bridges != nil {
		errs = append(errs, b.bridges.Close())
	}
	if b.keys != nil {
		errs = append(errs, b.keys.Close())
	}
	if b.worker != nil {
		errs = append(errs, forgetChecksums(b.worker.MetadataStore))
	}
	errs = append(errs, b.workers.Close())
	errs = append(errs, runtime.ClearDir(b.mounts))
	os.Remove(b.mounts)
	return errors.Join(errs...)
}

// forgetChecksums has BuildKit forget what it remembers, for the whole process,
// of the checksums of this cache's files: it remembers the closed database with
// them, and the next build would fail on it.
func forgetChecksums(books *metadata.Store) error {
	items, err := books.All()
	for _, item := range items {
		contenthash.ClearCacheContext(recordID{id: item.ID()})
	}
	return err
}

// recordID is a record of BuildKit's cache of which only the id is asked for.
type recordID struct {
	cache.RefMetadata
	id string
}

func (r recordID) ID() string { return r.id }

func (b *builder) prune(ctx context.Context) error {
	removed := make(chan client.UsageInfo)
	done := make(chan int)
	go func() {
		n := 0
		for range removed {
			n++
		}
		done <- n
	}()
	err := b.worker.Prune(ctx, removed, client.PruneInfo{All: true, MaxUsedSpace: cacheSpace})
	close(removed)
	if n := <-done; n > 0 {
		b.maker.log.Debug("pruned build steps", "owner", b.spec.Owner, "steps", n)
		if cache, ok := b.cache.(interface{ ReleaseUnreferenced(context.Context) error }); ok {
			err = errors.Join(err, cache.ReleaseUnreferenced(ctx))
		}
	}
	return err
}

// result is what a build has made.
type result struct {
	snapshot string // containerd's; "" for an image with no files
	config   []byte
}

// solve builds what is asked for and passes on what happens meanwhile.
func (b *builder) solve(ctx context.Context, req frontend.SolveRequest, attached []session.Attachable, report func(*client.SolveStatus)) (res result, err error) {
	s, err := session.NewSession(ctx, b.spec.Owner)
	if err != nil {
		return res, err
	}
	for _, a := range attached {
		s.Allow(a)
	}
	job, err := b.solver.NewJob(s.ID())
	if err != nil {
		return res, err
	}
	job.SessionID = s.ID()
	job.SetValue(compat.JobValueKey, compat.CompatibilityVersionCurrent)

	var g errgroup.Group
	g.Go(func() error {
		return s.Run(ctx, func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
			near, far := net.Pipe()
			g.Go(func() error { return b.sessions.HandleConn(ctx, far, meta) })
			return near, nil
		})
	})
	statuses := make(chan *client.SolveStatus)
	g.Go(func() error { return job.Status(context.WithoutCancel(ctx), statuses) })
	g.Go(func() error {
		for status := range statuses {
			report(status)
		}
		return nil
	})

	res, err = b.finish(ctx, job, req, s.ID())
	job.CloseProgress()
	err = errors.Join(err, job.Discard(), s.Close())
	if reported := g.Wait(); err == nil && reported != nil && ctx.Err() == nil {
		err = reported
	}
	return res, err
}

// finish waits for the result and sees that it is a committed snapshot.
func (b *builder) finish(ctx context.Context, job *solver.Job, req frontend.SolveRequest, sessionID string) (res result, err error) {
	made, err := b.bridges.Bridge(job).Solve(ctx, req, sessionID)
	if err != nil {
		return res, err
	}
	defer made.EachRef(func(ref solver.ResultProxy) error { return ref.Release(context.WithoutCancel(ctx)) })
	res.config = made.Metadata[exptypes.ExporterImageConfigKey]
	if made.Ref == nil {
		return res, nil
	}
	cached, err := made.Ref.Result(ctx)
	if err != nil {
		return res, err
	}
	of, ok := cached.Sys().(*worker.WorkerRef)
	if !ok {
		return res, fmt.Errorf("a build's result is a %T", cached.Sys())
	}
	ref := of.ImmutableRef
	if ref == nil {
		return res, nil
	}
	if err := ref.Extract(ctx, nil); err != nil {
		return res, err
	}
	if err := ref.Finalize(ctx); err != nil {
		return res, err
	}
	res.snapshot = ref.GetString("cache.snapshot") // where BuildKit writes down a step's snapshot
	info, err := b.maker.engine.Snapshots().Stat(ctx, res.snapshot)
	if err == nil && info.Kind != snapshots.KindCommitted {
		err = errors.New("it is not committed")
	}
	if err != nil {
		return res, fmt.Errorf("snapshot %q of the last step: %w", res.snapshot, err)
	}
	return res, nil
}

// hexName is a name for a directory or a label, whatever the owner's name is.
func hexName(owner string) string { return hex.EncodeToString([]byte(owner)) }

func buildPlatform() ocispec.Platform { return platforms.Normalize(platforms.DefaultSpec()) }
