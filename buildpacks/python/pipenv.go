package python

import (
	"encoding/json"
	"errors"
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
		} `json:"_meta"`
		Default map[string]any `json:"default"`
	}
	if err := json.Unmarshal([]byte(text), &lock); err != nil {
		return nil, source.Problemf(source.CodeProject, "Pipfile.lock: %v", err).Hint("run pipenv lock and commit the file")
	}
	return p.pipenv("Pipfile.lock", lock.Meta.Sources, lock.Default)
}

// pipfile installs what a Pipfile without a lock lists.
func (p *project) pipfile() (*manifest, error) {
	var file struct {
		Source   []pipSource    `toml:"source"`
		Packages map[string]any `toml:"packages"`
	}
	if err := p.tree.TOML(source.CodeProject, "Pipfile", source.MaxManifest, &file); err != nil {
		return nil, err
	}
	p.tree.Note("no Pipfile.lock: versions are chosen while building; run pipenv lock and commit it")
	return p.pipenv("Pipfile", file.Source, file.Packages)
}

type pipSource struct {
	Name string `json:"name" toml:"name"`
	URL  string `json:"url" toml:"url"`
}

func (p *project) pipenv(file string, sources []pipSource, packages map[string]any) (*manifest, error) {
	m := &manifest{name: file, inputs: []string{file}, names: map[string]bool{}}
	var args []string
	for _, s := range sources {
		// The usual index is the operator's to choose; another is the app's.
		if s.Name != "pypi" && s.URL != "" {
			args = append(args, "--index="+s.URL)
		}
	}
	for _, name := range source.SortedKeys(packages) {
		if !distName.MatchString(name) {
			return nil, source.Problemf(source.CodeProject, "%s: %q is not the name of a package", file, source.Printable(name))
		}
		m.names[normal(name)] = true
		req, local, err := pipenvRequirement(name, packages[name])
		if err != nil {
			return nil, source.Problemf(source.CodeProject, "%s: %s: %v", file, name, err).Hint("list the packages in requirements.txt instead")
		}
		m.local = m.local || local
		args = append(args, req...)
	}
	if len(args) > 0 {
		m.commands = []plan.Command{pipInstall(args...)}
	}
	return m, nil
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
