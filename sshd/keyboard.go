package sshd

import (
	"io"
	"sync"
)

// The keys that a terminal acts on by itself.
const (
	keyInterrupt = 0x03 // ^C
	keyEnd       = 0x04 // ^D
	keyQuit      = 0x1c // ^\
)

// mostTyped bounds what is typed ahead of a command that does not read, in bytes.
const mostTyped = 64 << 10

// keyboard is the input of a terminal. A client that asked for one has put its
// own into raw mode, so nothing at its end acts on ^C, and most commands do not
// read at all. The keyboard reads ahead and acts as a terminal would: ^C and ^\
// interrupt the command, ^D on a line of its own ends the input, and Enter ends
// a line. A program with a terminal of its own takes the keys as they are.
type keyboard struct {
	interrupt func()

	mu    sync.Mutex // guards what follows
	more  *sync.Cond // something of it has changed
	typed []byte     // and not read yet
	err   error      // why no more comes
	raw   bool       // keys are handed on as they are
	line  bool       // something was read of the line that is being typed
	ended bool       // by ^D
	off   bool       // the command has ended, and nothing reads any more
}

// newKeyboard reads from in until it ends, or until off is called. interrupt is
// called for ^C.
func newKeyboard(in io.Reader, interrupt func()) *keyboard {
	k := &keyboard{interrupt: interrupt}
	k.more = sync.NewCond(&k.mu)
	go k.listen(in)
	return k
}

func (k *keyboard) listen(in io.Reader) {
	keys := make([]byte, 4<<10)
	for {
		n, err := in.Read(keys)
		k.mu.Lock()
		for _, key := range keys[:n] {
			if !k.raw && (key == keyInterrupt || key == keyQuit) {
				k.typed = nil
				go k.interrupt()
				continue
			}
			k.typed = append(k.typed, key)
		}
		k.err = err
		k.more.Broadcast()
		for err == nil && !k.off && len(k.typed) >= mostTyped {
			k.more.Wait()
		}
		ended := err != nil || k.off
		k.mu.Unlock()
		if ended {
			return
		}
	}
}

// turnOff ends the reading ahead: what is typed now is for no command. Without
// it a full keyboard would wait for a reader for ever, and keep its connection's
// buffers.
func (k *keyboard) turnOff() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.off = true
	k.more.Broadcast()
}

// Raw hands the keys on as they are from now on.
func (k *keyboard) Raw() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.raw = true
}

// Read implements io.Reader.
func (k *keyboard) Read(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.typed) == 0 && k.err == nil && !k.ended {
		k.more.Wait()
	}
	defer k.more.Broadcast()
	if k.ended || len(k.typed) == 0 {
		if k.ended {
			return 0, io.EOF
		}
		return 0, k.err
	}
	if k.raw {
		n := copy(p, k.typed)
		k.typed = k.typed[n:]
		return n, nil
	}
	return k.readLine(p)
}

// readLine reads what is typed, up to the end of a line.
func (k *keyboard) readLine(p []byte) (n int, err error) {
	for len(k.typed) > 0 && n < len(p) {
		key := k.typed[0]
		if key == keyEnd {
			k.typed = k.typed[1:]
			if k.line {
				continue
			}
			k.ended = true
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		if key == '\r' {
			key = '\n'
		}
		k.typed = k.typed[1:]
		k.line = key != '\n'
		p[n] = key
		if n++; key == '\n' {
			break
		}
	}
	return n, nil
}
