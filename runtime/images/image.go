package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image as a layer: from a registry or from a Dockerfile. Its
// configuration is stored with the layer.
type Image struct {
	Layer  string // key of the layer that is its filesystem
	Digest string // of the manifest in the registry; of the configuration, when it was built here
	Config Config
}

// Config says how an image wants to be run.
type Config struct {
	Entrypoint []string
	Cmd        []string
	Env        []string // KEY=value
	Dir        string   // WORKDIR; "/" when it names none
	User       string   // as USER has it: a name or a number, perhaps with a group
	Ports      []string // EXPOSE: "80/tcp", in order
	Volumes    []string // in order
	StopSignal string   // "SIGQUIT"; "" is SIGTERM
	Labels     map[string]string
}

// Args returns the program that an image runs: its entry point with the
// arguments given, or with its own when none are.
func (c Config) Args(args ...string) []string {
	if len(args) == 0 {
		args = c.Cmd
	}
	return slices.Concat(c.Entrypoint, args)
}

// The kinds of errors about an image, for errors.Is.
var (
	ErrName        = errors.New("not the name of an image")
	ErrNotFound    = errors.New("the registry has no such image")
	ErrDenied      = errors.New("the registry refuses access")
	ErrAddress     = errors.New("apps cannot reach its registry")
	ErrUnreachable = errors.New("the registry cannot be reached")
	ErrPlatform    = errors.New("the image is not made for this kind of machine")
)

// Error says why an image is not available, by one of the kinds above. A
// registry may refuse access to an image that does not exist, so that nobody
// learns which ones exist.
type Error struct {
	Ref   string // the image, with its registry and tag written out
	Kind  error
	Cause error // nil when the kind says it all
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("image %s: %v", e.Ref, e.Kind)
	}
	return fmt.Sprintf("image %s: %v: %v", e.Ref, e.Kind, e.Cause)
}

func (e *Error) Unwrap() []error { return []error{e.Kind, e.Cause} }

// The labels of a layer that is an image.
const (
	labelImageConfig = "berth.image-config" // digest of its configuration, a blob in containerd
	labelImageDigest = "berth.image-digest"
	// labelHolds is containerd's: the blob stays for as long as the layer does.
	labelHolds = "containerd.io/gc.ref.content.config"
)

// Image returns the image of a layer that PullImage or BuildImage has made.
func (m *Maker) Image(ctx context.Context, layer string) (Image, error) {
	img, config, err := m.image(ctx, layer)
	if err == nil {
		img.Config, err = parseConfig(config)
	}
	if err != nil {
		return Image{}, fmt.Errorf("image of layer %s: %w", layer, err)
	}
	return img, nil
}

// image returns a layer's image with its configuration as it was written.
func (m *Maker) image(ctx context.Context, layer string) (img Image, config []byte, err error) {
	var info snapshots.Info
	err = outage.RetryGone(ctx, func() (err error) {
		info, err = m.engine.Snapshots().Stat(ctx, m.engine.SnapshotName(layer))
		return err
	})
	if err != nil {
		return img, nil, err
	}
	dgst, err := digest.Parse(info.Labels[labelImageConfig])
	if err != nil {
		return img, nil, errors.New("it is not an image's")
	}
	err = outage.RetryGone(ctx, func() (err error) {
		config, err = content.ReadBlob(ctx, m.client().ContentStore(), ocispec.Descriptor{Digest: dgst})
		return err
	})
	return Image{Layer: layer, Digest: info.Labels[labelImageDigest]}, config, err
}

// imageLabels are those of a layer with this image's configuration.
func imageLabels(config digest.Digest, manifest string) map[string]string {
	return map[string]string{labelImageConfig: config.String(), labelHolds: config.String(), labelImageDigest: manifest}
}

// keepConfig writes an image's configuration into containerd, where ctx's
// lease holds it until a layer does.
func (m *Maker) keepConfig(ctx context.Context, config []byte) (digest.Digest, error) {
	dgst := digest.FromBytes(config)
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: dgst, Size: int64(len(config))}
	ref := "berth-" + m.engine.ID() + "-" + dgst.Encoded()
	return dgst, outage.RetryGone(ctx, func() error {
		return content.WriteBlob(ctx, m.client().ContentStore(), ref, bytes.NewReader(config), desc)
	})
}

// parseConfig reads a configuration as the OCI image specification has it.
func parseConfig(data []byte) (Config, error) {
	var img dockerspec.DockerOCIImage
	if err := json.Unmarshal(data, &img); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	c := Config{
		Entrypoint: img.Config.Entrypoint, Cmd: img.Config.Cmd, Env: img.Config.Env,
		Dir: path.Join("/", img.Config.WorkingDir), User: img.Config.User,
		StopSignal: img.Config.StopSignal, Labels: img.Config.Labels,
	}
	for port := range img.Config.ExposedPorts {
		c.Ports = append(c.Ports, port)
	}
	for volume := range img.Config.Volumes {
		c.Volumes = append(c.Volumes, volume)
	}
	slices.Sort(c.Ports)
	slices.Sort(c.Volumes)
	return c, nil
}

// imageName reads an image's name as Docker does: without a registry it is the
// field's usual one, without a tag or digest it is the tag "latest".
func imageName(ref string) (reference.Named, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, &Error{Ref: ref, Kind: ErrName, Cause: err}
	}
	return named, nil
}
