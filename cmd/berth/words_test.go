package main

import (
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/berthd/berth/store/fault"
)

func TestParseDotenv(t *testing.T) {
	got, err := parseDotenv("\ufeff# comment\r\n\nA=1\r\nexport B = two words # not this\nC='sin\ngle $A' # x\n" +
		`D="a\nb \"q\" \$A \x"` + "\nE=\nF=#\nG=a#b\n  H=\"multi\nline\"")
	want := map[string]string{
		"A": "1", "B": "two words", "C": "sin\ngle $A", "D": "a\nb \"q\" $A \\x", "E": "", "F": "", "G": "a#b", "H": "multi\nline",
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
	for text, line := range map[string]string{
		"A=1\nnonsense":       "line 2 is not",
		"=x":                  "line 1 is not",
		"\n\nA='never":        "line 3 opens",
		"A='1\n2'\nB=\"x\\\"": "line 3 opens",
		"A='x'y":              "line 1 goes on",
		"A=1\nA=2":            "line 2 gives",
	} {
		if _, err := parseDotenv(text); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%q: got %v, want %q", text, err, line)
		}
	}
}

func FuzzDotenv(f *testing.F) {
	for _, seed := range []string{"A=1", "A='x", "A=\"\\", "export A=", "A=b\r\n\r\nC", "\x00=\x00", "A=' # '"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if _, err := parseDotenv(text); err != nil && fault.From(err) == nil {
			t.Fatalf("got %v, want a fault", err)
		}
		if !utf8.ValidString(value) {
			return
		}
		got, err := parseDotenv("A=" + dotenvQuote(value) + "\nB=" + dotenvQuote(value) + "\n")
		if err != nil || got["A"] != value || got["B"] != value {
			t.Fatalf("%q came back as %q, %v", value, got, err)
		}
	})
}

func FuzzWords(f *testing.F) {
	for _, seed := range []string{"web=2", "=", "web=", "v18", "A=b c", "web=99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if formation, err := parseFormation([]string{word}); err == nil {
			for name, n := range formation {
				if name == "" || n < 0 {
					t.Errorf("%q gave %q=%d", word, name, n)
				}
			}
		}
		if n, err := parseNumber(word); err == nil && n < 1 {
			t.Errorf("%q gave %d", word, n)
		}
		if config, err := parseConfig([]string{word}); err == nil {
			for name, value := range config {
				if name+"="+value != word {
					t.Errorf("%q gave %q=%q", word, name, value)
				}
			}
		}
	})
}
