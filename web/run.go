package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/coder/websocket"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// runQueue is how many messages wait for a program that does not read its stdin yet.
const runQueue = 64

// serveAttached serves a verb that has the asker's streams.
func (a *api) serveAttached(w http.ResponseWriter, r *http.Request, user store.User, name string) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		answerError(w, verbs.WrongMethod("%s is a WebSocket", name))
		return
	}
	conn, err := websocket.Accept(w, r, nil) // refuses other origins, and has answered when it fails
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(client.RunMessage)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	result := client.RunResult{}
	if result.Exit, err = a.attach(ctx, cancel, conn, user, name); err != nil {
		result.Error = a.Fault(err, name, user)
	}
	raw, err := json.Marshal(result)
	if err == nil {
		err = conn.Write(r.Context(), websocket.MessageText, raw)
	}
	if err == nil {
		err = conn.Close(websocket.StatusNormalClosure, "")
	}
	if err != nil {
		a.log.Debug("nobody waited for the end", "verb", name, "user", user.Name, "err", err)
	}
}

// attach does it. gone is called when the asker has left.
func (a *api) attach(ctx context.Context, gone func(), conn *websocket.Conn, user store.User, name string) (int, error) {
	_, raw, err := conn.Read(ctx)
	if err != nil {
		return 0, err
	}
	stdin, feed := io.Pipe()
	defer stdin.Close() // whoever still feeds the program stops
	input := make(chan []byte, runQueue)
	var ended atomic.Bool // the asker has said that the input ends
	resize, signals := make(chan runtime.Size, 1), make(chan string, 8)
	go func() {
		for chunk := range input {
			if _, err := feed.Write(chunk); err != nil {
				break
			}
		}
		if ended.Load() {
			feed.Close()
		} else {
			feed.CloseWithError(io.ErrUnexpectedEOF) // the asker left: what came is not all
		}
		for range input { // the program reads no more; the asker may go on writing
		}
	}()
	go func() {
		defer gone()
		readRun(ctx, conn, input, &ended, resize, signals)
	}()
	att := runtime.Attachment{
		Stdin:   stdin,
		Stdout:  runWriter{ctx, conn, client.ToStdout},
		Stderr:  runWriter{ctx, conn, client.ToStderr},
		Resize:  resize,
		Signals: signals,
	}
	exit, err := a.Do(ctx, verbs.Call{User: user, Streams: &att}, name, raw)
	if err != nil {
		return 0, err
	}
	return exit.(int), nil
}

// readRun hands on what the asker sends until the asker or ctx is gone.
func readRun(ctx context.Context, conn *websocket.Conn, input chan<- []byte, ended *atomic.Bool, resize chan runtime.Size, signals chan<- string) {
	eof := false
	end := func() {
		if !eof {
			eof = true
			close(input)
		}
	}
	defer end()
	for {
		kind, raw, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if kind == websocket.MessageBinary {
			if eof {
				continue
			}
			select {
			case input <- raw:
			case <-ctx.Done():
				return
			}
			continue
		}
		var control client.RunControl
		if json.Unmarshal(raw, &control) != nil {
			return
		}
		if control.Resize != nil {
			select { // only the newest size counts
			case <-resize:
			default:
			}
			resize <- *control.Resize
		}
		if control.Signal != "" {
			select {
			case signals <- control.Signal:
			default: // eight wait already
			}
		}
		if control.EOF {
			ended.Store(!control.Broken)
			end()
		}
	}
}

// runWriter sends one of the program's streams.
type runWriter struct {
	ctx    context.Context
	conn   *websocket.Conn
	stream byte
}

func (w runWriter) Write(text []byte) (int, error) {
	for sent := 0; sent < len(text); {
		n := min(len(text)-sent, client.RunMessage-1)
		message := append([]byte{w.stream}, text[sent:sent+n]...)
		if err := w.conn.Write(w.ctx, websocket.MessageBinary, message); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(text), nil
}
