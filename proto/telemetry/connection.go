package telemetry

import (
	"strconv"
	"strings"
)

// The bytes of TCP connections are counted by the agent, for all that Envoy's log has of a connection is its bytes
// from the beginning, and a counter of Envoy's can only add. So the log goes to the agent's socket, TapCluster, by
// Envoy's access log service: an entry every some seconds while a connection is open, and one at its end.
const (
	// BytesLog is that log's name.
	BytesLog = "bytes"
	// HasValue begins the values of its further tags.
	HasValue = "="
	// ConnectionID is the detail of its entries, of which Label is a tag: the connection's number in its Envoy.
	ConnectionID = "%CONNECTION_ID%"
)

// Connection takes apart what the tag Label of an entry of BytesLog says: which connection it is about, and the
// series to which its bytes belong, which Expand knows as one of StatBytes.
func Connection(tag string) (id uint64, series string, ok bool) {
	if tag == "" {
		return 0, "", false
	}
	end := 1
	for end < len(tag) && '0' <= tag[end] && tag[end] <= '9' {
		end++
	}
	id, err := strconv.ParseUint(tag[1:end], 10, 64)
	rest := tag[end:]
	if err != nil || !strings.HasPrefix(rest, separator) && !strings.HasPrefix(rest, removed) {
		return 0, "", false
	}
	return id, tag[:1] + rest, true
}
