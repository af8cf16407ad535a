package buildpacks

import (
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

// What an app keeps in files is gone with the next release, and that is said.
func TestDetect_NotesWhatDoesNotLast(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"sqlite3":             {"store.py", "db = sqlite3.connect('shop.db')\n", "store.py keeps data in SQLite"},
		"SQLAlchemy":          {"store.py", "URI = 'sqlite:///shop.db'\n", "keeps data in SQLite"},
		"SQLAlchemy, async":   {"store.py", "URI = 'sqlite+aiosqlite:////app/data/shop.db'\n", "keeps data in SQLite"},
		"better-sqlite3":      {"db.js", "const db = new Database('shop.db');\n", "db.js keeps data in SQLite"},
		"node-sqlite3":        {"db.js", "const db = new sqlite3.Database('./shop.db')\n", "keeps data in SQLite"},
		"Go":                  {"db.go", "db, err := sql.Open(\"sqlite3\", path)\n", "db.go keeps data in SQLite"},
		"GORM":                {"db.go", "gorm.Open(sqlite.Open(\"shop.db\"), &gorm.Config{})\n", "keeps data in SQLite"},
		"Prisma":              {"prisma/schema.prisma", "datasource db {\n  provider = \"sqlite\"\n}\n", "schema.prisma keeps data in SQLite"},
		"Rails":               {"config/database.yml", "default: &default\n  adapter: sqlite3\n", "database.yml keeps data in SQLite"},
		"Laravel":             {"config/database.php", "'default' => env('DB_CONNECTION', 'sqlite'),\n", "keeps data in SQLite"},
		"Rust":                {"src/db.rs", "SqlitePool::connect(\"sqlite://shop.db\")\n", "keeps data in SQLite"},
		"Spring":              {"src/main/resources/application.properties", "spring.datasource.url=jdbc:h2:file:./data\n", "keeps data in files of H2"},
		"Flask's uploads":     {"up.py", "app.config['UPLOAD_FOLDER'] = 'static/x'\n", "up.py keeps uploads in files"},
		"multer":              {"up.js", "const upload = multer({ dest: 'x/' })\n", "keeps uploads in files"},
		"a folder of uploads": {"up.go", "os.Create(filepath.Join(\"uploads\", name))\n", "keeps uploads in files"},
		"/data":               {"up.py", "ROOT = '/data/files'\n", "keeps data below /data"},
		"in memory":           {"store.py", "db = sqlite3.connect(':memory:')\nURI = 'sqlite:///:memory:'\nX = 'sqlite:///'\n", ""},
		"in /tmp":             {"store.py", "db = sqlite3.connect('/tmp/x.db')\n", ""},
		"in a test":           {"tests/test_store.py", "db = sqlite3.connect('shop.db')\n", ""},
		"in a test beside it": {"db_test.go", "sql.Open(\"sqlite3\", x)\n", ""},
		"a page called data":  {"up.py", "fetch('/database')\n", ""},
		"a word of its own":   {"up.py", "print('sqlite is small; uploads are not kept')\n", ""},
		"of a package":        {"node_modules/x/db.js", "new Database('shop.db')\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo("requirements.txt", "flask\ngunicorn", "web.py", flaskApp, c.file, c.text)))
			if err != nil {
				t.Fatal(err)
			}
			notes := strings.Join(made.Notes, "\n")
			if c.want == "" && strings.Contains(notes, "keeps") || !strings.Contains(notes, c.want) {
				t.Errorf("notes: got %q, want %q", notes, c.want)
			}
		})
	}
}

func TestDetect_NotesWhatIsPassedOver(t *testing.T) {
	flask := []string{"requirements.txt", "flask\ngunicorn", "web.py", flaskApp}
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"export-ignore":          {append(flask, ".gitattributes", "*.txt text\n/docs export-ignore\n"), "export-ignore is ignored"},
		"export-ignore, comment": {append(flask, ".gitattributes", "# /docs export-ignore\n"), ""},
		"a Dockerfile":           {append(flask, "Dockerfile", "FROM scratch\n", ".buildpacks", "heroku/python\n"), "the Dockerfile is ignored"},
		"a Dockerfile, app.json": {append(flask, "Dockerfile", "FROM scratch\n", "app.json", `{"buildpacks": [{"url": "heroku/python"}]}`), "the Dockerfile is ignored"},
		"addons":                 {append(flask, "app.json", `{"addons": ["heroku-redis:mini"]}`), "addons is ignored (heroku-redis:mini): berth starts no service; set REDIS_URL with config:set"},
		"addons, with plans":     {append(flask, "app.json", `{"addons": [{"plan": "heroku-postgresql:essential-0", "as": "DB"}]}`), "(heroku-postgresql:essential-0): berth starts no service; set DATABASE_URL"},
		"addons that are odd":    {append(flask, "app.json", `{"addons": "x"}`), ""},
		"a Dockerfile that is":   {append(flask, "Dockerfile", "FROM scratch\n"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo(c.files...)))
			if err != nil {
				t.Fatal(err)
			}
			notes := strings.Join(made.Notes, "\n")
			if c.want == "" && strings.Contains(notes, "ignored") || !strings.Contains(notes, c.want) {
				t.Errorf("notes: got %q, want %q", notes, c.want)
			}
		})
	}
}

func TestDetect_SaysWhereAVolumeWouldKeepFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       plan.Keep
	}{
		"beside the source":   {"store.py", "db = sqlite3.connect('shop.db')\n", plan.Keep{What: "store.py keeps data in SQLite", Dir: "/app/data", Guess: true}},
		"below it":            {"store.py", "db = sqlite3.connect('var/db/shop.db')\n", plan.Keep{What: "store.py keeps data in SQLite", Dir: "/app/var/db"}},
		"elsewhere":           {"store.py", "db = sqlite3.connect('/app/files/shop.db')\n", plan.Keep{What: "store.py keeps data in SQLite", Dir: "/app/files"}},
		"no name for a shell": {"store.py", "db = sqlite3.connect('$(id)/shop.db')\n", plan.Keep{What: "store.py keeps data in SQLite", Dir: "/app/data", Guess: true}},
		"out of the tree":     {"store.py", "db = sqlite3.connect('../../etc/shop.db')\n", plan.Keep{What: "store.py keeps data in SQLite", Dir: "/app/data", Guess: true}},
		"uploads":             {"up.py", "app.config['UPLOAD_FOLDER'] = 'static/x'\n", plan.Keep{What: "up.py keeps uploads in files", Dir: "/app/uploads", Guess: true}},
		"/data":               {"up.py", "ROOT = '/data/files'\n", plan.Keep{What: "up.py keeps data below /data", Dir: "/data"}},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Detect(packtest.Request(repo("requirements.txt", "flask\ngunicorn", "web.py", flaskApp, c.file, c.text)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(made.Keeps, []plan.Keep{c.want}) {
				t.Errorf("got %+v, want %+v", made.Keeps, c.want)
			}
		})
	}
}
