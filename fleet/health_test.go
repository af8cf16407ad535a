package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"testing"
)

func TestListensOn_FindsThePortOnWhateverAddress(t *testing.T) {
	addresses := []string{"127.0.0.1:8000", "[::]:5000", "0.0.0.0:50000"}
	for port, want := range map[int]string{5000: "[::]:5000", 8000: "127.0.0.1:8000", 500: "", 3000: ""} {
		if got := listensOn(addresses, port); got != want {
			t.Errorf("port %d: got %q, want %q", port, got, want)
		}
	}
}

func TestPlain_SaysWhatAPersonWould(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connect: %w", syscall.ECONNREFUSED)}
	rows := []struct {
		err  error
		want string
	}{
		{refused, "connection refused"},
		{fmt.Errorf("get: %w", refused), "connection refused"},
		{&url.Error{Op: "Get", URL: "http://x/", Err: context.DeadlineExceeded}, "no answer in time"},
		{fmt.Errorf("read: %w", io.EOF), "the connection was closed without an answer"},
		{errors.New("status 500"), "status 500"},
	}
	for _, row := range rows {
		if got := Plain(row.err).Error(); got != row.want {
			t.Errorf("%v: got %q, want %q", row.err, got, row.want)
		}
	}
}

func TestExit_NamesHowAProgramEnded(t *testing.T) {
	rows := map[string]Exit{
		"exit code 1":               {Code: 1},
		"killed by signal 9":        {Code: 137, Signal: 9},
		"its container disappeared": {Code: 137, Signal: 9, Lost: true},

		"exit code 137, killed for the memory limit of 512 MiB":                              {Code: 137, Signal: 9, OOM: true, MemoryLimit: 512 << 20},
		"exit code 137, killed for the memory limit of 2 GiB":                                {Code: 137, OOM: true, MemoryLimit: 2 << 30},
		"exit code 137, killed for the memory limit":                                         {Code: 137, Signal: 9, OOM: true},
		"exit code 1, after one of its processes was killed for the memory limit of 512 MiB": {Code: 1, OOM: true, MemoryLimit: 512 << 20},
		"exit code 0": {OOM: true}, // a child, and the program got over it
	}
	for want, exit := range rows {
		if got := exit.String(); got != want {
			t.Errorf("%+v: got %q, want %q", exit, got, want)
		}
	}
}
