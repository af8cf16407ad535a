package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	goruntime "runtime"
	"strings"
	"sync"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/internal/lines"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/berthd/berth/units"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
)

// PullSpec says which image is pulled.
type PullSpec struct {
	Ref    string            // as Docker writes it: "nginx:1.27", "registry.example.com/team/shop@sha256:…"
	Logins map[string]Login  // by registry: "registry.example.com"; "docker.io" is the usual one
	Labels map[string]string // of the layer

	// Foreign tells that the name comes from somebody who is not the machine's
	// administrator: a registry that a container may not connect to is refused,
	// unless Logins has a trusted login for it.
	Foreign bool
}

// Login is a registry's user; the zero Login is anonymous.
type Login struct {
	Username, Password string

	// Trusted tells that the machine's administrator vouches for the registry,
	// wherever it is.
	Trusted bool
}

// PullImage makes an image of a registry into a layer. It asks the registry
// each time what the name stands for now, and pulls only what is not there. An
// error about the image is an *Error.
//
// The registry is reached with the host's proxies and trusted certificates, by
// HTTPS, or by HTTP on the host's own loopback.
func (m *Maker) Pull(ctx context.Context, spec PullSpec, out io.Writer) (Image, error) {
	named, err := imageName(spec.Ref)
	if err != nil {
		return Image{}, err
	}
	registry := reference.Domain(named)
	login := spec.Logins[registry]
	client := http.DefaultClient
	if spec.Foreign && !login.Trusted {
		client = m.engine.GuardedClient()
	}
	ctx = m.quiet(ctx)
	resolver := newResolver(login, client)
	_, desc, err := resolver.Resolve(ctx, named.String())
	if err != nil {
		return Image{}, registryError(ctx, named, err)
	}
	// With the registry's name: a digest alone is whatever a registry says it is,
	// and who knows another's would have its layer without asking for it.
	key := "image-" + goruntime.GOARCH + "-" + digest.FromString(reference.TrimNamed(named).String() + "@" + desc.Digest.String()).Encoded()[:32]
	err = m.engine.MakeLayer(ctx, key, func(ctx context.Context, active string) error {
		p := pull{maker: m, name: named, spec: spec, resolver: resolver, desc: desc, out: &lines.Writer{Out: out}}
		return p.makeLayer(ctx, key, active)
	})
	if err != nil {
		if _, ok := errors.AsType[*Error](err); ok {
			return Image{}, err
		}
		return Image{}, fmt.Errorf("pull image %s: %w", named, err)
	}
	return m.Image(ctx, key)
}

// pull is an image on its way.
type pull struct {
	maker    *Maker
	name     reference.Named
	spec     PullSpec
	resolver remotes.Resolver
	desc     ocispec.Descriptor // what the registry says the name stands for
	out      *lines.Writer
}

// makeLayer has containerd pull and unpack the image, and makes a layer of ours
// over the snapshots: with the layer they stay, without it they go. Of the
// image's blobs only the configuration is kept, for whoever pulls another image
// that shares its layers finds them unpacked.
func (p *pull) makeLayer(ctx context.Context, key, active string) error {
	m := p.maker
	ctx, done, err := m.engine.Lease(ctx)
	if err != nil {
		return err
	}
	defer done()
	fmt.Fprintf(p.out, "pulling %s\n", reference.FamiliarString(p.name))
	// By its digest: the tag may have moved since, and the name is nobody else's
	// in containerd's list of images.
	pinned, err := reference.WithDigest(reference.TrimNamed(p.name), p.desc.Digest)
	if err != nil {
		return err
	}
	img, err := m.client().Pull(ctx, pinned.String(),
		containerd.WithResolver(p.resolver),
		containerd.WithPullUnpack,
		containerd.WithPullSnapshotter(runtime.Snapshotter),
		containerd.WithImageHandlerWrapper(p.report))
	if err != nil {
		return registryError(ctx, p.name, err)
	}
	defer func() {
		ctx, cancel := outage.Lasting(ctx)
		defer cancel()
		if err := outage.Retry(ctx, func() error { return m.client().ImageService().Delete(ctx, img.Name()) }); err != nil {
			m.log.Debug("containerd's record of an image is left", "image", img.Name(), "err", err)
		}
	}()
	config, err := img.Config(ctx)
	if err != nil {
		return err
	}
	diffs, err := img.RootFS(ctx)
	if err != nil {
		return err
	}
	top := ""
	if len(diffs) > 0 {
		top = identity.ChainID(diffs).String()
	}
	if _, err := m.engine.PrepareOver(ctx, active, top); err != nil {
		return err
	}
	return m.engine.CommitAs(ctx, active, key, p.spec.Labels, imageLabels(config.Digest, p.desc.Digest.String()))
}

