// Binary far is a gRPC server and the client that calls it through a proxy: what the interop client of grpc-go does not try.
//
//	far -listen PORT -target HOST:PORT [-cert FILE -key FILE] [-ca FILE -name HOST] [-only WORDS|...]
//
// With -cert the server speaks TLS; with -ca the client does. Both are one process, so a case can say what reached the server.
// Prints a line of JSON for each case.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

const (
	mebibyte = 1 << 20
	// Both sides take messages of this size.
	largest = 80 * mebibyte
	// What is awaited comes within this time, or not at all.
	patience = 5 * time.Second
)

// A call as the server saw it.
type seen struct {
	// What the handler's context says when it ends.
	ended error
	// Time left when the call came; 0 without a deadline.
	left time.Duration
}

type server struct {
	testgrpc.TestServiceServer
	calls chan seen
	sent  atomic.Int64
}

// UnaryCall gives the payload back.
func (s *server) UnaryCall(_ context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: in.GetPayload()}, nil
}

// StreamingOutputCall counts the messages that it got rid of.
func (s *server) StreamingOutputCall(in *testpb.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	for _, each := range in.GetResponseParameters() {
		body := make([]byte, each.GetSize())
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: body}}); err != nil {
			return err
		}
		s.sent.Add(int64(len(body)))
	}
	return nil
}

// FullDuplexCall gives every payload back. With "x-watch" it waits for the end of its context and tells of it; with "x-trailers"
// it sends metadata of every kind, and an error at the end.
func (s *server) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	ctx := stream.Context()
	asked, _ := metadata.FromIncomingContext(ctx)
	if len(asked["x-watch"]) > 0 {
		left := time.Duration(0)
		if deadline, has := ctx.Deadline(); has {
			left = time.Until(deadline)
		}
		if asked["x-watch"][0] == "after" {
			if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
				return err
			}
		}
		<-ctx.Done()
		s.calls <- seen{ctx.Err(), left}
		return ctx.Err()
	}
	if len(asked["x-trailers"]) > 0 {
		if err := stream.SendHeader(kinds("head")); err != nil {
			return err
		}
		stream.SetTrailer(kinds("end"))
		return status.Error(codes.DataLoss, "lost:\t% and \u00e9")
	}
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// Metadata of every kind: text, octets, several values.
func kinds(where string) metadata.MD {
	return metadata.Pairs("x-"+where, "a, b", "x-"+where, "c", "x-"+where+"-bin", "\x00\x01\xff\n\r", "x-"+where+"-bin", "")
}

func hasKinds(got metadata.MD, where string) error {
	for name, values := range kinds(where) {
		if fmt.Sprint(got[name]) != fmt.Sprint(values) {
			return fmt.Errorf("%s is %q, not %q", name, got[name], values)
		}
	}
	return nil
}

type bed struct {
	server *server
	client testgrpc.TestServiceClient
}

func random(size int) []byte {
	octets := make([]byte, size)
	_, _ = rand.Read(octets)
	return octets
}

func (b *bed) bigMessages(ctx context.Context) error {
	body := random(64 * mebibyte)
	answer, err := b.client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: body}})
	if err != nil {
		return err
	}
	if !bytes.Equal(answer.GetPayload().GetBody(), body) {
		return errors.New("another body came back")
	}
	return nil
}

func (b *bed) longStream(ctx context.Context) error {
	const messages, size = 2048, 32 << 10
	stream, err := b.client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	body := random(size)
	failed := make(chan error, 1)
	go func() {
		for number := range messages {
			body := append([]byte(strconv.Itoa(number)+":"), body...)
			if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: body}}); err != nil {
				failed <- err
				return
			}
		}
		failed <- stream.CloseSend()
	}()
	for number := range messages {
		answer, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("message %d: %w", number, err)
		}
		start := []byte(strconv.Itoa(number) + ":")
		if rest, has := bytes.CutPrefix(answer.GetPayload().GetBody(), start); !has || !bytes.Equal(rest, body) {
			return fmt.Errorf("message %d is another one", number)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the last message: %v", err)
	}
	return <-failed
}

func (b *bed) backPressure(ctx context.Context) error {
	const messages, size = 512, 128 << 10
	request := &testpb.StreamingOutputCallRequest{}
	for range messages {
		request.ResponseParameters = append(request.ResponseParameters, &testpb.ResponseParameters{Size: size})
	}
	b.server.sent.Store(0)
	stream, err := b.client.StreamingOutputCall(ctx, request)
	if err != nil {
		return err
	}
	// Nothing is read until the server stands still.
	before := int64(-1)
	for end := time.Now().Add(patience); b.server.sent.Load() != before; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("the server never stood still")
		}
		before = b.server.sent.Load()
	}
	if before > 8*mebibyte {
		return fmt.Errorf("%d octets were taken from the server, though nobody read", before)
	}
	for number := range messages {
		if _, err := stream.Recv(); err != nil {
			return fmt.Errorf("message %d: %w", number, err)
		}
	}
	_, err = stream.Recv()
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the last message: %v", err)
	}
	return nil
}

