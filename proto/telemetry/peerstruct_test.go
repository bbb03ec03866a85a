package telemetry

import (
	"encoding/base64"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// peerBySchema reads a header as protobuf's own code has it.
func peerBySchema(data []byte) (Workload, bool) {
	var peer structpb.Struct
	if proto.Unmarshal(data, &peer) != nil {
		return Workload{}, false
	}
	labels := peer.GetFields()[keyLabels].GetStructValue()
	label := func(key string) string { return labels.GetFields()[key].GetStringValue() }
	field := func(key string) string { return peer.GetFields()[key].GetStringValue() }
	return Workload{
		Name: field(keyWorkload), Namespace: field(keyNamespace), Cluster: field(keyCluster),
		Canonical: label(labelCanonical), Revision: label(labelRevision), App: label(labelApp), Version: label(labelVersion),
	}, true
}

// FuzzPeerHeader compares with protobuf's own code where that takes the header for sound.
func FuzzPeerHeader(f *testing.F) {
	peer, err := structpb.NewStruct(map[string]any{
		keyWorkload: "reviews-v1", keyNamespace: "default", keyCluster: nil, "OTHER": []any{1.0, true, map[string]any{"x": "y"}},
		keyLabels: map[string]any{labelCanonical: "reviews", labelRevision: "v1", labelApp: "a", labelVersion: "", "more": "x"},
	})
	if err != nil {
		f.Fatal(err)
	}
	sound, err := proto.Marshal(peer)
	if err != nil {
		f.Fatal(err)
	}
	other, err := structpb.NewStruct(map[string]any{keyWorkload: map[string]any{"x": "y"}, keyLabels: map[string]any{labelApp: "b"}, keyCluster: "c"})
	if err != nil {
		f.Fatal(err)
	}
	more, err := proto.Marshal(other)
	if err != nil {
		f.Fatal(err)
	}
	for _, data := range [][]byte{nil, sound, more, append(sound[:len(sound):len(sound)], more...), append(more[:len(more):len(more)], sound...), sound[:len(sound)/2], []byte("\x0a\x02\x0a\x00"), []byte("\xff")} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := base64.StdEncoding.EncodeToString(data)
		if len(text) > maxPeer {
			return
		}
		want, ok := peerBySchema(data)
		if got := fromPeerHeader(text); ok && got != want {
			t.Errorf("%q gives %+v, want %+v", data, got, want)
		}
	})
}
