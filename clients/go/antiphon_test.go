package antiphon

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	authv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/auth/v1"
	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
	imagev1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/image/v1"
	speechv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/speech/v1"
)

// What the conformance cases don't reach: other machines, clocks that are wrong, files that are broken, contradictory options.

func TestPlainTextStaysOnThisMachine(t *testing.T) {
	for _, each := range []struct {
		server   string
		settings settings
		target   string
		protocol string
	}{
		{server: "127.0.0.1:50051", target: "127.0.0.1:50051", protocol: "insecure"},
		{server: "localhost:50051", target: "localhost:50051", protocol: "insecure"},
		{server: "[::1]:50051", target: "[::1]:50051", protocol: "insecure"},
		{server: "unix:/run/antiphon", target: "unix:/run/antiphon", protocol: "insecure"},
		{server: "chat.example.com:443", target: "chat.example.com:443", protocol: "tls"},
		{server: "https://chat.example.com/", target: "chat.example.com:443", protocol: "tls"},
		{server: "http://chat.example.com", target: "chat.example.com:80", protocol: "insecure"},
		{server: "10.0.0.7:50051", settings: settings{plain: true}, target: "10.0.0.7:50051", protocol: "insecure"},
		{server: "127.0.0.1:50051", settings: settings{tls: &tls.Config{}}, target: "127.0.0.1:50051", protocol: "tls"},
	} {
		target, transport, err := each.settings.address(each.server)
		if err != nil || target != each.target || transport.Info().SecurityProtocol != each.protocol {
			t.Errorf("%s: %q, %v", each.server, target, err)
		}
	}
}

func TestAddressesThatContradictThemselves(t *testing.T) {
	for server, settings := range map[string]settings{
		"chat.example.com":       {},
		"":                       {},
		"ftp://chat.example.com": {},
		"https://127.0.0.1:1":    {plain: true},
		"http://127.0.0.1:1":     {tls: &tls.Config{}},
	} {
		if target, _, err := settings.address(server); err == nil {
			t.Errorf("%q is taken for %q", server, target)
		}
	}
}

func TestATokenEndsByItsOwnLifetime(t *testing.T) {
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"iat": 1000, "exp": 1900}`))
	ends := endOf(&authv1.LoginResponse{AccessToken: "e30." + payload + ".x"})
	if left := time.Until(ends).Round(time.Second); left != 15*time.Minute {
		t.Error("left:", left)
	}
	if !endOf(&authv1.LoginResponse{AccessToken: "opaque"}).IsZero() {
		t.Error("an opaque token tells no end")
	}
}

func TestWhatIsNotTriedAgain(t *testing.T) {
	seconds := func(n int) *time.Duration { after := time.Duration(n) * time.Second; return &after }
	for _, each := range []struct {
		says    string
		method  string
		failure Error
		again   bool
	}{
		{"a login", authv1.AuthService_Login_FullMethodName, Error{Code: codes.Unavailable}, false},
		{"a broken connection", chatv1.ChatService_Chat_FullMethodName, Error{Code: codes.Unavailable}, true},
		{"a long pause", chatv1.ChatService_Chat_FullMethodName,
			Error{Code: codes.ResourceExhausted, Reason: "RATE_LIMITED", retryAfter: seconds(30)}, false},
		{"a short pause", chatv1.ChatService_Chat_FullMethodName,
			Error{Code: codes.ResourceExhausted, Reason: "RATE_LIMITED", retryAfter: seconds(1)}, true},
		{"a provider that has its price", imagev1.ImageService_GenerateImage_FullMethodName,
			Error{Code: codes.Unavailable, Reason: "PROVIDER_UNAVAILABLE"}, false},
		{"audio that was not stored", speechv1.SpeechService_Synthesize_FullMethodName,
			Error{Code: codes.Unavailable, Reason: "AUDIO_NOT_STORED"}, false},
		{"a method that the contract does not have", "/other.v1.Service/Call", Error{Code: codes.Unavailable}, false},
	} {
		tries := attempts{retries: DefaultRetries, policy: policyOf(each.method)}
		if _, again := tries.after(context.Background(), &each.failure); again != each.again {
			t.Errorf("%s: %v", each.says, again)
		}
	}
}

func TestARequestKeepsItsID(t *testing.T) {
	mine := &chatv1.ChatRequest{}
	sent, id := identified(mine, true)
	if mine.GetRequestId() != "" || id == "" || sent.(*chatv1.ChatRequest).GetRequestId() != id {
		t.Error("a request_id is made, in a copy")
	}
	if again, _ := identified(sent, true); again != sent {
		t.Error("a given request_id stays")
	}
	if bare, _ := identified(mine, false); bare.(*chatv1.ChatRequest).GetRequestId() != "" {
		t.Error("none is made when none is wanted")
	}
}

func TestADownloadThatIsNotWhatTheServerSays(t *testing.T) {
	for _, pieces := range [][]*imagev1.DownloadImageResponse{
		{{Chunk: []byte("abc"), TotalBytes: 3}, {Sha256: "00"}},
		{{Chunk: []byte("abcd"), TotalBytes: 3}},
		{{Chunk: []byte("ab"), TotalBytes: 3}, {Sha256: "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"}},
	} {
		download := (&Client{}).download(context.Background(), "", nil, nil, nil)
		download.to = &bytes.Buffer{}
		for _, piece := range pieces {
			download.take(piece)
		}
		var failure *Error
		if !errors.As(download.failed, &failure) || failure.Code != codes.DataLoss || download.whole() {
			t.Error(pieces, download.failed)
		}
	}
}

func TestPagesGoOnBehindWhatWasSkipped(t *testing.T) {
	var asked []*chatv1.ListSessionsRequest
	list := func(_ context.Context, request *chatv1.ListSessionsRequest, _ ...grpc.CallOption) (*chatv1.ListSessionsResponse, error) {
		asked = append(asked, &chatv1.ListSessionsRequest{PageToken: request.GetPageToken(), Skip: request.GetSkip()})
		if len(asked) == 2 {
			return nil, context.Canceled
		}
		return &chatv1.ListSessionsResponse{Sessions: []*chatv1.Session{{}}, NextPageToken: "more"}, nil
	}
	items, failed := 0, error(nil)
	for _, err := range Items(context.Background(), list, &chatv1.ListSessionsRequest{Skip: 5}, (*chatv1.ListSessionsResponse).GetSessions) {
		if failed = err; err == nil {
			items++
		}
	}
	if items != 1 || failed != context.Canceled || asked[0].GetSkip() != 5 || asked[1].GetSkip() != 0 || asked[1].GetPageToken() != "more" {
		t.Error(items, failed, asked)
	}
}
