package xds

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

func wireOf(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzRequest reads requests of both protocols as the generated code does.
func FuzzRequest(f *testing.F) {
	long := make([]string, 300)
	for i := range long {
		long[i] = string(rune('a' + i%26))
	}
	f.Add(wireOf(f, &discoveryv3.DeltaDiscoveryRequest{
		Node: testNode, TypeUrl: resource.Clusters.URL(), ResourceNamesSubscribe: long, ResourceNamesUnsubscribe: []string{"*", ""},
		InitialResourceVersions: map[string]string{"a": "1", "": "", "ü": "2"}, ResponseNonce: "n",
		ErrorDetail: &status.Status{Code: 3, Message: "no"}, ResourceLocatorsSubscribe: []*discoveryv3.ResourceLocator{{Name: "x"}},
	}))
	f.Add(wireOf(f, &discoveryv3.DiscoveryRequest{
		Node: testNode, TypeUrl: resource.Routes.URL(), ResourceNames: []string{"*", "80"}, VersionInfo: "v", ResponseNonce: "n",
		ErrorDetail: &status.Status{},
	}))
	twice := wireOf(f, &discoveryv3.DeltaDiscoveryRequest{Node: testNode, TypeUrl: "a", InitialResourceVersions: map[string]string{"a": "1"}})
	f.Add(append(twice, wireOf(f, &discoveryv3.DeltaDiscoveryRequest{Node: testNode, TypeUrl: "b", InitialResourceVersions: map[string]string{"a": "2"}})...))
	f.Add(protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 7))                                                                        // a type URL that is a number
	f.Add([]byte{0x0b, 0x0c})                                                                                                                                  // a group
	for _, entry := range []string{"\x0a\x01a\x12\x011\x12\x012", "\x12\x011\x0a\x01a", "\x0a\x01a", "\x0a\x81\x00a\x12\x011", "\x0a\x01a\x12\x00\x1a\x01b"} { // claims in unusual forms
		f.Add(protowire.AppendString(protowire.AppendTag(nil, deltaFields.claims, protowire.BytesType), entry))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var delta discoveryv3.DeltaDiscoveryRequest
		if proto.Unmarshal(b, &delta) == nil {
			check(t, read(t, b, true), &delta, delta.GetResourceNamesSubscribe(), delta.GetResourceNamesUnsubscribe(),
				delta.GetInitialResourceVersions(), "")
		}
		var sotw discoveryv3.DiscoveryRequest
		if proto.Unmarshal(b, &sotw) == nil {
			check(t, read(t, b, false), &sotw, sotw.GetResourceNames(), nil, nil, sotw.GetVersionInfo())
		}
		r := request{raw: b, delta: true}
		_ = r.parse() // whatever it is, it does not panic
	})
}

func read(t *testing.T, b []byte, delta bool) *request {
	t.Helper()
	r := &request{delta: delta}
	if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, r); err != nil {
		t.Fatalf("not taken: %v", err)
	}
	return r
}

type fieldsOfBoth interface {
	GetTypeUrl() string
	GetResponseNonce() string
	GetErrorDetail() *status.Status
}

