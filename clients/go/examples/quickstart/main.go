// The example of the README: it asks for an answer, and prints it as it comes.
package main

import (
	"context"
	"fmt"
	"log"

	antiphon "github.com/antiphon-suite/antiphon-go"
	chatv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/chat/v1"
)

func main() {
	client, err := antiphon.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	question := &chatv1.StreamChatRequest_Message{Message: "Why is the sky blue?"}
	for event, err := range client.Stream(context.Background(), &chatv1.StreamChatRequest{Input: question}).Events() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(event.GetTextDelta().GetText())
	}
}
