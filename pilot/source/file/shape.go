package file

import (
	"bytes"
	"hash/maphash"

	kjson "sigs.k8s.io/json"
)

// maxShapes bounds the shapes that are known. Beyond it they are learnt anew.
const maxShapes = 1 << 12

// shapes are those of objects in which strict decoding found nothing. What it finds, unknown fields and
// those that stand twice, follows from the type and the names of the fields alone. So of the many objects
// that differ in values only, one is decoded strictly; the others take half the time.
type shapes struct {
	seed  maphash.Seed
	known map[uint64]struct{}
}

// unmarshal decodes an object of a kind, both in JSON, as kjson.UnmarshalStrict does.
func (s *shapes) unmarshal(kind, text []byte, into any) ([]error, error) {
	if s.known == nil {
		s.seed, s.known = maphash.MakeSeed(), map[uint64]struct{}{}
	}
	shape := s.of(kind, text)
	if _, ok := s.known[shape]; ok {
		return nil, kjson.UnmarshalCaseSensitivePreserveInts(text, into)
	}
	strict, err := kjson.UnmarshalStrict(text, into)
	if len(strict) == 0 && err == nil {
		if len(s.known) >= maxShapes {
			clear(s.known)
		}
		s.known[shape] = struct{}{}
	}
	return strict, err
}

// of hashes a kind with the names of fields and how they are nested: valid JSON without its values, as the
// writer writes it, with the colon right after a name.
func (s *shapes) of(kind, text []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.Write(kind) // never fails
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '{', '}', '[', ']', ',':
			_ = h.WriteByte(c)
		case '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			if bytes.HasPrefix(text[end+1:], []byte(":")) {
				_, _ = h.Write(text[i : end+1])
			}
			i = end
		}
	}
	return h.Sum64()
}
