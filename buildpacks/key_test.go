package buildpacks

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A tree with everything that decides of a layer.
func keyed() fstest.MapFS {
	return repo("web.py", flaskApp, "requirements.txt", "flask\n-r extra.txt\n", "extra.txt", "gunicorn\n",
		"Procfile", "web: gunicorn web:app\n", "apt-packages", "ffmpeg\n", ".python-version", "3.12\n", "README.md", "hi")
}

func TestKeys_EachInputChangesExactlyItsLayers(t *testing.T) {
	all := []string{"Python toolchain", "Python build tools", "apt-packages", "apt-packages (build)", "Python 3.12", "dependencies"}
	above := func(name string) []string { return all[slices.Index(all, name):] }
	for name, c := range map[string]struct {
		change func(fstest.MapFS, *Source)
		stack  string
		want   []string
	}{
		"nothing":          {func(fstest.MapFS, *Source) {}, "stack", nil},
		"a source line":    {func(m fstest.MapFS, s *Source) { set(m, "web.py", flaskApp+"x = 1\n"); s.Digest = "other" }, "stack", nil},
		"a readme":         {func(m fstest.MapFS, s *Source) { set(m, "README.md", "ho"); s.Digest = "other" }, "stack", nil},
		"requirements":     {func(m fstest.MapFS, s *Source) { set(m, "requirements.txt", "flask==3\n-r extra.txt\n") }, "stack", above("dependencies")},
		"an included file": {func(m fstest.MapFS, s *Source) { set(m, "extra.txt", "gunicorn==23\n") }, "stack", above("dependencies")},
		"the packages":     {func(m fstest.MapFS, s *Source) { set(m, "apt-packages", "ffmpeg\nimagemagick\n") }, "stack", above("apt-packages")},
		"their order":      {func(m fstest.MapFS, s *Source) { set(m, "apt-packages", "# same\n  ffmpeg ffmpeg\n") }, "stack", nil},
		"the version":      {func(m fstest.MapFS, s *Source) { set(m, ".python-version", "3.11\n") }, "stack", []string{"Python 3.11", "dependencies"}},
		"the owner":        {func(m fstest.MapFS, s *Source) { s.Owner = "1001" }, "stack", above("Python 3.12")},
		"the stack":        {func(m fstest.MapFS, s *Source) {}, "other stack", all},
		"the Procfile":     {func(m fstest.MapFS, s *Source) { set(m, "Procfile", "web: gunicorn -w 2 web:app\n") }, "stack", nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := keys(t, keyed(), Source{Digest: "digest", Owner: "1000"}, "stack")
			m, src := keyed(), Source{Digest: "digest", Owner: "1000"}
			c.change(m, &src)
			var changed []string
			after := keys(t, m, src, c.stack)
			for name, key := range after {
				if !slices.Contains(slices.Collect(maps.Values(before)), key) {
					changed = append(changed, name)
				}
			}
			slices.Sort(changed)
			want := slices.Sorted(slices.Values(c.want))
			if !slices.Equal(changed, want) {
				t.Errorf("rebuilt: got %q, want %q", changed, want)
			}
		})
	}
}

func set(m fstest.MapFS, name, content string) { m[name] = &fstest.MapFile{Data: []byte(content)} }

// keys returns the key of each layer by its name.
func keys(t *testing.T, m fstest.MapFS, src Source, stack string) map[string]string {
	t.Helper()
	src.FS = m
	plan, err := Detect(src, stack)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]string{}
	for _, l := range plan.Layers {
		name := l.Name
		if l.Build && name == "apt-packages" {
			name += " (build)"
		}
		byName[name] = l.Key
	}
	if len(byName) != len(plan.Layers) {
		t.Fatalf("two layers share a name: %d names of %d layers", len(byName), len(plan.Layers))
	}
	return byName
}

