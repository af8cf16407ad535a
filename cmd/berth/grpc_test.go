package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// call HOST METHOD TEXT… makes a call of gRPC, trusting the appliance's own CA
// alone, and sends each text as a message of its own once the one before has
// been answered. It prints the answers, and fails with the call's status.
func call() {
	host, method, texts := os.Args[1], os.Args[2], os.Args[3:]
	cc, err := grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots(), ServerName: host})),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+os.Getenv("HTTPS_PORT"))
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bare{})))
	if err != nil {
		fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		fatal(err)
	}
	for _, text := range texts {
		if err := stream.SendMsg(&text); err != nil && !errors.Is(err, io.EOF) {
			fatal(err)
		}
		var answer string
		if err := stream.RecvMsg(&answer); err != nil {
			fatal(fmt.Errorf("%v: %s", status.Code(err), status.Convert(err).Message()))
		}
		fmt.Println(answer)
	}
	stream.CloseSend()
	if err := stream.RecvMsg(new(string)); !errors.Is(err, io.EOF) {
		fatal(fmt.Errorf("the end of the call: %w", err))
	}
}

// bare messages are texts.
type bare struct{}

func (bare) Name() string { return "proto" }

func (bare) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*string))}, nil
}

func (bare) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*string) = string(data.Materialize())
	return nil
}
