// Package antiphon is the client of the Antiphon suite: chat, images, speech, accounts and usage over gRPC.
//
// A [Client] holds one connection. Its fields are the contract's services, whose methods come from the generated packages
// below gen; beneath them the client sends and renews the access token, gives calls a request_id, repeats what may safely be
// repeated, and turns failures into [*Error]. Above them are few things that the services alone can't do: [Client.Stream] and
// [Client.Resume] go on where a connection broke, [Pages] and [Items] walk lists, and [Client.DownloadImage] and
// [Client.DownloadAudio] check what they bring.
//
// There are no timeouts but those of the contexts that calls are given: pauses and repeated tries end with them.
package antiphon
