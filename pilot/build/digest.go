package build

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// digest is the identity of a value: two of one type have the same if, and only if, they say the same
// (but for collisions of SHA-256). It takes the place of the value where that has to be recognized.
type digest [sha256.Size]byte

// digester makes digests.
type digester struct{ rooms sync.Pool } // of buffers in which values are written down

// of gives the digest of a tree of plain data, as values of package ir are.
func (d *digester) of(value any) digest {
	room, _ := d.rooms.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	defer d.rooms.Put(room)
	v := reflect.ValueOf(value)
	*room = appendValue(append((*room)[:0], v.Type().String()...), v)
	return sha256.Sum256(*room)
}

// appendValue writes a value down so that no other one of its type is written the same: what has a
// length starts with it, and what an interface holds with its type. Nil is told apart from empty.
func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.Float32, reflect.Float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float()))
	case reflect.String:
		return appendText(b, v.String())
	case reflect.Struct:
		for i := range v.NumField() {
			b = appendValue(b, v.Field(i))
		}
		return b
	case reflect.Array:
		return appendElements(b, v)
	}
	if v.Kind() == reflect.Invalid || v.IsNil() {
		return append(b, 0)
	}
	b = append(b, 1)
	switch v.Kind() {
	case reflect.Pointer:
		return appendValue(b, v.Elem())
	case reflect.Interface:
		return appendValue(appendText(b, v.Elem().Type().String()), v.Elem())
	case reflect.Slice:
		return appendElements(binary.AppendUvarint(b, uint64(v.Len())), v)
	case reflect.Map:
		return appendMap(b, v)
	}
	panic(fmt.Sprintf("a value of type %s is no plain data", v.Type()))
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendElements(b []byte, v reflect.Value) []byte {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		return append(b, v.Bytes()...)
	}
	for i := range v.Len() {
		b = appendValue(b, v.Index(i))
	}
	return b
}

// appendMap writes a map, whose keys are texts, in their order.
func appendMap(b []byte, v reflect.Value) []byte {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, key := range keys {
		b = appendValue(appendValue(b, key), v.MapIndex(key))
	}
	return b
}
