package router

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// The statuses of gRPC that the router tells, by their numbers in gRPC's own
// list.
const (
	grpcCancelled         = 1
	grpcUnknown           = 2
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// grpcMoment is what a call has to end in when the router stops and a whole
// message of the answer has been passed on: of a call that answers once, the
// status follows at once.
const grpcMoment = time.Second

// isGRPC tells whether the exchange is a call of gRPC, which needs HTTP/2 on
// both sides. gRPC-Web does not, nor does what merely has the type.
func (x *exchange) isGRPC() bool {
	return x.in.ProtoMajor >= 2 && grpcType(x.in.Header.Get("Content-Type"))
}

// grpcType tells whether a type is gRPC's own: application/grpc, perhaps with
// a coding (+proto), but not application/grpc-web.
func grpcType(contentType string) bool {
	const name = "application/grpc"
	if len(contentType) < len(name) || !strings.EqualFold(contentType[:len(name)], name) {
		return false
	}
	rest := contentType[len(name):]
	return rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}

// tellGRPC answers a call in the place of a page, in the way that gRPC's
// clients understand: a status in the header, and nothing after it.
func (x *exchange) tellGRPC(p page) {
	x.tellStatus(grpcStatus(p.status), p.title+". "+p.text)
	x.w.status = p.status // for those who count and log
}

func (x *exchange) tellStatus(status int, message string) {
	x.ours = true
	h := x.w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(status))
	h.Set("Grpc-Message", message)
	h.Set("X-Request-Id", x.id)
	x.w.WriteHeader(http.StatusOK)
}

// wasReset tells whether a call failed by a reset of the app's, which is its
// answer then.
func wasReset(x *exchange, err error) bool {
	_, reset := errors.AsType[http2.StreamError](err)
	return reset && x.isGRPC()
}

// grpcStatus is gRPC's own table of what a proxy's status means, but for a
// body that is too long: that has a name in gRPC.
func grpcStatus(status int) int {
	switch status {
	case http.StatusBadRequest:
		return grpcInternal
	case http.StatusUnauthorized:
		return grpcUnauthenticated
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound:
		return grpcUnimplemented
	case http.StatusRequestEntityTooLarge:
		return grpcResourceExhausted
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return grpcUnavailable
	}
	return grpcUnknown
}

// converse follows the answer to a call.
func (x *exchange) converse(res *http.Response) error {
	if grpcType(res.Header.Get("Content-Type")) && res.Body != http.NoBody {
		res.Body = &answer{ReadCloser: res.Body, x: x, res: res}
	}
	return nil
}

// answer is the body of the answer to a call.
type answer struct {
	io.ReadCloser
	x        *exchange
	res      *http.Response
	messages messages
}

// Read returns what the app sends. Where that breaks off, the answer ends with
// a status in its trailers, as the client would have made it of the reset:
// net/http's server has one code for all resets.
func (a *answer) Read(p []byte) (int, error) {
	if a.messages.whole > 0 && !a.x.stream.Load() {
		a.x.becameCall()
	}
	n, err := a.ReadCloser.Read(p)
	a.messages.pass(p[:n])
	if err == nil || errors.Is(err, io.EOF) || a.x.in.Context().Err() != nil && !a.x.wasCut.Load() {
		return n, err // the client that has left is told nothing
	}
	if a.res.Trailer == nil {
		a.res.Trailer = http.Header{}
	}
	status, message := a.x.broken(err)
	a.res.Trailer["Grpc-Status"] = []string{strconv.Itoa(status)}
	a.res.Trailer["Grpc-Message"] = []string{message}
	a.x.hungUp = true // the status is all that there is to come
	return n, io.EOF
}

// broken tells why an answer broke off.
func (x *exchange) broken(err error) (status int, message string) {
	if why := x.upload.refused(); why != nil {
		return grpcStatus(why.status), why.title + ". " + why.text
	}
	if x.wasCut.Load() {
		return grpcUnavailable, restarted.title + ". " + restarted.text
	}
	if reset, ok := errors.AsType[http2.StreamError](err); ok {
		if reset.Code == http2.ErrCodeCancel && pastDeadline(x) {
			return grpcDeadlineExceeded, "The app has ended the call at its deadline."
		}
		return resetStatus(reset.Code), "The app has reset the call: " + reset.Code.String()
	}
	return grpcUnavailable, "The connection to the app was lost."
}

// resetStatus is gRPC's table of HTTP/2's error codes.
func resetStatus(code http2.ErrCode) int {
	switch code {
	case http2.ErrCodeRefusedStream:
		return grpcUnavailable
	case http2.ErrCodeCancel:
		return grpcCancelled
	case http2.ErrCodeEnhanceYourCalm:
		return grpcResourceExhausted
	case http2.ErrCodeInadequateSecurity:
		return grpcPermissionDenied
	}
	return grpcInternal
}

// pastDeadline tells whether the time is over that the client has given the
// call. The app may notice that a moment before the client does.
func pastDeadline(x *exchange) bool {
	given := x.in.Header.Get("Grpc-Timeout")
	if given == "" {
		return false
	}
	last := len(given) - 1
	n, err := strconv.ParseUint(given[:last], 10, 31)
	unit := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[given[last]]
	if err != nil || unit == 0 {
		return false
	}
	return time.Since(x.start).Seconds() >= float64(n)*unit.Seconds()
}

// becameCall is called when a whole message of an answer has been passed on,
// and the answer has not ended: it may go on like an event stream.
func (x *exchange) becameCall() {
	x.stream.Store(true)
	x.unwatch = context.AfterFunc(x.door.stopping, func() {
		time.AfterFunc(grpcMoment, func() { x.cut() })
	})
}

// messages counts those of gRPC in a body that passes by: each has a flag, its
// length in four bytes, and so many bytes.
type messages struct {
	whole int    // have passed to their end
	left  uint32 // of the one that is passing
	head  [5]byte
	have  int // of head
}

// pass returns the length of the longest message that begins in p.
func (m *messages) pass(p []byte) (longest int64) {
	for len(p) > 0 {
		if m.left > 0 {
			n := min(uint64(m.left), uint64(len(p)))
			p = p[n:]
			if m.left -= uint32(n); m.left == 0 {
				m.whole++
			}
			continue
		}
		n := copy(m.head[m.have:], p)
		p = p[n:]
		if m.have += n; m.have < len(m.head) {
			return longest
		}
		m.have = 0
		m.left = uint32(m.head[1])<<24 | uint32(m.head[2])<<16 | uint32(m.head[3])<<8 | uint32(m.head[4])
		if m.left == 0 {
			m.whole++
		}
		longest = max(longest, int64(m.left))
	}
	return longest
}
