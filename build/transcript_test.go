package build

import (
	"bytes"
	"os"
	"testing"

	"github.com/berthd/berth/store"
)

func TestTranscript_EndsAtItsBound(t *testing.T) {
	d := newBuilder(t)
	record := shop(t, d)
	script, err := d.Transcribe(record, store.Build{App: "shop", Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte("y\n"), 1<<19)
	for range 40 { // MiB
		script.Write(block)
	}
	script.Close()
	info, err := os.Stat(d.path(record.ID(), 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Size(); got < longestTranscript || got > longestTranscript+int64(len(block))+100 {
		t.Errorf("got %d bytes, want little more than %d", got, longestTranscript)
	}
}
