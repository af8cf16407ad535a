package shell

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
)

func script(name, text string, mode fs.FileMode) fstest.MapFS {
	return fstest.MapFS{name: {Data: []byte(text), Mode: mode}}
}

func TestPlan_StartsTheScriptAsItsFirstLineSays(t *testing.T) {
	for name, c := range map[string]struct {
		tree      fs.FS
		web, note string
	}{
		"the test app":      {packtest.App(t, "shell-start"), "sh start.sh", ""},
		"no first line":     {script("start.sh", "exec x\n", 0o644), "bash start.sh", ""},
		"executable, none":  {script("start.sh", "exec x\n", 0o755), "bash start.sh", ""},
		"executable":        {script("run.sh", "#!/bin/sh\n", 0o755), "./run.sh", ""},
		"env":               {script("start.sh", "#!/usr/bin/env bash\n", 0o644), "bash start.sh", ""},
		"arguments":         {script("start.sh", "#!/bin/bash -e\n", 0o644), "bash -e start.sh", ""},
		"Windows":           {script("start.sh", "#!/bin/bash\r\nexec x\r\n", 0o755), "bash start.sh", ""},
		"not at hand":       {script("start.sh", "#!/usr/bin/env -S ruby -w\n", 0o644), "ruby -w start.sh", "apt-packages"},
		"empty":             {script("start.sh", "", 0o644), "bash start.sh", ""},
		"hostile":           {script("start.sh", "#!/bin/sh ;rm\n", 0o644), "sh ';rm' start.sh", ""},
		"the first of both": {packtest.Repo("run.sh", "", "start.sh", ""), "bash start.sh", ""},
	} {
		made := packtest.Plan(t, Plan, c.tree)
		if got := packtest.Command(made, "web"); got != c.web {
			t.Errorf("%s: web: got %q, want %q", name, got, c.web)
		}
		if notes := strings.Join(made.Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: notes: got %q, want %q", name, notes, c.note)
		}
		if len(made.Layers) != 0 {
			t.Errorf("%s: builds %q, want nothing", name, packtest.Names(made))
		}
	}
}

func TestKeys_OnlyPackagesAreBuilt(t *testing.T) {
	before := packtest.Repo("start.sh", "a", "apt-packages", "jq\n")
	after := packtest.Repo("start.sh", "b", "apt-packages", "jq\n", "README.md", "hi")
	changed := packtest.Request(after)
	changed.Digest = "other"
	if got := packtest.Rebuilt(t, Plan, packtest.Request(before), changed); got != nil {
		t.Errorf("a changed script rebuilds %q", got)
	}
	more := packtest.Request(packtest.Repo("start.sh", "a", "apt-packages", "jq socat\n"))
	if got, want := packtest.Rebuilt(t, Plan, packtest.Request(before), more), []string{"apt-packages"}; !slices.Equal(got, want) {
		t.Errorf("another package rebuilds %q, want %q", got, want)
	}
}

func TestPlan_ChosenWithoutAScript(t *testing.T) {
	if p, _ := packtest.Problem(t, Plan, packtest.Repo("README.md", "hi")); p.Code != "E202" {
		t.Errorf("code: got %s, want E202", p.Code)
	}
	made := packtest.Plan(t, Plan, packtest.Repo("Procfile", "web: bash x\n"))
	if got := packtest.Command(made, "web"); got != "bash x" {
		t.Errorf("web: got %q, want the Procfile's", got)
	}
}

func FuzzStart(f *testing.F) {
	f.Add("#!/usr/bin/env -S a b\r\n")
	f.Add("#!")
	f.Fuzz(func(t *testing.T, text string) {
		made, err := packtest.Make(Plan, plan.Request{FS: packtest.Repo("start.sh", text)})
		if err == nil && packtest.Command(made, "web") == "" {
			t.Error("nothing is started")
		}
	})
}
