package java

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

const pomFile = "pom.xml"

// What of the poms of a tree is read.
const (
	maxPoms    = 200
	maxNesting = 64 // elements
	maxParents = 8
)

// element is one of a pom's. Namespaces do not matter: Maven has one.
type element struct {
	name     string
	text     string
	children []*element
}

// pom is a pom.xml and what it inherits within the tree.
type pom struct {
	file   string // "web/pom.xml"
	root   *element
	parent *pom // of the same tree; nil is none, or one of a repository's
}

// poms reads poms, each once.
type poms struct {
	tree *source.Tree
	read map[string]*pom
}

// open reads a pom and its parents. The error is fs.ErrNotExist when there is
// none.
func (p *poms) open(file string, depth int) (*pom, error) {
	if have := p.read[file]; have != nil {
		return have, nil
	}
	if len(p.read) >= maxPoms {
		return nil, source.Problemf(source.CodeProject, "more than %d pom.xml", maxPoms)
	}
	data, err := p.tree.Read(file, source.MaxManifest)
	if err != nil {
		return nil, err
	}
	root, err := parsePOM(file, data)
	if err != nil {
		return nil, err
	}
	m := &pom{file: file, root: root}
	p.read[file] = m
	if root.child("parent") != nil && depth < maxParents {
		if above, err := p.open(m.parentFile(), depth+1); err == nil && above.text("artifactId") == m.text("parent", "artifactId") && !above.below(m) {
			m.parent = above
		}
	}
	return m, nil
}

// parentFile returns where the pom says that its parent is; a directory has it
// in its pom.xml.
func (m *pom) parentFile() string {
	file := "../" + pomFile
	if e := m.root.child("parent").child("relativePath"); e != nil {
		if file = e.text; file == "" {
			return ""
		}
	}
	if !strings.HasSuffix(file, ".xml") {
		file = path.Join(file, pomFile)
	}
	return within(path.Dir(m.file), file)
}

// below tells whether the pom inherits from another, or is it.
func (m *pom) below(other *pom) bool {
	for ; m != nil; m = m.parent {
		if m == other {
			return true
		}
	}
	return false
}

// parsePOM reads a document within bounds.
func parsePOM(file string, data []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	d.CharsetReader = latin1
	top := &element{}
	stack := []*element{top}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badPOM(file, data, d, strings.TrimPrefix(err.Error(), "XML syntax error on "))
		}
		last := stack[len(stack)-1]
		switch t := token.(type) {
		case xml.StartElement:
			if len(stack) > maxNesting {
				return nil, badPOM(file, data, d, fmt.Sprintf("more than %d elements deep", maxNesting))
			}
			e := &element{name: t.Name.Local}
			last.children = append(last.children, e)
			stack = append(stack, e)
		case xml.CharData:
			if s := strings.TrimSpace(string(t)); s != "" {
				last.text += s
			}
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
	root := top.child("project")
	if root == nil {
		return nil, source.Problemf(source.CodeProject, "%s has no element <project>", source.Printable(file))
	}
	return root, nil
}

func badPOM(file string, data []byte, d *xml.Decoder, what string) error {
	line, _ := d.InputPos()
	p := source.Problemf(source.CodeProject, "%s, line %d: %s", source.Printable(file), line, source.Printable(what))
	if all := source.Lines(string(data)); line > 0 && line <= len(all) {
		p.With(fmt.Sprintf("%d | %s", line, source.Printable(strings.TrimSpace(all[line-1]))))
	}
	return p
}

// latin1 reads the older encodings of Western Europe, as far as names and
// versions need it: those are ASCII.
func latin1(charset string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "latin1":
	default:
		return nil, fmt.Errorf("the encoding %q is not read", source.Printable(charset))
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	letters := make([]rune, len(data))
	for i, b := range data {
		letters[i] = rune(b)
	}
	return strings.NewReader(string(letters)), nil
}

// child returns the element at a path below this one; nil when there is none.
func (e *element) child(names ...string) *element {
	for _, name := range names {
		if e == nil {
			return nil
		}
		var found *element
		for _, c := range e.children {
			if c.name == name {
				found = c
				break
			}
		}
		e = found
	}
	return e
}

// all returns the elements of a name at a path: all("modules", "module").
func (e *element) all(list, name string) (found []*element) {
	if e = e.child(list); e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

// find returns the text of the first element of a name, anywhere below.
func (e *element) find(name string) string {
	if e == nil {
		return ""
	}
	for _, c := range e.children {
		if c.name == name && c.text != "" {
			return c.text
		}
		if s := c.find(name); s != "" {
			return s
		}
	}
	return ""
}

// text returns the text of an element, with properties in place.
func (m *pom) text(names ...string) string {
	if e := m.root.child(names...); e != nil {
		return m.expand(e.text)
	}
	return ""
}

// placeholder is a property in a text.
var placeholder = source.NewPattern(`\$\{([A-Za-z0-9_.-]+)\}`)

// maxExpansions bounds the properties that one text may have put in place; real
// ones have a handful.
const maxExpansions = 100

// expand puts properties in place. They may refer to each other, without end if
// somebody wants it so, and each of them to many.
func (m *pom) expand(s string) string {
	left := maxExpansions
	return m.expandWithin(s, 0, &left)
}

func (m *pom) expandWithin(s string, depth int, left *int) string {
	if depth > 8 || len(s) > 1000 {
		return s
	}
	return placeholder.ReplaceAllStringFunc(s, func(ref string) string {
		if *left--; *left < 0 {
			return ref
		}
		if v, ok := m.property(ref[2 : len(ref)-1]); ok && len(v) < 1000 {
			return m.expandWithin(v, depth+1, left)
		}
		return ref
	})
}

// property returns a property of the pom or of what it inherits.
func (m *pom) property(name string) (string, bool) {
	for at := m; at != nil; at = at.parent {
		if e := at.root.child("properties", name); e != nil {
			return e.text, true
		}
	}
	if field, ok := strings.CutPrefix(name, "project."); ok {
		if e := m.root.child(strings.Split(field, ".")...); e != nil {
			return e.text, true
		}
	}
	return "", false
}

// plugin returns a plugin that the pom's build uses, its own or an inherited
// one; nil when it has none. What is only managed is not used.
func (m *pom) plugin(group, artifact string) *element {
	const ordinary = "org.apache.maven.plugins" // of those without a group
	for at := m; at != nil; at = at.parent {
		for _, e := range at.root.child("build").all("plugins", "plugin") {
			g := ordinary
			if named := e.child("groupId"); named != nil {
				g = at.expand(named.text)
			}
			if name := e.child("artifactId"); name != nil && g == group && at.expand(name.text) == artifact {
				return e
			}
		}
	}
	return nil
}

// dependsOn tells whether the pom, or one it inherits from, lists a dependency
// of a group for what runs.
func (m *pom) dependsOn(group string) bool {
	for at := m; at != nil; at = at.parent {
		for _, e := range at.root.all("dependencies", "dependency") {
			g, scope := e.child("groupId"), e.child("scope")
			if g != nil && at.expand(g.text) == group && (scope == nil || scope.text != "test") {
				return true
			}
		}
	}
	return false
}

// remoteParent returns group and artifact of the parent that is not in the
// tree; "" when there is none.
func (m *pom) remoteParent() string {
	for m.parent != nil {
		m = m.parent
	}
	if m.root.child("parent") == nil {
		return ""
	}
	return m.text("parent", "groupId") + ":" + m.text("parent", "artifactId")
}
