package build

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Test runs the app's tests, if it has any, in what was built with the
// dependencies of development, as the app's user and with a build's limits. It
// keeps nothing of what they leave.
func (b *Builder) test(ctx context.Context, record store.App, build store.Build, made *plan.Plan, img Image, tree *source, out *progress.Report) error {
	if made.Test == nil {
		return nil
	}
	leave, err := b.awaitPlace(ctx, out)
	if err != nil {
		return err
	}
	defer leave()
	title := progress.Clip(progress.OneLine(made.Test.Command), 40)
	out.Step("Test", "%s", title)
	began := time.Now()
	var count testCount
	err = out.Timed("test", func() error {
		return b.buildAllowance("the test run", code.TestsTimeout).spend(ctx, func(ctx context.Context) error {
			return because(ctx, b.engine.Rehearse(ctx, testSpec(record, made, img, tree), io.MultiWriter(out, &count)))
		})
	})
	if err == nil {
		b.deploys.RecordEvent(store.Event{App: record.Name, By: build.By, Kind: "test", Text: fmt.Sprintf("build %d: %s", build.Number, count.text())})
		out.Step("Test", "%s", progress.RightAligned(title+" ... "+count.text(), progress.Seconds(time.Since(began)), progress.Columns-len("-----> Test     ")))
		return nil
	}
	err = b.testFault(ctx, record, made.Test, err)
	b.deploys.RecordEvent(store.Event{App: record.Name, By: build.By, Kind: "test", Text: fmt.Sprintf("build %d: %s", build.Number, progress.Reason(err))})
	return err
}

// testSpec is what runs the tests: the source on the layer that the plan names.
func testSpec(record store.App, made *plan.Plan, img Image, tree *source) runtime.LayerSpec {
	spec := runtime.LayerSpec{
		Parent: made.Test.Layer, UID: record.UID, Source: tree.path,
		Limits: buildLimits(), Disk: buildRoom(),
	}
	if spec.Parent == "" {
		spec.Parent = img.Base
	}
	shell, dir := "/bin/bash", "/app"
	if img.Foreign != nil {
		spec.Foreign, shell, dir = true, "/bin/sh", img.Foreign.Dir
	}
	if made.Test.Whole || made.Sealed && made.Test.Layer == "" {
		spec.Source = ""
	}
	env := testEnv(made)
	for _, line := range []string{made.Test.Setup, made.Test.Command} {
		if line != "" {
			spec.Commands = append(spec.Commands, runtime.Command{Args: []string{shell, "-c", line}, Env: env, Dir: dir})
		}
	}
	return spec
}

// testEnv is the environment of the tests: the plan's, what app.json gives
// them, and CI. The app's config is no part of it: tests that empty the
// database they find must not find the real one.
func testEnv(made *plan.Plan) []string {
	env := maps.Clone(made.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, made.Test.Env)
	own, secrets := made.Manifest.TestEnv()
	for _, name := range secrets {
		env[name] = hex.EncodeToString(secret())
	}
	maps.Copy(env, own)
	env["CI"] = "true"
	if env["PORT"] == "" {
		env["PORT"] = strconv.Itoa(store.UsualPort)
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// testFault says how tests failed, with the end of what they printed.
func (b *Builder) testFault(ctx context.Context, record store.App, test *plan.Test, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if fault.From(err) != nil { // the allowance is spent
		return err
	}
	if short, ok := errors.AsType[*runtime.DiskError](err); ok {
		return b.outgrown(plan.Layer{Name: "the tests"}, record, short)
	}
	failed, ok := errors.AsType[*runtime.CommandError](err)
	if !ok {
		return fault.ExplainDiskFull(fmt.Errorf("run the tests: %w", err))
	}
	what, line := "the tests", test.Command
	if len(failed.Args) == 3 && failed.Args[2] == test.Setup {
		what, line = "the setup of the tests", test.Setup
	}
	f := fault.New(fault.Failed, code.TestsFailed, "%s failed: %s", what, describe(failed.Exit)).With("it ran: " + progress.Clip(progress.OneLine(line), 200))
	lines := Quoted(failed.Tail)
	f = advise(f.With(lines...), lines, failed.Exit)
	return f.Hint("tests do not see the app's config; set their variables in environments.test.env of app.json")
}

// testCount finds in the output of tests how many there were, as each of the
// usual programs says in words of its own.
type testCount struct{ n int }

// A program that tells of its files and of its tests tells of more tests.
// cargo tells of each of the binaries that it tests.
var (
	counts = []*regexp.Regexp{
		regexp.MustCompile(`\b(\d{1,9}) (?:passed|passing)\b`), // pytest, jest, vitest; mocha
		regexp.MustCompile(`\bRan (\d{1,9}) tests?\b`),         // unittest
		regexp.MustCompile(`\bTests run: (\d{1,9})\b`),         // JUnit
		regexp.MustCompile(`\b(\d{1,9}) (?:examples|runs), `),  // RSpec; minitest
		regexp.MustCompile(`^# pass (\d{1,9})`),                // node --test
	}
	cargoCount = regexp.MustCompile(`^test result: \w+\. (\d{1,9}) passed`)
)

// Write takes a whole line, as a build gives it.
func (c *testCount) Write(p []byte) (int, error) {
	line := fault.Printable(string(p))
	if m := cargoCount.FindStringSubmatch(line); m != nil {
		n, _ := strconv.Atoi(m[1])
		c.n += n
		return len(p), nil
	}
	for _, re := range counts {
		if m := re.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			c.n = max(c.n, n)
		}
	}
	return len(p), nil
}

func (c *testCount) text() string {
	if c.n == 0 {
		return "passed"
	}
	return fmt.Sprintf("%d passed", c.n)
}

// secret makes up 32 bytes.
func secret() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}
