package telemetry

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields in google/protobuf/struct.proto.
const (
	structEntry = 1 // of Struct
	entryKey    = 1 // of an entry
	entryValue  = 2
	valueString = 3 // of Value
	valueStruct = 5
)

// structValue is what a Value holds: a text, or the fields of a Struct. It is empty for all else.
type structValue struct {
	text   string
	fields []byte
}

// structFields reads a google.protobuf.Struct without making one, on which a scrape of thousands of peers would
// spend its time. It tells whether the whole was sound.
func structFields(data []byte, take func(key string, v structValue) bool) bool {
	return eachField(data, func(n protowire.Number, entry []byte) bool {
		if n != structEntry {
			return true
		}
		var key string
		var value []byte // several parts of one message are one
		ok := eachField(entry, func(n protowire.Number, part []byte) bool {
			switch n {
			case entryKey:
				key = string(part)
				return utf8.Valid(part)
			case entryValue:
				value = append(value, part...)
			}
			return true
		})
		if !ok {
			return false
		}
		v, ok := valueOf(value)
		return ok && take(key, v)
	})
}

func valueOf(data []byte) (v structValue, sound bool) {
	for len(data) > 0 {
		n, typ, size := protowire.ConsumeTag(data)
		if size < 0 {
			return v, false
		}
		data = data[size:]
		if typ != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(n, typ, data); size < 0 {
				return v, false
			}
			if n <= 4 && n != valueString { // null, a number, or a boolean, in the place of what was before
				v = structValue{}
			}
			data = data[size:]
			continue
		}
		part, size := protowire.ConsumeBytes(data)
		if size < 0 {
			return v, false
		}
		data = data[size:]
		switch n {
		case valueString:
			if !utf8.Valid(part) {
				return v, false
			}
			v = structValue{text: string(part)}
		case valueStruct:
			v = structValue{fields: append(v.fields[:len(v.fields):len(v.fields)], part...)}
		case 6: // a list
			v = structValue{}
		}
	}
	return v, true
}

// eachField calls take with each field of a message that has a length, and tells whether all were sound.
func eachField(data []byte, take func(n protowire.Number, value []byte) bool) bool {
	for len(data) > 0 {
		n, typ, size := protowire.ConsumeTag(data)
		if size < 0 {
			return false
		}
		data = data[size:]
		if typ != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(n, typ, data); size < 0 {
				return false
			}
			data = data[size:]
			continue
		}
		value, size := protowire.ConsumeBytes(data)
		if size < 0 || !take(n, value) {
			return false
		}
		data = data[size:]
	}
	return true
}
