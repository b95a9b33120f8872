package antiphon

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// errStopped ends a stream whose reader wants no more.
var errStopped = errors.New("stopped")

// reader takes the messages of a stream that may need several calls. It decides; it neither calls nor waits.
type reader interface {
	// next is the call that brings what is missing, and an empty message to receive into.
	next() (method string, request proto.Message, response func() proto.Message)
	// take takes a message, and tells whether it brought something new.
	take(message proto.Message) (bool, error)
	// whole tells, when a call has ended with err (nil: well), whether everything has come.
	whole(err error) bool
}

// read gives r all of its messages, over as many calls as it takes. reconnected is called before each call but the first.
func (c *call) read(ctx context.Context, r reader, reconnected func()) error {
	for {
		method, request, response := r.next()
		c.method, c.policy = method, policyOf(method)
		c.request, c.attempts.policy = request, c.policy
		err := c.receive(ctx, r, response)
		if err == errStopped || r.whole(err) {
			return nil
		}
		if err == nil {
			// A proxy, or a server that stops, may end a stream as if all was said.
			err = errCutShort()
		}
		if err := c.again(ctx, err); err != nil {
			return err
		}
		reconnected()
	}
}

func (c *call) receive(ctx context.Context, r reader, response func() proto.Message) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.open(ctx, &grpc.StreamDesc{ServerStreams: true})
	if err != nil {
		return err
	}
	for {
		message := response()
		if err := stream.RecvMsg(message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		fresh, err := r.take(message)
		if fresh {
			c.attempts.progressed()
			c.rejected = ""
		}
		if err != nil {
			cancel()
			// Only when receiving has failed are trailers no longer written to.
			for stream.RecvMsg(response()) == nil {
			}
			return err
		}
	}
}