func TestKeys_LocalRequirementMakesTheWholeTreeAnInput(t *testing.T) {
	for _, requirement := range []string{"-e .", "./lib", ".", "lib/x", "mylib @ file:///src/lib", "wheels/x-1-py3-none-any.whl", "-f wheels"} {
		m := repo("web.py", flaskApp, "requirements.txt", "flask\n"+requirement+"\n")
		one := keys(t, m, Source{Digest: "one"}, "stack")
		two := keys(t, m, Source{Digest: "two"}, "stack")
		if one["dependencies"] == two["dependencies"] {
			t.Errorf("%s: a change of the tree left the dependencies as they were", requirement)
		}
		if one["Python build tools"] != two["Python build tools"] {
			t.Errorf("%s: a change of the tree changed the build tools", requirement)
		}
	}
}

func TestKeys_EveryFieldOfALayerCounts(t *testing.T) {
	c := &chain{src: Source{FS: repo("a", "1", "b", "1"), Digest: "tree", Owner: "me"}, plan: &Plan{}}
	base := Layer{Name: "n", Parent: "p", Builder: "q", Inputs: []string{"a"}, Commands: []Command{{Args: []string{"x", "y"}, Dir: "/"}}, Env: []string{"A=1"}, Caches: []Cache{{"c", "/c"}}}
	seen := map[string]string{}
	for name, change := range map[string]func(*Layer){
		"base":    func(*Layer) {},
		"name":    func(l *Layer) { l.Name = "m" },
		"parent":  func(l *Layer) { l.Parent = "o" },
		"builder": func(l *Layer) { l.Builder = "r" },
		"root":    func(l *Layer) { l.Root = true },
		"build":   func(l *Layer) { l.Build = true },
		"input":   func(l *Layer) { l.Inputs = []string{"b"} }, // same content, another path
		"tree":    func(l *Layer) { l.Inputs = []string{"."} },
		"joined":  func(l *Layer) { l.Commands = []Command{{Args: []string{"x y"}, Dir: "/"}} },
		"two": func(l *Layer) {
			l.Commands = []Command{{Args: []string{"x"}, Dir: "/"}, {Args: []string{"y"}, Dir: "/"}}
		},
		"dir":      func(l *Layer) { l.Commands = []Command{{Args: []string{"x", "y"}, Dir: "/app"}} },
		"env":      func(l *Layer) { l.Env = []string{"A=2"} },
		"cache":    func(l *Layer) { l.Caches = []Cache{{"d", "/c"}} },
		"target":   func(l *Layer) { l.Caches = []Cache{{"c", "/d"}} },
		"no cache": func(l *Layer) { l.Caches = nil },
	} {
		l := base
		change(&l)
		key, err := c.key(l)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[key] = name
	}
	told := base
	told.Passes, told.Failure = []string{"HTTP_PROXY"}, &Problem{}
	if key, _ := c.key(told); seen[key] != "base" {
		t.Error("what does not decide of the content changed the key")
	}
}

func TestLayers_TwoBranches(t *testing.T) {
	plan := detect(t, keyed())
	byKey := map[string]Layer{"stack": {Name: "stack"}}
	for _, l := range plan.Layers {
		parent, ok := byKey[l.Parent]
		if !ok {
			t.Fatalf("%s stands on %s, which is not made before it", l.Name, l.Parent)
		}
		if parent.Build && !l.Build {
			t.Errorf("%s, which runs, stands on %s, which only builds", l.Name, parent.Name)
		}
		if !l.Root && !byKey[l.Builder].Build {
			t.Errorf("%s is not built by a Build layer", l.Name)
		}
		byKey[l.Key] = l
	}
	if got := byKey[plan.Base()].Name; got != "dependencies" {
		t.Errorf("the source stands on %q, want the dependencies", got)
	}
	if got := (&Plan{stack: "stack"}).Base(); got != "stack" {
		t.Errorf("a plan without layers stands on %q, want the stack", got)
	}
	for _, l := range plan.Layers {
		if l.Failure == nil || !strings.HasPrefix(l.Failure.Code, "E2") {
			t.Errorf("%s does not say what its failure means", l.Name)
		}
	}
}
