package router

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/berthd/berth/router/http1"
)

const (
	// minCompress is the shortest body that gains: a packet carries as much.
	minCompress = 1 << 10

	// zstdWindow bounds the memory of an encoder; pages are shorter.
	zstdWindow = 128 << 10

	// gzipLevel is where more time begins to gain little.
	gzipLevel = 4
)

// compress decides about a response whose header is complete. It tells whether
// the header has to wait for the first of the body.
func (x *exchange) compress(status int, h http.Header) (wait bool) {
	switch {
	case status == http.StatusNoContent, status == http.StatusNotModified, status == http.StatusPartialContent,
		h["Content-Encoding"] != nil, h["Content-Range"] != nil, !compressible(h.Get("Content-Type")),
		h["Content-Digest"] != nil, h["Digest"] != nil, h["Content-Md5"] != nil,
		hasToken(h["Cache-Control"], "no-transform"):
		return false
	}
	length := int64(-1)
	if given := h.Get("Content-Length"); given != "" {
		if n, err := strconv.ParseInt(given, 10, 64); err == nil {
			length = n
		}
	}
	if length >= 0 && length < minCompress {
		return false
	}
	if !hasToken(h["Vary"], "*") && !hasToken(h["Vary"], "accept-encoding") {
		h.Add("Vary", "Accept-Encoding")
	}
	coding := acceptable(x.in.Header["Accept-Encoding"])
	if coding == "" || x.in.Method == http.MethodHead {
		return false
	}
	x.w.encoder = &encoder{w: x.w, status: status, coding: coding, pool: &x.door.encoders}
	if length >= 0 {
		x.w.encoder.begin()
	}
	return true
}

// compressible tells whether a type gains by compression. An event stream
// gains too, but its events are short and its readers in a hurry.
func compressible(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "text/event-stream":
		return false
	case "application/json", "application/javascript", "application/x-javascript", "application/xml",
		"application/x-ndjson", "application/wasm", "application/vnd.ms-fontobject",
		"font/ttf", "font/otf", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon":
		return true
	}
	if strings.HasPrefix(kind, "application/grpc") {
		return false // its messages are compressed one by one, or not
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}

// hasToken looks for a word in a header that is a list.
func hasToken(values []string, token string) bool {
	return slices.ContainsFunc(values, func(list string) bool { return http1.HasToken(list, token) })
}

// acceptable returns the coding of ours that a client likes best, by
// Accept-Encoding of RFC 9110; "" is none. Of equals zstd is better.
func acceptable(values []string) string {
	quality := map[string]float64{}
	for _, value := range values {
		for choice := range strings.SplitSeq(value, ",") {
			coding, params, weighted := strings.Cut(choice, ";")
			q := 1.0
			if weighted {
				name, weight, _ := strings.Cut(strings.TrimSpace(params), "=")
				n, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
				if !strings.EqualFold(strings.TrimSpace(name), "q") || err != nil || !(n >= 0 && n <= 1) {
					continue // no weight that we understand: leave it be
				}
				q = n
			}
			switch coding = strings.ToLower(strings.TrimSpace(coding)); coding {
			case "gzip", "x-gzip":
				quality["gzip"] = q
			case "zstd":
				quality["zstd"] = q
			case "*":
				if _, said := quality["gzip"]; !said {
					quality["gzip"] = q
				}
			}
		}
	}
	switch {
	case quality["zstd"] > 0 && quality["zstd"] >= quality["gzip"]:
		return "zstd"
	case quality["gzip"] > 0:
		return "gzip"
	}
	return ""
}

// encoder compresses a response's body. Of one whose length is not known it
// waits for as much as is worth it, or for a Flush.
type encoder struct {
	w      *responseWriter
	status int
	coding string
	pool   *encoders
	held   []byte // until it has begun
	to     flateWriter
}

// flateWriter is what both libraries' writers are.
type flateWriter interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// plainWriter writes past the encoder.
type plainWriter struct{ w *responseWriter }

func (p plainWriter) Write(b []byte) (int, error) { return p.w.send(b) }

// begin sends the header of a compressed body.
func (e *encoder) begin() {
	h := e.w.Header()
	h.Del("Content-Length")
	h.Del("Accept-Ranges") // of the bytes as the app has them
	h.Set("Content-Encoding", e.coding)
	if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
		h.Set("Etag", "W/"+tag) // the same page, other bytes
	}
	e.w.ResponseWriter.WriteHeader(e.status)
	e.to = e.pool.get(e.coding, plainWriter{e.w})
}

func (e *encoder) Write(p []byte) (int, error) {
	if e.to == nil {
		e.held = append(e.held, p...)
		if len(e.held) < minCompress {
			return len(p), nil
		}
		return len(p), e.release()
	}
	return e.to.Write(p)
}

// release begins, with what was held.
func (e *encoder) release() error {
	e.begin()
	held := e.held
	e.held = nil
	_, err := e.to.Write(held)
	return err
}

func (e *encoder) flush() error {
	if e.to == nil {
		if err := e.release(); err != nil {
			return err
		}
	}
	return e.to.Flush()
}

// close ends the body. One that turned out short goes out as it is.
func (e *encoder) close() {
	if e.to == nil {
		e.w.Header().Set("Content-Length", strconv.Itoa(len(e.held)))
		e.w.ResponseWriter.WriteHeader(e.status)
		e.w.send(e.held)
		return
	}
	if e.to.Close() == nil {
		e.pool.put(e.coding, e.to)
	}
	e.to = nil
}

// encoders lend the writers of the codings, whose memory is worth keeping.
type encoders struct{ gzip, zstd sync.Pool }

func (p *encoders) of(coding string) *sync.Pool {
	if coding == "zstd" {
		return &p.zstd
	}
	return &p.gzip
}

func (p *encoders) get(coding string, to io.Writer) flateWriter {
	if w, ok := p.of(coding).Get().(flateWriter); ok {
		w.Reset(to)
		return w
	}
	if coding == "zstd" {
		// The options are constants of ours that are valid.
		w, _ := zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		return w
	}
	w, _ := gzip.NewWriterLevel(to, gzipLevel)
	return w
}

func (p *encoders) put(coding string, w flateWriter) {
	w.Reset(nil) // holds on to no response
	p.of(coding).Put(w)
}
