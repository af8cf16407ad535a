package python

import (
	"fmt"
	goruntime "runtime"
	"slices"

	"github.com/berthd/berth/buildpacks/node"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// What a Python app's layers are made of. Names and versions are parts of
// keys: a change rebuilds the layer for everybody.
const uvVersion = "0.13.9"

var (
	// runtimeLibraries are what packages built from source usually need while
	// they run: database clients, XML, images, OpenMP.
	runtimeLibraries = []string{"ca-certificates", "libffi8", "libgomp1", "libjpeg62-turbo", "libmagic1t64", "libmariadb3",
		"libpq5", "libxml2", "libxslt1.1", "media-types", "tzdata"}

	// buildTools is what it takes to build such packages, and pip to get uv.
	buildTools = []string{"g++", "gcc", "git", "libffi-dev", "libjpeg62-turbo-dev", "libmariadb-dev", "libpq-dev",
		"libssl-dev", "libxml2-dev", "libxslt1-dev", "make", "pkg-config", "python3-pip", "zlib1g-dev"}
)

// netPasses are the operator's variables that say where things come from.
var netPasses = slices.Concat(plan.NetPasses, indexPasses)

var indexPasses = []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_PYTHON_INSTALL_MIRROR"}

// toolchain returns what an app on that Python stands on: the suite's own
// packages, or, where uv brings the Python, the stack's.
func (v pythonVersion) toolchain() plan.Toolchain {
	t := plan.Toolchain{
		Title:  "Python",
		Passes: indexPasses,
		Hints: []string{"the app is not the cause: check that this machine can reach Debian's archive and PyPI",
			"then push the same commit again"},
	}
	switch {
	case v.debian == nil || v.stack():
		t.Runtime = plan.AptInstall(slices.Concat(runtimeLibraries, []string{"python3"})...)
		t.Build = plan.AptInstall(slices.Concat(buildTools, []string{"python3-dev"})...)
	default:
		python, libraries := fmt.Sprintf("python3.%d", v.minor), runtimeLibraries
		if v.debian.suite == plan.Forky {
			libraries = slices.Clone(libraries)
			libraries[slices.Index(libraries, "libxml2")] = "libxml2-16"
		}
		t.Title += fmt.Sprintf(" 3.%d", v.minor)
		t.Runtime = plan.AptInstallFrom(v.debian.suite, slices.Concat(libraries, []string{python})...)
		if v.minor < 12 {
			// Parts of these Pythons' own library that Debian packages apart, for its default Python alone.
			t.Runtime = slices.Concat(t.Runtime, plan.AptUnpackFrom(v.debian.suite, "python3-distutils", "python3-lib2to3"))
		}
		t.Build = plan.AptInstallFrom(v.debian.suite, slices.Concat(buildTools, []string{python + "-dev"})...)
	}
	t.Build = append(t.Build, plan.Command{Args: []string{"pip", "install", "--break-system-packages", "--no-cache-dir", "--no-input",
		"--root-user-action=ignore", "--disable-pip-version-check", "--retries=5", "uv==" + uvVersion}})
	if v.archive != nil {
		python := plan.FromMirror("Python "+v.String(), *v.archive, plan.Unpack(mirrorHome))
		python.Keep = []string{mirrorHome[1:]}
		t.Tools = append(t.Tools, python)
	}
	return t
}

// layers stacks the app's layers: the toolchain, a Python of its own, the
// dependencies, and what is made of the source.
func (p *project) layers(out *plan.Plan, c *plan.Chain, v pythonVersion, m *manifest, entry entryPoint, found bool) error {
	top, builder, err := c.Toolchain(v.toolchain())
	if err != nil {
		return err
	}
	if top, err = p.libraries(c, top, m); err != nil {
		return err
	}
	env := uvEnv
	if v.debian == nil && v.archive == nil {
		env = slices.Concat(env, []string{"UV_PYTHON_INSTALL_DIR=" + pythonHome, "UV_PYTHON_INSTALL_BIN=0"})
		top, err = c.Add(plan.Layer{
			Name: "Python " + v.String(), Builder: builder, Env: env, Passes: netPasses,
			Commands: []plan.Command{{Args: []string{"uv", "python", "install", "--no-config", v.String()}, Dir: "/app"}},
			Caches:   []plan.Cache{{Name: "uv", Target: uvCache}},
			Failure:  p.mirror.Tell(versionFailure(v)),
		}, top)
		if err != nil {
			return err
		}
	}
	env = slices.Concat(env, []string{"UV_PYTHON_DOWNLOADS=never"})
	deps := p.dependencies(v, m, entry, found)
	deps.Builder, deps.Env = builder, slices.Concat(env, deps.Env)
	if top, err = c.Add(deps, top); err != nil {
		return err
	}
	if c.WantsTest() {
		if err := p.test(out, c, v, m, builder, env, top); err != nil {
			return err
		}
	}
	if top, err = p.frontend.Lay(out, c, top, node.Ground{}); err != nil {
		return err
	}
	if p.django == nil || !p.django.collects(p) {
		return nil
	}
	static := p.django.static(p.programEnv(out.Env))
	static.Builder, static.Source = builder, !out.Sealed
	_, err = c.Add(static, top)
	out.Sealed = true // the source is below what was collected
	return err
}

// programEnv is the environment of a layer that runs the app's own programs.
// Of the plan's it is what does not have to give way to the config.
func (p *project) programEnv(env map[string]string) (list []string) {
	for _, name := range []string{"PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONUNBUFFERED", "LANG"} {
		if value, ok := env[name]; ok {
			list = append(list, name+"="+value)
		}
	}
	return append(list, "HOME=/tmp")
}

func versionFailure(v pythonVersion) *source.Problem {
	from, whole := v.from, v.exact
	if whole == "" {
		whole = fmt.Sprintf("3.%d.PATCH", v.minor)
	}
	machine := "x86_64"
	if goruntime.GOARCH == "arm64" {
		machine = "aarch64"
	}
	if from == "" {
		from = "the release before"
	}
	return source.Problemf(source.CodeNoVersion, "Python %s could not be downloaded", v).
		With(from+" asks for it; "+atHand()).
		Hint("ask for 3.%d, which is installed", stackMinor).
		Hint("or set UV_PYTHON_INSTALL_MIRROR for berth, if uv's own host cannot be reached").
		Hint("or put cpython-%s+DATE-%s-unknown-linux-gnu-install_only.tar.gz, of python-build-standalone,", whole, machine).
		Hint("into the folder python of this server's mirror; berth builder:mirror says where that is")
}
