package units

import (
	"testing"
	"time"
)

func TestBytes_AreShownInPowersOf1024(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1 << 10: "1 KiB", 1536: "1.5 KiB", 64 << 10: "64 KiB", 1<<20 - 1: "1023 KiB",
		512 << 20: "512 MiB", 1000 << 20: "1000 MiB", 1 << 30: "1 GiB", 3 << 29: "1.5 GiB", 1<<30 + 1: "1 GiB",
		10<<30 + 1: "10 GiB", 2 << 40: "2 TiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestParseBytes_TakesWhatPeopleType(t *testing.T) {
	for text, want := range map[string]int64{
		"500": 500, "500b": 500, "64k": 64 << 10, "100m": 100 << 20, "2g": 2 << 30, "512MB": 512 << 20, "512Mi": 512 << 20,
		"1GiB": 1 << 30, "1.5g": 3 << 29, " 512 MiB ": 512 << 20, "0": 0, "1t": 1 << 40, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseBytes(text, 1); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	if got, err := ParseBytes("256", MiB); err != nil || got != 256<<20 {
		t.Errorf("a number of MiB: got %d, %v", got, err)
	}
}

func TestParseBytes_RefusesWhatIsNoSize(t *testing.T) {
	for _, text := range []string{
		"", " ", "k", "-1", "+1", "1x", "1kk", "m1", "1,5g", "1e3", "0x10", "1.5.5g", ".", "inf", "nan", "1 2 m",
		"9223372036854775808", "9007199254740992g", "99999999999999.9g", "١٢m", "10000000000000t",
	} {
		if got, err := ParseBytes(text, 1); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
	if got, err := ParseBytes("256", 0); err == nil {
		t.Errorf("a number without a unit: got %d", got)
	}
}

func TestParseBytes_ReadsWhatBytesShows(t *testing.T) {
	for _, n := range []int64{1, 1 << 10, 64 << 10, 3 << 19, 512 << 20, 2 << 30, 3 << 40} {
		if got, err := ParseBytes(Bytes(n), 0); err != nil || got != n {
			t.Errorf("%q: got %d, %v; want %d", Bytes(n), got, err, n)
		}
	}
}

func TestDuration_IsSaidAsPeopleSayIt(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "1 hour", 24 * time.Hour: "24 hours", 90 * time.Minute: "90 minutes", 15 * time.Minute: "15 minutes",
		time.Minute: "1 minute", 90 * time.Second: "90 seconds", time.Second: "1 second", 1500 * time.Millisecond: "1.5s", 0: "0s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestElapsed_HasNoUnitOfNothing(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", time.Minute: "1m", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour: "1h",
		90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 0: "0s", 100 * time.Millisecond: "100ms", 20 * time.Hour: "20h",
	} {
		if got := Elapsed(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
