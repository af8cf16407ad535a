package main

import (
	"log/slog"
	"maps"
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
	kept map[string]*os.File
}

func newFDStore(path string) (*fdStore, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	s := &fdStore{path: path, conn: conn, done: make(chan struct{}), kept: map[string]*os.File{}}
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
			s.kept[name] = os.NewFile(uintptr(fds[0]), name)
		}
		if said["FDSTOREREMOVE"] == "1" && s.kept[name] != nil {
			s.kept[name].Close()
			delete(s.kept, name)
		}
		s.mu.Unlock()
	}
}

func (s *fdStore) files() map[string]*os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.kept)
}

// await waits until so many are kept: what is sent arrives by itself.
func (s *fdStore) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for len(s.files()) != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets are kept, want %d", len(s.files()), n)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *fdStore) close() {
	s.conn.Close()
	<-s.done
	for _, f := range s.kept {
		f.Close()
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
	for name, f := range store.files() {
		l, err := net.FileListener(f)
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
