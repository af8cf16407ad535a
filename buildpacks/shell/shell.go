// Package shell plans apps that a script in their root starts.
package shell

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/buildpacks/source"
)

// scripts are the names by which a script says that it starts the app.
var scripts = []string{"start.sh", "run.sh"}

// atHand are the interpreters that the stack has.
var atHand = []string{"bash", "dash", "perl", "sh"}

// Evidence names the script that starts the app; "" is none. It is a weak word:
// many repositories have such a script beside what it starts.
func Evidence(t *source.Tree) string {
	if i := slices.IndexFunc(scripts, t.Has); i >= 0 {
		return scripts[i]
	}
	return ""
}

// Plan fills in the plan of an app that its script starts. There is nothing to
// build; apt-packages brings what the script calls.
func Plan(out *plan.Plan, c *plan.Chain) error {
	script := Evidence(c.Tree)
	out.Summary = "Shell"
	if script != "" {
		out.Summary += " (" + script + ")"
	}
	if len(out.Processes) == 0 {
		if script == "" {
			return source.Problemf(source.CodeNoProcess, "found no process to start").
				With("looked for a Procfile, and for "+strings.Join(scripts, " and ")).
				Hint("write a script named %s that starts the app", scripts[0])
		}
		command, err := start(c.Tree, script)
		if err != nil {
			return err
		}
		out.Infer("web", command)
	}
	_, _, err := c.Toolchain(plan.Toolchain{})
	return err
}

// start returns the command that runs a script: the script itself when it can
// be run, else the program that its first line names, else bash.
func start(t *source.Tree, script string) (string, error) {
	text, err := t.Read(script, source.MaxManifest)
	if err != nil {
		return "", err
	}
	first := strings.TrimSpace(source.Lines(string(text[:min(len(text), 256)]))[0])
	interpreter, ok := strings.CutPrefix(first, "#!")
	if !ok {
		return "bash " + script, nil
	}
	words := strings.Fields(interpreter)
	if len(words) > 0 && path.Base(words[0]) == "env" {
		words = slices.DeleteFunc(words[1:], func(w string) bool { return w == "-S" })
	}
	if len(words) == 0 {
		return "bash " + script, nil
	}
	if name := path.Base(words[0]); !slices.Contains(atHand, name) {
		t.Note("%s is run by %s: list it in apt-packages, unless it is there", script, source.Printable(name))
	}
	// As the kernel would run it. A carriage return ends the line for us alone.
	info, err := fs.Stat(t.FS, script)
	if err == nil && info.Mode()&0o111 != 0 && !strings.Contains(string(text), "\r\n") {
		return "./" + script, nil
	}
	words[0] = path.Base(words[0])
	var quoted []string
	for _, w := range append(words, script) {
		quoted = append(quoted, source.ShellWord(w))
	}
	return strings.Join(quoted, " "), nil
}
