package connections

import (
	"iter"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// entry is what counts in an envoy.data.accesslog.v3.TCPAccessLogEntry.
type entry struct {
	tag    string           // telemetry.Label
	others []telemetry.Pair // tags that a user set, sorted by name
	ended  bool
	amount
}

// The numbers of the fields that are read; the agent links no messages of Envoy's.
const (
	fieldTCPLogs    = 3 // of StreamAccessLogsMessage
	fieldLogEntry   = 1 // of TCPAccessLogEntries
	fieldCommon     = 1 // of TCPAccessLogEntry
	fieldConnection = 2
	fieldCustomTags = 22 // of AccessLogCommon
	fieldLogType    = 33
	fieldReceived   = 1 // of ConnectionProperties
	fieldSent       = 2
	fieldKey        = 1 // of an entry of a map
	fieldValue      = 2

	typeEnd = 3 // AccessLogType: TcpConnectionEnd
)

// IsLog tells whether a message of the access log service is about connections.
func IsLog(message []byte) bool {
	for range fields(message, fieldTCPLogs) {
		return true
	}
	return false
}

// entries yields those of a message.
func entries(message []byte) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for logs := range fields(message, fieldTCPLogs) {
			for e := range fields(logs, fieldLogEntry) {
				if !yield(decoded(e)) {
					return
				}
			}
		}
	}
}

func decoded(data []byte) entry {
	var out entry
	for common := range fields(data, fieldCommon) {
		out.ended = number(common, fieldLogType) == typeEnd
		for tag := range fields(common, fieldCustomTags) {
			switch name, value := string(first(tag, fieldKey)), string(first(tag, fieldValue)); name {
			case telemetry.Label:
				out.tag = value
			default:
				out.others = append(out.others, telemetry.Pair{Name: name, Value: strings.TrimPrefix(value, telemetry.HasValue)})
			}
		}
		slices.SortFunc(out.others, func(a, b telemetry.Pair) int { return strings.Compare(a.Name, b.Name) })
	}
	for connection := range fields(data, fieldConnection) {
		out.sent, out.received = number(connection, fieldSent), number(connection, fieldReceived)
	}
	return out
}

// fields yields the values of a field of messages or strings, until the data make no sense.
func fields(data []byte, field protowire.Number) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			n, kind, length := protowire.ConsumeTag(data)
			if length < 0 {
				return
			}
			data = data[length:]
			size := protowire.ConsumeFieldValue(n, kind, data)
			if size < 0 {
				return
			}
			if n == field && kind == protowire.BytesType {
				if value, _ := protowire.ConsumeBytes(data); !yield(value) {
					return
				}
			}
			data = data[size:]
		}
	}
}

func first(data []byte, field protowire.Number) []byte {
	for value := range fields(data, field) {
		return value
	}
	return nil
}

// number gives the value of a field of numbers, 0 where it is not there.
func number(data []byte, field protowire.Number) uint64 {
	for len(data) > 0 {
		n, kind, length := protowire.ConsumeTag(data)
		if length < 0 {
			return 0
		}
		data = data[length:]
		size := protowire.ConsumeFieldValue(n, kind, data)
		if size < 0 {
			return 0
		}
		if n == field && kind == protowire.VarintType {
			value, _ := protowire.ConsumeVarint(data)
			return value
		}
		data = data[size:]
	}
	return 0
}
