package logs

import "testing"

func TestQuery_Wants(t *testing.T) {
	rows := []struct {
		process, source string
		want            bool
	}{
		{"", "web.1", true},
		{"", "worker.12", true},
		{"", "cron.1a2b3c4d.7", false},
		{"web", "web.1", true},
		{"web", "webhook.1", false},
		{"web.1", "web.1", true},
		{"web.1", "web.10", false},
		{"cron", "cron.1a2b3c4d.7", true},
		{"cron.1a2b3c4d", "cron.1a2b3c4d.7", true},
		{"cron.1a2b3c4d.7", "cron.1a2b3c4d.7", true},
		{"", "release", false},
		{"", "predeploy.1", true}, // of a process that is called so
		{"release", "release", true},
		{"web", "release", false},
	}
	b := newBook(t)
	for _, row := range rows {
		if got := b.wants(Query{Process: row.process}, row.source); got != row.want {
			t.Errorf("%q asks for %q: got %v, want %v", row.process, row.source, got, row.want)
		}
	}
}
