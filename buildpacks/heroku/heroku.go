// Package heroku plans apps that bring their own buildpacks, of the kind that
// Heroku calls classic: programs bin/detect, bin/compile and bin/release, from
// a git repository or a directory of the app's own.
//
// What they build depends on the whole tree and on what they download, so all
// of it is one layer; what they keep in their cache makes the next one cheap.
package heroku

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// compile runs the buildpacks in the build container.
//
//go:embed compile.sh
var compile string

// maxPacks bounds the buildpacks of one app; real ones have up to five.
const maxPacks = 20

// The packages that buildpacks take for granted, as far as they are of use: a
// part of what Heroku's stack images hold.
var (
	runtimePackages = []string{"bzip2", "ca-certificates", "file", "imagemagick", "libgomp1", "libicu76", "libjpeg62-turbo", "libmagic1",
		"libmariadb3", "libpq5", "libsqlite3-0", "libxml2", "libxslt1.1", "libyaml-0-2", "openssl", "unzip", "xz-utils", "zip"}
	buildPackages = []string{"autoconf", "bison", "build-essential", "cmake", "git", "gettext", "jq", "libcurl4-openssl-dev", "libffi-dev",
		"libicu-dev", "libjpeg-dev", "libmariadb-dev", "libpq-dev", "libreadline-dev", "libsqlite3-dev", "libssl-dev", "libxml2-dev",
		"libxslt1-dev", "libyaml-dev", "patch", "pkg-config", "python3", "rsync", "wget", "zlib1g-dev"}
)

// address is what a buildpack is fetched from: https with a path, and #REF.
var address = source.NewPattern(`^https://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~%+-]+)+/?(#[A-Za-z0-9._/-]+)?$`)

// Check returns the buildpack to run: an address, or a directory of the tree.
// Its problem has no position; the caller knows the line.
func Check(t *source.Tree, pack string) (string, *source.Problem) {
	if strings.Contains(pack, "://") {
		if !address.MatchString(pack) {
			return "", source.Problemf(source.CodeBuildpacks, "%s cannot be fetched", source.Printable(pack)).
				Hint("a buildpack comes from https://HOST/PATH, with #REF for a branch, a tag or a commit")
		}
		return pack, nil
	}
	dir := path.Clean(pack)
	if path.IsAbs(dir) || dir == ".." || strings.HasPrefix(dir, "../") || strings.HasPrefix(dir, "-") {
		return "", source.Problemf(source.CodeBuildpacks, "%s is outside the repository", source.Printable(pack))
	}
	if !t.Has(path.Join(dir, "bin/compile")) {
		return "", source.Problemf(source.CodeBuildpacks, "there is no buildpack %s", source.Printable(pack)).
			Hint("a buildpack is an https address, or a directory of the repository with bin/detect and bin/compile")
	}
	return dir, nil
}

// Plan returns the plan of an app that is built by the buildpacks, which Check
// has found good.
func Plan(packs []string) func(*plan.Plan, *plan.Chain) error {
	return func(p *plan.Plan, c *plan.Chain) error {
		if len(packs) > maxPacks {
			return source.Problemf(source.CodeBuildpacks, "%d buildpacks; an app can have at most %d", len(packs), maxPacks)
		}
		top, builder, err := c.Toolchain(plan.Toolchain{
			Title:   "buildpack",
			Runtime: plan.AptInstall(runtimePackages...),
			Build:   plan.AptInstall(buildPackages...),
		})
		if err != nil {
			return err
		}
		_, err = c.Add(plan.Layer{
			Name: "buildpacks", Builder: builder, Source: true,
			Commands: []plan.Command{{Args: append([]string{"bash", "-c", compile, "bash"}, packs...)}},
			Caches:   []plan.Cache{{Name: "heroku", Target: "/cache/heroku"}},
			Config:   plan.ConfigBakes,
			Passes:   plan.NetPasses,
			Failure: source.Problemf(source.CodeOutput, "the buildpacks did not build this app").
				Hint("their output is above; %s ran as the app's user, on Debian 13", strings.Join(packs, ", ")),
		}, top)
		if err != nil {
			return err
		}
		for _, pack := range packs {
			if strings.Contains(pack, "://") && !strings.Contains(pack, "#") {
				c.Tree.Note("%s has no #REF: each build takes its newest commit", pack)
			}
		}
		p.Sealed = true
		p.Summary = fmt.Sprintf("Heroku buildpacks: %s", strings.Join(packs, ", "))
		p.Env = map[string]string{"BASH_ENV": "/app/" + source.OwnDir + "/profile.sh", "LANG": "C.UTF-8", "STACK": "heroku-24"}
		p.Late = &plan.Late{File: "app/" + source.OwnDir + "/release.yml", Read: readRelease}
		return nil
	}
}

// readRelease reads what bin/release printed: processes that no Procfile names,
// and config that the app has none of.
func readRelease(data []byte, p *plan.Plan) error {
	var release struct {
		Processes map[string]string `yaml:"default_process_types"`
		Config    map[string]string `yaml:"config_vars"`
	}
	if err := yaml.Unmarshal(data, &release); err != nil {
		return source.Problemf(source.CodeOutput, "the buildpack's bin/release printed no YAML: %s", source.Printable(err.Error()))
	}
	for _, kind := range source.SortedKeys(release.Processes) {
		command := strings.TrimSpace(release.Processes[kind])
		if !source.ProcessType.MatchString(kind) || command == "" || source.Visible(command) != command {
			return source.Problemf(source.CodeOutput, "the buildpack's bin/release names an invalid process: %s", source.Printable(kind+": "+command))
		}
		p.Infer(kind, command)
	}
	for _, name := range source.SortedKeys(release.Config) {
		if _, set := p.Env[name]; !set {
			p.Env[name] = release.Config[name]
		}
	}
	if len(p.Processes) == 0 {
		return source.Problemf(source.CodeNoProcess, "found no process to start").
			With("looked for a Procfile, and at what the buildpack's bin/release names").
			Hint("write a file named Procfile with a line such as: web: ./server")
	}
	return nil
}
