package php

import "github.com/berthd/berth/buildpacks/source"

// nodeProject is what package.json says of an app whose assets are bundled with
// Node.
type nodeProject struct {
	build  bool // there is a script of that name
	locked bool // package-lock.json is there
}

func readNode(t *source.Tree) (n nodeProject, err error) {
	root, err := t.JSON(source.CodeProject, "package.json", source.MaxManifest)
	if source.Missing(err) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	n.build = root.String("scripts", "build") != ""
	n.locked = t.Has("package-lock.json")
	if n.build && !n.locked {
		t.Note("no package-lock.json: versions are chosen while building; run npm install")
		t.Note("and commit it")
	}
	return n, nil
}
