package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func create(t *testing.T, s *store.Store, name string) store.App {
	t.Helper()
	var app store.App
	err := s.Update(func(tx *store.Tx) (err error) {
		app, err = tx.CreateApp(store.App{Name: name, CreatedAt: time.Now()})
		return err
	})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return app
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Code != code {
		t.Errorf("got error %v, want a fault %s", err, code)
	}
}

func TestOpen_RefusesStateThatIsGone(t *testing.T) {
	rows := []struct {
		name   string
		damage func(t *testing.T, dir string)
		code   string
	}{
		{"missing file", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "berth.db")) }, "E120"},
		{"empty file", func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, "berth.db"), 0) }, "E120"},
		{"garbage", func(t *testing.T, dir string) {
			os.WriteFile(filepath.Join(dir, "berth.db"), bytes.Repeat([]byte("garbage "), 8192), 0o600)
		}, "E121"},
		{"truncated", func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, "berth.db"), 8192) }, "E121"},
		{"zeroed pages", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "berth.db")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clear(raw[2*os.Getpagesize():])
			os.WriteFile(path, raw, 0o600)
		}, "E121"},
		{"missing key", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "secret.key")) }, "E123"},
		{"short key", func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, "secret.key"), 5) }, "E123"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			create(t, s, "shop")
			s.Close()
			row.damage(t, dir)
			s, err := store.Open(dir)
			if err == nil {
				s.Close()
			}
			wantCode(t, err, row.code)
		})
	}
}

func TestOpen_RefusesNamesThatLeadNowhere(t *testing.T) {
	for name, spoil := range map[string]func(tx *store.Tx) error{
		"a name without its app":       func(tx *store.Tx) error { return tx.PutRaw("appnames", "ghost", "70007") },
		"two names of one app":         func(tx *store.Tx) error { return tx.PutRaw("appnames", "alias", "70000") },
		"an app that no name leads to": func(tx *store.Tx) error { return tx.PutRaw("apps", "70007", `{"name":"ghost","uid":70007}`) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			create(t, s, "shop")
			if err := s.Update(spoil); err != nil {
				t.Fatal(err)
			}
			s.Close()
			_, err := store.Open(dir)
			wantCode(t, err, "E121")
		})
	}
}

func TestOpen_SecondProcessIsToldWhoHasIt(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := store.Open(dir)
	wantCode(t, err, "E122")
}

func TestUpdate_ErrorChangesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	boom := errors.New("boom")
	err := s.Update(func(tx *store.Tx) error {
		if _, err := tx.CreateApp(store.App{Name: "shop"}); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want the error of the function", err)
	}
	err = s.View(func(tx *store.Tx) error { _, err := tx.App("shop"); return err })
	wantCode(t, err, "E101")
}

func TestApp_UserIDIsNeverGivenTwice(t *testing.T) {
	s := open(t, t.TempDir())
	first := create(t, s, "a")
	if err := s.Update(func(tx *store.Tx) error { return tx.DeleteApp("a") }); err != nil {
		t.Fatal(err)
	}
	if second := create(t, s, "a"); second.UID == first.UID {
		t.Errorf("the app made after another was deleted got its user id %d", second.UID)
	}
}

func TestApp_MissingOneOffersTheNearest(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "blog")
	create(t, s, "shop")
	err := s.View(func(tx *store.Tx) error { _, err := tx.App("blgo"); return err })
	f := fault.From(err)
	if f == nil || !strings.Contains(strings.Join(f.Hints, "\n"), `"blog"`) {
		t.Errorf("got %+v, want a hint that offers blog", f)
	}
}

func TestValidAppName(t *testing.T) {
	for _, name := range []string{
		"a", "shop", "my-shop-2", strings.Repeat("a", store.MaxAppName),
		"2048", "7", "example.com", "www.example.co.uk", "2048.example.com", "a--b", "xn--mller-kva.de", "berth.example.com",
	} {
		if err := store.ValidAppName(name); err != nil {
			t.Errorf("%q: got %v, want it valid", name, err)
		}
	}
	for _, name := range []string{
		"", "-", "-a", "a-", "Shop", "a b",
		".", "..", ".git", "a.git", "example.com.git", ".a", "a.", "a..b", "a.-b", "a-.b", "...", "1.2", "10.0.0.1", "example.com.1", "a.0x7f",
		"a:b", "a=b", "a%2f", "a\\b", "a\x00", "~a", "@a", "example.com/", "müller", "\xff", "a/b", "../a", "a\n", "é", "berth", "a;id", "$(id)",
		strings.Repeat("a", store.MaxAppName+1), strings.Repeat("x", 1<<20),
	} {
		wantCode(t, store.ValidAppName(name), "E100")
	}
}

