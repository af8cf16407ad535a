package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The documentation is kept true by these tests. UPDATE_DOCS=1 writes
// what is generated.

const docsRoot = "../.."

// documents returns the texts for users, by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	files := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(docsRoot, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			name, _ := filepath.Rel(docsRoot, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(docsRoot, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(data)
	}
	return texts
}

func TestDocs_TheReadmeIsAFrontPage(t *testing.T) {
	if size := len(documents(t)["README.md"]); size > 8<<10 {
		t.Errorf("README.md has %d bytes; at most %d: move what is more to docs/", size, 8<<10)
	}
}

// commandReference writes every command with its words, flags and an example.
func commandReference() string {
	var b strings.Builder
	b.WriteString("# Commands\n\n")
	b.WriteString("<!-- Generated from the commands themselves: UPDATE_DOCS=1 go test ./cmd/berth -run TestDocs_CommandReference -->\n\n")
	b.WriteString("The same on the server (`sudo berth …`) and from anywhere (`ssh -p 2222 berth@example.com …`), but for those marked *on the server only*.\n\n")
	b.WriteString("- Data goes to stdout, messages to stderr. Lists and reports take `--format json`.\n")
	b.WriteString("- `--app APP` (`-a`) names the app in place of the first argument.\n")
	b.WriteString("- Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 timeout. `run` and `cron:run` end with the code of the command that they ran.\n")
	b.WriteString("- `berth completion bash` prints a script for shell completion.\n")
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard, local: true}
	for _, topic := range c.topics() {
		fmt.Fprintf(&b, "\n## %s\n", topic.title)
		for _, command := range topic.commands {
			name, _, _ := strings.Cut(command.use, " ")
			fmt.Fprintf(&b, "\n### %s\n`berth %s`", name, command.use)
			if command.local {
				b.WriteString(" *(on the server only)*")
			}
			fmt.Fprintf(&b, "  \n%s.", strings.ToUpper(command.short[:1])+command.short[1:])
			if command.long != "" {
				fmt.Fprintf(&b, " %s", strings.TrimSpace(command.long))
			}
			b.WriteString("\n")
			if len(command.aliases) > 0 {
				fmt.Fprintf(&b, "\nAlso `%s`.\n", strings.Join(command.aliases, "`, `"))
			}
			var flags []string
			c.cobra(command).Flags().VisitAll(func(f *pflag.Flag) {
				word := "--" + f.Name
				if f.Shorthand != "" {
					word = "-" + f.Shorthand + ", " + word
				}
				flags = append(flags, fmt.Sprintf("- `%s`: %s\n", word, f.Usage))
			})
			if len(flags) > 0 {
				b.WriteString("\n" + strings.Join(flags, ""))
			}
			if command.example != "" {
				b.WriteString("```\n")
				for line := range strings.Lines(command.example) {
					fmt.Fprintf(&b, "berth %s\n", strings.TrimSuffix(line, "\n"))
				}
				b.WriteString("```\n")
			}
		}
	}
	return b.String()
}

func TestDocs_CommandReference(t *testing.T) {
	path := filepath.Join(docsRoot, "docs", "commands.md")
	want := commandReference()
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/commands.md is not what the commands say (%v): UPDATE_DOCS=1 go test ./cmd/berth -run TestDocs_CommandReference", err)
	}
}

var (
	docLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	docHeading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	docFence   = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```")
	docSpan    = regexp.MustCompile("`([^`\n]+)`")
	// docCommand is a command of berth's as documents write it.
	docCommand = regexp.MustCompile(`(?m)^(?:sudo )?(?:berth|ssh (?:-t )?(?:-p \d+ )?berth@\S+) ([a-z][a-z-]*(?::[a-z-]+)?)(?:\s|$)`)
	docSpaces  = regexp.MustCompile(`[^a-z0-9 -]`)
)

// anchor is the name by which a heading is linked to.
func anchor(heading string) string {
	return strings.ReplaceAll(docSpaces.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func TestDocs_LinksLeadSomewhere(t *testing.T) {
	texts := documents(t)
	for name, text := range texts {
		for _, m := range docLink.FindAllStringSubmatch(text, -1) {
			target, section, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := name
			if target != "" {
				to = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(docsRoot, to)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
				continue
			}
			if section == "" || texts[to] == "" {
				continue
			}
			found := slices.ContainsFunc(docHeading.FindAllStringSubmatch(texts[to], -1), func(h []string) bool { return anchor(h[1]) == section })
			if !found {
				t.Errorf("%s links to %s, which has no such heading", name, m[1])
			}
		}
	}
}

// Every command that the documents show is one, and every one in a block, which
// readers copy, runs in a script of the tests.
func TestDocs_CommandsShownAreRunByScripts(t *testing.T) {
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard, local: true}
	names := c.names()
	scripts := ""
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range append(files, "../../packaging/test-install") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts += string(data)
	}
	for name, text := range documents(t) {
		if name == filepath.Join("docs", "commands.md") {
			continue // generated
		}
		for _, m := range docCommand.FindAllStringSubmatch(strings.Join(spans(text), "\n"), -1) {
			if !slices.Contains(names, m[1]) {
				t.Errorf("%s shows the command %q, which there is not", name, m[1])
			}
		}
		for _, block := range docFence.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[1]) {
				m := docCommand.FindStringSubmatch(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "$ "))
				if m == nil {
					continue
				}
				if !slices.Contains(names, m[1]) {
					t.Errorf("%s shows the command %q, which there is not", name, m[1])
				} else if !regexp.MustCompile(`[\s'"]` + regexp.QuoteMeta(m[1]) + `[\s'"]`).MatchString(scripts) {
					t.Errorf("%s shows the command %q, which no script runs", name, m[1])
				}
			}
		}
	}
}

// spans returns what stands between backquotes in a text.
func spans(text string) (list []string) {
	for _, m := range docSpan.FindAllStringSubmatch(docFence.ReplaceAllString(text, ""), -1) {
		list = append(list, m[1])
	}
	return list
}
