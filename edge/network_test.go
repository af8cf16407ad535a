package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// lanBook is an engine that writes down what it is told.
type lanBook struct {
	told []runtime.LAN
	err  error
}

func (b *lanBook) SetLAN(_ context.Context, lan runtime.LAN) error {
	b.told = append(b.told, lan)
	return b.err
}

func TestSetNetwork_IsKeptAndTheEngineIsTold(t *testing.T) {
	d, book := newWorld(t), &lanBook{}
	n := NewNetwork(d.db, book, d)
	by := store.User{Name: "alice", Role: store.RoleAdmin}
	for _, row := range []struct{ name, value, want string }{
		{"lan", "deny", "{deny [] []}"},
		{"lan-allow", "192.168.1.10 10.8.0.0/24,192.168.1.10", "{deny [192.168.1.10/32 10.8.0.0/24] []}"},
		{"lan", "allow", "{allow [192.168.1.10/32 10.8.0.0/24] []}"},
		{"lan", "auto", "{ [192.168.1.10/32 10.8.0.0/24] []}"},
		{"lan-allow", "fd00::1", "{ [fd00::1/128] []}"},
		{"lan-allow", "none", "{ [] []}"},
		{"public-addresses", "203.0.113.7 2001:db8::7,203.0.113.7", "{ [] [203.0.113.7 2001:db8::7]}"},
		{"public-addresses", "none", "{ [] []}"},
		{"public-addresses", "192.168.1.9", "{ [] [192.168.1.9]}"},
		{"public-addresses", "", "{ [] []}"},
		{"lan", "", "{ [] []}"},
		{"lan-allow", "", "{ [] []}"},
	} {
		if _, err := n.SetNetwork(t.Context(), row.name, row.value, by); err != nil {
			t.Fatal(err)
		}
		kept, err := LAN(d.settings())
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(book.told[len(book.told)-1]); got != row.want || fmt.Sprint(kept) != row.want {
			t.Errorf("%s %s: the engine has %s, the store %v, want %s", row.name, row.value, got, kept, row.want)
		}
	}
	if _, err := n.SetNetwork(t.Context(), "lan", "deny", by); err != nil {
		t.Fatal(err)
	}
	report, err := n.NetworkReport(t.Context())
	if got := fmt.Sprint(report.Properties); err != nil || got != "[{lan deny true   false} {lan-allow none false   false} {public-addresses none false   false}]" {
		t.Errorf("the report says %s, %v", got, err)
	}
	told := len(book.told)
	for _, row := range [][2]string{
		{"lan", "off"}, {"lan-allow", "example.com"}, {"lan-allow", ","}, {"lan-allow", "10.0.0.1/8"}, {"lan-allow", "fe80::1%eth0"}, {"lan-allow", "::ffff:10.0.0.1"},
		{"lan-allow", "10.0.0.0/33"}, {"lan-allow", strings.Repeat("x", 5000)}, {"lan-allow", manyAddresses()}, {"wan", "allow"}, {"", "deny"},
		{"public-addresses", "127.0.0.1"}, {"public-addresses", "169.254.169.254"}, {"public-addresses", "fe80::1%eth0"}, {"public-addresses", "203.0.113.0/24"},
		{"public-addresses", "0.0.0.0"}, {"public-addresses", "224.0.0.1"}, {"public-addresses", "::ffff:203.0.113.7"}, {"public-addresses", ","}, {"public-addresses", manyAddresses()},
	} {
		if _, err := n.SetNetwork(t.Context(), row[0], row[1], by); codeOf(err) != "E194" {
			t.Errorf("%s %.40q: got %v, want E194", row[0], row[1], err)
		}
	}
	if len(book.told) != told {
		t.Error("the engine heard of a value that was refused")
	}
	book.err = errors.New("nft: no")
	for i := range 2 { // the second call tries again
		_, err := n.SetNetwork(t.Context(), "lan", "allow", by)
		if codeOf(err) != "E193" || !errors.Is(err, book.err) {
			t.Errorf("an engine that fails: got %v, want E193", err)
		}
		if len(book.told) != told+i+1 || d.settings().Network["lan"] != "allow" {
			t.Errorf("call %d: the engine was asked %d times, the store has %v", i+1, len(book.told)-told, d.settings().Network)
		}
	}
	book.err = nil
	if _, err := n.SetNetwork(t.Context(), "lan", "allow", by); err != nil {
		t.Errorf("the engine is back: %v", err)
	}
}

func manyAddresses() string {
	var list []string
	for i := range maxExceptions + 1 {
		list = append(list, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	return strings.Join(list, ",")
}

func TestLAN_DeniesWhereALaterBerthHasSetSomething(t *testing.T) {
	for _, network := range []map[string]string{{"lan": "some"}, {"lan": "allow", "tomorrow": "1"}} {
		if lan, err := LAN(store.Settings{Network: network}); err == nil || lan.Mode != runtime.LANDeny {
			t.Errorf("%v: %v, %v", network, lan, err)
		}
	}
}
