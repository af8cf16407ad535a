package heroku

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/packtest"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

func TestPlan_BuildpacksOfTheRepository(t *testing.T) {
	p := packtest.Plan(t, Plan([]string{"first", "second"}), packtest.App(t, "heroku-local"))
	if !p.Sealed || p.Late == nil {
		t.Errorf("the build holds the source and names the processes: sealed %t, late %v", p.Sealed, p.Late)
	}
	l := packtest.Layer(t, p, "buildpacks")
	if args := l.Commands[0].Args; !strings.HasSuffix(strings.Join(args, " "), "bash first second") || l.Config != plan.ConfigBakes || !l.Source {
		t.Errorf("layer: args end in %q, config %d, source %t", args[3:], l.Config, l.Source)
	}
}

func TestCheck_WhatCanBeABuildpack(t *testing.T) {
	tree := &source.Tree{FS: packtest.Repo("pack/bin/compile", "", "empty/README", "")}
	for pack, want := range map[string]string{
		"https://git.example/a/b":           "https://git.example/a/b",
		"https://git.example/a/b.git#v1.2":  "https://git.example/a/b.git#v1.2",
		"https://git.example:8443/x.tgz":    "https://git.example:8443/x.tgz",
		"pack":                              "pack",
		"./pack/":                           "pack",
		"empty":                             "",
		"../pack":                           "",
		"/etc":                              "",
		"-pack":                             "",
		"http://git.example/a/b":            "",
		"ssh://git.example/a":               "",
		"ext::sh -c id://x":                 "",
		"file:///etc":                       "",
		"https://u:p@git.example/a":         "",
		"https://git.example/a#--upload":    "https://git.example/a#--upload", // an argument that begins with refs, never an option: see compile.sh
		"https://git.example/a b":           "",
		"https://git.example/$(id)":         "",
		"https://git.example/a#b#c":         "",
		"https://git.example/a\nhttps://b/": "",
	} {
		got, p := Check(tree, pack)
		if got != want || (p == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", pack, got, p, want)
		}
	}
}

func TestRelease_NamesProcessesAndConfig(t *testing.T) {
	p := &plan.Plan{Processes: []plan.Process{{Type: "web", Command: "mine"}}, Env: map[string]string{"A": "1"}}
	err := readRelease([]byte("---\naddons: []\nconfig_vars:\n  A: 2\n  B: x\ndefault_process_types:\n  web: theirs\n  worker: \"do: it\"\n"), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := packtest.Command(p, "web") + "," + packtest.Command(p, "worker"); got != "mine,do: it" {
		t.Errorf("processes: got %q", got)
	}
	if p.Env["A"] != "1" || p.Env["B"] != "x" {
		t.Errorf("env: got %v", p.Env)
	}
	for _, text := range []string{"a: [", "default_process_types: 3", "default_process_types:\n  'a b': x", "default_process_types:\n  web: \"x\\ny\"", ""} {
		if _, ok := errors.AsType[*source.Problem](readRelease([]byte(text), &plan.Plan{Env: map[string]string{}})); !ok {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzRelease(f *testing.F) {
	f.Add("default_process_types:\n  web: x\n")
	f.Add("a: &a [*a, *a]\n")
	f.Fuzz(func(t *testing.T, text string) { readRelease([]byte(text), &plan.Plan{Env: map[string]string{}}) })
}

// The script itself, with git and without a container.
func TestCompile_FetchesWithGitAndKeepsTheClone(t *testing.T) {
	dir := t.TempDir()
	sh := func(line string, env ...string) string {
		t.Helper()
		cmd := exec.Command("bash", "-c", line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append([]string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a"}, env...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%.100s: %v\n%s", line, err, out)
		}
		return string(out)
	}
	sh(`git init -q pack && cd pack && mkdir bin && printf '#!/bin/sh\necho Old\n' >bin/detect && printf '#!/bin/sh\necho compiled; touch "$1/built"; cp "$3/KEY" "$1/key"; test -z "$KEY"\n' >bin/compile &&
		git add -A && git commit -qm one && git tag v1 && printf '#!/bin/sh\necho New\n' >bin/detect && git commit -qam two`)
	run := func(pack string) (string, string) {
		t.Helper()
		app := filepath.Join(dir, "app")
		sh("rm -rf app scratch && mkdir -p app scratch && echo x >app/.hidden")
		cmd := exec.Command("bash", "-c", compile, "bash", pack)
		cmd.Env = append(os.Environ(), "APP_DIR="+app, "CACHE_DIR="+dir+"/cache", "SCRATCH_DIR="+dir+"/scratch", "BERTH_CONFIG=KEY", "KEY=secret value")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out), ""
		}
		return string(out), sh("cd app && cat .hidden key && ls built .berth")
	}
	repository := "file://" + dir + "/pack"
	for pack, says := range map[string]string{
		repository: "-> New\ncompiled\n", repository + "#v1": "-> Old\ncompiled\n",
		repository + "#" + strings.TrimSpace(sh("git -C pack rev-parse --short v1")): "-> Old\ncompiled\n",
	} {
		out, left := run(pack)
		if out != says || left != "x\nsecret valuebuilt\n\n.berth:\nprofile.sh\nrelease.yml\n" {
			t.Errorf("%s: said %q, left %q", pack, out, left)
		}
	}
	if out, _ := run(repository + "#nowhere"); !strings.Contains(out, "cannot be fetched") {
		t.Errorf("a ref that is not there: said %q", out)
	}
	if out, _ := run(repository + "#--upload-pack=id"); !strings.Contains(out, "cannot be fetched") {
		t.Errorf("a ref that looks like an option: said %q", out)
	}
}
