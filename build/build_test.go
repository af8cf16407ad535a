package build

import (
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/buildpacks/plan"
	problems "github.com/berthd/berth/buildpacks/source"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

func TestOperators_WhatIsSetReachesALayerThatAsks(t *testing.T) {
	t.Setenv("npm_config_registry", "https://npm.example")
	t.Setenv("npm_config_userconfig", "/etc/berth/npmrc")
	t.Setenv("SECRET", "1")
	env, files := operators(plan.Layer{Passes: []string{"npm_config_registry", "NOT_SET"}, PassesFiles: []string{"npm_config_userconfig", "NEITHER"}})
	if want := []string{"npm_config_registry=https://npm.example", "npm_config_userconfig=/run/operator/npm_config_userconfig"}; !slices.Equal(env, want) {
		t.Errorf("variables: got %q, want %q", env, want)
	}
	if want := []runtime.Mount{{Source: "/etc/berth/npmrc", Target: "/run/operator/npm_config_userconfig"}}; !slices.Equal(files, want) {
		t.Errorf("files: got %v, want %v", files, want)
	}
}

func TestBuildFault_WithoutANetworkSpeaksOfTheNetwork(t *testing.T) {
	layer := plan.Layer{Name: "apt-packages", Failure: problems.Problemf(problems.CodeApt, "the packages could not be installed").Hint("check the names in Debian 13")}
	f := fault.From(newBuilder(t).buildFault("shop", layer, &runtime.CommandError{Args: []string{"bash"}, Exit: runtime.Exit{Code: 1}, Tail: []string{"cannot resolve archive.example.org: no such host, or no DNS server answers"}}))
	hints := strings.Join(f.Hints, "\n")
	if f.Code != problems.CodeApt || !strings.Contains(hints, "cannot reach archive.example.org") || strings.Contains(hints, "check the names") {
		t.Errorf("got %s, hints %q", f.Code, hints)
	}
}

func TestBuildFault_OfACommandThatWasKilledNamesTheMemory(t *testing.T) {
	for _, exit := range []runtime.Exit{{Code: 137, Signal: 9, OOM: true}, {Code: 137, Signal: 9}} {
		layer := plan.Layer{Name: "Python dependencies", Failure: problems.Problemf("E2xx", "the dependencies could not be installed").Hint("is it spelt so?")}
		f := fault.From(newBuilder(t).buildFault("shop", layer, &runtime.CommandError{Args: []string{"/usr/bin/uv", "pip"}, Exit: exit, Tail: []string{"Building wheel"}}))
		all := f.Message + "\n" + strings.Join(f.Hints, "\n")
		if f.Code != code.BuildKilled || !strings.Contains(all, "memory") || !strings.Contains(all, "uv") {
			t.Errorf("%+v: got %s %s", exit, f.Code, all)
		}
	}
}

func TestBuilds_HaveAPort(t *testing.T) {
	if env := configEnv(map[string]string{"A": "1"}, ""); !slices.Contains(env, "PORT=5000") || !slices.Contains(env, "BERTH_CONFIG=A") {
		t.Errorf("without one in the config: got %q", env)
	}
	if env := configEnv(map[string]string{"PORT": "8080"}, ""); !slices.Contains(env, "PORT=8080") || slices.Contains(env, "PORT=5000") {
		t.Errorf("with one in the config: got %q", env)
	}
}

func TestBuilds_HaveTheCommit(t *testing.T) {
	env := configEnv(map[string]string{"GIT_REV": "mine"}, "4f1c9ab")
	if !slices.Contains(env, "SOURCE_VERSION=4f1c9ab") || !slices.Contains(env, "GIT_REV=mine") || slices.Contains(env, "GIT_REV=4f1c9ab") || !slices.Contains(env, "BERTH_CONFIG=GIT_REV") {
		t.Errorf("got %q", env)
	}
}
