package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/llbsolver/provenance"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	httpsource "github.com/moby/buildkit/source/http"
	srctypes "github.com/moby/buildkit/source/types"
	"github.com/moby/buildkit/worker/base"
	"github.com/opencontainers/go-digest"
)

// What a build starts from. FROM names an image of a registry, which is pulled
// as any other (pull.go) and becomes a layer of ours, or a layer of ours that
// has a name. Either way BuildKit gets a snapshot that stands on the layer's.

// layerScheme is how BuildKit's graph names a layer of ours.
const layerScheme = "berth-layer"

// buildWorker is BuildKit's worker with our sources in place of its own.
type buildWorker struct {
	*base.Worker
	images *imageSource
	outlet *runtime.Outlet
}

// buildUserError is a mistake in a Dockerfile that BuildKit gives no line for.
type buildUserError struct{ text string }

func (e *buildUserError) Error() string { return e.text }

func (w *buildWorker) register() error {
	w.SourceManager.Register(w.images)
	w.SourceManager.Register(gitSource{})
	w.outlet = w.images.maker.engine.Outlet()
	web, err := httpsource.NewSource(httpsource.Opt{CacheAccessor: w.CacheMgr, Transport: webTransport(w.outlet)})
	if err != nil {
		return err
	}
	w.SourceManager.Register(web)
	return nil
}

// Close is called with the build's end.
func (w *buildWorker) Close() error {
	return errors.Join(w.outlet.Close(), w.Worker.Close())
}

// ResolveSourceMetadata tells the frontend what an image's name stands for and
// how it is configured, for which it is pulled.
func (w *buildWorker) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, sm *session.Manager, jobCtx solver.JobContext) (*sourceresolver.MetaResponse, error) {
	id, err := w.ParseSource(op, nil)
	if err != nil {
		return nil, err
	}
	image, ok := id.(*baseIdentifier)
	if !ok {
		return w.Worker.ResolveSourceMetadata(ctx, op, opt, sm, jobCtx)
	}
	if o := opt.ImageOpt; o != nil && o.Platform != nil && !platforms.Only(buildPlatform()).Match(*o.Platform) {
		return nil, &buildUserError{fmt.Sprintf("--platform=%s: this machine builds for %s alone", platforms.Format(*o.Platform), platforms.Format(buildPlatform()))}
	}
	img, err := w.images.pull(ctx, image.ref)
	if err != nil {
		return nil, err
	}
	_, config, err := w.images.maker.image(ctx, img.Layer)
	if err != nil {
		return nil, err
	}
	return &sourceresolver.MetaResponse{Op: op, Image: &sourceresolver.ResolveImageResponse{Digest: digest.Digest(img.Digest), Config: config}}, nil
}

// imageSource gives a build its images and layers.
type imageSource struct {
	maker *Maker
	spec  BuildSpec
	out   io.Writer
	cache cache.Accessor

	mu     sync.Mutex        // guards what follows
	layers map[string]string // of the images pulled for this build, by digest
}

func (s *imageSource) Schemes() []string { return []string{srctypes.DockerImageScheme, layerScheme} }

func (s *imageSource) Identifier(scheme, ref string, _ map[string]string, _ *pb.Platform) (source.Identifier, error) {
	return &baseIdentifier{scheme: scheme, ref: ref}, nil
}

func (s *imageSource) Resolve(_ context.Context, id source.Identifier, _ *session.Manager, _ solver.Vertex) (source.SourceInstance, error) {
	return &baseInstance{source: s, id: id.(*baseIdentifier)}, nil
}

