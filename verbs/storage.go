package verbs

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/storage"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// StorageRoom is what the verbs of storage ask for; *storage.Room documents it.
type StorageRoom interface {
	Create(ctx context.Context, v store.Volume, by store.User) (store.Volume, error)
	Destroy(ctx context.Context, id string, by store.User) (store.Volume, error)
	Volume(id string) (store.Volume, error)
	SetSize(ctx context.Context, id string, size int64, by store.User) (store.Volume, error)
	Used(ctx context.Context, v store.Volume) (int64, error)
	Path(id string) string
	Export(ctx context.Context, id string, w io.Writer) error
	Import(ctx context.Context, id string, in io.Reader, by store.User) (files int, err error)
	List(ctx context.Context, id, dir string) (files []storage.File, more bool, err error)
	Cat(ctx context.Context, id, name string, w io.Writer) error
	Put(ctx context.Context, id, name string, in io.Reader, by store.User) (int64, error)
	Remove(ctx context.Context, id, name string, recursive bool, by store.User) error
}

// MountRoom is what they ask for of mounts; deploy.Mounts documents it.
type MountRoom interface {
	Mount(ctx context.Context, app string, mount store.Mount, noRestart bool, by store.User, out io.Writer) (store.Release, error)
	Unmount(ctx context.Context, app, name, at string, noRestart bool, by store.User, out io.Writer) (store.Release, error)
	Exec(ctx context.Context, volume string, args []string, att runtime.Attachment, by store.User) (int, error)
}

type volumes struct {
	records
	StorageRoom
	mounts MountRoom
}

func (n volumes) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "storage:create", Role: deploys,
			Short: "make a volume",
			Long: "A volume is a directory that outlives releases. With --app it belongs to that\n" +
				"app, else to the first app that mounts it. --size limits the size of its files.",
			Example: "storage:create data --app shop --size 10g",
			Done:    "created the volume {name}; to give it to an app:\n  berth storage:mount APP {name} --container-dir /app/data",
			Prints:  "{result.name}",
		}, n.create),
		act(Verb{
			Name: "storage:ensure-directory", Role: deploys,
			Short: "make a volume unless it is there",
			Long: "Like storage:create, for scripts written for Dokku. --chown has no effect: the\n" +
				"files of a volume belong to the app that mounts it.",
			Example: "storage:ensure-directory --chown heroku data",
			Done:    "the volume {name} exists",
		}, n.ensure),
		act(Verb{
			Name: "storage:mount", Role: mountsVolume,
			Short: "give a volume to an app",
			Long: "It makes a release, as config:set does. Instances, one-offs, cron jobs and the\n" +
				"release command then have the volume, builds never. VOLUME:PATH works too, as in\n" +
				"Dokku. Only an admin can mount a directory of the machine (/srv/x:/x).\n" +
				"--access one (default) is for files that only one instance may write, such as\n" +
				"SQLite's: the old instance stops before the new one starts.",
			Example: "storage:mount shop data --container-dir /app/data\nstorage:mount shop uploads:/app/uploads --access many",
			Done:    "mounted in {app}",
		}, n.mount),
		act(Verb{
			Name: "storage:unmount", Role: deploys,
			Short:   "take a volume from an app",
			Long:    "It makes a release. The volume and its files stay.",
			Example: "storage:unmount shop data",
			Done:    "unmounted from {app}; its files stay",
		}, n.unmount),
		look(Verb{
			Name: "storage:list", Role: reads,
			Short:   "list volumes and where they are mounted",
			Example: "storage:list shop",
			Aliases: []string{"storage", "storage:list-entries"},
		}, n.list),
		look(Verb{
			Name: "storage:report", Role: reads,
			Short:   "show the mounts of apps",
			Example: "storage:report shop --storage-deploy-mounts",
			Whole:   true,
			Keys: keysOf(func(apps []StorageReport) []Key {
				var r StorageReport
				if len(apps) == 1 {
					r = apps[0]
				}
				return []Key{
					{"storage-build-mounts", strings.Join(r.BuildMounts, " ")},
					{"storage-deploy-mounts", strings.Join(r.DeployMounts, " ")},
					{"storage-run-mounts", strings.Join(r.RunMounts, " ")},
				}
			}),
		}, n.report),
		look(Verb{
			Name: "storage:info", Role: seesVolume,
			Short:   "show one volume",
			Example: "storage:info data --app shop",
		}, n.info),
		act(Verb{
			Name: "storage:set", Role: deploysVolume,
			Short: "change the size limit of a volume",
			Long: "--size none removes the limit. A volume over its limit is read-only until it has\n" +
				"room again; storage:info shows how the limit is enforced.",
			Example: "storage:set data --size 20g",
			Done:    "set for {name}",
		}, n.set),
		act(Verb{
			Name: "storage:destroy", Role: deploysVolume,
			Short:   "remove a volume and its files",
			Long:    "An app that has it mounted must unmount it first. The files are kept for 7 days,\nwhere root on the machine finds them.",
			Example: "storage:destroy data --force",
			Done:    "destroyed {name}; its files are kept for 7 days",
		}, n.destroyVolume),
		act(Verb{
			Name: "storage:exec", Role: deploysVolume, Attached: true,
			Short:   "run a command beside a volume",
			Long:    "It runs like run, in the image of the app that owns the volume. The volume is at\n/storage, which is the working directory.",
			Example: "storage:exec data -- du -sh .",
		}, n.exec),
		act(Verb{
			Name: "storage:export", Role: deploysVolume, Attached: true,
			Short:   "write a volume as a tar",
			Example: "storage:export data >data.tar",
		}, n.export),
		act(Verb{
			Name: "storage:import", Role: deploysVolume, Attached: true,
			Short: "replace a volume's files by a tar's",
			Long: "The app must be stopped (ps:stop). The old files stay until the whole tar has\n" +
				"arrived, and are then kept for 7 days, where root on the machine finds them.",
			Example: "storage:import data <data.tar",
		}, n.import_),
		look(Verb{
			Name: "storage:ls", Role: seesVolume,
			Short:   "list a directory of a volume",
			Long:    "At most 1000 entries.",
			Example: "storage:ls data uploads",
		}, n.ls),
		act(Verb{
			Name: "storage:cat", Role: deploysVolume, Attached: true,
			Short:   "print a file of a volume",
			Example: "storage:cat data settings.json",
		}, n.cat),
		act(Verb{
			Name: "storage:put", Role: deploysVolume, Attached: true,
			Short:   "write a file into a volume",
			Long:    "The content comes from standard input and replaces an existing file.",
			Example: "storage:put data settings.json <settings.json",
		}, n.put),
		act(Verb{
			Name: "storage:rm", Role: deploysVolume,
			Short:   "remove a file of a volume",
			Example: "storage:rm data uploads/old --recursive",
			Done:    "removed {path}",
		}, n.rm),
	}
}

