package advice

import (
	"strings"
	"testing"

	"github.com/berthd/berth/store/fault"
)

func TestAdvise_NamesThePackageOfAMissingLibrary(t *testing.T) {
	for line, want := range map[string]string{
		"ImportError: libGL.so.1: cannot open shared object file: No such file or directory":                                                   "line libgl1 to a file named apt-packages",
		"./server: error while loading shared libraries: libpq.so.5: cannot open shared object file: No such file or directory":                "libpq5",
		"OSError: cannot load library 'libgobject-2.0-0': error: libgobject-2.0-0: cannot open shared object file: No such file or directory.": "libpango-1.0-0",
		"ImportError: libodd++-2.so.7: cannot open shared object file: No such file or directory":                                              "the Debian package that has libodd++-2.so.7",
		"FileNotFoundError: [Errno 2] cannot open shared object file":                                                                          "",
		"library libGL.so.1 was found": "",
	} {
		f := Program(fault.New(fault.Failed, "E302", "x"), []string{line})
		hints := strings.Join(f.Hints, "\n")
		if want == "" && hints != "" || !strings.Contains(hints, want) {
			t.Errorf("%s: hints %q, want %q", line, hints, want)
		}
	}
}
