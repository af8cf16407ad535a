package advice

import (
	"regexp"

	"github.com/berthd/berth/store/fault"
)

// What the dynamic loader says of a library that is not there, as a program
// prints it (error while loading shared libraries: libX.so.1: cannot open ...;
// ImportError: libX.so.1: cannot open ...), and as Python's cffi and ctypes do
// (OSError: cannot load library 'libX-1.0-0').
var (
	loaderSays = regexp.MustCompile(`(\blib[A-Za-z0-9_.+-]+\.so[0-9.]*): cannot open shared object file`)
	cffiSays   = regexp.MustCompile(`cannot load library '(lib[A-Za-z0-9_.+-]+)'`)
)

// missingLibrary returns the library that a program says it could not load; ""
// when it says nothing of the kind.
func missingLibrary(line string) string {
	for _, says := range []*regexp.Regexp{loaderSays, cffiSays} {
		if m := says.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	return ""
}

// libraryPackages are the packages of Debian 13 that have the libraries which
// are missed most often.
var libraryPackages = map[string]string{
	"libGL.so.1":             "libgl1",
	"libSM.so.6":             "libsm6",
	"libX11.so.6":            "libx11-6",
	"libXext.so.6":           "libxext6",
	"libXrender.so.1":        "libxrender1",
	"libasound.so.2":         "libasound2t64",
	"libcairo.so.2":          "libcairo2",
	"libfontconfig.so.1":     "libfontconfig1",
	"libfreetype.so.6":       "libfreetype6",
	"libgdk_pixbuf-2.0.so.0": "libgdk-pixbuf-2.0-0",
	"libgeos_c.so.1":         "libgeos-c1t64",
	"libglib-2.0.so.0":       "libglib2.0-0t64",
	"libgobject-2.0-0":       "libpango-1.0-0",
	"libgobject-2.0.so.0":    "libglib2.0-0t64",
	"libgthread-2.0.so.0":    "libglib2.0-0t64",
	"libicuuc.so.76":         "libicu76",
	"libldap.so.2":           "libldap2",
	"libmariadb.so.3":        "libmariadb3",
	"libodbc.so.2":           "libodbc2",
	"libpango-1.0-0":         "libpango-1.0-0",
	"libpango-1.0.so.0":      "libpango-1.0-0",
	"libpangocairo-1.0.so.0": "libpangocairo-1.0-0",
	"libpangoft2-1.0-0":      "libpangoft2-1.0-0",
	"libportaudio.so.2":      "libportaudio2",
	"libpq.so.5":             "libpq5",
	"libsndfile.so.1":        "libsndfile1",
	"libxmlsec1.so.1":        "libxmlsec1t64",
	"libxslt.so.1":           "libxslt1.1",
	"libzbar.so.0":           "libzbar0t64",
}

// adviseLibrary says how an app gets a library of the system.
func adviseLibrary(f *fault.Error, library string) {
	if name, ok := libraryPackages[library]; ok {
		f.Hint("add the line %s to a file named apt-packages: that package has %s", name, library)
		return
	}
	f.Hint("add the Debian package that has %s to a file named apt-packages", library)
}
