package router

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// caller is the service of gRPC's interoperability tests, as far as it says
// something of what is between client and server.
type caller struct {
	pb.UnimplementedTestServiceServer
	entered chan struct{}
	left    chan error // what a call saw that its client has left
}

func newCaller() *caller {
	return &caller{entered: make(chan struct{}, 16), left: make(chan error, 16)}
}

func (*caller) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if s := in.GetResponseStatus(); s != nil {
		return nil, status.Error(codes.Code(s.Code), s.Message)
	}
	grpc.SetHeader(ctx, metadata.Pairs("x-first", strings.Join(md["x-first"], ","), "x-for", strings.Join(md["x-forwarded-for"], ",")))
	grpc.SetTrailer(ctx, metadata.Pairs("x-last-bin", strings.Join(md["x-last-bin"], ",")))
	return &pb.SimpleResponse{Payload: &pb.Payload{Body: in.GetPayload().GetBody()}}, nil
}

func (c *caller) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	c.entered <- struct{}{}
	<-ctx.Done()
	deadline, set := ctx.Deadline()
	if set && time.Until(deadline) < time.Minute {
		c.left <- context.DeadlineExceeded
	} else {
		c.left <- ctx.Err()
	}
	return nil, ctx.Err()
}

func (*caller) StreamingInputCall(calls grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	sum := 0
	for {
		in, err := calls.Recv()
		if errors.Is(err, io.EOF) {
			return calls.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(in.GetPayload().GetBody())
	}
}

func (*caller) FullDuplexCall(calls grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		in, err := calls.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := calls.Send(&pb.StreamingOutputCallResponse{Payload: in.Payload}); err != nil {
			return err
		}
		if s := in.GetResponseStatus(); s != nil {
			return status.Error(codes.Code(s.Code), s.Message)
		}
	}
}

// serveGRPC starts a real server of gRPC, which speaks HTTP/2 alone.
func serveGRPC(t testing.TB, id string, c *caller) Backend {
	t.Helper()
	l := listen(t)
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	pb.RegisterTestServiceServer(srv, c)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	return backendAt(id, l.Addr().String())
}

// dialGRPC is a real client of gRPC that reaches the router by TLS.
func dialGRPC(t testing.TB, s *service, host string) pb.TestServiceClient {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots(), ServerName: host})),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.secure)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return pb.NewTestServiceClient(cc)
}

func payload(n int) *pb.Payload { return &pb.Payload{Body: bytes.Repeat([]byte("x"), n)} }

func ask(payload *pb.Payload) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{Payload: payload}
}

func TestGRPC_UnaryCallsMetadataAndStatus(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, serveGRPC(t, "1", newCaller()))
	c := dialGRPC(t, s, "shop.localhost")
	for _, size := range []int{0, 1, 100_000, 20 << 20} {
		var header, trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-first", "one", "x-last-bin", "\x00\xff", "x-forwarded-for", "6.6.6.6")
		res, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(size)}, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil {
			t.Fatalf("a message of %d bytes: %v", size, err)
		}
		if got := len(res.GetPayload().GetBody()); got != size {
			t.Errorf("sent %d bytes, got %d", size, got)
		}
		if got := header.Get("x-first"); len(got) != 1 || got[0] != "one" {
			t.Errorf("header: got %q", got)
		}
		if got := header.Get("x-for"); len(got) != 1 || got[0] != "127.0.0.1" {
			t.Errorf("the app saw the client %q", got)
		}
		if got := trailer.Get("x-last-bin"); len(got) != 1 || got[0] != "\x00\xff" {
			t.Errorf("trailer: got %q", got)
		}
	}
	// An answer of a status alone is one of trailers only.
	const words = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
	_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 9, Message: words}})
	if got := status.Convert(err); got.Code() != codes.FailedPrecondition || got.Message() != words {
		t.Errorf("status: got %v", err)
	}
	if _, err := c.UnimplementedCall(t.Context(), &pb.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a call that the app does not have: got %v", err)
	}
}