// VolumeArgs name a volume. App is asked for where several apps have one of the name.
type VolumeArgs struct {
	Name string `json:"name" cli:"NAME"`
	App  string `json:"app,omitempty"`
}

func (a VolumeArgs) target() (string, bool) { return a.App, false }

func (a VolumeArgs) volumeName() string { return a.Name }

// VolumeCreateArgs name a volume that is not there yet.
type VolumeCreateArgs struct {
	VolumeArgs
	Size string `json:"size,omitempty" flag:"size" help:"size limit: 500m, 10g"`
}

// EnsureDirectoryArgs are Dokku's.
type EnsureDirectoryArgs struct {
	VolumeArgs
	Chown string `json:"chown,omitempty" flag:"chown" help:"has no effect"`
}

// VolumeSetArgs change a volume.
type VolumeSetArgs struct {
	VolumeArgs
	Size string `json:"size" flag:"size" help:"size limit: 500m, 10g, none"`
}

// VolumeDestroyArgs name a volume that is to go.
type VolumeDestroyArgs struct {
	VolumeArgs
	Force bool `json:"force,omitempty" flag:"force" help:"confirm it"`
}

// MountArgs say what an app has where.
type MountArgs struct {
	App          string `json:"app" cli:"APP"`
	What         string `json:"what" cli:"VOLUME[:PATH]"`
	ContainerDir string `json:"container_dir,omitempty" flag:"container-dir" help:"path in the app: /app/data"`
	Access       string `json:"access,omitempty" flag:"access" help:"instances that may write at once: one (default) or many"`
	ReadOnly     bool   `json:"readonly,omitempty" flag:"readonly" help:"mount it read-only"`
	Process      string `json:"process,omitempty" flag:"process" help:"mount it for this process type only"`
	NoRestart    bool   `json:"no_restart,omitempty" flag:"no-restart" help:"take effect with the next release"`
}

func (a MountArgs) target() (string, bool) { return a.App, true }

// UnmountArgs say what is taken from an app.
type UnmountArgs struct {
	App          string `json:"app" cli:"APP"`
	What         string `json:"what" cli:"VOLUME[:PATH]"`
	ContainerDir string `json:"container_dir,omitempty" flag:"container-dir" help:"the mount at this path only"`
	NoRestart    bool   `json:"no_restart,omitempty" flag:"no-restart" help:"take effect with the next release"`
}

