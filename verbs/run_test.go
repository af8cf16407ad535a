package verbs

import (
	"testing"

	"github.com/berthd/berth/store"
)

// A viewer reads what ran and runs. Only who deploys runs, ends and enters
// something, and only of the apps that the key is bound to.
func TestOneOffs_WhoMay(t *testing.T) {
	h := newHouse(t)
	app := func(name string) map[string]any { return map[string]any{"app": name} }
	job := func(name string) map[string]any { return map[string]any{"app": name, "id": "nightly"} }
	reading := map[string]map[string]any{
		"run:list": app("shop"), "run:logs": app("shop"), "cron:list": app("shop"), "cron:runs": app("shop"), "cron:report": app("shop"), "cron:logs": job("shop"),
	}
	doing := map[string]map[string]any{
		"run": app("shop"), "run:detached": app("shop"), "run:stop": app("shop"), "run:retire": app("shop"), "enter": app("shop"),
		"cron:run": job("shop"), "cron:suspend": job("shop"), "cron:resume": job("shop"), "cron:unset": job("shop"),
		"cron:set": {"app": "shop", "name": "nightly", "schedule": "@daily", "command": []string{"x"}},
	}
	for _, tt := range []struct {
		user       store.User
		read, does bool
	}{
		{store.User{Name: "rita", Role: store.RoleRead}, true, false},
		{store.User{Name: "rudi", Role: store.RoleRead, Apps: []string{"shop"}}, true, false},
		{store.User{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop"}}, true, true},
		{store.User{Name: "dave", Role: store.RoleDeploy, Apps: []string{"blog"}}, false, false},
		{store.User{Name: "adam", Role: store.RoleAdmin, Apps: []string{"blog"}}, false, false},
	} {
		for name, args := range reading {
			if err := h.May(tt.user, name, args); (err == nil) != tt.read {
				t.Errorf("%s by %s: got %v", name, tt.user.Name, err)
			}
		}
		for name, args := range doing {
			if err := h.May(tt.user, name, args); (err == nil) != tt.does {
				t.Errorf("%s by %s: got %v", name, tt.user.Name, err)
			}
		}
	}
}

func TestShellLine(t *testing.T) {
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"python job.py | tee log"}, "python job.py | tee log"}, // one word is a line already
		{[]string{"python", "job.py", "--day=mon"}, "python job.py --day=mon"},
		{[]string{"echo", "a b", "$HOME", "it's", ""}, `echo 'a b' '$HOME' 'it'\''s' ''`},
		{nil, ""},
	} {
		if got := shellLine(tt.words); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.words, got, tt.want)
		}
	}
}
