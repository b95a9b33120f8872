package antiphon

import (
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Page is a response of any list of the contract.
type Page interface {
	proto.Message
	GetNextPageToken() string
}

// List is a method of a generated client that lists something.
type List[Request proto.Message, Response Page] func(context.Context, Request, ...grpc.CallOption) (Response, error)

// Pages fetches a list page by page, as they are asked for. The request stays as it is. An error is the last thing that comes.
func Pages[Request proto.Message, Response Page](ctx context.Context, list List[Request, Response], request Request, options ...grpc.CallOption) iter.Seq2[Response, error] {
	return func(yield func(Response, error) bool) {
		next := proto.Clone(request).(Request)
		for {
			page, err := list(ctx, next, options...)
			if !yield(page, err) || err != nil || page.GetNextPageToken() == "" {
				return
			}
			fields := next.ProtoReflect().Descriptor().Fields()
			next.ProtoReflect().Set(fields.ByName("page_token"), protoreflect.ValueOfString(page.GetNextPageToken()))
			// The token goes on from behind what was skipped.
			if skip := fields.ByName("skip"); skip != nil {
				next.ProtoReflect().Clear(skip)
			}
		}
	}
}

// Items walks a list, fetching its pages as they are needed. items is the page's getter, such as
// `(*chatv1.ListSessionsResponse).GetSessions`.
func Items[Request proto.Message, Response Page, Item any](ctx context.Context, list List[Request, Response], request Request, items func(Response) []Item, options ...grpc.CallOption) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for page, err := range Pages(ctx, list, request, options...) {
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			for _, item := range items(page) {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}