func TestValidAppName_ItsHintIsAName(t *testing.T) {
	for name, want := range map[string]string{
		"Shop": "shop", "my_shop": "my-shop", "müller.de": "xn--mller-kva.de", "Shop.git": "shop",
		"a b": "", "-rf": "", "10.0.0.1": "", strings.Repeat("x", 1<<20): "", "é": "xn--9ca",
	} {
		f := fault.From(store.ValidAppName(name))
		got := ""
		if len(f.Hints) == 2 {
			got, _, _ = strings.Cut(f.Hints[0], " ")
		}
		if got != want || want != "" && store.ValidAppName(got) != nil {
			t.Errorf("%.40q: got the hint %q, want %q", name, f.Hints, want)
		}
	}
}

func TestForgetReleases_ABoundedNumberAtATime(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	err := s.Update(func(tx *store.Tx) error {
		for n := range 450 {
			if err := tx.PutRelease(store.Release{App: "shop", Number: n + 1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{350, 250, 202, 202} { // the last 200 and two that are needed
		var left []store.Release
		err := s.Update(func(tx *store.Tx) error { return tx.ForgetReleases("shop", []int{7, 240, 449}) })
		if err != nil {
			t.Fatal(err)
		}
		err = s.View(func(tx *store.Tx) (err error) {
			left, err = tx.Releases("shop", 0)
			return err
		})
		if err != nil || len(left) != want || left[0].Number != 450 || left[len(left)-1].Number > 250 {
			t.Fatalf("%d releases are left, of v%d to v%d (%v); want %d", len(left), left[len(left)-1].Number, left[0].Number, err, want)
		}
	}
	err = s.View(func(tx *store.Tx) error {
		for n, want := range map[int]bool{6: false, 7: true, 240: true, 250: false, 251: true} {
			if tx.HasRelease("shop", n) != want {
				t.Errorf("v%d is there: %t, want %t", n, !want, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReleases_AreReadWithoutTheirConfigAndNotStoredSo(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	err := s.Update(func(tx *store.Tx) error {
		return tx.PutRelease(store.Release{App: "shop", Number: 1, Config: map[string]string{"A": "1"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(func(tx *store.Tx) error {
		listed, err := tx.Releases("shop", 1)
		if err != nil || len(listed) != 1 || listed[0].Config != nil {
			t.Errorf("listed: got %+v, %v", listed, err)
		}
		one, err := tx.ReleaseWithoutConfig("shop", 1)
		if err != nil || one.Config != nil {
			t.Errorf("one: got %+v, %v", one, err)
		}
		for _, r := range append(listed, one) {
			if tx.PutRelease(r) == nil {
				t.Error("its config was lost")
			}
		}
		if err := tx.MarkRelease("shop", 1, store.ReleaseFailed, "why"); err != nil {
			return err
		}
		r, err := tx.Release("shop", 1)
		if err != nil || r.Config["A"] != "1" || r.Status != store.ReleaseFailed || r.Error != "why" {
			t.Errorf("marked: got %+v, %v", r, err)
		}
		wantCode(t, tx.MarkRelease("shop", 2, store.ReleaseFailed, ""), "E103")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A page of an app's releases costs the same whatever came before them.
func TestReleases_ReadsNoMoreThanAreAskedFor(t *testing.T) {
	read := func(releases int) float64 {
		s := open(t, t.TempDir())
		create(t, s, "shop")
		err := s.Update(func(tx *store.Tx) error {
			for n := range releases {
				if err := tx.PutRelease(store.Release{App: "shop", Number: n + 1, Config: map[string]string{"A": "1"}}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(5, func() {
			err := s.View(func(tx *store.Tx) error {
				list, err := tx.Releases("shop", 15)
				if len(list) != 15 {
					t.Errorf("got %d releases, want 15", len(list))
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if few, many := read(20), read(10_000); many > 1.5*few {
		t.Errorf("%.0f allocations of 10,000 releases, %.0f of 20", many, few)
	}
}

func TestConfig_IsNotReadableInTheFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s, "shop")
	const secret = "correct-horse-battery-staple"
	err := s.Update(func(tx *store.Tx) error {
		return errors.Join(
			tx.PutConfig("shop", map[string]string{"TOKEN": secret}),
			tx.PutRelease(store.Release{App: "shop", Number: 1, Config: map[string]string{"TOKEN": secret}}),
			tx.HostKeys.Put("ed25519", []byte(secret)),
			tx.PutSettings(store.Settings{Secrets: map[string]string{"TOKEN": secret}}),
			tx.Pairs.Put(store.Pair{App: "shop", Key: secret}),
		)
	})
	if err == nil {
		err = s.Certificates().Store(t.Context(), "example.com/example.com.key", []byte(secret))
	}
	if err != nil {
		t.Fatal(err)
	}
	var snapshot bytes.Buffer
	if err := s.Snapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	s.Close()
	raw, err := os.ReadFile(filepath.Join(dir, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"file": raw, "snapshot": snapshot.Bytes()} {
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("the secret can be read in the %s", name)
		}
		if !bytes.Contains(content, []byte("shop")) {
			t.Errorf("the %s does not hold the app at all", name)
		}
	}
}

func TestValidConfig(t *testing.T) {
	rows := []struct {
		name, value string
		ok          bool
	}{
		{"A", "1", true}, {"_x9", "", true}, {"A", "line\nbreak ü", true},
		{"", "1", false}, {"9A", "1", false}, {"A-B", "1", false}, {"A B", "1", false}, {"É", "1", false},
		{"PORT", "8080", true}, {"PORT", "80", true}, {"PORT", "65535", true},
		{"PORT", "", false}, {"PORT", "abc", false}, {"PORT", "0", false}, {"PORT", "-1", false}, {"PORT", "+80", false},
		{"PORT", "65536", false}, {"PORT", "70000", false}, {"PORT", "8080 ", false}, {"PORT", "080x", false},
		{"A", "nul\x00", false}, {"A", strings.Repeat("x", store.MaxConfigValue), false},
	}
	for _, row := range rows {
		if err := store.ValidConfig(row.name, row.value); (err == nil) != row.ok {
			t.Errorf("%q: got %v, want ok %v", row.name, err, row.ok)
		}
	}
}

func TestUser_May(t *testing.T) {
	rows := []struct {
		user store.User
		role store.Role
		app  string
		ok   bool
	}{
		{store.Root, store.RoleAdmin, "", true},
		{store.User{Role: store.RoleDeploy}, store.RoleDeploy, "any", true},
		{store.User{Role: store.RoleDeploy}, store.RoleAdmin, "", false},
		{store.User{Role: store.RoleRead}, store.RoleDeploy, "any", false},
		{store.User{Role: store.RoleDeploy, Apps: []string{"a"}}, store.RoleDeploy, "a", true},
		{store.User{Role: store.RoleDeploy, Apps: []string{"a"}}, store.RoleRead, "b", false},
		{store.User{Role: store.RoleDeploy, Apps: []string{"a"}}, store.RoleDeploy, "", false},
		{store.User{Role: store.RoleDeploy, Apps: []string{"a"}}, store.RoleRead, "", true},
		{store.User{}, store.RoleRead, "", false},
		{store.User{Role: "owner"}, store.RoleRead, "", false},
	}
	for _, row := range rows {
		if err := row.user.May(row.role, row.app); (err == nil) != row.ok {
			t.Errorf("%+v as %s on %q: got %v, want ok %v", row.user, row.role, row.app, err, row.ok)
		}
	}
}

func TestHistory_IsBounded(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	const more = store.KeptCronRuns + 120
	for range 2 {
		err := s.Update(func(tx *store.Tx) error {
			for range more / 2 {
				if _, err := tx.CronRuns.Put(store.CronRun{App: "shop", Job: "j", State: store.CronOK, StartedAt: time.Now()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.View(func(tx *store.Tx) error {
		runs, err := tx.CronRuns.Of("shop", "j", 0)
		if err != nil || len(runs) > store.KeptCronRuns || runs[0].Number != more {
			t.Errorf("got %d runs (newest %d), %v; want at most %d, the newest %d", len(runs), runs[0].Number, err, store.KeptCronRuns, more)
		}
		return nil
	})
}

func TestCronRuns_OldOnesGoAndThoseThatGoOnStay(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	update(t, s, func(tx *store.Tx) error {
		long := time.Now().Add(-store.KeptCronRunsFor - time.Hour)
		for _, run := range []store.CronRun{
			{Job: "hangs", State: store.CronRunning, StartedAt: long},
			{Job: "old", State: store.CronOK, StartedAt: long},
			{Job: "new", State: store.CronOK, StartedAt: time.Now()},
		} {
			run.App = "shop"
			if _, err := tx.CronRuns.Put(run); err != nil {
				return err
			}
		}
		return nil
	})
	var got []string
	update(t, s, func(tx *store.Tx) error {
		runs, err := tx.CronRuns.Of("shop", "", 0)
		for _, run := range runs {
			got = append(got, run.Job)
		}
		return err
	})
	if !slices.Equal(got, []string{"new", "hangs"}) {
		t.Errorf("got %q", got)
	}
}

func TestCronSlots_ASpanGrowsAndASlotIsClaimedOnce(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 29, 12, minute, 0, 0, time.UTC) }
	var s store.CronSlots
	s.Claim(at(1), time.Time{})
	s.Claim(at(2), at(1))
	s.Claim(at(40), at(39)) // 3 to 39 were left out
	for minute, want := range map[int]bool{0: false, 1: true, 2: true, 3: false, 39: false, 40: true, 41: false} {
		if got := s.Has(at(minute)); got != want {
			t.Errorf("12:%02d: got %v", minute, got)
		}
	}
	if len(s.Claimed) != 2 {
		t.Errorf("got the spans %v", s.Claimed)
	}
	if got := s.Last(at(30)); !got.Equal(at(2)) {
		t.Errorf("the last until 12:30: got %s", got)
	}
	if got := s.Last(at(50)); !got.Equal(at(40)) {
		t.Errorf("the last until 12:50: got %s", got)
	}
	for n := range 100 {
		s.Claim(at(100+2*n), time.Time{})
	}
	if len(s.Claimed) > 32 {
		t.Errorf("%d spans are kept", len(s.Claimed))
	}
}

func TestOneOffs_ThoseThatEndedAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "shop")
	update(t, s, func(tx *store.Tx) error {
		for n := 1; n <= store.KeptOneOffs+50; n++ {
			o := store.OneOff{App: "shop", Number: n, State: store.OneOffOK}
			if n == 1 {
				o.State = store.OneOffRunning
			}
			if err := tx.OneOffs.Put(o); err != nil {
				return err
			}
		}
		all, err := tx.OneOffs.Of("shop")
		if len(all) != store.KeptOneOffs+1 || all[len(all)-1].Number != 1 || all[0].Number != store.KeptOneOffs+50 {
			t.Errorf("got %d, the newest %d, the oldest %d", len(all), all[0].Number, all[len(all)-1].Number)
		}
		return err
	})
}

func TestDomain_BelongsToOneApp(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s, "a")
	create(t, s, "b")
	put := func(app string) error {
		return s.Update(func(tx *store.Tx) error { return tx.PutDomain(store.Domain{Host: "example.com", App: app}) })
	}
	if err := put("a"); err != nil {
		t.Fatal(err)
	}
	if err := put("a"); err != nil {
		t.Errorf("a second time for the same app: %v", err)
	}
	wantCode(t, put("b"), "E104")
}

func TestKey_IsKnownUnderOneName(t *testing.T) {
	s := open(t, t.TempDir())
	put := func(name string) error {
		return s.Update(func(tx *store.Tx) error { return tx.Keys.Put(store.Key{Name: name, Fingerprint: "SHA256:x"}) })
	}
	if err := put("alice"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, put("bob"), "E109")
}