func TestGRPC_StreamsAreNotBuffered(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, serveGRPC(t, "1", newCaller()))
	c := dialGRPC(t, s, "shop.localhost")
	call, err := c.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 { // each is sent when the one before has come back
		if err := call.Send(ask(payload(n * 1000))); err != nil {
			t.Fatal(err)
		}
		if res, err := call.Recv(); err != nil || len(res.Payload.Body) != n*1000 {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	call.CloseSend()
	if _, err := call.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the call: got %v", err)
	}
}

// A call is limited message by message: all of it may be longer than a body.
func TestGRPC_MaxBodyIsOfOneMessage(t *testing.T) {
	s := start(t, Config{})
	s.route(t, Options{MaxBody: 10_000}, serveGRPC(t, "1", newCaller()))
	c := dialGRPC(t, s, "shop.localhost")
	call, err := c.StreamingInputCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := call.Send(&pb.StreamingInputCallRequest{Payload: payload(5000)}); err != nil {
			t.Fatal(err)
		}
	}
	if res, err := call.CloseAndRecv(); err != nil || res.AggregatedPayloadSize != 500_000 {
		t.Errorf("got %v, %v", res, err)
	}
	if _, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: payload(10_001)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a longer message: got %v", err)
	}
	duplex, err := c.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	duplex.Send(ask(payload(1)))
	if _, err := duplex.Recv(); err != nil {
		t.Fatal(err)
	}
	duplex.Send(ask(payload(10_001)))
	if _, err := duplex.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a longer message in the middle of a call: got %v", err)
	}
}

func TestGRPC_CancellationAndDeadlineReachTheApp(t *testing.T) {
	s := start(t, Config{ResponseTimeout: time.Millisecond}) // is not for calls
	app := newCaller()
	s.swap(t, "shop", []string{"shop.localhost"}, serveGRPC(t, "1", app))
	c := dialGRPC(t, s, "shop.localhost")
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-app.entered; leave() }()
	if _, err := c.EmptyCall(ctx, &pb.Empty{}); status.Code(err) != codes.Canceled {
		t.Errorf("cancelled: got %v", err)
	}
	if err := <-app.left; !errors.Is(err, context.Canceled) {
		t.Errorf("the app saw %v", err)
	}
	ctx, leave = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer leave()
	if _, err := c.EmptyCall(ctx, &pb.Empty{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("with a deadline: got %v", err)
	}
	<-app.entered
	if err := <-app.left; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the app saw %v, want the deadline", err)
	}
}

// openCall opens a call that has had an answer.
func openCall(t testing.TB, ctx context.Context, c pb.TestServiceClient) grpc.BidiStreamingClient[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse] {
	t.Helper()
	call, err := c.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Send(ask(payload(1))); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); err != nil {
		t.Fatal(err)
	}
	return call
}

func TestGRPC_SwapLetsCallsEndAndCutsThemAfterTheirGrace(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, serveGRPC(t, "1", newCaller()))
	c := dialGRPC(t, s, "shop.localhost")
	ends, stays := openCall(t, t.Context(), c), openCall(t, t.Context(), c)
	drain := s.swap(t, "shop", []string{"shop.localhost"}, serveGRPC(t, "2", newCaller()))
	// On the old one, while the new one answers.
	if _, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{}); err != nil {
		t.Error(err)
	}
	if err := ends.Send(ask(payload(2))); err != nil {
		t.Error(err)
	}
	if _, err := ends.Recv(); err != nil {
		t.Error(err)
	}
	ends.CloseSend()
	if _, err := ends.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a call that ends: got %v", err)
	}
	if cut := drain.Wait(t.Context(), time.Minute, 50*time.Millisecond); cut != 1 {
		t.Errorf("%d calls were cut, want 1", cut)
	}
	if _, err := stays.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "restarted") {
		t.Errorf("a call that stays: got %v", err)
	}
}

