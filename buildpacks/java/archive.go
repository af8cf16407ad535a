package java

import (
	"archive/zip"
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/berthd/berth/buildpacks/source"
)

// Archive names a jar or war in the root of a tree, the jar first; "" is none.
// It is a weaker word than Evidence: other languages' trees keep jars too.
func Archive(t *source.Tree) (found string) {
	for _, e := range t.Dir(".") {
		name := e.Name()
		if !e.Type().IsRegular() || strings.HasPrefix(name, "-") {
			continue
		}
		switch path.Ext(name) {
		case ".jar":
			return name
		case ".war":
			if found == "" {
				found = name
			}
		}
	}
	return found
}

// archive reads the tree as one of a jar that was built elsewhere.
func (p *project) archive(infer bool) error {
	var tried []string
	for _, e := range p.tree.Dir(".") {
		name := e.Name()
		if ext := path.Ext(name); !e.Type().IsRegular() || ext != ".jar" && ext != ".war" || strings.HasPrefix(name, "-") {
			continue
		}
		manifest, err := p.manifest(name)
		if err != nil {
			return err
		}
		tried = append(tried, source.Printable(name))
		a := app{kind: plainJar, file: name, jar: name}
		if strings.HasPrefix(manifest["Main-Class"], "org.springframework.boot.loader.") {
			a.kind = springBoot
		}
		p.app = a
		p.asks = level(manifest["Build-Jdk-Spec"], name)
		if manifest["Main-Class"] != "" {
			return nil
		}
	}
	if !infer {
		return nil // the Procfile knows what to do with it
	}
	if war := Archive(p.tree); path.Ext(war) == ".war" {
		return p.war(war)
	}
	return source.Problemf(source.CodeNoProcess, "found no process to start").
		With("looked for a Procfile, and for a jar whose manifest has a Main-Class", "read "+strings.Join(tried, ", ")).
		Hint("write a file named Procfile with the line: web: java -cp %s org.example.Main", source.ShellWord(tried[0]))
}

// war is an archive that needs a servlet container, which Maven fetches.
func (p *project) war(name string) error {
	container := servletJavax
	if p.jakarta(name) {
		container, p.asks = servletJakarta, &release{major: max(jakartaLeast, defaultMajor), from: name, least: true}
	}
	p.app = app{kind: war, file: name, jar: name}
	p.tool = mavenTool()
	p.tool.args = []string{mavenProgram, "container:" + container}
	return nil
}

// maxManifestFile bounds the manifest of a jar; most have a dozen lines.
const maxManifestFile = 64 << 10

// manifest reads the main attributes of a jar's manifest.
func (p *project) manifest(name string) (map[string]string, error) {
	var attributes map[string]string
	err := p.unzip(name, func(z *zip.Reader) error {
		f, err := z.Open("META-INF/MANIFEST.MF")
		if err != nil {
			return nil // a jar may have none
		}
		defer f.Close()
		attributes = parseManifest(io.LimitReader(f, maxManifestFile))
		return nil
	})
	return attributes, err
}

// parseManifest reads the first section: a line that begins with a blank goes
// on with the line before it.
func parseManifest(in io.Reader) map[string]string {
	attributes := map[string]string{}
	last := ""
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" {
			break
		}
		if more, ok := strings.CutPrefix(line, " "); ok {
			attributes[last] += more
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if ok {
			attributes[key], last = value, key
		}
	}
	return attributes
}

// jakarta tells by its libraries whether a war is for the newer servlets.
func (p *project) jakarta(name string) (found bool) {
	// One that cannot be read has been told of already.
	_ = p.unzip(name, func(z *zip.Reader) error {
		for _, f := range z.File {
			if f.Name != "WEB-INF/web.xml" {
				found = found || strings.HasPrefix(f.Name, "WEB-INF/lib/jakarta.")
				continue
			}
			r, err := f.Open()
			if err != nil {
				return err
			}
			text, err := io.ReadAll(io.LimitReader(r, source.MaxManifest))
			r.Close()
			if err != nil {
				return err
			}
			found = found || strings.Contains(string(text), "//jakarta.ee/")
		}
		return nil
	})
	return found
}

// unzip reads an archive where it lies.
func (p *project) unzip(name string, read func(*zip.Reader) error) error {
	f, err := p.tree.FS.Open(name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return fmt.Errorf("open %s: %w", name, fs.ErrInvalid)
	}
	z, err := zip.NewReader(at, info.Size())
	if err == nil {
		err = read(z)
	}
	if err != nil {
		return source.Problemf(source.CodeFile, "%s is not a Java archive: %v", source.Printable(name), err).
			Hint("if it is kept in Git LFS, commit the file itself")
	}
	return nil
}
