package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	antiphon "github.com/antiphon-suite/antiphon-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// invocation is a call that an op asks for.
type invocation struct {
	method   string // As gRPC names it: `/antiphon.chat.v1.ChatService/Chat`.
	request  proto.Message
	response protoreflect.MessageType
	options  []grpc.CallOption
}

// invocationOf reads the method that an op names, and its request.
func invocationOf(asked *request, seen *seen) (*invocation, error) {
	name := protoreflect.FullName(strings.ReplaceAll(asked.Method, "/", "."))
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	method, ok := descriptor.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no method", name)
	}
	input, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
	if err != nil {
		return nil, err
	}
	output, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return nil, err
	}
	request := input.New().Interface()
	options, err := parse(asked.Request, request, seen)
	return &invocation{"/" + asked.Method, request, output, options}, err
}

// parse reads a request, and returns the options of its call.
func parse(text json.RawMessage, into proto.Message, seen *seen) ([]grpc.CallOption, error) {
	options := seen.options()
	if len(text) == 0 {
		return options, nil
	}
	var given struct {
		Snake *string `json:"request_id"`
		Camel *string `json:"requestId"`
	}
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, err
	}
	if given.Snake != nil && *given.Snake == "" || given.Camel != nil && *given.Camel == "" {
		options = append(options, antiphon.NoRequestID())
	}
	text, star := withoutStar(text)
	err := protojson.Unmarshal(text, into)
	if star {
		mask := &fieldmaskpb.FieldMask{Paths: []string{"*"}}
		field := into.ProtoReflect().Descriptor().Fields().ByName("update_mask")
		into.ProtoReflect().Set(field, protoreflect.ValueOfMessage(mask.ProtoReflect()))
	}
	return options, err
}

// withoutStar takes an update mask of `*` out of a request: protojson does not read it, though the client sends it as any other
// (https://github.com/golang/protobuf/issues/1435).
func withoutStar(text json.RawMessage) (json.RawMessage, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return text, false
	}
	for _, name := range []string{"updateMask", "update_mask"} {
		if string(fields[name]) == `"*"` {
			delete(fields, name)
			if rest, err := json.Marshal(fields); err == nil {
				return rest, true
			}
		}
	}
	return text, false
}

// jsonOf is a message on one line; protojson puts spaces at random.
func jsonOf(message proto.Message) json.RawMessage {
	text, err := protojson.Marshal(message)
	if err != nil {
		text, _ = json.Marshal("unreadable: " + err.Error())
	}
	var compact bytes.Buffer
	if json.Compact(&compact, text) != nil {
		return text
	}
	return compact.Bytes()
}

// limited is ctx with the deadline and the metadata that an op asks for; without a deadline it has a minute.
func limited(ctx context.Context, asked *request) (context.Context, context.CancelFunc) {
	for key, value := range asked.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	limit := time.Minute
	if asked.DeadlineMS != nil {
		limit = time.Duration(*asked.DeadlineMS) * time.Millisecond
	}
	return context.WithTimeout(ctx, limit)
}
