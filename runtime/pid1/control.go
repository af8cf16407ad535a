package pid1

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The control directory is how berth and a container's first process meet:
//
//	control.sock  answers one Request, a JSON line, with one Answer
//	launched      exists once a program has been launched
//	exit.json     an Exit, written when the program has ended
//
// It outlives both of them, so that the next life of berth finds how things stand.
const (
	controlSocket = "control.sock"
	launchedFile  = "launched"
	exitFile      = "exit.json"

	maxRequest = 4 << 20          // bytes; the kernel takes 2 MiB of arguments and environment by default
	slowest    = 10 * time.Second // for a request to arrive and for its answer to leave
)

// Request says what to launch.
type Request struct {
	Args []string `json:"args"` // the program, looked up in the PATH of Env, and its arguments
	Env  []string `json:"env"`  // all of its environment; of two entries for one key the later counts
	Dir  string   `json:"dir"`
	UID  int      `json:"uid"`
	GID  int      `json:"gid"`
}

// Answer says how the launch went.
type Answer struct {
	PID   int    `json:"pid,omitempty"` // in the container
	Error string `json:"error,omitempty"`
}

// Exit is how the program ended.
type Exit struct {
	Code   int       `json:"code"`   // 128+signal when a signal ended it
	Signal int       `json:"signal"` // 0 when none
	At     time.Time `json:"at"`
}

// control is the inside of the control directory.
type control struct {
	dir      string
	listener net.Listener
	requests chan request
}

// request is a Request whose sender waits for the answer.
type request struct {
	Request
	conn net.Conn
}

func listen(dir string) (*control, error) {
	path := filepath.Join(dir, controlSocket)
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	c := &control{dir: dir, listener: l, requests: make(chan request)}
	go c.accept()
	return c, nil
}

// accept hands each request to the main loop until the listener is closed.
// Requests come one at a time: there is one engine, and it asks once.
func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors or memory, for now
			time.Sleep(100 * time.Millisecond)
			continue
		}
		conn.SetDeadline(time.Now().Add(slowest))
		req := request{conn: conn}
		line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &req.Request)
		}
		if err != nil {
			req.answer(0, fmt.Errorf("read the request: %w", err))
			continue
		}
		c.requests <- req
	}
}

func (r request) answer(pid int, err error) {
	a := Answer{PID: pid}
	if err != nil {
		a.Error = err.Error()
	}
	json.NewEncoder(r.conn).Encode(a) // if berth is gone, its next life finds the file `launched`
	r.conn.Close()
}

// launch starts the program and marks the container as launched. The mark
// comes first: a crash in between must not leave a container that runs a
// program and looks as if it were still free.
func (c *control) launch(req request) (*program, error) {
	mark := filepath.Join(c.dir, launchedFile)
	f, err := os.OpenFile(mark, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mark the container as launched: %w", err)
	}
	f.Close()
	p, err := start(req.Request, logName())
	if err != nil {
		os.Remove(mark)
		return nil, err
	}
	return p, nil
}

// leave writes exit.json.
func (c *control) leave(exit Exit) error {
	data, err := json.Marshal(exit)
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, exitFile)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (c *control) close() { c.listener.Close() }
