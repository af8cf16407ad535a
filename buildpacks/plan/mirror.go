package plan

import (
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/source"
)

// ArchivePath is where the commands of a layer find its archive.
const ArchivePath = "/run/mirror/archive"

// Mirrored returns what the operator's mirror has of a tool, the newest first.
// Before all others comes the archive that the app was built with the last time,
// whether it is still there or not: the layer that was made of it may be.
func (c *Chain) Mirrored(tool string) mirror.Archives {
	list, err := c.Mirror.List(tool)
	if err != nil {
		c.Tree.Note("%v", err)
	}
	a, ok := mirror.Remembered(tool, c.Versions[archiveOf(tool)])
	if !ok {
		return list
	}
	if i := slices.IndexFunc(list, func(b mirror.Archive) bool { return b.Name == a.Name }); i >= 0 {
		a.Sum = "" // it is what it is now
		list = slices.Delete(list, i, i+1)
	}
	return slices.Insert(list, 0, a)
}

// archiveOf is the name under which an app remembers the archive of a tool.
func archiveOf(tool string) string { return tool + "-archive" }

// ToolVersions lists what a plan's Versions hold: "node 24.11.1", "node 22.9.0
// from the mirror".
func ToolVersions(versions map[string]string) (list []string) {
	for _, name := range source.SortedKeys(versions) {
		tool, archived := strings.CutSuffix(name, archiveOf(""))
		a, ok := mirror.Remembered(tool, versions[name])
		switch {
		case archived && ok:
			list = append(list, tool+" "+a.Version+fromMirror+" ("+a.Name+")")
		case !archived && versions[archiveOf(name)] == "":
			list = append(list, name+" "+versions[name])
		}
	}
	return list
}

// seal digests a layer's archive, and has the app remember it.
func (c *Chain) seal(l *Layer) error {
	if l.Archive == nil {
		return nil
	}
	a := *l.Archive
	if a.Sum == "" {
		var err error
		if a.Sum, err = c.Mirror.Sum(a); err != nil {
			return err
		}
	}
	l.Archive = &a
	c.plan.Versions[archiveOf(a.Tool)] = a.String()
	return nil
}

// fromMirror ends the name of a tool that is not from its usual source.
const fromMirror = " from the mirror"

// FromMirror returns a tool that commands make of an archive.
func FromMirror(name string, a mirror.Archive, commands ...Command) Tool {
	return Tool{
		Name: name + fromMirror, Archive: &a, Commands: commands,
		Failure: source.Problemf(source.CodeToolchain, "%s could not be unpacked from the mirror's %s", name, a.File()).
			Hint("is the archive complete? a %s beside it is checked", mirror.SumsFile).
			Hint("builder:mirror lists the archives"),
	}
}

// Unpack returns the command that unpacks a layer's archive of tar, without its
// topmost directory.
func Unpack(dir string) Command {
	return Command{Dir: "/", Args: []string{"sh", "-ec", `mkdir -p "$2" && tar -xf "$1" -C "$2" --strip-components=1 --no-same-owner`, "sh", ArchivePath, dir}}
}

// UnpackZip is Unpack for a zip, which takes unzip.
func UnpackZip(dir string) Command {
	return Command{Dir: "/", Args: []string{"sh", "-ec", `unzip -q "$1" -d "$2.zip" && mv "$2.zip"/* "$2" && rmdir "$2.zip"`, "sh", ArchivePath, dir}}
}

// packedXZ tells what the stack's tar cannot unpack by itself.
func packedXZ(a mirror.Archive) bool { return strings.HasSuffix(a.Name, ".xz") }

// instead returns how a layer is made by the tool when it cannot be by its own
// commands.
func (t Tool) instead(l Layer) *Layer {
	l.Commands, l.Archive, l.Failure, l.Offline = t.Commands, t.Archive, t.Failure, true
	if packedXZ(*t.Archive) {
		l.Commands, l.Offline = slices.Concat(AptInstall("xz-utils"), t.Commands), false
	}
	l.Name = t.Name
	return &l
}
