package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestTrim_KeepsTheNewestOfASource(t *testing.T) {
	b := newBook(t)
	dir := b.Dir("70000", 3)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, age int) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(age) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 4 {
		write(fmt.Sprintf("web.1.c%d.log", n), n)
	}
	write("web.1.c1.log.1", 50)
	write("web.1.c3.log.1", 60)
	write("web.10.c0.log", 70)
	b.trim("70000", 3, "web.1", 2)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{"web.1.c0.log", "web.1.c1.log", "web.1.c1.log.1", "web.10.c0.log"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
