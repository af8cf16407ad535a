package server

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// The bounds of what is read and remembered for ETags.
const (
	maxTagged = 8 << 20 // bytes of a file that is read for its digest
	maxTags   = 10_000  // files; of a larger site the rest is read again each time
)

// tags are the ETags of files: of their content, for the times of two releases'
// files may be the same. A file is read once. It is safe for use by many.
type tags struct {
	mu    sync.Mutex
	known map[string]tag
}

type tag struct {
	size  int64
	time  time.Time
	value string
}

// of returns the ETag of an open file, whose offset it leaves at the beginning;
// "" when it cannot be read.
func (t *tags) of(name string, f *os.File, info fs.FileInfo) string {
	if info.Size() > maxTagged {
		return fmt.Sprintf(`W/"%x-%x"`, info.Size(), info.ModTime().UnixNano())
	}
	t.mu.Lock()
	have, ok := t.known[name]
	t.mu.Unlock()
	if ok && have.size == info.Size() && have.time.Equal(info.ModTime()) {
		return have.value
	}
	h := sha256.New()
	_, err := io.Copy(h, io.LimitReader(f, maxTagged))
	if _, back := f.Seek(0, io.SeekStart); err != nil || back != nil {
		return ""
	}
	value := `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12]) + `"`
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = map[string]tag{}
	}
	if len(t.known) < maxTags || ok {
		t.known[name] = tag{info.Size(), info.ModTime(), value}
	}
	return value
}
