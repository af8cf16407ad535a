package verbs

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

var (
	reader   = store.User{Name: "rita", Role: store.RoleRead}
	deployer = store.User{Name: "dora", Role: store.RoleDeploy}
	ofShop   = store.User{Name: "sam", Role: store.RoleDeploy, Apps: []string{"shop"}}
)

func codeOf(err error) string {
	if f := fault.From(err); f != nil {
		return f.Code
	}
	if err != nil {
		return "no fault: " + err.Error()
	}
	return ""
}

func TestCall_EveryVerbThatChangesIsDeniedToReaders(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	for _, v := range All() {
		if v.Role.Least == store.RoleRead {
			continue
		}
		err := h.Call(t.Context(), reader, v.Name, map[string]string{"app": "shop"}, nil, nil)
		if codeOf(err) == "E140" { // it takes no app
			err = h.Call(t.Context(), reader, v.Name, nil, nil, nil)
		}
		if got := codeOf(err); got != "E110" {
			t.Errorf("%s by a reader: got %s, want E110", v.Name, got)
		}
	}
}

func TestCall_AdminVerbsAreDeniedToDeployers(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"ssh-keys:add", "ssh-keys:list", "ssh-keys:remove", "domains:set-global", "letsencrypt:set"} {
		if got := codeOf(h.Call(t.Context(), deployer, name, nil, nil, nil)); got != "E110" {
			t.Errorf("%s: got %s, want E110", name, got)
		}
	}
}

func TestCall_UserOfOneAppSeesAndTouchesNoOther(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.makeApp(t, "blog")
	for _, ask := range []struct {
		verb string
		args any
		want string
	}{
		{"apps:info", AppArgs{"shop"}, ""},
		{"apps:info", AppArgs{"blog"}, "E111"},
		{"apps:info", AppArgs{"bog"}, "E111"}, // nor is it told the nearest name
		{"config:show", AppArgs{"blog"}, "E111"},
		{"apps:create", AppArgs{"shop"}, "E111"},
		{"apps:create", AppArgs{"new"}, "E111"},
		{"apps:rename", RenameArgs{AppArgs{"shop"}, "new"}, "E111"},
		{"events", EventArgs{App: "blog"}, "E111"},
	} {
		if got := codeOf(h.Call(t.Context(), ofShop, ask.verb, ask.args, nil, nil)); got != ask.want {
			t.Errorf("%s %v: got %q, want %q", ask.verb, ask.args, got, ask.want)
		}
	}
	var apps []deploy.AppStatus
	if err := h.Call(t.Context(), ofShop, "apps:list", nil, &apps, nil); err != nil || len(apps) != 1 || apps[0].Name != "shop" {
		t.Errorf("apps:list: got %v, %v; want shop alone", apps, err)
	}
	h.update(t, func(tx *store.Tx) error {
		return errors.Join(tx.AddEvent(store.Event{App: "blog"}), tx.AddEvent(store.Event{Kind: "key"}), tx.AddEvent(store.Event{App: "shop"}))
	})
	var events []store.Event
	if err := h.Call(t.Context(), ofShop, "events", nil, &events, nil); err != nil || len(events) != 1 || events[0].App != "shop" {
		t.Errorf("events: got %v, %v; want that of shop alone", events, err)
	}
}

func TestCall_MissingAppOffersTheNearest(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "blog")
	for _, v := range []string{"config:show", "releases", "builds:list", "domains:report", "logs", "apps:info", "builds:output"} {
		f := fault.From(h.Call(t.Context(), store.Root, v, AppArgs{"blgo"}, nil, nil))
		if f == nil || f.Code != "E101" || len(f.Hints) == 0 || !strings.Contains(f.Hints[0], `"blog"`) {
			t.Errorf("%s: got %+v, want E101 with the hint blog", v, f)
		}
	}
}

func TestCall_InternalErrorsStayInTheLog(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name   string
		status func(string) error
	}{
		{"error", func(string) error { return errors.New("the secret is 1234") }},
		{"panic", func(string) error { panic("the secret is 1234") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.deployer.status = c.status
			f := fault.From(h.Call(t.Context(), store.Root, "apps:info", AppArgs{"shop"}, nil, nil))
			if f == nil || f.Code != code.Internal || strings.Contains(f.Message, "1234") {
				t.Fatalf("got %+v, want an internal error that gives nothing away", f)
			}
			ref := strings.TrimSuffix(strings.TrimPrefix(f.Message, "internal error (ref "), ")")
			if log := h.log.String(); !strings.Contains(log, "ref="+ref) || !strings.Contains(log, "the secret is 1234") {
				t.Errorf("the log has not the cause under %s:\n%s", ref, log)
			}
		})
	}
}

func TestDestroy_AsksForTheName(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	for _, confirm := range []string{"", "yes", "Shop"} {
		err := h.Call(t.Context(), store.Root, "apps:destroy", DestroyArgs{AppArgs{"shop"}, confirm}, nil, nil)
		if codeOf(err) != "E153" {
			t.Errorf("confirmed by %q: got %v, want E153", confirm, err)
		}
	}
	if err := h.Call(t.Context(), store.Root, "apps:destroy", DestroyArgs{AppArgs{"shop"}, "shop"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := codeOf(h.Call(t.Context(), store.Root, "apps:info", AppArgs{"shop"}, nil, nil)); got != "E101" {
		t.Errorf("afterwards: got %q, want E101", got)
	}
}

func TestBuildsOutput_IsWholeLines(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.update(t, func(tx *store.Tx) error {
		app, err := tx.App("shop")
		app.LastBuild = 1
		return errors.Join(err, tx.PutApp(app), tx.Builds.Put(store.Build{App: "shop", Number: 1}))
	})
	var lines []string
	if err := h.Call(t.Context(), reader, "builds:output", NumberArgs{AppArgs: AppArgs{"shop"}}, &lines, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(lines, "|"), "-----> Detect|       Python|-----> Build"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzDecodeStrictly(f *testing.F) {
	for _, seed := range []string{`{"app":"shop","set":{"A":"b"}}`, `{"app":"a"} x`, `[]`, "null", "", `{"set":{"A":null}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var args ConfigSetArgs
		if err := decodeStrictly(raw, &args); err != nil {
			if codeOf(err) != "E140" {
				t.Fatalf("got %v, want E140", err)
			}
			return
		}
		again, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		var same ConfigSetArgs
		if err := decodeStrictly(again, &same); err != nil {
			t.Fatalf("what was read reads no more: %s: %v", again, err)
		}
	})
}

func TestDo_LogsWhoChangesWhatAndNoArguments(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	args := ConfigSetArgs{ConfigOf: ConfigOf{App: "shop"}, Set: map[string]string{"PASSWORD": "hunter2"}}
	for user, code := range map[string]string{"dora": `""`, "rita": "E110"} {
		h.Call(t.Context(), map[string]store.User{"dora": deployer, "rita": reader}[user], "config:set", args, nil, nil)
		if want := "name=config:set user=" + user + " app=shop code=" + code; !strings.Contains(h.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, h.log)
		}
	}
	if err := h.Call(t.Context(), deployer, "config:get", ConfigGetArgs{ConfigArgs{ConfigOf: ConfigOf{App: "shop"}}, "PASSWORD"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if text := h.log.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "config:get") {
		t.Errorf("the log tells too much:\n%s", text)
	}
}
