package buildpacks

import (
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// What of a tree's source is read to find what it writes.
const (
	maxWriters     = 1000      // files
	maxWriterFile  = 128 << 10 // bytes of one
	maxWriterBytes = 8 << 20   // bytes of all
)

// writing is a way to keep data in files.
type writing struct {
	what  string         // "keeps data in SQLite"
	words []string       // one of which stands in a text that the pattern fits
	text  source.Pattern // its first group, if there is one, is the file
}

// writings are looked for in this order; each is noted once.
var writings = []writing{
	{"keeps data in SQLite", []string{"sqlite", "Database("}, source.NewPattern(
		`sqlite3\.connect\(\s*f?["']([^"']+)|sqlite(?:\+\w+)?:///([^"'\s?]*)|sqlite:(?:/{0,2})([\w./-]+\.\w+)|["']adapter["']?\s*[:=]\s*["']?(sqlite3)|\badapter:\s*(sqlite3)|` +
			`sql\.Open\(\s*"(sqlite3?)"|sqlite\.Open\(\s*"([^"]+)|provider\s*=\s*"(sqlite)"|env\('DB_CONNECTION',\s*'(sqlite)'\)|new\s+(?:Better)?(?:[Ss]qlite3?\.)?Database\(\s*["'` + "`" + `]([^"'` + "`" + `]+)|jdbc:(sqlite):`)},
	{"keeps data in files of H2", []string{"jdbc:h2:"}, source.NewPattern(`jdbc:h2:(?:file:|~|\./)([\w./-]*)`)},
	{"keeps uploads in files", []string{"upload", "UPLOAD", "multer", "MEDIA_ROOT", "LocalFileSystem"}, source.NewPattern(
		`\bUPLOAD(?:_FOLDER|S_DIR|_DIR|_PATH|S_FOLDER)["'\]]*\s*=|\bMEDIA_ROOT\s*=|multer\(\s*\{\s*(?:dest|storage)|multer\.diskStorage\(|["']\.?/?(?:public/|static/)?uploads/?["']`)},
	{"keeps data below /data", []string{"/data"}, source.NewPattern(`["'` + "`" + `](/data(?:/[\w.-]*)?)["'` + "`" + `/]`)},
}

// writers are the files that may say where an app writes.
var writers = []string{".py", ".js", ".mjs", ".cjs", ".ts", ".go", ".rs", ".rb", ".php", ".java", ".kt", ".properties", ".yml", ".yaml", ".toml", ".prisma"}

// noteFiles notes what an app seems to keep in files: they are gone with the
// next release.
func noteFiles(t *source.Tree) (keeps []plan.Keep) {
	found := make([]bool, len(writings))
	files, bytes := 0, 0
	t.Walk(notOwn, func(name string) {
		if !slices.Contains(writers, path.Ext(name)) || isTestFile(name) || files >= maxWriters || bytes >= maxWriterBytes {
			return
		}
		files++
		data, err := t.Read(name, maxWriterFile)
		if err != nil {
			return // what is that large is generated
		}
		bytes += len(data)
		text := string(data)
		for i, w := range writings {
			if !found[i] && w.fits(text) {
				found[i] = true
				t.Note("%s %s: files are lost with each release, and not shared by", source.Printable(name), w.what)
				t.Note("instances; keep lasting data in a volume, a database or an object store")
				dir, guess := w.place(text)
				keeps = append(keeps, plan.Keep{What: source.Printable(name) + " " + w.what, Dir: dir, Guess: guess})
			}
		}
	})
	return keeps
}

// place returns the directory in containers in which a text keeps files. Where it
// does not say, or has them beside the source, it is one where they could be.
func (w writing) place(text string) (dir string, guess bool) {
	for _, groups := range w.text.FindAllStringSubmatch(text, 20) {
		for _, file := range groups[1:] {
			dir := path.Join("/app", path.Dir(file))
			if path.IsAbs(file) {
				dir = path.Dir(file)
			}
			switch {
			case file == "/data" || strings.HasPrefix(file, "/data/"):
				return "/data", false
			case strings.Contains(file, ":memory:") || !strings.Contains(file, "/") || !placeName.MatchString(dir) || strings.Contains(dir, ".."):
			case dir != "/app" && strings.Count(dir, "/") > 1 && !strings.HasPrefix(dir, "/tmp"):
				return dir, false
			}
		}
	}
	if strings.Contains(w.what, "upload") {
		return "/app/uploads", true
	}
	return "/app/data", true
}

// placeName is a directory that can be named in a command as it is.
var placeName = source.NewPattern(`^/[A-Za-z0-9._/-]+$`)

// fits tells whether a text writes so, into a file that is one.
func (w writing) fits(text string) bool {
	if !slices.ContainsFunc(w.words, func(word string) bool { return strings.Contains(text, word) }) {
		return false
	}
	for _, found := range w.text.FindAllString(text, 20) {
		if !strings.Contains(found, ":memory:") && !strings.Contains(found, "/tmp/") && !strings.HasSuffix(found, "sqlite:///") {
			return true
		}
	}
	return false
}

// notOwn tells folders that are not what runs.
func notOwn(dir string) bool {
	switch base := path.Base(dir); base {
	case "node_modules", "vendor", "testdata", "tests", "test", "spec", "__tests__", "examples", "example", "docs", "doc", "target", "venv", "migrations":
		return true
	default:
		return strings.HasPrefix(base, ".")
	}
}

func isTestFile(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, "test_") || strings.Contains(base, "_test.") || strings.Contains(base, ".test.") || strings.Contains(base, ".spec.") ||
		strings.Contains(base, "compose") || base == "conftest.py"
}

// noteIgnored notes what a repository says to others alone.
func noteIgnored(t *source.Tree, language string) {
	if text, err := t.Text(".gitattributes", source.MaxManifest); err == nil {
		for _, line := range source.Lines(text) {
			if words := strings.Fields(line); len(words) > 1 && slices.Contains(words[1:], "export-ignore") && !strings.HasPrefix(line, "#") {
				t.Note(".gitattributes: export-ignore is ignored, the whole commit is built")
				break
			}
		}
	}
	noteAddons(t)
	if language != "dockerfile" && t.Has("Dockerfile") {
		t.Note("the Dockerfile is ignored: another builder is chosen")
	}
}

// addonVariables are the variables that Heroku's services set, by a part of their
// names.
var addonVariables = []struct{ name, variable string }{
	{"postgres", "DATABASE_URL"}, {"mysql", "DATABASE_URL"}, {"jawsdb", "DATABASE_URL"}, {"cleardb", "DATABASE_URL"}, {"redis", "REDIS_URL"}, {"mongo", "MONGODB_URI"},
	{"rabbitmq", "CLOUDAMQP_URL"}, {"cloudamqp", "CLOUDAMQP_URL"}, {"memcache", "MEMCACHIER_SERVERS"},
}

// noteAddons notes the services that app.json asks Heroku for.
func noteAddons(t *source.Tree) {
	doc, err := t.JSON(source.CodeManifest, "app.json", source.MaxManifest)
	if err != nil {
		return // it was read already
	}
	field, _ := doc.Get("addons")
	items, err := field.List("", 50)
	if err != nil {
		return
	}
	for _, item := range items {
		name := item.String()
		if name == "" {
			name = item.String("plan")
		}
		what := "its address"
		for _, v := range addonVariables {
			if strings.Contains(name, v.name) {
				what = v.variable
				break
			}
		}
		t.Note("app.json: addons is ignored (%s): berth starts no service; set %s with config:set", source.Printable(name), what)
	}
}
