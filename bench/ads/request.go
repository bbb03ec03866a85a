package ads

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// request is what a client says in one message; what is empty is left out.
type request struct {
	kind                   Kind
	node                   []byte
	version, nonce         []byte
	subscribe, unsubscribe []string          // in SotW subscribe is all names
	held                   map[string]string // delta: versions by name, "" for none
}

// append adds the message's bytes to b. A simulated proxy sends so many that they are written by
// hand: an acknowledgement costs no allocation.
func (r *request) append(b []byte, delta bool) []byte {
	if !delta {
		b = appendBytes(b, sotwVersion, r.version)
		b = appendBytes(b, sotwNode, r.node)
		b = appendStrings(b, sotwNames, r.subscribe)
		b = appendString(b, sotwURL, r.kind.URL())
		return appendBytes(b, sotwNonce, r.nonce)
	}
	b = appendBytes(b, deltaNode, r.node)
	b = appendString(b, deltaURL, r.kind.URL())
	b = appendStrings(b, deltaSubscribe, r.subscribe)
	b = appendStrings(b, deltaUnsubscribe, r.unsubscribe)
	for name, version := range r.held {
		if version != "" {
			b = appendVersion(b, name, version)
		}
	}
	return appendBytes(b, deltaNonce, r.nonce)
}

func appendVersion(b []byte, name, version string) []byte {
	n := protowire.SizeTag(fieldKey) + protowire.SizeBytes(len(name)) + protowire.SizeTag(fieldValue) + protowire.SizeBytes(len(version))
	b = protowire.AppendVarint(protowire.AppendTag(b, deltaInitialVersions, protowire.BytesType), uint64(n))
	return appendString(appendString(b, fieldKey, name), fieldValue, version)
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendString(b []byte, n protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendStrings(b []byte, n protowire.Number, list []string) []byte {
	for _, v := range list {
		b = appendString(b, n, v)
	}
	return b
}

// Request is what a server without protobuf needs of a request.
type Request struct {
	Kind  Kind
	Known bool
	Nonce []byte
	Node  []byte // the marshalled core.v3.Node, on a stream's first request
	Warm  bool   // the client holds versions of a former stream
}

// ParseRequest reads a request of either protocol.
func ParseRequest(b []byte, delta bool) (Request, error) {
	var r Request
	err := fields(b, func(n protowire.Number, data []byte, _ uint64) error {
		switch {
		case delta && n == deltaURL, !delta && n == sotwURL:
			r.Kind, r.Known = KindOf(data)
		case delta && n == deltaNode, !delta && n == sotwNode:
			r.Node = data
		case delta && n == deltaNonce, !delta && n == sotwNonce:
			r.Nonce = data
		case delta && n == deltaInitialVersions, !delta && n == sotwVersion && len(data) > 0:
			r.Warm = true
		}
		return nil
	})
	return r, err
}
