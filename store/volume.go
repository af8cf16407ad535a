package store

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

const (
	// MaxVolumes bounds the volumes of all apps: each is a directory that is
	// measured again and again. MaxAppVolumes bounds those of one app.
	MaxVolumes    = 1000
	MaxAppVolumes = 32

	// MaxMounts bounds the mounts of one app.
	MaxMounts = 16

	// MaxVolumeName is the longest name of a volume in bytes.
	MaxVolumeName = 63
)

// Volume is a directory that outlives releases. It is known by its id, belongs to
// one app, and its name is one of that app's. One of no app is still to be mounted,
// or its app was destroyed.
type Volume struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	App       string    `json:"app,omitempty"`
	Former    string    `json:"former,omitempty"` // the app that it was of, which is gone
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`

	// Size is what its files may take in bytes; 0 is no limit.
	Size int64 `json:"size,omitempty"`

	// Full is set while its files take more than Size: it is mounted for reading
	// alone then.
	Full bool `json:"full,omitempty"`
}

// Access says who may write to a mount at once.
type Access string

// The kinds of access there are.
const (
	AccessOne  Access = "one"  // one instance: the old one stops before the new one starts
	AccessMany Access = "many" // as many as run
)

// Mount is where an app finds a volume, or a directory of the machine.
type Mount struct {
	Volume   string `json:"volume,omitempty"` // its id
	Host     string `json:"host,omitempty"`   // a directory of the machine, in the place of a volume
	Path     string `json:"path"`             // in the app's containers
	ReadOnly bool   `json:"read_only,omitempty"`
	Access   Access `json:"access"`
	Process  string `json:"process,omitempty"` // the process type that has it; "" is every one
}

// Alone tells whether one instance may have the mount at a time.
func (m Mount) Alone() bool { return m.Access == AccessOne && !m.ReadOnly }

var volumeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// ValidVolumeName returns nil for a name that a volume may have, else a fault (E600).
func ValidVolumeName(name string) error {
	if len(name) > MaxVolumeName || !volumeName.MatchString(name) {
		return fault.New(fault.Usage, code.VolumeNameInvalid, "%.80q cannot be the name of a volume", name).
			Hint("use a-z, 0-9, dot, - and _, begin and end with a letter or digit, at most %d characters", MaxVolumeName)
	}
	return nil
}

// storedVolume is a volume as it lies in the file: of an id, not of a name.
type storedVolume struct {
	Volume
	Of int `json:"app,omitempty"` // takes the place of Volume.App
}

// Volumes is what a transaction has of volumes and of where they are mounted.
type Volumes struct{ *records }

// NoVolume returns the fault (E601) of a volume that is not there, or that is
// none of whoever asks.
func NoVolume(name string) *fault.Error {
	return fault.New(fault.NotFound, code.VolumeUnknown, "no volume named %.80q", name).
		Hint("berth storage:list shows the volumes there are")
}

// TooManyVolumes returns the fault (E603) of a volume, mount or kept copy too many.
func TooManyVolumes(format string, args ...any) *fault.Error {
	return fault.New(fault.Conflict, code.VolumesFull, format, args...)
}

// VolumeTaken returns the fault (E602) of a name that another volume has.
func VolumeTaken(name string) *fault.Error {
	return fault.New(fault.Conflict, code.VolumeExists, "a volume named %q exists already", name)
}

// BadMount returns the fault (E611) of a mount that cannot be.
func BadMount(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, code.MountInvalid, format, args...)
}

// All returns the volumes by app and name, those of no app first.
func (tx Volumes) All() ([]Volume, error) {
	stored, err := all[storedVolume](tx.bucket("volumes"))
	if err != nil {
		return nil, err
	}
	names := tx.names()
	volumes := make([]Volume, 0, len(stored))
	for _, s := range stored {
		s.Volume.App = names[s.Of]
		volumes = append(volumes, s.Volume)
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Name, b.Name)) })
	return volumes, nil
}

// Of returns the volumes of an app; "" is of those of no app.
func (tx Volumes) Of(app string) ([]Volume, error) {
	all, err := tx.All()
	return slices.DeleteFunc(all, func(v Volume) bool { return v.App != app }), err
}

// Get returns the volume of an id; found is false when there is none.
func (tx Volumes) Get(id string) (v Volume, found bool, err error) {
	stored, found, err := get[storedVolume](tx.bucket("volumes"), []byte(id))
	if err != nil || !found {
		return v, found, err
	}
	v = stored.Volume
	v.App, err = tx.nameOf(stored.Of)
	return v, true, err
}

// Find returns the volume of that name of an app ("" is of none); found is false
// when it has none.
func (tx Volumes) Find(app, name string) (v Volume, found bool, err error) {
	mine, err := tx.Of(app)
	if i := slices.IndexFunc(mine, func(v Volume) bool { return v.Name == name }); i >= 0 {
		return mine[i], true, err
	}
	return v, false, err
}

// Create stores a new volume. A name that cannot be is a fault (E600), as is one
// that the app has (E602), and one volume too many (E603).
func (tx Volumes) Create(v Volume) error {
	if err := ValidVolumeName(v.Name); err != nil {
		return err
	}
	every, err := tx.All()
	if err != nil {
		return err
	}
	mine := 0
	for _, other := range every {
		if other.App == v.App {
			mine++
			if other.Name == v.Name {
				return VolumeTaken(v.Name)
			}
		}
	}
	switch {
	case v.App != "" && mine >= MaxAppVolumes:
		return TooManyVolumes("%s has %d volumes, which is the maximum", v.App, MaxAppVolumes)
	case len(every) >= MaxVolumes:
		return TooManyVolumes("this machine has %d volumes, which is the maximum", MaxVolumes)
	}
	return tx.Put(v)
}

// Put stores a volume.
func (tx Volumes) Put(v Volume) error {
	stored := storedVolume{Volume: v}
	if v.App != "" {
		uid, err := tx.uid(v.App)
		if err != nil {
			return err
		}
		stored.Of = uid
	}
	return put(tx.bucket("volumes"), []byte(v.ID), stored)
}

// Delete removes the record of a volume.
func (tx Volumes) Delete(id string) error { return tx.bucket("volumes").Delete([]byte(id)) }

// Mounts returns the mounts that an app's next release gets, by their paths.
func (tx Volumes) Mounts(app string) ([]Mount, error) { return all[Mount](tx.of("mounts", app)) }

// PutMounts stores the mounts of an app in place of those it had. Too many are a
// fault (E603).
func (tx Volumes) PutMounts(app string, mounts []Mount) error {
	if len(mounts) > MaxMounts {
		return TooManyVolumes("%s has %d mounts, which is the maximum", app, MaxMounts)
	}
	id, err := tx.mustID(app)
	if err != nil {
		return err
	}
	top := tx.bucket("mounts")
	if top.Bucket([]byte(id)) != nil {
		if err := top.DeleteBucket([]byte(id)); err != nil {
			return err
		}
	}
	b, err := top.CreateBucket([]byte(id))
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if err := put(b, []byte(m.Path), m); err != nil {
			return err
		}
	}
	return nil
}

// MountedBy returns the name of the app that has a volume mounted, or whose live
// release still has; "" is none.
func (tx Volumes) MountedBy(v Volume) (string, error) {
	if v.App == "" {
		return "", nil
	}
	has := func(mounts []Mount) bool {
		return slices.ContainsFunc(mounts, func(m Mount) bool { return m.Volume == v.ID })
	}
	mounts, err := tx.Mounts(v.App)
	if err != nil || has(mounts) {
		return v.App, err
	}
	app, err := tx.app(v.App)
	if err != nil || app.Release == 0 {
		return "", err
	}
	live, _, err := get[Release](tx.of("releases", v.App), number(app.Release))
	if err != nil || has(live.Mounts) {
		return v.App, err
	}
	return "", nil
}

// orphan leaves the volumes of an app that is deleted to nobody: they stay, and
// keep their names where no other has them.
func orphanVolumes(tx *Tx, app App) error {
	v := tx.Volumes
	mine, err := v.Of(app.Name)
	if err != nil {
		return err
	}
	free, err := v.Of("")
	if err != nil {
		return err
	}
	for _, volume := range mine {
		taken := slices.ContainsFunc(free, func(other Volume) bool { return other.Name == volume.Name })
		if taken {
			volume.Name = fmt.Sprintf("%.50s-%s", volume.Name, strconv.FormatInt(int64(app.UID), 10))
		}
		volume.App, volume.Former = "", app.Name
		if err := v.Put(volume); err != nil {
			return err
		}
	}
	return nil
}