func (s *imageSource) pull(ctx context.Context, ref string) (Image, error) {
	img, err := s.maker.Pull(ctx, PullSpec{Ref: ref, Logins: s.spec.Logins, Labels: s.spec.Labels, Foreign: s.spec.Foreign}, s.out)
	if err != nil {
		return Image{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.layers == nil {
		s.layers = make(map[string]string)
	}
	s.layers[img.Digest] = img.Layer
	return img, nil
}

// baseIdentifier is an image or a layer in BuildKit's graph.
type baseIdentifier struct{ scheme, ref string }

func (id *baseIdentifier) String() string                            { return id.scheme + "://" + id.ref }
func (id *baseIdentifier) Scheme() string                            { return id.scheme }
func (id *baseIdentifier) Capture(*provenance.Capture, string) error { return nil }

// baseInstance is one that a build stands on.
type baseInstance struct {
	source *imageSource
	id     *baseIdentifier
}

// layer returns the key of the layer.
func (i *baseInstance) layer(ctx context.Context) (string, error) {
	if i.id.scheme == layerScheme {
		return i.id.ref, nil
	}
	// The frontend has asked for the image before, and goes on with its digest.
	if _, dgst, ok := strings.Cut(i.id.ref, "@"); ok {
		i.source.mu.Lock()
		layer := i.source.layers[dgst]
		i.source.mu.Unlock()
		if layer != "" {
			return layer, nil
		}
	}
	img, err := i.source.pull(ctx, i.id.ref)
	return img.Layer, err
}

func (i *baseInstance) CacheKey(ctx context.Context, _ solver.JobContext, _ int) (key, pin string, opts solver.CacheOpts, done bool, err error) {
	layer, err := i.layer(ctx)
	if err != nil {
		return "", "", nil, false, err
	}
	dgst := digest.FromString(layerScheme + " " + layer).String()
	return dgst, dgst, nil, true, nil
}

// Snapshot makes BuildKit a snapshot of its own that holds nothing and stands
// on the layer's, of which BuildKit does not know.
func (i *baseInstance) Snapshot(ctx context.Context, job solver.JobContext) (cache.ImmutableRef, error) {
	layer, err := i.layer(ctx)
	if err != nil {
		return nil, err
	}
	i.source.maker.engine.Touch(ctx, layer)
	over := context.WithValue(ctx, baseKey{}, i.source.maker.engine.SnapshotName(layer))
	active, err := i.source.cache.New(over, nil, job.Session(), cache.WithDescription("layer "+layer))
	if err != nil {
		return nil, fmt.Errorf("start from layer %s: %w", layer, err)
	}
	ref, err := active.Commit(ctx)
	if err != nil {
		return nil, errors.Join(err, active.Release(context.WithoutCancel(ctx)))
	}
	return ref, nil
}

// baseKey in a context has the next snapshot stand on a layer of ours.
type baseKey struct{}

// baseSnapshotter is containerd's, with layers of ours at the foot of BuildKit's chains.
type baseSnapshotter struct {
	snapshots.Snapshotter
	id string // of the installation, which begins the names of layers
}

func (s *baseSnapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) (mounts []mount.Mount, err error) {
	if base, ok := ctx.Value(baseKey{}).(string); ok && parent == "" {
		parent = base
	}
	err = s.retry(ctx, key, func() (err error) {
		mounts, err = s.Snapshotter.Prepare(ctx, key, parent, opts...)
		return err
	})
	if err == nil && mounts == nil {
		mounts, err = s.Mounts(ctx, key)
	}
	return mounts, err
}

func (s *baseSnapshotter) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) (mounts []mount.Mount, err error) {
	err = s.retry(ctx, key, func() (err error) {
		mounts, err = s.Snapshotter.View(ctx, key, parent, opts...)
		return err
	})
	if err == nil && mounts == nil {
		mounts, err = s.Mounts(ctx, key)
	}
	return mounts, err
}

func (s *baseSnapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.retry(ctx, name, func() error { return s.Snapshotter.Commit(ctx, name, key, opts...) })
}

// retry calls fn, which makes the snapshot of this name, until containerd is
// there to answer. BuildKit knows nothing of a containerd that comes back, and
// one that died before it could tell may have made it.
func (s *baseSnapshotter) retry(ctx context.Context, name string, fn func() error) error {
	tried := false
	return outage.RetryGone(ctx, func() error {
		err := fn()
		if err != nil && tried && !outage.Transient(outage.Native(err)) {
			if _, there := s.Snapshotter.Stat(ctx, name); there == nil {
				err = nil
			}
		}
		tried = true
		return err
	})
}

func (s *baseSnapshotter) Mounts(ctx context.Context, key string) (mounts []mount.Mount, err error) {
	err = outage.RetryGone(ctx, func() (err error) {
		mounts, err = s.Snapshotter.Mounts(ctx, key)
		return err
	})
	return mounts, err
}

// Stat hides the foot: what BuildKit merges for COPY --link are chains of its
// own, and one that goes on below would be taken for another's.
func (s *baseSnapshotter) Stat(ctx context.Context, key string) (info snapshots.Info, err error) {
	err = outage.RetryGone(ctx, func() (err error) {
		info, err = s.Snapshotter.Stat(ctx, key)
		return err
	})
	if strings.HasPrefix(info.Parent, s.id+"-") {
		info.Parent = ""
	}
	return info, err
}

// gitSource refuses: git would run here, on the host's network.
type gitSource struct{}

func (gitSource) Schemes() []string { return []string{srctypes.GitScheme} }

func (gitSource) Identifier(string, string, map[string]string, *pb.Platform) (source.Identifier, error) {
	return nil, &buildUserError{"ADD of a git repository is not supported: clone it in a RUN step"}
}

func (gitSource) Resolve(context.Context, source.Identifier, *session.Manager, solver.Vertex) (source.SourceInstance, error) {
	return nil, errors.ErrUnsupported
}

// webTransport is the network of ADD with an address: it reaches what RUN
// reaches and no more.
func webTransport(outlet *runtime.Outlet) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = outlet.DialContext
	t.DisableKeepAlives = true // a connection must not outlive the namespace
	return fetching{t}
}

// fetching says of an address that cannot be fetched that it is the
// Dockerfile's. Without a type, a refused connection looks like containerd's.
type fetching struct{ next http.RoundTripper }

func (f fetching) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := f.next.RoundTrip(req)
	switch {
	case err != nil && req.Context().Err() == nil:
		return nil, unfetched(req, err)
	case err == nil && req.Method == http.MethodGet && res.StatusCode >= 400: // HEAD may be one that the server does not know
		res.Body.Close()
		return nil, unfetched(req, fmt.Errorf("the answer is %s", res.Status))
	case err == nil:
		res.Body = fetchingBody{res.Body, req}
	}
	return res, err
}

// fetchingBody does the same for an answer that breaks off.
type fetchingBody struct {
	io.ReadCloser
	req *http.Request
}

func (b fetchingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.req.Context().Err() == nil {
		err = unfetched(b.req, err)
	}
	return n, err
}

func unfetched(req *http.Request, err error) error {
	return &buildUserError{fmt.Sprintf("%s cannot be fetched: %v", req.URL.Redacted(), err)}
}
