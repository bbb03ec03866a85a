package tap

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// codec hands over messages as bytes. It is called "proto", as the messages are.
type codec struct{}

func (codec) Name() string { return "proto" }

// Marshal gives the answer to a stream of logs, which is empty.
func (codec) Marshal(any) (mem.BufferSlice, error) { return nil, nil }

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	out, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	*out = data.Materialize()
	return nil
}
