package xds

import "github.com/pilothouse-mesh/pilothouse/proto/signer"

// isSigner tells whether an agent says by it whose certificate it has.
func (r *request) isSigner() bool { return string(r.url) == signer.Type }

// noteSigner keeps what the agent says.
func (s *stream) noteSigner(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signer = cut(string(r.detail), signer.MaxText)
}

// inform takes a request by which a client tells something and asks for nothing; others it leaves alone.
func (s *stream) inform(r *request) bool {
	switch {
	case r.isHealth():
		s.tellHealth(r)
	case r.isSigner():
		s.noteSigner(r)
	default:
		return false
	}
	return true
}
