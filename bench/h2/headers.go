package h2

import (
	"bytes"
	"fmt"
	"io"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// headers encodes a request's headers; the zero value is ready.
type headers struct {
	buffer  bytes.Buffer
	encoder *hpack.Encoder
}

func (h *headers) add(name, value string) {
	if h.encoder == nil {
		h.encoder = hpack.NewEncoder(&h.buffer)
	}
	_ = h.encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) // a Buffer never fails
}

func (h *headers) block() []byte { return h.buffer.Bytes() }

// ended gives the error with which a stream ends, or nil where these are a response's headers.
func ended(f *http2.MetaHeadersFrame) error {
	if status := f.PseudoValue("status"); status != "" && status != "200" {
		return fmt.Errorf("the server answers HTTP %s", status)
	}
	if !f.StreamEnded() {
		return nil
	}
	var status, message string
	for _, field := range f.RegularFields() {
		switch field.Name {
		case "grpc-status":
			status = field.Value
		case "grpc-message":
			message = field.Value
		}
	}
	if status == "0" {
		return io.EOF
	}
	return fmt.Errorf("the server ends the stream: code %s: %s", status, message)
}