func TestGRPC_RouterThatStopsCutsCalls(t *testing.T) {
	s := start(t, Config{Drain: time.Minute})
	s.swap(t, "shop", []string{"shop.localhost"}, serveGRPC(t, "1", newCaller()))
	call := openCall(t, t.Context(), dialGRPC(t, s, "shop.localhost"))
	done := make(chan struct{})
	go func() { s.stop(); close(done) }()
	if _, err := call.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	<-done
}

func TestGRPC_OwnAnswersAreStatuses(t *testing.T) {
	s := start(t, Config{})
	dead := func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }
	hash := []byte("$2a$04$zVHmKQtGGQob.b/Nc7l9NO8UlrYcW05FiuCj/SxsFO/ZtiN9.mNzy")
	for name, rt := range map[string]Route{
		"down":   {},
		"dead":   {Backends: []Backend{{ID: "1", Dial: dead}}},
		"closed": {Options: Options{Maintenance: true}},
		"secret": {Options: Options{Users: []User{{"me", hash}}}},
		"pages":  {Options: Options{ErrorPage: []byte("<h1>sorry</h1>")}},
	} {
		rt.Name, rt.Hosts = name, []string{name + ".localhost"}
		if _, err := s.Swap(rt); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]codes.Code{
		"down": codes.Unavailable, "dead": codes.Unavailable, "closed": codes.Unavailable,
		"secret": codes.Unauthenticated, "pages": codes.Unavailable,
	} {
		_, err := dialGRPC(t, s, name+".localhost").UnaryCall(t.Context(), &pb.SimpleRequest{})
		if got := status.Convert(err); got.Code() != want || strings.Contains(got.Message(), "<") || !strings.Contains(got.Message(), ".") {
			t.Errorf("%s: got %v, want %v in words", name, err, want)
		}
	}
	if st, _ := s.Stats("dead"); st.Status[5] != 1 {
		t.Errorf("a call that found nobody is counted as %v", st.Status)
	}
}

// The client of a conversation has not ended its half, and says no more.
func TestGRPC_AppMayEndACallThatItsClientHasNot(t *testing.T) {
	s := start(t, Config{})
	s.swap(t, "shop", []string{"shop.localhost"}, serveGRPC(t, "1", newCaller()))
	call := openCall(t, t.Context(), dialGRPC(t, s, "shop.localhost"))
	last := ask(payload(1))
	last.ResponseStatus = &pb.EchoStatus{Code: int32(codes.Aborted), Message: "enough"}
	if err := call.Send(last); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("got %v", err)
	}
}

// h2cApp is an app that speaks HTTP/2 without TLS, and nothing else.
func h2cApp(t testing.TB, h http.HandlerFunc) Backend {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return backendAt("1", srv.Listener.Addr().String())
}

// What the app does to a call in HTTP/2, its client is told in gRPC.
func TestGRPC_ResetsOfTheAppAreToldAsStatuses(t *testing.T) {
	for code, want := range map[http2.ErrCode]codes.Code{
		http2.ErrCodeCancel: codes.Canceled, http2.ErrCodeEnhanceYourCalm: codes.ResourceExhausted,
		http2.ErrCodeInternal: codes.Internal, http2.ErrCodeProtocol: codes.Internal, hungUp: codes.Unavailable,
	} {
		for _, answers := range []bool{true, false} {
			if code == http2.ErrCodeProtocol && !answers {
				continue // net/http tries that again for a while
			}
			s := start(t, Config{})
			s.swap(t, "shop", []string{"shop.localhost"}, resetting(t, code, answers))
			call, err := dialGRPC(t, s, "shop.localhost").FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if answers {
				if _, err := call.Recv(); err != nil {
					t.Fatalf("%v: the message before it: %v", code, err)
				}
			}
			if _, err := call.Recv(); status.Code(err) != want {
				t.Errorf("%v, after an answer %v: got %v, want %v", code, answers, err, want)
			}
		}
	}
}

