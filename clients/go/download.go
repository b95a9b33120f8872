package antiphon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	imagev1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/image/v1"
	speechv1 "github.com/antiphon-suite/antiphon-go/gen/antiphon/speech/v1"
)

// Download is a file on its way. It belongs to one goroutine, and may be written once.
type Download struct {
	// ContentType such as `image/png`, TotalBytes and SHA256 (hexadecimal, lower case) are known once the file is written whole.
	ContentType string
	TotalBytes  int64
	SHA256      string

	ctx      context.Context
	call     *call
	request  proto.Message
	response func() proto.Message
	to       io.Writer
	digest   hash.Hash
	written  int64
	arrived  int64
	ended    bool
	// failed is what writing met: no reason to seek the connection again.
	failed error
}

// DownloadImage asks for the bytes of an image. Nothing is sent before they are written by [Download.WriteTo].
func (c *Client) DownloadImage(ctx context.Context, request *imagev1.DownloadImageRequest, options ...grpc.CallOption) *Download {
	return c.download(ctx, imagev1.ImageService_DownloadImage_FullMethodName, request,
		func() proto.Message { return &imagev1.DownloadImageResponse{} }, options)
}

// DownloadAudio asks for the bytes of a conversion. Nothing is sent before they are written by [Download.WriteTo].
func (c *Client) DownloadAudio(ctx context.Context, request *speechv1.DownloadAudioRequest, options ...grpc.CallOption) *Download {
	return c.download(ctx, speechv1.SpeechService_DownloadAudio_FullMethodName, request,
		func() proto.Message { return &speechv1.DownloadAudioResponse{} }, options)
}

func (c *Client) download(ctx context.Context, method string, request proto.Message, response func() proto.Message, options []grpc.CallOption) *Download {
	call := c.call(method, request, true, options)
	return &Download{ctx: ctx, call: call, request: request, response: response, digest: sha256.New()}
}

// WriteTo writes the file to w, and returns how many bytes it has written. When the connection breaks it is sought again, and
// the bytes go on where they broke off. Without an error the file is whole: its length and its SHA-256 are what the server tells.
func (d *Download) WriteTo(w io.Writer) (int64, error) {
	d.to = w
	err := d.call.read(d.ctx, d, func() {})
	if d.failed != nil {
		err = d.failed
	}
	return d.written, err
}

// next is the call again: each brings the same bytes from the beginning.
func (d *Download) next() (string, proto.Message, func() proto.Message) {
	d.arrived = 0
	return d.call.method, d.request, d.response
}

func (d *Download) take(message proto.Message) (bool, error) {
	piece := message.(interface {
		GetChunk() []byte
		GetSha256() string
		GetContentType() string
		GetTotalBytes() int64
	})
	if d.TotalBytes == 0 {
		d.ContentType, d.TotalBytes = piece.GetContentType(), piece.GetTotalBytes()
	}
	chunk := piece.GetChunk()
	fresh := chunk[min(max(0, d.written-d.arrived), int64(len(chunk))):]
	d.arrived += int64(len(chunk))
	told := piece.GetSha256()
	another := piece.GetTotalBytes() != 0 && piece.GetTotalBytes() != d.TotalBytes
	if another || d.arrived > d.TotalBytes || told != "" && d.arrived != d.TotalBytes {
		return false, d.broken(fmt.Sprintf("it is not the %d bytes that were announced", d.TotalBytes))
	}
	if len(fresh) > 0 {
		d.digest.Write(fresh)
		written, err := d.to.Write(fresh)
		d.written += int64(written)
		if err != nil {
			d.failed = err
			return false, errStopped
		}
	}
	if told != "" {
		if told != hex.EncodeToString(d.digest.Sum(nil)) {
			return false, d.broken("its SHA-256 is not the one that the server tells")
		}
		d.SHA256, d.ended = told, true
	}
	return len(fresh) > 0, nil
}

func (d *Download) whole(error) bool {
	return d.ended
}

// broken ends the download: what was given out is known to be wrong.
func (d *Download) broken(how string) error {
	d.failed = newError(codes.DataLoss, "the download is broken: "+how)
	return errStopped
}
