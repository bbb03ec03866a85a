package resolve

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"reflect"
)

// hash covers every field but Key, so that two outcomes never share a key.
func (c *Class) hash() string {
	all := *c
	all.Key = ""
	sum := sha256.Sum256(appendValue(make([]byte, 0, 1024), reflect.ValueOf(&all).Elem()))
	return hex.EncodeToString(sum[:16])
}

// appendValue writes a value so that different ones of a type never give the same bytes: most are zero, which a byte
// says, and lists and texts stand after their length. It panics for a kind of value that no class has yet.
func appendValue(b []byte, v reflect.Value) []byte {
	if v.Type().Comparable() && v.IsZero() {
		return append(b, 0)
	}
	b = append(b, 1)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			b = appendValue(b, v.Field(i))
		}
	case reflect.Slice:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = appendValue(b, v.Index(i))
		}
	case reflect.String:
		b = append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...)
	case reflect.Bool: // it is true
	case reflect.Int64:
		b = binary.AppendVarint(b, v.Int())
	default:
		b = binary.AppendUvarint(b, v.Uint())
	}
	return b
}