func TestGRPC_ResetAtTheDeadlineIsTheDeadline(t *testing.T) {
	for given, want := range map[string]bool{"100m": true, "1S": true, "2S": false, "1H": false, "99999999n": true, "": false, "m": false, "5x": false, "-1S": false} {
		x := &exchange{in: &http.Request{Header: http.Header{"Grpc-Timeout": {given}}}, start: time.Now().Add(-1500 * time.Millisecond)}
		if got := pastDeadline(x); got != want {
			t.Errorf("%q: got %v", given, got)
		}
	}
}

// hungUp is no reset, but the end of the connection.
const hungUp http2.ErrCode = 0xffff

// resetting is an app that answers a call with an empty message, or not at all,
// then resets it.
func resetting(t testing.TB, code http2.ErrCode, answers bool) Backend {
	t.Helper()
	return backendAt("1", connections(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					f.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				if answers {
					f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, EndHeaders: true, BlockFragment: encodeHeaders(
						":status", "200", "content-type", "application/grpc")})
					f.WriteData(frame.StreamID, false, make([]byte, 5))
				}
				if code == hungUp {
					return
				}
				f.WriteRSTStream(frame.StreamID, code)
			}
		}
	}))
}

func TestH2C_EverythingGoesByHTTP2(t *testing.T) {
	bothWays(t, func(t *testing.T, client func(*service, testing.TB) *http.Client) {
		s := start(t, Config{})
		b := h2cApp(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprintf(w, "%s %s %s %q", r.Proto, r.Host, body, r.Header.Get("Upgrade"))
			http.NewResponseController(w).Flush() // or it gets a length, behind which HTTP/1.1 has no trailers
			w.Header().Set("X-Sum", "42")
		})
		s.route(t, Options{Protocol: H2C}, b)
		c := client(s, t)
		res, err := c.Post("https://shop.localhost/", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got, want := string(body), `HTTP/2.0 shop.localhost hello ""`; got != want || res.Trailer.Get("X-Sum") != "42" {
			t.Errorf("got %q and trailers %v, want %q", got, res.Trailer, want)
		}
		if _, got := get(t, s.oldClient(t), "https://shop.localhost/", "Connection", "Upgrade", "Upgrade", "websocket"); got != `HTTP/2.0 shop.localhost  ""` {
			t.Errorf("an upgrade, which HTTP/2 has not: got %q", got)
		}
	})
}

func TestH2C_ResponseHasToBegin(t *testing.T) {
	s := start(t, Config{ResponseTimeout: 50 * time.Millisecond})
	s.route(t, Options{Protocol: H2C}, h2cApp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	if res, _ := get(t, s.client(t), "https://shop.localhost/"); res.StatusCode != 504 {
		t.Errorf("got %d, want 504", res.StatusCode)
	}
}

func TestGRPCType(t *testing.T) {
	for kind, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc;x=y": true, "Application/GRPC+json": true,
		"application/grpc-web": false, "application/grpc-web-text": false, "application/grpcx": false, "text/html": false, "": false,
	} {
		if got := grpcType(kind); got != want {
			t.Errorf("%q: got %v", kind, got)
		}
		if want && compressible(kind) {
			t.Errorf("%q would be compressed", kind)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02ab\x01\x00\x00\x00\x00"), uint8(1))
	f.Add([]byte("\x00\xff\xff\xff\xff"), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		var at, once messages
		want := once.pass(text)
		var got int64
		for p := text; len(p) > 0; {
			n := min(len(p), int(step)+1)
			got = max(got, at.pass(p[:n]))
			p = p[n:]
		}
		if got != want || at.whole != once.whole || at.left != once.left {
			t.Errorf("in steps of %d: longest %d and %d whole, at once %d and %d", step+1, got, at.whole, want, once.whole)
		}
	})
}

// route leads shop.localhost to backends with options.
func (s *service) route(t testing.TB, o Options, backends ...Backend) {
	t.Helper()
	if _, err := s.Swap(Route{Name: "shop", Hosts: []string{"shop.localhost"}, Options: o, Backends: backends}); err != nil {
		t.Fatal(err)
	}
}

// encodeHeaders writes names and values as HTTP/2 does.
func encodeHeaders(fields ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}
