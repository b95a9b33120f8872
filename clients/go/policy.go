package antiphon

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
	imagev1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/image/v1"
	optionsv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/options/v1"
	speechv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/speech/v1"
)

// policy is what the contract says of an RPC, as far as a client has to know. The zero value is that of an RPC which the
// contract does not have: it gets the credential, and is not repeated.
type policy struct {
	idempotent bool
	// public: no credential is looked at.
	public bool
	// removes: the thing's absence, found by a later try, is what an earlier try may have made.
	removes bool
	// asksProvider: what the provider was asked for in vain is not asked for again.
	asksProvider bool
}

var removing = map[string]bool{
	chatv1.ChatService_DeleteSession_FullMethodName:        true,
	imagev1.ImageService_DeleteImage_FullMethodName:        true,
	speechv1.SpeechService_DeleteConversion_FullMethodName: true,
}

var asking = map[string]bool{
	imagev1.ImageService_GenerateImage_FullMethodName:      true,
	speechv1.SpeechService_Synthesize_FullMethodName:       true,
	speechv1.SpeechService_StreamSynthesize_FullMethodName: true,
}

var policies sync.Map

// policyOf reads the policy of a method, named as gRPC does (`/antiphon.chat.v1.ChatService/Chat`), from its descriptor.
func policyOf(method string) *policy {
	if known, ok := policies.Load(method); ok {
		return known.(*policy)
	}
	read := &policy{removes: removing[method], asksProvider: asking[method]}
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	if descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err == nil {
		options, _ := proto.GetExtension(descriptor.Options(), optionsv1.E_Policy).(*optionsv1.Policy)
		read.idempotent = options.GetIdempotent()
		read.public = options.GetAccess() == optionsv1.Access_ACCESS_PUBLIC
	}
	policies.Store(method, read)
	return read
}
