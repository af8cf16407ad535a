package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/coder/websocket"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
)

// A one-off command needs its streams both ways, so it is a WebSocket at
// /api/v1/run, and so are the other verbs that are attached. The asker speaks
// first:
//
//	text    RunArgs, or the arguments of the verb
//	binary  what goes to the program's stdin
//	text    RunControl: a new size of the terminal, a signal, the end of stdin
//
// and gets
//
//	binary  1 or 2 (stdout, stderr), then what the program wrote
//	text    RunResult, once, at the end
//
// When the asker goes away, the program is killed.

// RunArgs say what to run.
type RunArgs struct {
	App      string       `json:"app"`
	Args     []string     `json:"args"`
	Terminal bool         `json:"terminal,omitempty"`
	Size     runtime.Size `json:"size,omitzero"`
}

// RunControl is what the asker says besides the program's input.
type RunControl struct {
	Resize *runtime.Size `json:"resize,omitempty"`
	Signal string        `json:"signal,omitempty"` // "INT"
	EOF    bool          `json:"eof,omitempty"`
	Broken bool          `json:"broken,omitempty"` // beside EOF: stdin could not be read to its end
}

// RunResult is how it ended.
type RunResult struct {
	Exit  int          `json:"exit"`
	Error *fault.Error `json:"error,omitempty"`
}

// RunMessage is how many bytes one message may carry.
const RunMessage = 64 << 10

// The first byte of what the program wrote.
const (
	ToStdout byte = 1
	ToStderr byte = 2
)

// Run runs a one-off command with its streams attached to att and returns its
// exit code. Cancelling ctx kills it.
func (c *Client) Run(ctx context.Context, app string, args []string, att runtime.Attachment) (int, error) {
	return c.Attach(ctx, "run", RunArgs{App: app, Args: args, Terminal: att.Terminal, Size: att.Size}, att)
}

// Attach calls a verb that has streams both ways, with those of att, and returns
// its exit code. Cancelling ctx ends it.
func (c *Client) Attach(ctx context.Context, verb string, args any, att runtime.Attachment) (int, error) {
	conn, _, err := websocket.Dial(ctx, "ws://"+c.host+Path+verb, &websocket.DialOptions{HTTPClient: c.http})
	if err != nil {
		return 0, c.unreachable(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(RunMessage + 64<<10)
	raw, err := json.Marshal(args)
	if err != nil {
		return 0, err
	}
	if err := conn.Write(ctx, websocket.MessageText, raw); err != nil {
		return 0, brokeOff(ctx, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go sendStdin(ctx, conn, att.Stdin)
	go sendControls(ctx, conn, att.Resize, att.Signals)
	for {
		kind, raw, err := conn.Read(ctx)
		if err != nil {
			return 0, brokeOff(ctx, err)
		}
		if kind == websocket.MessageText {
			var result RunResult
			if err := json.Unmarshal(raw, &result); err != nil {
				return 0, brokeOff(ctx, err)
			}
			conn.Close(websocket.StatusNormalClosure, "")
			if result.Error != nil {
				return 0, result.Error
			}
			return result.Exit, nil
		}
		if len(raw) == 0 {
			continue
		}
		to := att.Stdout
		if raw[0] == ToStderr {
			to = att.Stderr
		}
		if _, err := to.Write(raw[1:]); err != nil {
			return 0, err
		}
	}
}

// sendStdin ends with stdin or the connection. A read of a terminal cannot be
// called off, so nobody waits for it.
func sendStdin(ctx context.Context, conn *websocket.Conn, stdin io.Reader) {
	chunk := make([]byte, RunMessage/2)
	for stdin != nil {
		n, err := stdin.Read(chunk)
		if n > 0 && conn.Write(ctx, websocket.MessageBinary, chunk[:n]) != nil {
			return
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			sendControl(ctx, conn, RunControl{EOF: true, Broken: true})
			return
		}
	}
	sendControl(ctx, conn, RunControl{EOF: true})
}

func sendControls(ctx context.Context, conn *websocket.Conn, resize <-chan runtime.Size, signals <-chan string) {
	for {
		var control RunControl
		select {
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			control.Resize = &size
		case signal, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			control.Signal = signal
		case <-ctx.Done():
			return
		}
		if sendControl(ctx, conn, control) != nil {
			return
		}
	}
}

func sendControl(ctx context.Context, conn *websocket.Conn, control RunControl) error {
	raw, err := json.Marshal(control)
	return errors.Join(err, conn.Write(ctx, websocket.MessageText, raw))
}
