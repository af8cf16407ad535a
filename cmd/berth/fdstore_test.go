package main

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fdStore keeps descriptors for a service, as systemd does.
type fdStore struct {
	path string
	conn *net.UnixConn
	done chan struct{}

	mu   sync.Mutex // guards kept
	kept map[string]int
}

func newFDStore(path string) (*fdStore, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	s := &fdStore{path: path, conn: conn, done: make(chan struct{}), kept: map[string]int{}}
	go s.listen()
	return s, nil
}

func (s *fdStore) listen() {
	defer close(s.done)
	text, rights := make([]byte, 4096), make([]byte, 4096)
	for {
		n, r, _, _, err := s.conn.ReadMsgUnix(text, rights)
		if err != nil {
			return
		}
		said := map[string]string{}
		for line := range strings.Lines(string(text[:n])) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			said[name] = value
		}
		var fds []int
		messages, _ := syscall.ParseSocketControlMessage(rights[:r])
		for _, m := range messages {
			some, _ := syscall.ParseUnixRights(&m)
			fds = append(fds, some...)
		}
		s.mu.Lock()
		name := said["FDNAME"]
		if said["FDSTORE"] == "1" && len(fds) == 1 {
			s.kept[name] = fds[0]
		}
		if fd, ok := s.kept[name]; ok && said["FDSTOREREMOVE"] == "1" {
			syscall.Close(fd)
			delete(s.kept, name)
		}
		s.mu.Unlock()
	}
}

// files returns copies of what is kept; the caller closes them.
func (s *fdStore) files() (map[string]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string]*os.File{}
	for name, fd := range s.kept {
		dup, err := syscall.Dup(fd)
		if err != nil {
			return nil, err
		}
		syscall.CloseOnExec(dup)
		files[name] = os.NewFile(uintptr(dup), name)
	}
	return files, nil
}

func (s *fdStore) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// await waits until so many are kept: what is sent arrives by itself.
func (s *fdStore) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for s.size() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets are kept, want %d", s.size(), n)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *fdStore) close() {
	s.conn.Close()
	<-s.done
	for _, fd := range s.kept {
		syscall.Close(fd)
	}
	os.Remove(s.path)
}

func TestPortSockets_AreKeptByTheServiceManager(t *testing.T) {
	store, err := newFDStore(filepath.Join(t.TempDir(), "notify"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	t.Setenv("NOTIFY_SOCKET", store.path)
	log := slog.New(slog.DiscardHandler)
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	first := takePortSockets("127.0.0.1", nil, log)
	for _, port := range ports {
		l, err := first.Listen(port)
		if err != nil {
			t.Fatal(err)
		}
		l.Close() // as at the end of a berth
	}
	store.await(t, 2)
	// Nobody listens, and nobody is refused.
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(ports[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	passed := map[string][]net.Listener{"http": nil}
	stored, err := store.files()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range stored {
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		passed[name] = append(passed[name], l)
	}
	second := takePortSockets("127.0.0.1", passed, log)
	if len(passed) != 1 {
		t.Errorf("%d names are left for others, want http alone", len(passed))
	}
	l, err := second.Listen(ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, err := l.Accept(); err != nil || got.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("got %v, %v; want who came meanwhile", got, err)
	}
	second.forgetRest() // what no app has any more
	store.await(t, 1)
	if free, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(ports[1])); err != nil {
		t.Errorf("the forgotten port is still taken: %v", err)
	} else {
		free.Close()
	}
}
