package xdsproxy

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// frame is a message as it came: the proxy passes bytes on and does not decode resources.
type frame struct{ data mem.BufferSlice }

// free gives the buffers back when a frame goes no further.
func (f *frame) free() { f.data.Free() }

// codec passes frames. It is called "proto", as the messages inside are.
type codec struct{}

func (codec) Name() string { return "proto" }

// Marshal hands the frame's buffers over; gRPC frees them when they are sent.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", v)
	}
	return f.data, nil
}

// Unmarshal keeps the buffers, which gRPC frees on its own side.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	data.Ref()
	f.data = data
	return nil
}

// Field numbers of type_url in the four discovery messages.
const (
	requestType       protowire.Number = 4
	responseType      protowire.Number = 4
	deltaRequestType  protowire.Number = 2
	deltaResponseType protowire.Number = 4
)

// Field numbers of control_plane in responses, and of its identifier.
const (
	responseControlPlane      protowire.Number = 6
	deltaResponseControlPlane protowire.Number = 7
	identifier                protowire.Number = 1
)

const (
	// maxTypeURL bounds a type URL in bytes.
	maxTypeURL = 512
	// maxControlPlane bounds what is read of a control plane's description of itself, in bytes.
	maxControlPlane = seen.MaxText + 16
)

var errMalformed = errors.New("malformed discovery message")

// peekString reads one string field of a message.
func peekString(data mem.BufferSlice, field protowire.Number) (string, error) {
	value, _, err := peek(data, field, 0)
	return value, err
}

// peek reads the string field with a type URL, and the field with the control plane's description of itself where
// that has a number and is not too long. It skips all others without looking into them or copying them. An absent
// field is empty; of several the last counts, as protobuf demands.
func peek(data mem.BufferSlice, typeURL, controlPlane protowire.Number) (url, from string, err error) {
	r := data.Reader()
	defer r.Close()
	for r.Remaining() > 0 {
		tag, err := readVarint(r)
		if err != nil {
			return "", "", err
		}
		num, typ := protowire.DecodeTag(tag)
		if num < protowire.MinValidNumber {
			return "", "", errMalformed
		}
		size, err := fieldSize(r, typ)
		if err != nil {
			return "", "", err
		}
		if size > uint64(r.Remaining()) {
			return "", "", errMalformed
		}
		var into *string
		switch {
		case typ != protowire.BytesType:
		case num == typeURL && size > maxTypeURL:
			return "", "", errMalformed
		case num == typeURL:
			into = &url
		case num == controlPlane && size <= maxControlPlane:
			into = &from
		}
		if into == nil {
			if _, err := r.Discard(int(size)); err != nil {
				return "", "", errMalformed
			}
			continue
		}
		buf := make([]byte, size)
		if _, err := io.ReadFull(r, buf); err != nil {
			return "", "", errMalformed
		}
		*into = string(buf)
	}
	return url, from, nil
}

// fieldSize gives the number of bytes that follow; a varint is read here, and nothing follows.
func fieldSize(r *mem.Reader, typ protowire.Type) (uint64, error) {
	switch typ {
	case protowire.VarintType:
		_, err := readVarint(r)
		return 0, err
	case protowire.Fixed32Type:
		return 4, nil
	case protowire.Fixed64Type:
		return 8, nil
	case protowire.BytesType:
		return readVarint(r)
	default: // groups are in no discovery message
		return 0, errMalformed
	}
}

func readVarint(r io.ByteReader) (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, errMalformed
		}
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errMalformed
}
