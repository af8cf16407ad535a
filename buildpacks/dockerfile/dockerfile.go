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
	base, err := lastBase(text)
	if err != nil {
		return err
	}
	p.Summary = "Dockerfile (FROM " + source.Printable(base) + ")"
	p.Dockerfile, p.Sealed = file, true
	return nil
}

// lastBase returns the image that the last stage begins with. What else is
// wrong with the file its build will say.
func lastBase(text string) (string, error) {
	result, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		if at, ok := errors.AsType[*parser.LocationError](err); ok && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
			n, all := at.Locations[0][0].Start.Line, source.Lines(text)
			if n > 0 && n <= len(all) {
				return "", source.Problemf(source.CodeDockerfile, "%s, line %d: %s", file, n, source.Printable(err.Error())).
					With(source.Printable(all[n-1]))
			}
		}
		return "", source.Problemf(source.CodeDockerfile, "%s: %s", file, source.Printable(err.Error()))
	}
	base := ""
	for _, node := range result.AST.Children {
		if strings.EqualFold(node.Value, "from") && node.Next != nil {
			base = node.Next.Value
		}
	}
	if base == "" {
		return "", source.Problemf(source.CodeDockerfile, "%s has no FROM", file).
			Hint("an image begins with another one, or with nothing: FROM scratch")
	}
	return base, nil
}
