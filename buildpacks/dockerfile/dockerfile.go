// Package dockerfile plans apps that describe their image themselves. What the
// image runs, and in which environment, is known once it is built.
package dockerfile

import (
	"errors"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

const file = "Dockerfile"

// Evidence names the Dockerfile of a tree; "" is none.
func Evidence(t *source.Tree) string {
	if t.Has(file) {
		return file
	}
	return ""
}

// Plan fills in the plan of an app with a Dockerfile.
func Plan(p *plan.Plan, c *plan.Chain) error {
	text, err := c.Tree.Text(file, source.MaxManifest)
	if source.Missing(err) {
		return source.Problemf(source.CodeDockerfile, "there is no %s", file).Hint("write one, or let berth choose: builder:set APP selected ''")
	}
	if err != nil {
		return err
	}
	base, health, err := lastStage(text)
	if err != nil {
		return err
	}
	if health != "" {
		c.Tree.Note("HEALTHCHECK is ignored; set healthchecks in app.json")
	}
	p.Summary = "Dockerfile (FROM " + source.Printable(base) + ")"
	p.Dockerfile, p.Sealed = file, true
	return nil
}

// Failed is the problem (E235) of a Dockerfile of which a line could not be
// followed.
func Failed(at, why, line string) *source.Problem {
	return source.Problemf(source.CodeDockerfile, "%s: %s", at, why).With(line)
}

// NoCommand is the problem (E202) of an image that nothing says how to start.
func NoCommand() *source.Problem {
	return source.Problemf(source.CodeNoProcess, "found no process to start: the image has neither CMD nor ENTRYPOINT").
		Hint("give it one, or write a Procfile with a line such as: web: ./server")
}

// lastStage returns the image that the last stage begins with, and its
// HEALTHCHECK, "" for none. What else is wrong with the file its build will say.
func lastStage(text string) (base, health string, err error) {
	result, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		if at, ok := errors.AsType[*parser.LocationError](err); ok && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
			n, all := at.Locations[0][0].Start.Line, source.Lines(text)
			if n > 0 && n <= len(all) {
				return "", "", source.Problemf(source.CodeDockerfile, "%s, line %d: %s", file, n, source.Printable(err.Error())).
					With(source.Printable(all[n-1]))
			}
		}
		return "", "", source.Problemf(source.CodeDockerfile, "%s: %s", file, source.Printable(err.Error()))
	}
	for _, node := range result.AST.Children {
		switch {
		case node.Next == nil:
		case strings.EqualFold(node.Value, "from"):
			base, health = node.Next.Value, ""
		case strings.EqualFold(node.Value, "healthcheck") && !strings.EqualFold(node.Next.Value, "none"):
			health = node.Original
		}
	}
	if base == "" {
		return "", "", source.Problemf(source.CodeDockerfile, "%s has no FROM", file).
			Hint("an image begins with another one, or with nothing: FROM scratch")
	}
	return base, health, nil
}