// report writes a line for each layer that is being fetched.
func (p *pull) report(next images.Handler) images.Handler {
	var mu sync.Mutex
	return images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if images.IsLayerType(desc.MediaType) {
			mu.Lock()
			fmt.Fprintf(p.out, "layer %s %s\n", desc.Digest.Encoded()[:12], units.Bytes(desc.Size))
			mu.Unlock()
		}
		return next.Handle(ctx, desc)
	})
}

// quiet returns a context in which the libraries of containerd and BuildKit
// log through the engine: at their own they write to our stderr, and what they
// call an error may be a name that somebody has mistyped.
func (m *Maker) quiet(ctx context.Context) context.Context {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	logger.AddHook(logHook{m.log})
	return log.WithLogger(ctx, logrus.NewEntry(logger))
}

// logHook passes on what is logged by logrus.
type logHook struct{ to *slog.Logger }

func (logHook) Levels() []logrus.Level { return logrus.AllLevels[:logrus.InfoLevel+1] }

func (h logHook) Fire(entry *logrus.Entry) error {
	args := []any{"level", entry.Level.String()}
	for k, v := range entry.Data {
		args = append(args, k, v)
	}
	h.to.Debug(entry.Message, args...)
	return nil
}

// newResolver returns containerd's client of registries. A guarded one goes
// where a container may go and nowhere else, whatever names, redirects and
// places of tokens and layers say.
func newResolver(login Login, client *http.Client) remotes.Resolver {
	options := []docker.AuthorizerOpt{docker.WithAuthClient(client)}
	if login != (Login{}) {
		options = append(options, docker.WithAuthCreds(func(string) (string, string, error) { return login.Username, login.Password, nil }))
	}
	return plainResolver{docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchLocalhost),
		docker.WithClient(client),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(options...)),
	)})}
}

// plainResolver fetches all of an image from its registry. containerd would
// fetch a layer from the URLs that the image's own manifest names, by a client
// that nothing guards.
type plainResolver struct{ remotes.Resolver }

func (r plainResolver) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	fetcher, err := r.Resolver.Fetcher(ctx, ref)
	return plainFetcher{fetcher}, err
}

type plainFetcher struct{ remotes.Fetcher }

func (f plainFetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	desc.URLs = nil
	return f.Fetcher.Fetch(ctx, desc)
}

// registryError tells what kind of error a registry's is. One of ours, or of
// containerd's, stays what it is.
func registryError(ctx context.Context, name reference.Named, err error) error {
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	failed := &Error{Ref: name.String()}
	if refused, ok := errors.AsType[*runtime.AddressError](err); ok {
		failed.Kind, failed.Cause = ErrAddress, refused
		return failed
	}
	status, answered := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	network, broken := errors.AsType[*url.Error](err)
	_, unknown := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization),
		answered && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		failed.Kind = ErrDenied
	case errdefs.IsNotFound(err) && strings.Contains(err.Error(), "no match for platform"): // containerd's words; it has no type for it
		failed.Kind = ErrPlatform
	case errdefs.IsNotFound(err):
		failed.Kind = ErrNotFound
	case broken:
		failed.Kind, failed.Cause = ErrUnreachable, network.Err
	case answered || unknown:
		failed.Kind, failed.Cause = ErrUnreachable, err
	default:
		return err
	}
	return failed
}
