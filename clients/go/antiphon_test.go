package antiphon

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
		{server: " Localhost:50051\n", target: "Localhost:50051", protocol: "insecure"},
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

func TestAddressesThatAreRefused(t *testing.T) {
	for server, settings := range map[string]settings{
		"chat.example.com":       {},
		"":                       {},
		":50051":                 {},
		"127.0.0.1:":             {},
		"127.0.0.1:port":         {},
		"127.0.0.1:65536":        {},
		"::1:50051":              {},
		"https://::1":            {},
		"https://a/b":            {},
		"https://ana:pw@a":       {},
		"unix:":                  {},
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
		{"a change of the password", authv1.AuthService_ChangePassword_FullMethodName, Error{Code: codes.Unavailable}, false},
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
	if bare, _ := identified(mine, false); bare.(*chatv1.ChatRequest).GetRequestId() != "" || !(&call{request: bare}).unprotected() {
		t.Error("none is made when none is wanted")
	}
	if sent, id := identified((*chatv1.ChatRequest)(nil), true); sent.(*chatv1.ChatRequest).GetRequestId() != id {
		t.Error("a request of nothing has one")
	}
}

func TestATokenThatCannotTravel(t *testing.T) {
	for _, token := range []string{"ak_é", "ak_1\n"} {
		if _, err := New("127.0.0.1:1", WithToken(token)); err == nil {
			t.Errorf("%q is taken", token)
		}
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client, err := New(silent.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := client.Stream(context.Background(), &chatv1.StreamChatRequest{}).Text()
		ended <- err
	}()
	if _, err := silent.Accept(); err != nil {
		t.Fatal(err)
	}
	client.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Error("the stream goes on without its client")
	}
}

func TestAReaderIsToldBeforeEachPause(t *testing.T) {
	client, err := New("127.0.0.1:1", WithRetries(Retries{Attempts: 3, FirstDelay: time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var attempts []int
	answer := client.Stream(context.Background(), &chatv1.StreamChatRequest{}, OnReconnect(func(lost Reconnect) {
		if lost.Failure.Code != codes.Unavailable || lost.Pause <= 0 {
			t.Error(lost)
		}
		attempts = append(attempts, lost.Attempt)
	}))
	if _, err := answer.Text(); err == nil || !slices.Equal(attempts, []int{1, 2}) {
		t.Error(attempts, err)
	}
}

func TestWhoCalledACallOff(t *testing.T) {
	client, err := New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	live := context.Background()
	ended, cancel := context.WithCancel(live)
	cancel()
	proxy := status.Error(codes.Canceled, "reset")
	if !errors.Is(client.failure(ended, proxy, nil), context.Canceled) || errors.Is(client.failure(live, proxy, nil), context.Canceled) {
		t.Error("the caller has, exactly when its context has ended")
	}
	timed, cancel := context.WithTimeout(live, time.Hour)
	defer cancel()
	late := status.Error(codes.DeadlineExceeded, "time ran out")
	if !errors.Is(client.failure(timed, late, nil), context.DeadlineExceeded) || errors.Is(client.failure(live, late, nil), context.DeadlineExceeded) {
		t.Error("the caller's time has run out, exactly when it had one")
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
		if !errors.As(download.failed, &failure) || failure.Code != codes.DataLoss || download.whole(nil) || download.SHA256 != "" {
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
