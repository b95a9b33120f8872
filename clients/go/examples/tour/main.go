// The snippets of docs/clients/go.md, as one program: `go run ./examples/tour 127.0.0.1:50051 ana@example.com PASSWORD`.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	antiphon "github.com/antiphon-suite/antiphon-go"
	authv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/auth/v1"
	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
	imagev1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/image/v1"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: tour ADDRESS EMAIL PASSWORD")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := tour(ctx, os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func tour(ctx context.Context, address, email, password string) error {
	client, err := antiphon.New(address)
	if err != nil {
		return err
	}
	defer client.Close()
	user, err := client.Login(ctx, email, password)
	if err != nil {
		return err
	}
	fmt.Println("logged in as", user.GetEmail())
	for _, step := range []func(context.Context, *antiphon.Client) error{call, stream, resume, list, failure, download} {
		if err := step(ctx, client); err != nil {
			return err
		}
	}
	return client.Logout(ctx)
}

func call(ctx context.Context, client *antiphon.Client) error {
	profile, err := client.Auth.GetProfile(ctx, &authv1.GetProfileRequest{})
	if err != nil {
		return err
	}
	session, err := client.Chat.CreateSession(ctx, &chatv1.CreateSessionRequest{Title: "Sky", Model: "echo"})
	if err != nil {
		return err
	}
	fmt.Println(profile.GetUser().GetEmail(), "opened", session.GetSession().GetSessionId())
	return nil
}

func stream(ctx context.Context, client *antiphon.Client) error {
	answer := client.Stream(ctx, &chatv1.StreamChatRequest{
		Model: "echo",
		Input: &chatv1.StreamChatRequest_Message{Message: "Why is the sky blue?"},
	}, antiphon.OnReconnect(func(lost antiphon.Reconnect) {
		log.Printf("%v; try %d in %v", lost.Failure, lost.Attempt, lost.Pause)
	}))
	for event, err := range answer.Events() {
		if err != nil {
			return err
		}
		fmt.Print(event.GetTextDelta().GetText())
	}
	fmt.Println("\nused:", answer.Finished().GetUsage())
	return nil
}

func resume(ctx context.Context, client *antiphon.Client) error {
	answer := client.Stream(ctx, &chatv1.StreamChatRequest{
		Model: "echo",
		Input: &chatv1.StreamChatRequest_Message{Message: "one two three four five"},
		// The generation goes on when its reader leaves.
		OnDisconnect: chatv1.OnDisconnect_ON_DISCONNECT_CONTINUE,
	})
	for _, err := range answer.Events() {
		if err != nil {
			return err
		}
		break
	}
	later := client.Resume(ctx, answer.GenerationID(), answer.Seq(), answer.ResumeToken())
	text, err := later.Text()
	if err != nil {
		return err
	}
	fmt.Println("later:", text)
	return nil
}

func list(ctx context.Context, client *antiphon.Client) error {
	sessions := antiphon.Items(ctx, client.Chat.ListSessions,
		&chatv1.ListSessionsRequest{PageSize: 100}, (*chatv1.ListSessionsResponse).GetSessions)
	for session, err := range sessions {
		if err != nil {
			return err
		}
		fmt.Println(session.GetCreateTime().AsTime(), session.GetTitle())
	}
	return nil
}

func failure(ctx context.Context, client *antiphon.Client) error {
	_, err := client.Chat.Chat(ctx, &chatv1.ChatRequest{
		Model: "nobody",
		Input: &chatv1.ChatRequest_Message{Message: "Hello"},
	})
	var failure *antiphon.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Code, failure.Reason, failure.Metadata["model"], failure.RequestID)
		for _, violation := range failure.Violations {
			fmt.Println(violation.Field, violation.Description)
		}
		if after, ok := failure.RetryAfter(); ok {
			fmt.Println("come again in", after)
		}
		return nil
	}
	return err
}

func download(ctx context.Context, client *antiphon.Client) error {
	made, err := client.Images.GenerateImage(ctx, &imagev1.GenerateImageRequest{Prompt: "a cat"})
	if err != nil {
		return err
	}
	var file bytes.Buffer
	cat := client.DownloadImage(ctx, &imagev1.DownloadImageRequest{ImageId: made.GetImages()[0].GetImageId()})
	if _, err := cat.WriteTo(&file); err != nil {
		return err
	}
	fmt.Println(cat.ContentType, cat.TotalBytes, cat.SHA256)
	return nil
}

// secure is a client over mutual TLS.
func secure() (*antiphon.Client, error) {
	config, err := antiphon.TLSFiles("ca.pem", "client.pem", "client.key")
	if err != nil {
		return nil, err
	}
	config.ServerName = "chat.internal" // What the certificate says, where that is not the address.
	return antiphon.New("https://10.0.0.7:50051", antiphon.WithTLS(config), antiphon.WithToken("ak_…"))
}

var _ = secure
