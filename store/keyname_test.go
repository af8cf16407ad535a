package store

import (
	"slices"
	"strings"
	"testing"
)

func TestKeyNameFor_CommentsOfRealKeys(t *testing.T) {
	const fingerprint = "SHA256:+aB/cDeFgHiJkL"
	long := strings.Repeat("a", 200)
	for _, c := range []struct{ comment, want string }{
		{"alice@laptop", "alice@laptop"},
		{"root@vps", "root@vps"},
		{"admin", "admin"},
		{"Alice's work laptop (2024)", "Alice-s-work-laptop-2024"},
		{"  spaced\tout ", "spaced-out"},
		{"Zoë", "Zo"},
		{"../../etc/passwd", "etc-passwd"},
		{"-rf", "rf"},
		{"a\x00b\x1b[31m", "a-b-31m"},
		{"\xff\xfe", "key-aBcDeFgH"},
		{"", "key-aBcDeFgH"},
		{"鍵", "key-aBcDeFgH"},
		{"@.-", "key-aBcDeFgH"},
		{"root", "key-aBcDeFgH"},
		{"ROOT", "key-aBcDeFgH"},
		{"berth", "key-aBcDeFgH"},
		{long, long[:64]},
		{strings.Repeat("a", 63) + "@host", strings.Repeat("a", 63)},
	} {
		got := KeyNameFor(c.comment, fingerprint, nil)
		if got != c.want {
			t.Errorf("%.40q: got %q, want %q", c.comment, got, c.want)
		}
		if !ValidKeyName(got) {
			t.Errorf("%.40q: %q is no valid name", c.comment, got)
		}
	}
}

func TestKeyNameFor_IsUnique(t *testing.T) {
	long := strings.Repeat("a", 200)
	for _, comment := range []string{"alice@laptop", "", "root", long} {
		var keys []Key
		for range 12 { // of one fingerprint too, which no two keys have: the name does not rest on it
			name := KeyNameFor(comment, "SHA256:abcdefghij", keys)
			if slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name }) {
				t.Fatalf("%.20q: %q is taken", comment, name)
			}
			if !ValidKeyName(name) {
				t.Fatalf("%.20q: %q is no valid name", comment, name)
			}
			keys = append(keys, Key{Name: name})
		}
	}
	if got := KeyNameFor("alice", "SHA256:x", []Key{{Name: "alice"}, {Name: "alice-2"}}); got != "alice-3" {
		t.Errorf("got %q, want alice-3", got)
	}
}