func (a UnmountArgs) target() (string, bool) { return a.App, true }

// StorageListArgs name an app, or "" for all that one may see.
type StorageListArgs struct {
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (a StorageListArgs) target() (string, bool) { return a.App, false }

// VolumePathArgs name a directory of a volume; "" is the volume's own.
type VolumePathArgs struct {
	VolumeArgs
	Path string `json:"path,omitempty" cli:"[PATH]"`
}

// VolumeFileArgs name a file of a volume.
type VolumeFileArgs struct {
	VolumeArgs
	Path string `json:"path" cli:"PATH"`
}

// VolumeRemoveArgs name what is to go.
type VolumeRemoveArgs struct {
	VolumeFileArgs
	Recursive bool `json:"recursive,omitempty" flag:"recursive,r" help:"remove a directory with its contents"`
}

// VolumeExecArgs say what to run beside a volume.
type VolumeExecArgs struct {
	VolumeArgs
	Args     []string     `json:"args"`
	Terminal bool         `json:"terminal,omitempty"`
	Size     runtime.Size `json:"size,omitzero"`
}

// StorageEntry is a mount of an app, or a volume that is not mounted.
type StorageEntry struct {
	App           string `json:"app,omitempty"`
	Volume        string `json:"volume,omitempty"`
	HostPath      string `json:"host_path"` // on the machine
	ContainerPath string `json:"container_path,omitempty"`
	VolumeOptions string `json:"volume_options"` // "ro", or ""
	Access        string `json:"access,omitempty"`
	Process       string `json:"process,omitempty"`
	Size          int64  `json:"size,omitempty"` // bytes that its files may take
	Full          bool   `json:"full,omitempty"` // it is over that, and mounted for reading alone
	Live          bool   `json:"live"`           // the live release has the mount
}

// VolumeInfo is a volume as it is now.
type VolumeInfo struct {
	Name      string    `json:"name"`
	ID        string    `json:"id"`
	App       string    `json:"app,omitempty"`
	Former    string    `json:"former_app,omitempty"` // the app that it was of, which is gone
	Path      string    `json:"path"`                 // on the machine
	Mounts    []string  `json:"mounts"`
	Used      int64     `json:"used_bytes"`
	Size      int64     `json:"size_bytes"`
	Limit     string    `json:"limit"`
	Enforced  string    `json:"enforced"` // how the limit is held
	Full      bool      `json:"full"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

// StorageReport has the mounts of an app in Dokku's words.
type StorageReport struct {
	App          string   `json:"app"`
	BuildMounts  []string `json:"storage_build_mounts"` // never any
	DeployMounts []string `json:"storage_deploy_mounts"`
	RunMounts    []string `json:"storage_run_mounts"`
}

// VolumeFiles are the entries of a directory.
type VolumeFiles struct {
	Files []storage.File `json:"files"`
	More  bool           `json:"more,omitempty"` // there are others
}

func (n volumes) create(ctx context.Context, c Call, args VolumeCreateArgs) (store.Volume, error) {
	size, err := sizeFor(c.User, args.Size)
	if err != nil {
		return store.Volume{}, err
	}
	return n.Create(ctx, store.Volume{Name: args.Name, App: args.App, Size: size}, c.User)
}

// chowns are the words and numbers that Dokku's --chown takes.
var chowns = []string{"", "herokuish", "heroku", "packeto", "paketo", "root", "false"}

func (n volumes) ensure(ctx context.Context, c Call, args EnsureDirectoryArgs) (store.Volume, error) {
	if !slices.Contains(chowns, args.Chown) && strings.Trim(args.Chown, "0123456789:") != "" {
		return store.Volume{}, BadArguments("--chown cannot be %.40q", args.Chown).Hint("omit it: the files belong to the app that mounts the volume")
	}
	v, err := n.volume(c.User, args.App, args.Name)
	if fault.CodeOf(err) != code.VolumeUnknown {
		return v, err
	}
	return n.create(ctx, c, VolumeCreateArgs{VolumeArgs: args.VolumeArgs})
}

// sizeFor reads the limit that a user gives a volume.
func sizeFor(user store.User, text string) (int64, error) {
	if text == "" {
		return usualSize(user), nil
	}
	size, err := storage.ParseSize(text)
	if err != nil {
		return 0, err
	}
	return size, maySize(user, size)
}

func (n volumes) mount(ctx context.Context, c Call, args MountArgs) (StorageEntry, error) {
	w, err := parseMount(args.What, args.ContainerDir)
	if err != nil {
		return StorageEntry{}, err
	}
	mount := store.Mount{
		Volume: c.volume, Host: w.host, Path: w.path, ReadOnly: args.ReadOnly || w.readOnly,
		Access: store.Access(args.Access), Process: args.Process,
	}
	if _, err := n.mounts.Mount(ctx, args.App, mount, args.NoRestart, c.User, c.Out); err != nil {
		return StorageEntry{}, err
	}
	entries, err := n.entries(args.App)
	i := slices.IndexFunc(entries, func(e StorageEntry) bool { return e.ContainerPath == w.path })
	if err != nil || i < 0 {
		return StorageEntry{}, err
	}
	return entries[i], nil
}

func (n volumes) unmount(ctx context.Context, c Call, args UnmountArgs) (StorageEntry, error) {
	w, err := parseMount(args.What, args.ContainerDir)
	if err != nil && args.ContainerDir == "" && !strings.Contains(args.What, ":") {
		w, err = mountWord{volume: args.What}, nil
	}
	if err != nil {
		return StorageEntry{}, err
	}
	_, err = n.mounts.Unmount(ctx, args.App, cmp.Or(w.volume, w.host), w.path, args.NoRestart, c.User, c.Out)
	return StorageEntry{App: args.App, Volume: w.volume, HostPath: w.host, ContainerPath: w.path}, err
}

// entries lists the mounts of an app and its volumes that are not mounted; "" is
// of those of every app and of none.
func (n volumes) entries(app string) (entries []StorageEntry, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		every, err := tx.Volumes.All()
		if err != nil {
			return err
		}
		byID, mounted := map[string]store.Volume{}, map[string]bool{}
		for _, v := range every {
			byID[v.ID] = v
		}
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, record := range apps {
			if app != "" && record.Name != app {
				continue
			}
			mounts, err := tx.Volumes.Mounts(record.Name)
			if err != nil {
				return err
			}
			var live store.Release
			if record.Release != 0 && len(mounts) > 0 {
				if live, err = tx.ReleaseWithoutConfig(record.Name, record.Release); err != nil {
					return err
				}
			}
			for _, m := range mounts {
				e := StorageEntry{
					App: record.Name, HostPath: m.Host, ContainerPath: m.Path, Access: string(m.Access), Process: m.Process,
					Live: slices.Contains(live.Mounts, m),
				}
				if m.ReadOnly {
					e.VolumeOptions = "ro"
				}
				if m.Volume != "" {
					v := byID[m.Volume]
					mounted[v.ID] = true
					e.Volume, e.HostPath, e.Size, e.Full = v.Name, n.Path(v.ID), v.Size, v.Full
				}
				entries = append(entries, e)
			}
		}
		for _, v := range every {
			if !mounted[v.ID] && (app == "" || v.App == app) {
				entries = append(entries, StorageEntry{App: v.App, Volume: v.Name, HostPath: n.Path(v.ID), Size: v.Size, Full: v.Full})
			}
		}
		return nil
	})
	return entries, err
}

func (n volumes) list(_ context.Context, c Call, args StorageListArgs) ([]StorageEntry, error) {
	if args.App != "" {
		if err := n.exists(args.App); err != nil {
			return nil, err
		}
	}
	entries, err := list(n.entries(args.App))
	return slices.DeleteFunc(entries, func(e StorageEntry) bool { return !seesVolumeOf(c.User, e.App) }), err
}

func (n volumes) report(ctx context.Context, c Call, args StorageListArgs) ([]StorageReport, error) {
	entries, err := n.list(ctx, c, args)
	if err != nil {
		return nil, err
	}
	var apps []store.App
	err = n.db.View(func(tx *store.Tx) error {
		apps, err = tx.Apps()
		return err
	})
	reports := []StorageReport{}
	for _, app := range apps {
		if args.App != "" && app.Name != args.App || !sees(c.User, app.Name) {
			continue
		}
		r := StorageReport{App: app.Name, BuildMounts: []string{}, DeployMounts: []string{}, RunMounts: []string{}}
		for _, e := range entries {
			if e.App == app.Name && e.ContainerPath != "" {
				word := "-v " + strings.TrimSuffix(e.HostPath+":"+e.ContainerPath+":"+e.VolumeOptions, ":")
				r.DeployMounts, r.RunMounts = append(r.DeployMounts, word), append(r.RunMounts, word)
			}
		}
		reports = append(reports, r)
	}
	return reports, err
}

func (n volumes) info(ctx context.Context, c Call, _ VolumeArgs) (VolumeInfo, error) {
	v, err := n.Volume(c.volume)
	if err != nil {
		return VolumeInfo{}, err
	}
	return n.infoOf(ctx, v)
}

func (n volumes) infoOf(ctx context.Context, v store.Volume) (VolumeInfo, error) {
	info := VolumeInfo{
		Name: v.Name, ID: v.ID, App: v.App, Former: v.Former, Path: n.Path(v.ID), Mounts: []string{}, Size: v.Size,
		Limit: storage.Size(v.Size), Enforced: "no limit", Full: v.Full, CreatedAt: v.CreatedAt, CreatedBy: v.CreatedBy,
	}
	if v.Size > 0 {
		info.Enforced = "measured every 30 seconds; the volume is read-only while it is over the limit"
	}
	entries, err := n.entries(v.App)
	for _, e := range entries {
		if e.Volume == v.Name && e.ContainerPath != "" && e.App == v.App && v.App != "" {
			info.Mounts = append(info.Mounts, fmt.Sprintf("%s at %s", e.App, e.ContainerPath))
		}
	}
	if err != nil {
		return info, err
	}
	info.Used, err = n.Used(ctx, v)
	return info, err
}

func (n volumes) set(ctx context.Context, c Call, args VolumeSetArgs) (VolumeInfo, error) {
	if args.Size == "" {
		return VolumeInfo{}, BadArguments("storage:set needs --size").Hint("berth storage:set %s --size 10g", args.Name)
	}
	size, err := sizeFor(c.User, args.Size)
	if err != nil {
		return VolumeInfo{}, err
	}
	v, err := n.SetSize(ctx, c.volume, size, c.User)
	if err != nil {
		return VolumeInfo{}, err
	}
	if v, err = n.Volume(v.ID); err != nil {
		return VolumeInfo{}, err
	}
	return n.infoOf(ctx, v)
}

func (n volumes) destroyVolume(ctx context.Context, c Call, args VolumeDestroyArgs) (store.Volume, error) {
	if !args.Force {
		return store.Volume{}, fault.New(fault.Usage, code.DestroyNotForced, "destroying the volume %s was not confirmed", args.Name).
			Hint("berth storage:destroy %s --force does it", args.Name)
	}
	return n.Destroy(ctx, c.volume, c.User)
}

func (n volumes) exec(ctx context.Context, c Call, args VolumeExecArgs) (int, error) {
	if len(args.Args) == 0 || args.Args[0] == "" {
		return 0, BadArguments("storage:exec needs a command").Hint("berth storage:exec %s -- ls", args.Name)
	}
	att := *c.Streams
	att.Terminal, att.Size = args.Terminal, args.Size
	return n.mounts.Exec(ctx, c.volume, args.Args, att, c.User)
}

func (n volumes) export(ctx context.Context, c Call, _ VolumeArgs) (int, error) {
	return 0, n.Export(ctx, c.volume, c.Streams.Stdout)
}

func (n volumes) import_(ctx context.Context, c Call, args VolumeArgs) (int, error) {
	files, err := n.Import(ctx, c.volume, stdin(c), c.User)
	if err == nil {
		fmt.Fprintf(c.Streams.Stderr, "imported %d files into the volume %s; its old files are kept for 7 days\n", files, args.Name)
	}
	return 0, err
}

// stdin is what the asker sends; nothing, where that is not attached.
func stdin(c Call) io.Reader {
	if c.Streams.Stdin == nil {
		return strings.NewReader("")
	}
	return c.Streams.Stdin
}

func (n volumes) ls(ctx context.Context, c Call, args VolumePathArgs) (VolumeFiles, error) {
	files, more, err := n.List(ctx, c.volume, args.Path)
	if files == nil {
		files = []storage.File{}
	}
	return VolumeFiles{files, more}, err
}

func (n volumes) cat(ctx context.Context, c Call, args VolumeFileArgs) (int, error) {
	return 0, n.Cat(ctx, c.volume, args.Path, c.Streams.Stdout)
}

func (n volumes) put(ctx context.Context, c Call, args VolumeFileArgs) (int, error) {
	size, err := n.Put(ctx, c.volume, args.Path, stdin(c), c.User)
	if err == nil {
		fmt.Fprintf(c.Streams.Stderr, "wrote %d bytes to %s\n", size, args.Path)
	}
	return 0, err
}

func (n volumes) rm(ctx context.Context, c Call, args VolumeRemoveArgs) (struct{}, error) {
	return struct{}{}, n.Remove(ctx, c.volume, args.Path, args.Recursive, c.User)
}