func (b *bed) manyStreams(ctx context.Context) error {
	const together = 100
	var streams []testgrpc.TestService_FullDuplexCallClient
	for number := range together {
		stream, err := b.client.FullDuplexCall(ctx)
		if err != nil {
			return fmt.Errorf("stream %d: %w", number, err)
		}
		streams = append(streams, stream)
	}
	for round := range 20 {
		for number, stream := range streams {
			body := []byte(fmt.Sprint(round, number))
			if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: body}}); err != nil {
				return fmt.Errorf("stream %d: %w", number, err)
			}
		}
		for number, stream := range streams {
			answer, err := stream.Recv()
			if err != nil {
				return fmt.Errorf("stream %d: %w", number, err)
			}
			if string(answer.GetPayload().GetBody()) != fmt.Sprint(round, number) {
				return fmt.Errorf("stream %d got what is another's", number)
			}
		}
	}
	for _, stream := range streams {
		if err := stream.CloseSend(); err != nil {
			return err
		}
		// Read to its end, or it is reset: a client that resets a hundred streams within 10 s is sent away.
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("behind the last message: %v", err)
		}
	}
	return nil
}

func (b *bed) manyCalls(ctx context.Context) error {
	// More at once than a connection may have streams.
	var all sync.WaitGroup
	failed := make(chan error, 1000)
	for range 1000 {
		all.Add(1)
		go func() {
			defer all.Done()
			if _, err := b.client.EmptyCall(ctx, &testpb.Empty{}); err != nil {
				failed <- err
			}
		}()
	}
	all.Wait()
	close(failed)
	return <-failed
}

func (b *bed) metadataAndTrailers(ctx context.Context) error {
	stream, err := b.client.FullDuplexCall(metadata.AppendToOutgoingContext(ctx, "x-trailers", "1"))
	if err != nil {
		return err
	}
	head, err := stream.Header()
	if err != nil {
		return err
	}
	if err := hasKinds(head, "head"); err != nil {
		return err
	}
	_, err = stream.Recv()
	if status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "lost:\t% and \u00e9" {
		return fmt.Errorf("the status is %v", err)
	}
	return hasKinds(stream.Trailer(), "end")
}

// What the server saw of a watched call.
func (b *bed) watched() (seen, error) {
	select {
	case call := <-b.server.calls:
		return call, nil
	case <-time.After(patience):
		return seen{}, errors.New("the server was not told within 5 s")
	}
}

func (b *bed) cancel(ctx context.Context, when string) error {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "x-watch", when))
	defer cancel()
	stream, err := b.client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if when == "after" {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	} else {
		// The call has to be there before it can be cancelled.
		time.Sleep(200 * time.Millisecond)
	}
	cancel()
	call, err := b.watched()
	if err != nil {
		return err
	}
	if !errors.Is(call.ended, context.Canceled) {
		return fmt.Errorf("the server saw %v", call.ended)
	}
	return nil
}

func (b *bed) deadline(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "x-watch", "before"), time.Second)
	defer cancel()
	stream, err := b.client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
		return fmt.Errorf("the client saw %v", err)
	}
	call, err := b.watched()
	if err != nil {
		return err
	}
	if call.left <= 0 || call.left > time.Second {
		return fmt.Errorf("the server was told of %v", call.left)
	}
	return nil
}

func main() {
	listen := flag.String("listen", "", "port of the server, on 127.0.0.1")
	target := flag.String("target", "", "where the client calls")
	cert := flag.String("cert", "", "certificate of the server")
	key := flag.String("key", "", "key of the server")
	ca := flag.String("ca", "", "whom the client believes")
	name := flag.String("name", "", "whom the client expects")
	only := flag.String("only", "", "run only cases whose name has one of these words in it, with | between")
	flag.Parse()

	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(largest), grpc.MaxSendMsgSize(largest)}
	if *cert != "" {
		ours, err := credentials.NewServerTLSFromFile(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(ours))
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", *listen))
	if err != nil {
		log.Fatal(err)
	}
	serving := &server{TestServiceServer: interop.NewTestServer(), calls: make(chan seen, 1)}
	far := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(far, serving)
	go func() { log.Fatal(far.Serve(listener)) }()

	believes := insecure.NewCredentials()
	if *ca != "" {
		if believes, err = credentials.NewClientTLSFromFile(*ca, *name); err != nil {
			log.Fatal(err)
		}
	}
	takes := grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largest), grpc.MaxCallSendMsgSize(largest))
	connection, err := grpc.NewClient(*target, grpc.WithTransportCredentials(believes), takes)
	if err != nil {
		log.Fatal(err)
	}
	b := &bed{serving, testgrpc.NewTestServiceClient(connection)}
	cases := []struct {
		name string
		run  func(context.Context) error
	}{
		{"64 MiB in one message, both ways", b.bigMessages},
		{"2,048 messages of 32 KiB, both ways at once", b.longStream},
		{"64 MiB to a client that reads nothing at first", b.backPressure},
		{"100 streams at once on one connection", b.manyStreams},
		{"1,000 calls at once", b.manyCalls},
		{"metadata and trailers, of octets and with several values, and an error at the end", b.metadataAndTrailers},
		{"a cancel before the first answer reaches the server", func(ctx context.Context) error { return b.cancel(ctx, "before") }},
		{"a cancel after the first answer reaches the server", func(ctx context.Context) error { return b.cancel(ctx, "after") }},
		{"a deadline is told to the server and kept", b.deadline},
	}
	tell := json.NewEncoder(os.Stdout)
	for _, each := range cases {
		isMeant := func(words string) bool { return strings.Contains(each.name, words) }
		if !slices.ContainsFunc(strings.Split(*only, "|"), isMeant) {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		began := time.Now()
		result := map[string]any{"name": each.name}
		if err := each.run(ctx); err != nil {
			result["error"] = err.Error()
		}
		result["seconds"] = time.Since(began).Seconds()
		cancel()
		if err := tell.Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}
