package node

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"

	"github.com/berthd/berth/buildpacks/source"
)

// manager is a package manager in a version.
type manager struct {
	name    string // "npm", "pnpm", "yarn", "bun"
	version string
	pkg     string // what npm has it as; "" for npm, which comes with Node
	bin     string // directory of its program; "" is Node's
	lock    string // the lock file, "" when there is none
	berry   bool   // yarn from version 2 on
	pnp     bool   // yarn without node_modules
}

// npms are the newest releases of npm that Node's versions work with, by the
// line that they came with.
var npms = []struct {
	nodes   string
	version string
}{
	{">=24", "11.21.2"},
	{"^18.17.0 || >=20.5.0", "10.9.9"},
	{">=18", "9.9.4"},
	{">=16", "8.19.4"},
	{">=15", "7.24.2"},
	{">=8", "6.14.18"},
	{"*", "5.10.0"},
}

// known are the newest releases of each line of the package managers, the
// newest first; pnpm's and yarn's defaults follow from the lock file.
var known = map[string][]string{
	"npm":  {"12.2.0", "11.21.2", "10.9.9", "9.9.4", "8.19.4", "7.24.2", "6.14.18"},
	"pnpm": {"12.21.0", "11.28.11", "10.34.9", "9.15.9", "8.15.9", "7.33.7", "6.35.1"},
	"yarn": {"4.18.1", "3.8.7", "1.22.22"},
	"bun":  {"1.4.5"},
}

//go:embed managers.txt
var managersText string

// managerReleases are the versions that ranges are resolved to, the newest first.
var managerReleases = sync.OnceValue(func() map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(managersText) {
		if words := strings.Fields(line); len(words) > 1 && words[0] != "#" {
			all[words[0]] = append(all[words[0]], words[1:]...)
		}
	}
	return all
})

// locks are the lock files, in the order in which they count.
var locks = []struct{ file, manager string }{
	{"pnpm-lock.yaml", "pnpm"}, {"yarn.lock", "yarn"}, {"bun.lock", "bun"}, {"bun.lockb", "bun"},
	{"package-lock.json", "npm"}, {"npm-shrinkwrap.json", "npm"},
}

// packageManager is what Corepack documents, a version with an optional digest,
// or, as people write it, a range or a name alone.
var packageManager = source.NewPattern(`^(npm|pnpm|yarn|bun)(?:@([^+\n]{1,100})(\+[0-9A-Za-z.]+)?)?$`)

// findManager chooses the package manager: the one that package.json names,
// else the one whose lock file there is, else npm. earlier is what was chosen
// for the app the last time, by name.
func (p *project) findManager(earlier map[string]string) (m manager, err error) {
	var asked ask
	if text := p.file.doc.String("packageManager"); text != "" {
		parts := packageManager.FindStringSubmatch(text)
		if parts == nil {
			return m, source.Problemf(source.CodeVersion, "%s: packageManager is %q", packageJSON, source.Printable(text)).
				Hint(`write npm, pnpm, yarn or bun with a version: "pnpm@%s"`, known["pnpm"][2])
		}
		m.name, asked = parts[1], ask{text: parts[2], from: packageJSON + " (packageManager)"}
	}
	var there []string
	for _, l := range locks {
		if p.tree.Has(l.file) {
			there = append(there, l.file)
			if m.name == "" {
				m.name = l.manager
			}
			if m.name == l.manager && m.lock == "" {
				m.lock = l.file
			}
		}
	}
	if m.name == "" {
		m.name = "npm"
	}
	if len(there) > 1 && m.lock != "" && there[0] != there[len(there)-1] {
		p.tree.Note("found %s: %s is used", strings.Join(there, " and "), m.lock)
	}
	if asked.text == "" {
		asked = ask{text: p.file.doc.String("engines", m.name), from: fmt.Sprintf("%s (engines.%s)", packageJSON, m.name)}
	}
	if m.version, err = p.managerVersion(m, asked, earlier[m.name]); err != nil {
		return m, err
	}
	return m, p.settle(&m)
}

// managerVersion chooses the version of a package manager: what is asked for,
// what was chosen before, what made the lock file.
func (p *project) managerVersion(m manager, a ask, earlier string) (string, error) {
	usual := p.usualVersion(m)
	if a.text == "" {
		if _, err := semver.StrictNewVersion(earlier); err == nil && m.name != "npm" {
			return earlier, nil
		}
		return usual, nil
	}
	switch a.text {
	case "latest", "stable", "next", "berry": // what npm calls so moves each day
		return usual, nil
	}
	allows, exact, err := a.parse()
	if err != nil {
		return "", err
	}
	if exact != nil {
		return exact.String(), nil
	}
	// What was chosen before stays while it fits; then the usual, then the newest of
	// the usual lines come before whatever else there is.
	choices := slices.Concat([]string{usual}, known[m.name], managerReleases()[m.name])
	if _, err := semver.StrictNewVersion(earlier); err == nil {
		choices = slices.Insert(choices, 0, earlier)
	}
	for _, v := range choices {
		if allows == nil || allows(semver.MustParse(v)) {
			return v, nil
		}
	}
	if newest := leastOf(known[m.name][0]).Major(); a.unlisted(newest) {
		p.tree.Note("%s, and berth's list of releases has none: the registry decides", a)
		return strings.TrimSpace(a.text), nil
	}
	return "", source.Problemf(source.CodeNoVersion, "%s, but berth knows no such version of %s", a, m.name).
		With("known: "+strings.Join(known[m.name], ", ")).
		Hint(`an exact version is used even if berth does not know it: "packageManager": "%s@%s"`, m.name, usual)
}

