package tap

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	servicev3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func spiffe(uri string) *datav3.TLSProperties {
	return &datav3.TLSProperties{PeerCertificateProperties: &datav3.TLSProperties_CertificateProperties{
		SubjectAltName: []*datav3.TLSProperties_CertificateProperties_SubjectAltName{
			{San: &datav3.TLSProperties_CertificateProperties_SubjectAltName_Uri{Uri: uri}},
		},
	}}
}

func entry(path, details string) *datav3.HTTPAccessLogEntry {
	return &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			StartTime: timestamppb.New(time.Unix(0, 0)), TimeToLastDownstreamTxByte: durationpb.New(1500 * time.Microsecond),
			UpstreamCluster: "inbound|9080||", RouteName: "default", TlsProperties: spiffe("spiffe://cluster.local/ns/default/sa/web"),
			CustomTags:              map[string]string{"side": "in", "route": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"},
			DownstreamRemoteAddress: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: "10.0.0.1"}}},
		},
		Request:  &datav3.HTTPRequestProperties{RequestMethod: core.RequestMethod_GET, Authority: "reviews:9080", Path: path},
		Response: &datav3.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(403), ResponseCodeDetails: details},
	}
}

func message(t *testing.T, entries ...*datav3.HTTPAccessLogEntry) []byte {
	t.Helper()
	data, err := proto.Marshal(&servicev3.StreamAccessLogsMessage{LogEntries: &servicev3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &servicev3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.AppendUvarint(nil, uint64(len(data))), data...)
}

func TestWhatDecidedIsTold(t *testing.T) {
	stream := append(message(t, entry("/a", "rbac_access_denied_matched_policy[ns[default]-policy[deny]-rule[0]]")), 0, 0, 0, 7)
	var got []Request
	lost := uint64(0)
	take := func(r Request) error { got = append(got, r); return nil }
	if err := Read(bytes.NewReader(stream), "web.default", take, func(n uint64) { lost += n }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || lost != 7 {
		t.Fatalf("%d requests, %d messages lost", len(got), lost)
	}
	r := got[0]
	if r.Source != "default/web" || r.Route != "virtual-service/default/reviews" || r.Policy != "ns[default]-policy[deny]-rule[0]" || r.Side != "in" || r.Millis != 1.5 || r.Code != 403 {
		t.Errorf("request %+v", r)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	take := func(Request) error { return nil }
	for name, stream := range map[string][]byte{
		"a message without end": binary.AppendUvarint(nil, 1<<40),
		"a message cut short":   message(t, entry("/a", ""))[:20],
		"no message":            {3, 0xff, 0xff, 0xff},
	} {
		if err := Read(bytes.NewReader(stream), "web.default", take, func(uint64) {}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestLinesHaveNoMoreThanTheirWords prints what a client wrote to look like another line or to speak to the terminal.
func TestLinesHaveNoMoreThanTheirWords(t *testing.T) {
	for _, hostile := range []string{"/a\n05:00:00 web in", "/\x1b[2Jx", "/a b policy=none", "/\u202egnp", "/\u00a0x", "/\xff", "/\u2028"} {
		r := requestOf("web.default", entry(hostile, hostile))
		r.RouteName, r.Source = hostile, hostile
		var out bytes.Buffer
		if err := PrintLine(&out, r); err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSuffix(out.String(), "\n")
		for _, c := range line {
			if c != '→' && (c < ' ' || c > '~') {
				t.Errorf("%q is printed as %q", hostile, line)
				break
			}
		}
		out.Reset()
		if err := PrintJSON(&out, r); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) || strings.Count(out.String(), "\n") != 1 || strings.ContainsAny(out.String(), "\x1b\u202e\u2028") {
			t.Errorf("%q as JSON is %q", hostile, out.String())
		}
	}
}

func TestFilters(t *testing.T) {
	r := Request{Side: "in", Method: "GET", Path: "/a/b", Code: 503}
	for _, f := range []Filter{{}, {Side: "in", Method: "get", Path: "/a", Code: "5xx"}, {Code: "503"}, {Code: "5XX"}} {
		if err := f.Check(); err != nil || !f.Matches(r) {
			t.Errorf("%+v does not choose %+v: %v", f, r, err)
		}
	}
	for _, f := range []Filter{{Side: "out"}, {Method: "POST"}, {Path: "/b"}, {Code: "500"}, {Code: "4xx"}, {Code: "0"}} {
		if err := f.Check(); err != nil || f.Matches(r) {
			t.Errorf("%+v chooses %+v: %v", f, r, err)
		}
	}
	for _, f := range []Filter{{Side: "up"}, {Code: "abc"}, {Code: "9xx"}, {Code: "99"}, {Code: "5x"}} {
		if f.Check() == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}
