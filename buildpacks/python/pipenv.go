package python

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// pipfileLock installs what Pipenv locked.
func (p *project) pipfileLock() (*manifest, error) {
	text, err := p.tree.Text("Pipfile.lock", source.MaxLock)
	if err != nil {
		return nil, err
	}
	var lock struct {
		Meta struct {
			Sources []pipSource `json:"sources"`
			Hash    struct {
				SHA256 string `json:"sha256"`
			} `json:"hash"`
		} `json:"_meta"`
		Default map[string]any `json:"default"`
		Develop map[string]any `json:"develop"`
	}
	if err := json.Unmarshal([]byte(text), &lock); err != nil {
		return nil, source.Problemf(source.CodeProject, "Pipfile.lock: %v", err).Hint("run pipenv lock and commit the file")
	}
	missing := p.notLocked(lock.Meta.Hash.SHA256, lock.Default)
	for name, entry := range missing {
		lock.Default[name] = entry
	}
	m, err := p.pipenv("Pipfile.lock", lock.Meta.Sources, lock.Default)
	if err == nil {
		m.develop = lock.Develop
		if len(missing) > 0 {
			m.inputs = append(m.inputs, "Pipfile")
		}
	}
	return m, err
}

// notLocked returns what the Pipfile lists and a lock made from an earlier one
// lacks. What the lock has stays as it is locked.
func (p *project) notLocked(hash string, locked map[string]any) map[string]any {
	var file map[string]any
	if locked == nil || hash == "" || p.tree.TOML(source.CodeProject, "Pipfile", source.MaxManifest, &file) != nil || pipfileHash(file) == hash {
		return nil
	}
	has, missing := map[string]bool{}, map[string]any{}
	for name := range locked {
		has[normal(name)] = true
	}
	packages, _ := file["packages"].(map[string]any)
	for name, entry := range packages {
		if !has[normal(name)] {
			missing[name] = entry
		}
	}
	if len(missing) > 0 {
		p.tree.Note("Pipfile.lock does not fit Pipfile; the version of %s is chosen again", source.Printable(strings.Join(source.SortedKeys(missing), ", ")))
		p.tree.Note("run pipenv lock and commit Pipfile.lock")
	} else {
		p.tree.Note("Pipfile.lock was made from another Pipfile; run pipenv lock and commit it")
	}
	return missing
}

// pipfileHash returns the digest by which Pipenv tells from which Pipfile a lock
// was made: of its content as JSON, with sorted keys.
func pipfileHash(file map[string]any) string {
	content := map[string]any{
		"_meta":   map[string]any{"sources": file["source"], "requires": orEmpty(file["requires"])},
		"default": orEmpty(file["packages"]),
		"develop": orEmpty(file["dev-packages"]),
	}
	for name, value := range file {
		switch name {
		case "source", "requires", "packages", "dev-packages", "pipenv", "scripts", "default", "develop":
		default:
			content[name] = value
		}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if enc.Encode(content) != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(bytes.TrimSuffix(text.Bytes(), []byte("\n"))))
}

func orEmpty(table any) any {
	if table == nil {
		return map[string]any{}
	}
	return table
}

// pipfile installs what a Pipfile without a lock lists.
func (p *project) pipfile() (*manifest, error) {
	var file struct {
		Source   []pipSource    `toml:"source"`
		Packages map[string]any `toml:"packages"`
		Develop  map[string]any `toml:"dev-packages"`
	}
	if err := p.tree.TOML(source.CodeProject, "Pipfile", source.MaxManifest, &file); err != nil {
		return nil, err
	}
	p.tree.Note("no Pipfile.lock: versions are chosen during the build; run pipenv lock and commit it")
	m, err := p.pipenv("Pipfile", file.Source, file.Packages)
	if err == nil {
		m.develop = file.Develop
	}
	return m, err
}

// pipfileVersion returns the Python that a Pipfile asks for, and on which line.
// What is wrong with the file is told when it is read for its packages.
func (p *project) pipfileVersion() (version string, line int) {
	var file struct {
		Requires struct {
			Version string `toml:"python_version"`
			Full    string `toml:"python_full_version"`
		} `toml:"requires"`
	}
	if p.tree.TOML(source.CodeProject, "Pipfile", source.MaxManifest, &file) != nil {
		return "", 0
	}
	version = file.Requires.Full
	if version == "" {
		version = file.Requires.Version
	}
	text, _ := p.tree.Text("Pipfile", source.MaxManifest)
	for i, raw := range source.Lines(text) {
		if key, _, _ := strings.Cut(raw, "="); strings.HasPrefix(strings.TrimSpace(key), "python_") && strings.Contains(raw, version) {
			return version, i + 1
		}
	}
	return version, 1
}

type pipSource struct {
	Name string `json:"name" toml:"name"`
	URL  string `json:"url" toml:"url"`
}

func (p *project) pipenv(file string, sources []pipSource, packages map[string]any) (*manifest, error) {
	m := &manifest{name: file, inputs: []string{file}, names: map[string]bool{}}
	for _, s := range sources {
		// The usual index is the operator's to choose; another is the app's.
		if s.Name != "pypi" && s.URL != "" {
			m.indexes = append(m.indexes, "--index="+s.URL)
		}
	}
	args, err := p.pipenvRequirements(m, packages)
	if len(args) > 0 {
		m.commands = []plan.Command{pipInstall(slices.Concat(m.indexes, args)...)}
	}
	return m, err
}

// pipenvRequirements writes a table of packages as pip takes them, and notes
// their names in the manifest.
func (p *project) pipenvRequirements(m *manifest, packages map[string]any) (args []string, err error) {
	for _, name := range source.SortedKeys(packages) {
		if !distName.MatchString(name) {
			return nil, source.Problemf(source.CodeProject, "%s: %q is not the name of a package", m.name, source.Printable(name))
		}
		m.names[normal(name)] = true
		req, local, err := pipenvRequirement(name, packages[name])
		if err != nil {
			return nil, source.Problemf(source.CodeProject, "%s: %s: %v", m.name, name, err).Hint("list the packages in requirements.txt instead")
		}
		m.local = m.local || local
		args = append(args, req...)
	}
	return args, nil
}

// pipenvRequirement writes an entry of a Pipfile or its lock as pip takes it.
func pipenvRequirement(name string, entry any) (args []string, local bool, err error) {
	if s, ok := entry.(string); ok {
		entry = map[string]any{"version": s}
	}
	table, ok := entry.(map[string]any)
	if !ok {
		return nil, false, errors.New("neither a version nor a table")
	}
	field := func(key string) string { s, _ := table[key].(string); return s }
	if path := field("path"); path != "" {
		return []string{"-e", path}, true, nil
	}
	req := name
	if extras, ok := table["extras"].([]any); ok && len(extras) > 0 {
		var names []string
		for _, e := range extras {
			if s, ok := e.(string); ok && distName.MatchString(s) {
				names = append(names, s)
			}
		}
		req += "[" + strings.Join(names, ",") + "]"
	}
	switch {
	case field("git") != "":
		req += " @ git+" + field("git")
		if ref := field("ref"); ref != "" {
			req += "@" + ref
		}
	case field("file") != "":
		req += " @ " + field("file")
	case field("version") != "" && field("version") != "*":
		req += field("version")
	}
	if markers := field("markers"); markers != "" {
		req += " ; " + markers
	}
	return []string{req}, false, nil
}
