package xds

import (
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// request is a discovery request of either protocol. It stays as it came: most requests are short
// acknowledgements, and the long ones, those of a reconnect, are compared where they stand.
type request struct {
	delta bool // which protocol it is read as
	raw   []byte
	large *largeRooms // where raw goes back to; nil for nowhere

	// All below are parts of raw.
	url, nonce, version []byte // version: state of the world only, of what the client took last
	detail              []byte // what the client said to what it rejected
	nacked              bool   // it carries an error

	names  int // asked for; in the state of the world all that the client wants
	gone   int // names not asked for any more; delta only
	claims int // versions that the client holds; delta only
	held   resource.Claims
}

// fields are the numbers of a request's fields, 0 where the protocol has none.
type fields struct{ version, node, url, names, gone, claims, nonce, detail protowire.Number }

var (
	deltaFields = fields{node: 1, url: 2, names: 3, gone: 4, claims: 5, nonce: 6, detail: 7}
	sotwFields  = fields{version: 1, node: 2, names: 3, url: 4, nonce: 5, detail: 6}
)

// Field numbers of an entry of a map, and of google.rpc.Status.
const (
	fieldKey     protowire.Number = 1
	fieldValue   protowire.Number = 2
	fieldMessage protowire.Number = 2
)

func (r *request) fields() *fields {
	if r.delta {
		return &deltaFields
	}
	return &sotwFields
}

var errText = errors.New("is no valid UTF-8")

// parse reads raw. It takes what proto.Unmarshal takes, and of fields that stand twice the last.
func (r *request) parse() error {
	*r = request{delta: r.delta, raw: r.raw, large: r.large}
	f := r.fields()
	for number, value := range elements(r.raw) {
		var err error
		switch number {
		case 0:
			return protowire.ParseError(-1)
		case f.url:
			r.url, err = text(value)
		case f.nonce:
			r.nonce, err = text(value)
		case f.names:
			r.names++
			_, err = nameOf(value)
		case f.detail:
			r.nacked = true
			err = r.status(value)
		case f.version:
			r.version, err = text(value)
		case f.gone:
			r.gone++
			_, err = nameOf(value)
		case f.claims:
			r.claims++
			var name, version []byte
			name, version, err = claim(value)
			r.held.Add(name, version)
		}
		if err != nil {
			return fmt.Errorf("discovery request: field %d: %w", number, err)
		}
	}
	return nil
}

// elements gives the fields of bytes, and number 0 where the message is malformed. Fields of other
// wire types are unknown ones, which are passed over.
func elements(raw []byte) iter.Seq2[protowire.Number, []byte] {
	return func(yield func(protowire.Number, []byte) bool) {
		for len(raw) > 0 {
			number, kind, n := protowire.ConsumeTag(raw)
			if n < 0 {
				yield(0, nil)
				return
			}
			raw = raw[n:]
			var value []byte
			if kind == protowire.BytesType {
				value, n = protowire.ConsumeBytes(raw)
			} else {
				n = protowire.ConsumeFieldValue(number, kind, raw)
			}
			if n < 0 {
				yield(0, nil)
				return
			}
			raw = raw[n:]
			if kind == protowire.BytesType && !yield(number, value) {
				return
			}
		}
	}
}

func text(value []byte) ([]byte, error) {
	if !utf8.Valid(value) {
		return nil, errText
	}
	return value, nil
}

// nameOf reads the name of a resource.
func nameOf(value []byte) ([]byte, error) {
	if len(value) > maxName {
		return nil, fmt.Errorf("a name has %d bytes, at most %d are allowed", len(value), maxName)
	}
	return text(value)
}

// maxRejection is how much of a rejection's text is read, in bytes. Envoy says some 200 of each resource
// that it rejects, and each that is named is looked for in all of it.
const maxRejection = 256 << 10

// release lets go of what a large request took; the client may wait long before its next one. Nobody has a part of it any
// more.
func (r *request) release() {
	if cap(r.raw) <= roomForAcks {
		return
	}
	if r.large != nil {
		r.large.give(r.raw)
	}
	*r = request{delta: r.delta}
}

// status reads a google.rpc.Status.
func (r *request) status(raw []byte) error {
	for number, value := range elements(raw) {
		var err error
		switch number {
		case 0:
			err = protowire.ParseError(-1)
		case fieldMessage:
			if r.detail, err = text(value); len(r.detail) > maxRejection {
				r.detail = r.detail[:maxRejection]
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// claim reads an entry of initial_resource_versions.
func claim(raw []byte) (name, version []byte, err error) {
	if name, rest := short(fieldKey, raw); name != nil {
		if version, rest := short(fieldValue, rest); version != nil && len(rest) == 0 && utf8.Valid(raw) {
			return name, version, nil // as everybody writes it
		}
	}
	for number, value := range elements(raw) {
		switch number {
		case 0:
			err = protowire.ParseError(-1)
		case fieldKey:
			name, err = nameOf(value)
		case fieldValue:
			version, err = text(value)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return name, version, nil
}

// short gives the text of a field at the beginning of bytes, if it is a short one, and what follows.
func short(field protowire.Number, raw []byte) (text, rest []byte) {
	if len(raw) < 2 || raw[0] != byte(protowire.EncodeTag(field, protowire.BytesType)) || raw[1] >= 0x80 || len(raw) < 2+int(raw[1]) {
		return nil, nil
	}
	end := 2 + int(raw[1])
	return raw[2:end], raw[end:]
}

// typ tells which type the request is about.
func (r *request) typ() (resource.Type, bool) {
	for t := range resource.NumTypes {
		if string(r.url) == t.URL() {
			return t, true
		}
	}
	return 0, false
}

// maxNode bounds what a client says of itself, in bytes: a pod may have annotations of 256 KiB.
const maxNode = 512 << 10

// node decodes the client's description of itself, which may come in parts.
func (r *request) node() (*corev3.Node, error) {
	n, size := &corev3.Node{}, 0
	for number, value := range elements(r.raw) {
		if number != r.fields().node {
			continue
		}
		if size += len(value); size > maxNode {
			return nil, fmt.Errorf("discovery request: node: has more than %d bytes", maxNode)
		}
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(value, n); err != nil {
			return nil, fmt.Errorf("discovery request: node: %w", err)
		}
	}
	return n, nil
}

// wildcard is the name that stands for all.
const wildcard = "*"

// asked gives the names that are asked for, but for the wildcard.
func (r *request) asked() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for number, name := range elements(r.raw) {
			if number == r.fields().names && string(name) != wildcard && !yield(name) {
				return
			}
		}
	}
}

// list copies the names of a field.
func (r *request) list(field protowire.Number) []string {
	var out []string
	for number, name := range elements(r.raw) {
		if number == field {
			out = append(out, string(name))
		}
	}
	return out
}

// starred tells whether the wildcard is among the names that are asked for.
func (r *request) starred() bool {
	for number, name := range elements(r.raw) {
		if number == r.fields().names && string(name) == wildcard {
			return true
		}
	}
	return false
}

// claimed gives the names and versions that the client says it holds.
func (r *request) claimed() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, version []byte) bool) {
		if r.claims == 0 {
			return
		}
		for number, entry := range elements(r.raw) {
			if number != r.fields().claims {
				continue
			}
			name, version, err := claim(entry)
			if err == nil && !yield(name, version) { // parse has found no error
				return
			}
		}
	}
}