// lockVersion is the first version that stands in a pnpm-lock.yaml, or the one
// of __metadata in a yarn.lock.
var (
	pnpmLockVersion = source.NewPattern(`(?m)^lockfileVersion: ['"]?(\d+)`)
	yarnLockVersion = source.NewPattern(`(?m)^__metadata:\s*\n\s+version: (\d+)`)
	yarnNodeLinker  = source.NewPattern(`(?m)^nodeLinker:\s*['"]?([a-z-]+)`)
)

// usualVersion is the version that the lock file was made by, as far as it says.
func (p *project) usualVersion(m manager) string {
	switch m.name {
	case "npm":
		node := p.node.parsed()
		for _, n := range npms {
			if c, err := semver.NewConstraint(n.nodes); err == nil && c.Check(node) {
				return n.version
			}
		}
	case "pnpm":
		switch n := p.inLock(m.lock, pnpmLockVersion); {
		case m.lock == "" || n >= 9:
			if p.node.parsed().Major() < 18 {
				return "8.15.9"
			}
			return "10.34.9"
		case n >= 6:
			return "8.15.9"
		default:
			return "7.33.7"
		}
	case "yarn":
		switch n := p.inLock(m.lock, yarnLockVersion); {
		case n >= 8, n == 0 && p.tree.Has(".yarnrc.yml"):
			return "4.18.1"
		case n > 0:
			return "3.8.7"
		default:
			return "1.22.22"
		}
	}
	return known[m.name][0]
}

// inLock returns the number that an expression finds in the head of a lock
// file; 0 when there is none.
func (p *project) inLock(file string, number source.Pattern) int {
	text, err := p.tree.Text(file, source.MaxLock)
	if err != nil {
		return 0 // the package manager will say what is wrong with it
	}
	const head = 4 << 10
	text = strings.ReplaceAll(text[:min(len(text), head)], "\r\n", "\n")
	m := number.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// settle fills in where the package manager comes from and how it works.
func (p *project) settle(m *manager) error {
	m.pkg = m.name
	m.bin = "/opt/" + m.name + "/bin"
	switch m.name {
	case "npm":
		m.pkg, m.bin = "", ""
	case "bun":
		m.pkg = "@oven/bun-linux-" + cpu()
		m.bin = "/opt/bun/lib/node_modules/" + m.pkg + "/bin"
	case "yarn":
		if m.berry = m.major() > 1; !m.berry {
			break
		}
		m.pkg = "@yarnpkg/cli-dist"
		text, err := p.tree.Text(".yarnrc.yml", source.MaxManifest)
		if err != nil && !source.Missing(err) {
			return err
		}
		linker := yarnNodeLinker.FindStringSubmatch(text)
		m.pnp = linker == nil || linker[1] == "pnp"
	}
	return nil
}

// major is the first number of the version.
func (m manager) major() uint64 { return leastOf(m.version).Major() }

// run returns the words that run a script of package.json.
func (m manager) run(script string) []string { return []string{m.name, "run", script} }

// stale tells, in what an install prints, that the lock file does not fit
// package.json any more.
var stale = map[string]string{
	"npm":  `can only install packages when your package\.json and|EUSAGE`,
	"pnpm": `ERR_PNPM_(OUTDATED_LOCKFILE|LOCKFILE_CONFIG_MISMATCH|FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE|LOCKFILE_BREAKING_CHANGE)`,
	"yarn": `Your lockfile needs to be updated|YN0028`,
	"bun":  `lockfile had changes, but lockfile is frozen`,
}

// installation returns the words that install what the lock file says, to the
// letter, and those that install what package.json says, for when it is stale.
func (m manager) installation(dev bool) (exact, loose []string) {
	switch m.name {
	case "npm":
		omit := "--include=dev"
		if !dev {
			omit = "--omit=dev"
		}
		if m.major() < 7 {
			omit = map[bool]string{true: "--production=false", false: "--production"}[dev]
		}
		exact, loose = []string{"npm", "ci", omit}, []string{"npm", "install", omit}
	case "pnpm":
		which := map[bool]string{true: "--prod=false", false: "--prod"}[dev]
		exact, loose = []string{"pnpm", "install", which, "--frozen-lockfile"}, []string{"pnpm", "install", which, "--no-frozen-lockfile"}
	case "yarn":
		if m.berry {
			return []string{"yarn", "install", "--immutable"}, []string{"yarn", "install", "--no-immutable"}
		}
		which := map[bool]string{true: "--production=false", false: "--production=true"}[dev]
		exact, loose = []string{"yarn", "install", "--non-interactive", which, "--frozen-lockfile"}, []string{"yarn", "install", "--non-interactive", which}
	case "bun":
		exact, loose = []string{"bun", "install", "--frozen-lockfile"}, []string{"bun", "install"}
		if !dev {
			exact, loose = append(exact, "--production"), append(loose, "--production")
		}
	}
	if m.lock == "" {
		exact = loose
	}
	return exact, loose
}

// pruning returns the words that remove the devDependencies of an installed app.
func (m manager) pruning() []string {
	switch {
	case m.name == "npm" && m.major() < 7:
		return []string{"npm", "prune", "--production"}
	case m.name == "npm":
		return []string{"npm", "prune", "--omit=dev", "--ignore-scripts"}
	case m.name == "pnpm":
		return []string{"pnpm", "install", "--prod", "--offline", "--ignore-scripts", "--frozen-lockfile"}
	case m.berry:
		return []string{"yarn", "workspaces", "focus", "--all", "--production"}
	}
	return []string{"yarn", "install", "--production=true", "--ignore-scripts", "--non-interactive", "--prefer-offline"}
}
