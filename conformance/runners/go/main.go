// The runner of the Go client: it does what the driver tells it through the client, and says what it saw. Its protocol is
// conformance/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// request is a line of the driver. Each op uses the fields that the protocol names for it.
type request struct {
	ID           int               `json:"id"`
	Op           string            `json:"op"`
	Client       string            `json:"client"`
	Address      string            `json:"address"`
	TLS          *tlsFiles         `json:"tls"`
	Token        string            `json:"token"`
	RefreshToken string            `json:"refresh_token"`
	Retries      int               `json:"retries"`
	Email        string            `json:"email"`
	Password     string            `json:"password"`
	Method       string            `json:"method"`
	Request      json.RawMessage   `json:"request"`
	DeadlineMS   *int              `json:"deadline_ms"`
	Metadata     map[string]string `json:"metadata"`
	Take         int               `json:"take"`
	GenerationID string            `json:"generation_id"`
	AfterSeq     json.Number       `json:"after_seq"`
	ResumeToken  string            `json:"resume_token"`
	Items        string            `json:"items"`
	Kind         string            `json:"kind"`
	Seconds      float64           `json:"seconds"`
	Concurrency  int               `json:"concurrency"`
	Target       int               `json:"target"`
}

type tlsFiles struct {
	CA          string `json:"ca"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	ServerName  string `json:"server_name"`
}

// line is what the driver is told: exactly one of its fields beside the id.
type line struct {
	ID     int    `json:"id"`
	Event  any    `json:"event,omitempty"`
	Result any    `json:"result,omitempty"`
	Broken string `json:"broken,omitempty"`
}

type writer struct {
	mutex sync.Mutex
	to    *json.Encoder
}

func (w *writer) write(told line) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if err := w.to.Encode(told); err != nil {
		fmt.Fprintln(os.Stderr, "antiphon: the driver can't be told:", err)
		os.Exit(1)
	}
}

// running are the ops that may be cancelled.
type running struct {
	mutex   sync.Mutex
	cancels map[int]context.CancelFunc
}

func (r *running) begin(id int) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.cancels[id] = cancel
	return ctx
}

func (r *running) end(id int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if cancel, ok := r.cancels[id]; ok {
		cancel()
		delete(r.cancels, id)
	}
}

func main() {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	out, under := &writer{to: encoder}, &running{cancels: map[int]context.CancelFunc{}}
	clients := &clients{byName: map[string]*client{}}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		text, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked request
		if err := json.Unmarshal(text, &asked); err != nil {
			out.write(line{ID: asked.ID, Broken: err.Error()})
			continue
		}
		// Begun before the next line is read, so that a `cancel` finds it.
		ctx := under.begin(asked.ID)
		if asked.Op == "cancel" {
			under.end(asked.Target)
		}
		do := func() {
			defer under.end(asked.ID)
			result, err := clients.do(ctx, &asked, func(event any) { out.write(line{ID: asked.ID, Event: event}) })
			if err != nil {
				out.write(line{ID: asked.ID, Broken: err.Error()})
				return
			}
			out.write(line{ID: asked.ID, Result: result})
		}
		if asked.Op == "open" || asked.Op == "close" {
			// In their place among the lines, since others name the client.
			do()
		} else {
			go do()
		}
	}
}
