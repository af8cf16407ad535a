package deploy

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/berthd/berth/store"
)

// written is how many transactions the state has seen: bbolt counts them in the
// first page of the file.
func written(t *testing.T, d *Deployer) uint64 {
	t.Helper()
	var file bytes.Buffer
	if err := d.db.Snapshot(&file); err != nil {
		t.Fatal(err)
	}
	const at = 16 + 48 // see store/check.go
	return binary.LittleEndian.Uint64(file.Bytes()[at:])
}

func newest(t *testing.T, d *Deployer) (e store.Event) {
	t.Helper()
	err := d.db.View(func(tx *store.Tx) error {
		events, err := tx.Events("", 1)
		if len(events) > 0 {
			e = events[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvents_AreWrittenInTheTransactionOfWhatTheyTell(t *testing.T) {
	d := newDeployer(t)
	ctx, by := t.Context(), store.User{Name: "alice", Role: store.RoleAdmin}
	if _, err := d.CreateApp(ctx, "other", by); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		kind string
		do   func() error
	}{
		{"create", func() error { _, err := d.CreateApp(ctx, "shop", by); return err }},
		{"config", func() error {
			_, err := d.SetConfig(ctx, "shop", map[string]string{"A": "1"}, nil, true, by, io.Discard)
			return err
		}},
		{"builder", func() error { _, err := d.build.SetBuilder(ctx, "shop", "selected", "python", by); return err }},
		{"git", func() error { return d.SetDeployBranch(ctx, "shop", "main", by) }},
		{"ps", func() error { return d.SetProcesses(ctx, "shop", "rollout", "stop-first", by, io.Discard) }},
		{"router", func() error { return d.edge.SetMaintenance(ctx, "shop", true, by) }},
		{"domains", func() error { return d.edge.AddDomains(ctx, "shop", []store.Domain{{Host: "shop.test"}}, by) }},
		{"certs", func() error { return d.edge.SetLocalCertificates(ctx, "shop", true, by) }},
		{"settings", func() error {
			_, err := d.edge.SetSettings(ctx, func(s *store.Settings) error { s.Email = "a@example.com"; return nil }, by)
			return err
		}},
		{"rename", func() error { _, err := d.RenameApp(ctx, "shop", "store", by, io.Discard); return err }},
		{"destroy", func() error { return d.DestroyApp(ctx, "store", by, io.Discard) }},
	} {
		before := written(t, d)
		if err := row.do(); err != nil {
			t.Errorf("%s: %v", row.kind, err)
			continue
		}
		if n := written(t, d) - before; n != 1 {
			t.Errorf("%s: %d transactions, want one", row.kind, n)
		}
		e := newest(t, d)
		if e.By != "alice" || e.Time.IsZero() || e.Kind != row.kind {
			t.Errorf("%s: the newest event is %+v", row.kind, e)
		}
		if row.kind != "settings" && e.AppID != 70001 {
			t.Errorf("%s: the event is of the app %d, want 70001", row.kind, e.AppID)
		}
	}
}

func TestEvents_OfAChangeThatIsRefusedIsNotThere(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	before := newest(t, d)
	if err := d.edge.AddDomains(t.Context(), "shop", []store.Domain{{Host: "berth.example.com"}}, store.Root); err == nil {
		t.Fatal("it was not refused")
	}
	if e := newest(t, d); e != before {
		t.Errorf("got the event %+v", e)
	}
}
