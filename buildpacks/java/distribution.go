package java

import (
	"path"
	"strings"

	"github.com/berthd/berth/buildpacks/mirror"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// Where a build tool of the mirror is, instead of where its wrapper would keep
// what it downloads.
const (
	gradleHome    = "/opt/gradle"
	gradleProgram = gradleHome + "/bin/gradle"
)

// A property of a wrapper, in the notation of Java's properties.
var (
	distributionURL = source.NewPattern(`(?m)^[ \t]*distributionUrl[ \t]*[=:][ \t]*(\S+)`)
	distributionSum = source.NewPattern(`(?m)^[ \t]*distributionSha256Sum[ \t]*[=:][ \t]*([0-9A-Fa-f]{64})[ \t\r]*$`)
)

// distribution returns what of the mirror is the distribution that a wrapper
// would download, which it need not do then: the very file, or else another
// packing of that version. nil is none.
func (p *project) distribution(tool string, all mirror.Archives, properties string) (*mirror.Archive, error) {
	text, err := p.tree.Text(properties, source.MaxManifest)
	if err != nil {
		return nil, err
	}
	m := distributionURL.FindStringSubmatch(text)
	if m == nil {
		return nil, nil
	}
	name := path.Base(strings.ReplaceAll(m[1], `\`, ""))
	sum := distributionSum.FindStringSubmatch(text)
	for _, a := range all {
		if a.Name == name {
			return &a, p.checked(a, properties, sum)
		}
	}
	if a, ok := all.Find(func(version string) bool { return version == mirror.Version(tool, name) }); ok && sum == nil {
		return &a, nil
	}
	return nil, nil
}

// checked refuses a distribution that is not the one whose sum a wrapper names.
func (p *project) checked(a mirror.Archive, properties string, want []string) error {
	if want == nil {
		return nil
	}
	sum := a.Sum
	if sum == "" {
		var err error
		if sum, err = p.sum(a); err != nil {
			return err
		}
	}
	if strings.EqualFold(sum, want[1]) {
		return nil
	}
	return source.Problemf(source.CodeMirror, "the mirror's %s does not match %s", a.File(), source.Printable(properties)).
		With("distributionSha256Sum is "+strings.ToLower(want[1]), "the mirror's file has    "+sum)
}

// unpackDistribution makes a build tool out of the mirror.
func unpackDistribution(title, home string, a mirror.Archive) *plan.Tool {
	unpack := plan.Unpack
	if strings.HasSuffix(a.Name, ".zip") {
		unpack = plan.UnpackZip
	}
	t := plan.FromMirror(title+" "+a.Version, a, unpack(home))
	return &t
}
