// Package tap reads the requests that an agent's /debug/tap tells of, chooses among them, and prints them.
// What is in them was written by clients and servers: it is quoted for terminals.
package tap

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	servicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// maxMessage bounds one message in bytes, as the agent does.
const maxMessage = 1 << 20

// Request is one request as the proxy of a pod saw it.
type Request struct {
	Pod  string    `json:"pod"`  // POD.NAMESPACE
	Side string    `json:"side"` // "in" for what the pod received, "out" for what it sent
	Time time.Time `json:"time"` // of its start
	// Source is who called: the identity that the client proved, else its address.
	Source string `json:"source"`
	// Destination is where it went: a cluster as Envoy calls it, empty where it went nowhere.
	Destination string  `json:"destination,omitempty"`
	Method      string  `json:"method"`
	Authority   string  `json:"authority"`
	Path        string  `json:"path"`
	Protocol    string  `json:"protocol"`
	Code        uint32  `json:"code"` // 0 where there was no answer
	Details     string  `json:"details,omitempty"`
	Millis      float64 `json:"milliseconds"`
	// Route is the object that the route came from, as KIND/NAMESPACE/NAME, RouteName what it is called.
	Route     string `json:"route,omitempty"`
	RouteName string `json:"routeName,omitempty"`
	// Policy is the authorization policy that decided, as NAMESPACE/NAME with its rule.
	Policy    string `json:"policy,omitempty"`
	RequestID string `json:"requestId,omitempty"`
}

// Read calls take with each request of a stream until it ends, and left with how many messages were left out.
// It returns nil at the stream's end.
func Read(stream io.Reader, pod string, take func(Request) error, left func(uint64)) error {
	in := bufio.NewReader(stream)
	for {
		size, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("requests of %s: %w", pod, err)
		}
		if size == 0 {
			n, err := binary.ReadUvarint(in)
			if err != nil {
				return fmt.Errorf("requests of %s: %w", pod, err)
			}
			if n > 0 { // else a sign of life
				left(n)
			}
			continue
		}
		if size > maxMessage {
			return fmt.Errorf("requests of %s: a message of %d bytes", pod, size)
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("requests of %s: %w", pod, err)
		}
		var m servicev3.StreamAccessLogsMessage
		if err := proto.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("requests of %s: %w", pod, err)
		}
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			if err := take(requestOf(pod, e)); err != nil {
				return err
			}
		}
	}
}

func requestOf(pod string, e *datav3.HTTPAccessLogEntry) Request {
	c := e.GetCommonProperties()
	r := Request{
		Pod: pod, Side: c.GetCustomTags()[telemetry.TapSide], Time: c.GetStartTime().AsTime(), Source: sourceOf(c),
		Destination: c.GetUpstreamCluster(), Method: e.GetRequest().GetRequestMethod().String(), Authority: e.GetRequest().GetAuthority(),
		Path: cmp.Or(e.GetRequest().GetOriginalPath(), e.GetRequest().GetPath()), Protocol: e.GetProtocolVersion().String(),
		Code: e.GetResponse().GetResponseCode().GetValue(), Details: e.GetResponse().GetResponseCodeDetails(),
		Millis: float64(c.GetTimeToLastDownstreamTxByte().AsDuration()) / float64(time.Millisecond),
		Route:  objectOf(c.GetCustomTags()[telemetry.TapRoute]), RouteName: c.GetRouteName(), RequestID: e.GetRequest().GetRequestId(),
	}
	r.Policy = policyOf(r.Details, c)
	return r
}

// sourceOf gives the identity in the client's certificate, as NAMESPACE/SERVICEACCOUNT where it is one of a
// mesh, else its address.
func sourceOf(c *datav3.AccessLogCommon) string {
	for _, name := range c.GetTlsProperties().GetPeerCertificateProperties().GetSubjectAltName() {
		uri := name.GetUri()
		if parts := strings.Split(uri, "/"); len(parts) == 7 && parts[0] == "spiffe:" && parts[3] == "ns" && parts[5] == "sa" {
			return parts[4] + "/" + parts[6]
		}
		if uri != "" {
			return uri
		}
	}
	return c.GetDownstreamRemoteAddress().GetSocketAddress().GetAddress()
}

// objectOf makes KIND/NAMESPACE/NAME of /apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME.
func objectOf(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) != 8 {
		return ""
	}
	return parts[6] + "/" + parts[5] + "/" + parts[7]
}

// The filter of authorization, and what it notes of a request.
const (
	authorization = httpfilter.RBAC
	enforced      = "enforced_effective_policy_id"
)

// policyOf gives the policy that decided about a request: in the details of a refusal Envoy writes
// rbac_access_denied_matched_policy[ns[NAMESPACE]-policy[NAME]-rule[N]], and what let one pass is among the
// metadata.
func policyOf(details string, c *datav3.AccessLogCommon) string {
	if _, id, found := strings.Cut(details, "matched_policy["); found {
		return strings.TrimSuffix(id, "]")
	}
	return c.GetMetadata().GetFilterMetadata()[authorization].GetFields()[enforced].GetStringValue()
}
