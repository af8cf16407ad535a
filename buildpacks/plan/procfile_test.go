package plan

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/berthd/berth/buildpacks/source"
)

func TestProcfile_AsRepositoriesWriteIt(t *testing.T) {
	procs, err := parseProcfile("# what runs\r\n\r\n" +
		"web: gunicorn web:app --bind 0.0.0.0:$PORT   # the site\r\n" +
		"  worker : python -c 'print(1) # not a comment'\r\n" +
		"// another comment\n" +
		"url: curl http://x/#top\n" +
		"esc: echo \\# kept \"a # b\" $(echo 1 # 2\n" +
		"Web_2-b: echo ${x#y} $#\r" +
		"release: python manage.py migrate")
	if err != nil {
		t.Fatal(err)
	}
	want := []Process{
		{Type: "web", Command: "gunicorn web:app --bind 0.0.0.0:$PORT"},
		{Type: "worker", Command: "python -c 'print(1) # not a comment'"},
		{Type: "url", Command: "curl http://x/#top"},
		{Type: "esc", Command: "echo \\# kept \"a # b\" $(echo 1 # 2"},
		{Type: "Web_2-b", Command: "echo ${x#y} $#"},
		{Type: "release", Command: "python manage.py migrate"},
	}
	if !slices.Equal(procs, want) {
		t.Errorf("got  %+v\nwant %+v", procs, want)
	}
	if !procs[5].Release() || procs[0].Release() {
		t.Error("the release process is not told from the others")
	}
}

func TestProcfile_MistakesNameTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"web: a\nweb: b":                  "line 2: web was named on line 1",
		"web: a\n\nworker":                "line 3: no colon",
		"web: a \\\n  --more":             "cannot be continued",
		"web:":                            "line 1: web has no command",
		"web:  # nothing":                 "line 1: web has no command",
		"web.1: a":                        `"web.1" cannot name a process`,
		": a":                             `"" cannot name a process`,
		strings.Repeat("x", 64) + ": a":   "at most 63",
		"web: a\n<<<<<<< HEAD\nweb: b":    "line 2: a merge conflict",
		"web: a\x01b":                     "line 1: a control character",
		strings.Repeat("a\u0308: b\n", 2): "line 1",
		"wéb: a":                          "line 1",
		manyProcesses(maxProcesses + 1):   "line 101: more than 100",
	} {
		_, err := parseProcfile(text)
		p, ok := errors.AsType[*source.Problem](err)
		if !ok {
			t.Errorf("%.40q: got %v, want a problem", text, err)
			continue
		}
		all := strings.Join(append([]string{p.Message}, p.Hints...), " ")
		if p.Code != "E203" || !strings.Contains(all, want) || len(p.Evidence) == 0 {
			t.Errorf("%.40q: got %s %q, want %q and the line as evidence", text, p.Code, all, want)
		}
	}
}

func manyProcesses(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat("a", i/26+1) + string(rune('a'+i%26)) + ": x\n")
	}
	return b.String()
}

// The shell decides where a comment begins; what we take off must be what it
// would not read anyway.
func TestShellCommand_AgreesWithBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	for _, s := range []string{"echo a # b", "echo a#b", `echo "a # b" 'c # d' # e`, `echo a\ # b`, `echo \"  # x`, "echo $((2#101)) # x",
		"echo ${HOME# x} # y", "echo `echo 1` # 2", "(echo a # b\n)", "echo a;# b", "echo \\\\ # x"} {
		run := func(cmd string) string {
			out, _ := exec.Command(bash, "-c", cmd).CombinedOutput()
			return string(out)
		}
		if got, want := run(shellCommand(s)), run(s); got != want {
			t.Errorf("%q: cut to %q, prints %q, want %q", s, shellCommand(s), got, want)
		}
	}
}

func FuzzProcfile(f *testing.F) {
	f.Add("web: gunicorn web:app # x\nworker: a\n")
	f.Add("web: a \\\n\"'`$(#")
	f.Fuzz(func(t *testing.T, text string) {
		text, err := (&source.Tree{FS: fstest.MapFS{"Procfile": {Data: []byte(text)}}}).Text("Procfile", source.MaxManifest)
		if err != nil {
			return
		}
		procs, err := parseProcfile(text)
		if err == nil {
			for _, p := range procs {
				if p.Command == "" || !source.ProcessType.MatchString(p.Type) {
					t.Errorf("let through %+v", p)
				}
			}
		}
	})
}
