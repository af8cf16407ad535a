package deploy

import (
	"slices"
	"testing"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
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
