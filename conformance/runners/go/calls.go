package main

import (
	"context"
	"io"

	antiphon "github.com/antiphon-suite/antiphon-go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func (c *client) login(ctx context.Context, asked *request) (any, error) {
	ctx, cancel := limited(ctx, asked)
	defer cancel()
	user, err := c.Login(ctx, asked.Email, asked.Password)
	told := (&seen{tries: 1}).outcome(err)
	if err == nil {
		told["user"] = jsonOf(user)
	}
	return told, nil
}

func (c *client) call(ctx context.Context, asked *request) (any, error) {
	seen := newSeen()
	invocation, err := invocationOf(asked, seen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := limited(ctx, asked)
	defer cancel()
	response := invocation.response.New().Interface()
	err = c.Invoke(ctx, invocation.method, invocation.request, response, invocation.options...)
	told := seen.outcome(err)
	if err == nil {
		told["response"] = jsonOf(response)
	}
	return told, nil
}

func (c *client) stream(ctx context.Context, asked *request, tell func(any)) (any, error) {
	seen := newSeen()
	invocation, err := invocationOf(asked, seen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := limited(ctx, asked)
	defer cancel()
	count := 0
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, invocation.method, invocation.options...)
	if err == nil {
		if err = stream.SendMsg(invocation.request); err == nil {
			err = stream.CloseSend()
		}
	}
	for err == nil && (asked.Take == 0 || count < asked.Take) {
		response := invocation.response.New().Interface()
		if err = stream.RecvMsg(response); err == nil {
			count++
			tell(jsonOf(response))
		}
	}
	if err == io.EOF {
		err = nil
	}
	told := seen.outcome(err)
	told["count"] = count
	return told, nil
}

// page is a response of which only its descriptor is known.
type page struct{ proto.Message }

func (p page) GetNextPageToken() string {
	message := p.ProtoReflect()
	return message.Get(message.Descriptor().Fields().ByName("next_page_token")).String()
}

func (c *client) pages(ctx context.Context, asked *request) (any, error) {
	seen := newSeen()
	invocation, err := invocationOf(asked, seen)
	if err != nil {
		return nil, err
	}
	ctx, cancel := limited(ctx, asked)
	defer cancel()
	list := func(ctx context.Context, request proto.Message, options ...grpc.CallOption) (page, error) {
		response := invocation.response.New().Interface()
		return page{response}, c.Invoke(ctx, invocation.method, request, response, options...)
	}
	items, pages := []any{}, 0
	for each, failed := range antiphon.Pages(ctx, list, invocation.request, invocation.options...) {
		if err = failed; err != nil {
			break
		}
		pages++
		message := each.ProtoReflect()
		field := message.Descriptor().Fields().ByName(protoreflect.Name(asked.Items))
		if field == nil {
			field = message.Descriptor().Fields().ByJSONName(asked.Items)
		}
		for i, all := 0, message.Get(field).List(); i < all.Len(); i++ {
			items = append(items, jsonOf(all.Get(i).Message().Interface()))
		}
	}
	told := seen.outcome(err)
	told["items"], told["pages"] = items, pages
	return told, nil
}
