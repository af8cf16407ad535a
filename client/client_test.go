package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/store/fault"
)

// answering returns a client of a server that answers every verb by fn.
func answering(t *testing.T, fn http.HandlerFunc) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "berth.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: fn}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return Dial(socket)
}

func codeOf(err error) string {
	if f := fault.From(err); f != nil {
		return f.Code
	}
	return fmt.Sprint(err)
}

func TestCall_CopiesProgressAndReadsTheResult(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		args, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/api/v1/ps:scale" || string(args) != `{"app":"shop"}` || r.Header.Get("Accept") != Stream {
			t.Errorf("asked %s %s %s", r.URL.Path, args, r.Header.Get("Accept"))
		}
		io.WriteString(w, `{"out":"-----> Start\n"}`+"\n"+`{"result":{"release":3}}`+"\n")
	})
	var out bytes.Buffer
	var result struct{ Release int }
	err := c.Call(t.Context(), "ps:scale", map[string]string{"app": "shop"}, &result, &out)
	if err != nil || result.Release != 3 || out.String() != "-----> Start\n" {
		t.Errorf("got %+v, %q, %v", result, &out, err)
	}
}

func TestFollow_GivesItemsAsTheyCome(t *testing.T) {
	more := make(chan bool)
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"item":"one"}`+"\n")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, `{"item":"two"}`+"\n"+`{"result":null}`+"\n")
	})
	var got []string
	err := Follow(t.Context(), c, "logs", nil, func(line string) error {
		if got = append(got, line); len(got) == 1 {
			more <- true
		}
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCall_TellsFailuresApart(t *testing.T) {
	refused := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"error":{"kind":3,"code":"E101","message":"no app named \"x\""}}`)
	})
	broken := answering(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"out":"half`) })
	failing := func(err error) *Client {
		return New(func(context.Context) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Err: err} })
	}
	for want, c := range map[string]*Client{
		"E101": refused, "E132": broken, "E130": Dial(filepath.Join(t.TempDir(), "none.sock")), "E131": failing(os.ErrPermission),
	} {
		if got := codeOf(c.Call(t.Context(), "apps:info", nil, nil, nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCall_EndsWithItsContext(t *testing.T) {
	entered := make(chan bool)
	c := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		entered <- true
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() { <-entered; cancel() }()
	if err := c.Call(ctx, "apps:info", nil, nil, nil); err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
}