func check(t *testing.T, r *request, want fieldsOfBoth, names, gone []string, claims map[string]string, version string) {
	t.Helper()
	if string(r.url) != want.GetTypeUrl() || string(r.nonce) != want.GetResponseNonce() || string(r.version) != version {
		t.Errorf("got url %q, nonce %q, version %q", r.url, r.nonce, r.version)
	}
	if r.nacked != (want.GetErrorDetail() != nil) || string(r.detail) != want.GetErrorDetail().GetMessage() {
		t.Errorf("got refused %v, %q", r.nacked, r.detail)
	}
	if got := r.list(r.fields().names); !slices.Equal(got, names) || r.names != len(names) || r.starred() != slices.Contains(names, "*") {
		t.Errorf("got names %q, want %q", got, names)
	}
	asked := slices.Collect(r.asked())
	if want := plain(names); !slices.EqualFunc(asked, want, func(b []byte, s string) bool { return string(b) == s }) {
		t.Errorf("asks for %q, want %q", asked, want)
	}
	if r.delta && (!slices.Equal(r.list(deltaFields.gone), gone) || r.gone != len(gone)) {
		t.Errorf("got unsubscriptions %q, want %q", r.list(deltaFields.gone), gone)
	}
	got := map[string]string{}
	for name, version := range r.claimed() {
		got[string(name)] = string(version)
	}
	if !maps.Equal(got, claims) {
		t.Errorf("claims %q, want %q", got, claims)
	}
	if _, err := r.node(); err != nil {
		t.Errorf("node: %v", err)
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	url := protowire.AppendBytes(protowire.AppendTag(nil, deltaFields.url, protowire.BytesType), []byte("x\xff"))
	for what, b := range map[string][]byte{
		"a length beyond the end": {0x12, 9, 'x'}, "text that is no UTF-8": url, "field 0": {0x02, 0}, "a group that does not end": {0x0b},
		"a claim that is cut": protowire.AppendBytes(protowire.AppendTag(nil, deltaFields.claims, protowire.BytesType), []byte{0x0a, 5}),
	} {
		r := &request{delta: true, raw: b}
		if r.parse() == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestAcknowledgementTakesNoMemory(t *testing.T) {
	sent := &response{typ: resource.Endpoints, delta: true, stream: "boot.1", nonce: 77}
	b := wireOf(t, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.Endpoints.URL(), ResponseNonce: nonceOf(sent)})
	r := &request{delta: true}
	data := mem.BufferSlice{mem.SliceBuffer(b)}
	codec := Codec()
	if n := testing.AllocsPerRun(100, func() {
		if err := codec.Unmarshal(data, r); err != nil {
			t.Fatal(err)
		}
		if typ, ok := r.typ(); !ok || typ != resource.Endpoints || parseNonce(r.nonce, sent.stream) != sent.nonce {
			t.Fatal("read wrongly")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestResponseOnTheWire(t *testing.T) {
	a, err := resource.New(resource.Clusters, "a", cluster("a", 1).Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := resource.New(resource.Clusters, "b", cluster("b", 1).Body)
	if err != nil {
		t.Fatal(err)
	}
	blocks := resource.NewSet(a).Lookup(nil).Blocks
	for _, delta := range []bool{true, false} {
		r := &response{typ: resource.Clusters, delta: delta, version: "v", stream: "s", nonce: 40, blocks: blocks, resources: []*resource.Resource{b}}
		if delta {
			r.removed = []string{"gone", "too"}
		}
		wire, err := Codec().Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got, want proto.Message
		if delta {
			got, want = &discoveryv3.DeltaDiscoveryResponse{}, &discoveryv3.DeltaDiscoveryResponse{
				SystemVersionInfo: "v", TypeUrl: resource.Clusters.URL(), Nonce: "s.14", RemovedResources: r.removed,
				Resources: []*discoveryv3.Resource{{Name: "a", Version: a.Version, Resource: a.Any()}, {Name: "b", Version: b.Version, Resource: b.Any()}},
			}
		} else {
			dr := &discoveryv3.DiscoveryResponse{VersionInfo: "v", TypeUrl: resource.Clusters.URL(), Nonce: "s.14"}
			dr.Resources = append(dr.Resources, a.Any(), b.Any())
			got, want = &discoveryv3.DiscoveryResponse{}, dr
		}
		text := wire.Materialize()
		if err := proto.Unmarshal(text, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		if r.bytes != len(text) {
			t.Errorf("says %d bytes, has %d", r.bytes, len(text))
		}
	}
	for _, foreign := range []string{"", "s", "s.", "x.14", "s.1!", "s14", "s.zzzzzzzzzzzzzzzzzzzz"} {
		if parseNonce([]byte(foreign), "s") != 0 {
			t.Errorf("%q is taken for a nonce of the stream", foreign)
		}
	}
}

func TestLargeRequestIsNotKept(t *testing.T) {
	r := &request{raw: make([]byte, 1<<20)}
	r.release()
	if r.raw != nil {
		t.Error("a stream keeps its last request, however large, until the next")
	}
	r.raw = make([]byte, roomForAcks)
	if r.release(); r.raw == nil {
		t.Error("an acknowledgement makes new room each time")
	}
}

// What clients say that they hold when they come back takes the room of a few of them, not of all. Under the race detector
// a sync.Pool forgets each fourth of what it gets.
func TestLargeRequestsAreReadIntoOneRoom(t *testing.T) {
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("outbound|80||svc-%d.ns.svc.cluster.local", i)
	}
	text := wireOf(t, &discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.Clusters.URL(), ResourceNamesSubscribe: names})
	codec := Codec()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const clients = 100
	for range clients {
		r := &request{delta: true}
		if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(text)}, r); err != nil || r.names != len(names) {
			t.Fatal(r.names, err)
		}
		r.release()
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(clients/2*len(text)) {
		t.Errorf("%d requests of %d bytes took %d", clients, len(text), took)
	}
	rooms := &largeRooms{}
	rooms.give(make([]byte, largestRoom+1))
	if room := rooms.take(1); cap(room) > largestRoom {
		t.Error("the room of a huge request is kept")
	}
}

// A client that has everything is recognized by what its request says, without a look at each name.
func TestClaimsOfEverythingAreRecognized(t *testing.T) {
	long := strings.Repeat("x", 200) // which is not written in the shortest form
	var all []*resource.Resource
	claims := map[string]string{}
	for _, name := range []string{"a", "ü", long} {
		r, err := resource.New(resource.Clusters, name, cluster(name, 1).Body)
		if err != nil {
			t.Fatal(err)
		}
		all, claims[name] = append(all, r), r.Version
	}
	has := func() bool {
		r := read(t, wireOf(t, &discoveryv3.DeltaDiscoveryRequest{InitialResourceVersions: claims}), true)
		return resource.NewSet(all...).Lookup(nil).Equals(&r.held)
	}
	if !has() {
		t.Error("who claims everything is not recognized")
	}
	claims["a"] += "x"
	if has() {
		t.Error("another version is taken for what there is")
	}
	delete(claims, "a")
	if has() {
		t.Error("who lacks something is taken for one who has everything")
	}
}
