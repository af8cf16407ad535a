package fleet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// dialer opens a connection to an instance.
type dialer func(ctx context.Context) (net.Conn, error)

// speaksH2C tells whether what listens begins HTTP/2 without being asked
// otherwise, as servers of gRPC do: HTTP/1.1 is nothing to them.
func speaksH2C(ctx context.Context, dial dialer) bool {
	c, err := dial(ctx)
	if err != nil {
		return false
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return false
	}
	f := http2.NewFramer(c, c)
	if f.WriteSettings() != nil {
		return false
	}
	frame, err := f.ReadFrame()
	if err != nil {
		return false
	}
	settings, ok := frame.(*http2.SettingsFrame)
	return ok && !settings.IsAck()
}

// h2cTransport asks in HTTP/2 without TLS.
func h2cTransport(dial dialer) *http.Transport {
	t := &http.Transport{
		Protocols:   new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// errNotServing is what an app says of itself.
var errNotServing = errors.New("grpc.health.v1 reports NOT_SERVING")

// callHealth asks an instance by gRPC's own protocol of checks. sure is false
// when the answer is none of gRPC's; an app that does not have the protocol,
// or wants to know who asks, serves.
func callHealth(ctx context.Context, dial dialer, host string) (err error, sure bool) {
	cc, err := grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(checkAgent),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		return err, false
	}
	defer cc.Close()
	res, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if strings.Contains(status.Convert(err).Message(), "unexpected HTTP status code") {
		return err, false // the library makes a code of gRPC's of a plain 404, and has no other word for that
	}
	switch status.Code(err) {
	case codes.OK:
		if res.Status != healthpb.HealthCheckResponse_SERVING {
			return errNotServing, true
		}
		return nil, true
	case codes.Unimplemented, codes.NotFound, codes.Unauthenticated, codes.PermissionDenied:
		return nil, true
	}
	return err, false
}
