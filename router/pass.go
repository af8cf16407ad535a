package router

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/berthd/berth/router/http1"
)

// plain tells whether the request may take the short way to its backend:
// HTTP/1.1 on a kept connection, on this goroutine. What changes the protocol,
// asks before it sends, has trailers or wants HTTP/2 is left to net/http, which costs twice
// as much.
func (x *exchange) plain() bool {
	h := x.in.Header
	return !x.speaksH2C() && h["Upgrade"] == nil && h["Expect"] == nil && x.in.Trailer == nil
}

// pass sends the request to a backend by the short way, and its response back.
func (x *exchange) pass() {
	if x.in.ContentLength != 0 && x.in.Body != nil && x.in.Body != http.NoBody {
		x.body = &body{src: x.in.Body, count: x.countIn}
	}
	var u *upstream
	var stop func() bool
	err := x.offer(func(bool) (err error) {
		u, stop, err = x.ask()
		return err
	})
	if err != nil {
		x.failed(nil, nil, err)
		return
	}
	whole := false
	defer func() {
		if stop() && whole && u.reusable() {
			x.backend.pool.put(u)
		} else {
			u.Close()
		}
	}()
	if err := x.answer(u); err != nil {
		panic(http.ErrAbortHandler) // the client sees that there should be more
	}
	whole = true
}

// ask sends the request on a connection to the claimed backend and reads until
// the response's head is there. What it returns beside it ends the watch that
// ends the connection with the exchange.
func (x *exchange) ask() (_ *upstream, _ func() bool, err error) {
	ctx := x.in.Context()
	u, reused, err := x.backend.upstream(ctx)
	if err != nil {
		return nil, nil, err
	}
	x.onConn(u.upstreamConn, reused)
	stop := context.AfterFunc(ctx, u.abort)
	defer func() {
		if err != nil {
			stop()
			u.Close()
		}
	}()
	if u.head, err = x.appendHead(u.head[:0]); err != nil {
		return nil, nil, err
	}
	var send io.ReadCloser
	if x.body != nil {
		send = x.body.reader()
		defer func() {
			if err != nil {
				send.Close()
			}
		}()
	}
	if err := u.send(send, x.in.ContentLength, x.responseTimeout(), &x.door.buffers); err != nil {
		return nil, nil, err
	}
	if err := u.receive(x.in.Method, x.inform); err != nil {
		return nil, nil, err
	}
	return u, stop, nil
}

// appendHead appends the head of the request that the backend gets.
func (x *exchange) appendHead(b []byte) (_ []byte, err error) {
	if b, err = http1.AppendRequest(b, x.in.Method, x.in.URL.RequestURI(), x.in.Host); err != nil {
		return b, err
	}
	named := namedByConnection(x.in.Header)
	for name, values := range x.in.Header {
		switch name {
		case "Host", "Content-Length":
			continue
		}
		if http1.HopByHop(name) || untrusted(name) || named != "" && http1.HasToken(named, name) {
			continue
		}
		for _, value := range values {
			if b, err = http1.AppendField(b, name, value); err != nil {
				return b, err
			}
		}
	}
	for _, te := range x.in.Header["Te"] {
		if http1.HasToken(te, "trailers") {
			b = append(b, "Te: trailers\r\n"...)
			break
		}
	}
	for _, f := range x.forwarded() {
		if b, err = http1.AppendField(b, f.Name, f.Value); err != nil {
			return b, err
		}
	}
	switch {
	case x.body != nil && x.in.ContentLength < 0:
		b = http1.AppendChunked(b)
	case x.body != nil:
		b = http1.AppendLength(b, x.in.ContentLength)
	case x.in.Method == http.MethodPost || x.in.Method == http.MethodPut || x.in.Method == http.MethodPatch:
		b = http1.AppendLength(b, 0)
	}
	return append(b, "\r\n"...), nil
}

// namedByConnection returns the names of fields that are about the client's
// connection alone, as a list.
func namedByConnection(h http.Header) string {
	values := h["Connection"]
	if len(values) == 0 || len(values) == 1 && strings.EqualFold(values[0], "keep-alive") {
		return ""
	}
	return strings.Join(values, ",")
}

// inform passes an informational response on. 100 was not asked for.
func (x *exchange) inform(res *http1.Response) {
	if res.Status == http.StatusContinue {
		return
	}
	h := x.w.Header()
	http1.AddTo(h, res.Fields)
	x.w.WriteHeader(res.Status)
	clear(h)
}

// answer writes the response to the client, as it comes.
func (x *exchange) answer(u *upstream) error {
	h := x.w.Header()
	http1.AddTo(h, u.res.Fields)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // what the app does not say is not ours to guess
	}
	for _, f := range u.res.Fields {
		if f.Name == "Trailer" {
			h.Add(f.Name, f.Value)
		}
	}
	x.w.WriteHeader(u.res.Status)

	// A body whose length is known may wait in the server's buffer for more of
	// it; any other is sent as it comes.
	if u.res.Length() < 0 || strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") {
		u.live = x.w
	}
	buf := x.door.buffers.Get()
	defer x.door.buffers.Put(buf)
	for {
		n, err := u.body.Read(buf)
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if trailer := u.body.Trailer(); len(trailer) > 0 {
		x.w.FlushError() // so that the body is not given a length, and trailers can follow
		for _, f := range trailer {
			if http1.MayTrail(f.Name) {
				h.Add(http.TrailerPrefix+f.Name, f.Value)
			}
		}
	}
	return nil
}
