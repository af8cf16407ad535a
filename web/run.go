package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// A one-off command needs its streams both ways, so it is a WebSocket at
// /api/v1/run. The asker speaks first:
//
//	text    RunArgs
//	binary  what goes to the program's stdin
//	text    runControl: a new size of the terminal, a signal, the end of stdin
//
// and gets
//
//	binary  1 or 2 (stdout, stderr), then what the program wrote
//	text    runResult, once, at the end
//
// When the asker goes away, the program is killed.

// RunArgs say what to run.
type RunArgs struct {
	AppArgs
	Args     []string     `json:"args"`
	Terminal bool         `json:"terminal,omitempty"`
	Size     runtime.Size `json:"size,omitzero"`
}

type runControl struct {
	Resize *runtime.Size `json:"resize,omitempty"`
	Signal string        `json:"signal,omitempty"` // "INT"
	EOF    bool          `json:"eof,omitempty"`
}

type runResult struct {
	Exit  int          `json:"exit"`
	Error *fault.Error `json:"error,omitempty"`
}

const (
	runMessage = 64 << 10 // bytes that one message may carry
	runQueue   = 64       // messages to a program that does not read its stdin yet
)

const (
	toStdout byte = 1
	toStderr byte = 2
)

func (a *API) serveRun(w http.ResponseWriter, r *http.Request, user store.User) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		answerError(w, fault.New(fault.Usage, "E142", "run is a WebSocket"))
		return
	}
	conn, err := websocket.Accept(w, r, nil) // refuses other origins, and has answered when it fails
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(runMessage)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	result := runResult{}
	if result.Exit, err = a.run(ctx, cancel, conn, user); err != nil {
		result.Error = a.answerable(err, "run", user)
	}
	raw, err := json.Marshal(result)
	if err == nil {
		err = conn.Write(r.Context(), websocket.MessageText, raw)
	}
	if err == nil {
		err = conn.Close(websocket.StatusNormalClosure, "")
	}
	if err != nil {
		a.log.Debug("nobody waited for the end of a one-off", "user", user.Name, "err", err)
	}
}

// run does it. gone is called when the asker has left.
func (a *API) run(ctx context.Context, gone func(), conn *websocket.Conn, user store.User) (int, error) {
	_, raw, err := conn.Read(ctx)
	if err != nil {
		return 0, err
	}
	args, err := decodeRun(raw)
	if err != nil {
		return 0, err
	}
	if err := user.May(store.RoleDeploy, args.App); err != nil {
		return 0, err
	}
	stdin, feed := io.Pipe()
	defer stdin.Close() // whoever still feeds the program stops
	input := make(chan []byte, runQueue)
	resize, signals := make(chan runtime.Size, 1), make(chan string, 8)
	go func() {
		for chunk := range input {
			if _, err := feed.Write(chunk); err != nil {
				break
			}
		}
		feed.Close()
		for range input { // the program reads no more; the asker may go on writing
		}
	}()
	go func() {
		defer gone()
		readRun(ctx, conn, input, resize, signals)
	}()
	att := runtime.Attachment{
		Stdin:    stdin,
		Stdout:   runWriter{ctx, conn, toStdout},
		Stderr:   runWriter{ctx, conn, toStderr},
		Terminal: args.Terminal,
		Size:     args.Size,
		Resize:   resize,
		Signals:  signals,
	}
	return a.deployer.RunOnce(ctx, args.App, args.Args, att, user)
}

func decodeRun(raw []byte) (args RunArgs, err error) {
	if err := decodeStrictly(raw, &args); err != nil {
		return args, err
	}
	if args.App == "" {
		return args, fault.New(fault.Usage, "E140", "run needs the name of an app")
	}
	if len(args.Args) == 0 || args.Args[0] == "" {
		return args, fault.New(fault.Usage, "E140", "run needs a command").Hint("berth run %s -- COMMAND", args.App)
	}
	return args, nil
}

// readRun hands on what the asker sends until the asker or ctx is gone.
func readRun(ctx context.Context, conn *websocket.Conn, input chan<- []byte, resize chan runtime.Size, signals chan<- string) {
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
		var control runControl
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
		n := min(len(text)-sent, runMessage-1)
		message := append([]byte{w.stream}, text[sent:sent+n]...)
		if err := w.conn.Write(w.ctx, websocket.MessageBinary, message); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(text), nil
}

// Run runs a one-off command with its streams attached to att and returns its
// exit code. Cancelling ctx kills it.
func (c *Client) Run(ctx context.Context, app string, args []string, att runtime.Attachment) (int, error) {
	conn, _, err := websocket.Dial(ctx, "ws://"+c.host+apiPath+"run", &websocket.DialOptions{HTTPClient: c.http})
	if err != nil {
		return 0, c.unreachable(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(runMessage + 64<<10)
	raw, err := json.Marshal(RunArgs{AppArgs: AppArgs{app}, Args: args, Terminal: att.Terminal, Size: att.Size})
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
			var result runResult
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
		if raw[0] == toStderr {
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
	chunk := make([]byte, runMessage/2)
	for stdin != nil {
		n, err := stdin.Read(chunk)
		if n > 0 && conn.Write(ctx, websocket.MessageBinary, chunk[:n]) != nil {
			return
		}
		if err != nil {
			break
		}
	}
	sendControl(ctx, conn, runControl{EOF: true})
}

func sendControls(ctx context.Context, conn *websocket.Conn, resize <-chan runtime.Size, signals <-chan string) {
	for {
		var control runControl
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

func sendControl(ctx context.Context, conn *websocket.Conn, control runControl) error {
	raw, err := json.Marshal(control)
	return errors.Join(err, conn.Write(ctx, websocket.MessageText, raw))
}
