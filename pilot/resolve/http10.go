package resolve

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// takeHTTP10 makes a listener of a class that asks for it take requests of HTTP/1.0, also where requests are told
// from other bytes.
func takeHTTP10(c *Class, l *ir.Listener) {
	if !c.HTTP10 {
		return
	}
	for _, chain := range l.AllChains() {
		if slices.Equal(chain.Match.ApplicationProtocols, plaintextHTTP) {
			chain.Match.ApplicationProtocols = append([]string{"http/1.0"}, plaintextHTTP...)
		}
	}
	for m := range l.Managers() {
		m.AcceptHTTP10 = true
	}
}
