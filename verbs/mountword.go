package verbs

import (
	"path"
	"strings"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// dokkuDirectory is where Dokku keeps what its scripts mount: a directory there is
// the volume of that name.
const dokkuDirectory = "/var/lib/dokku/data/storage/"

// mountWord is what "data:/app/data:ro" says.
type mountWord struct {
	volume, host string // one of the two
	path         string
	readOnly     bool
}

// parseMount reads a volume with the path that it is mounted at, in one word as
// Dokku has it, or in two. What is none is a fault (E611).
func parseMount(word, dir string) (w mountWord, err error) {
	no := func(why string) error {
		return store.BadMount("%.100q does not say what to mount: %s", word, why).
			Hint("berth storage:mount APP data --container-dir /app/data")
	}
	parts := strings.Split(word, ":")
	name := strings.TrimSuffix(parts[0], "/")
	if inner, ok := strings.CutPrefix(name, dokkuDirectory); ok && !strings.Contains(inner, "/") {
		name = inner
	}
	if strings.HasPrefix(name, "/") || parts[0] == "/" {
		w.host = path.Clean(parts[0])
		if w.host != strings.TrimSuffix(parts[0], "/") && parts[0] != "/" {
			return w, no("the directory of the machine has .. or an extra /")
		}
	} else if err := store.ValidVolumeName(name); err != nil {
		return w, err
	} else {
		w.volume = name
	}
	w.path = dir
	if len(parts) > 1 {
		if w.path = parts[1]; dir != "" && dir != w.path {
			return w, no("it has one path and --container-dir another one")
		}
	}
	if len(parts) > 3 {
		return w, no("it has too many parts")
	}
	if len(parts) == 3 {
		for option := range strings.SplitSeq(parts[2], ",") {
			switch option {
			case "ro":
				w.readOnly = true
			case "rw", "z", "Z":
			default:
				return w, no("the option " + fault.Printable(option) + " is unknown; ro is possible")
			}
		}
	}
	if w.path == "" {
		return w, no("the path in the app is missing")
	}
	if w.path != "/" {
		w.path = strings.TrimSuffix(w.path, "/")
	}
	return w, nil
}
