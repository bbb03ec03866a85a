package floor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/gob"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
)

func response(t *testing.T, k ads.Kind, names ...string) []byte {
	t.Helper()
	r := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: k.URL(), Nonce: "n"}
	for _, n := range names {
		r.Resources = append(r.Resources, &discoveryv3.Resource{Name: n, Version: "1", Resource: &anypb.Any{TypeUrl: k.URL()}})
	}
	b, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tell(t *testing.T, address, path string, v any) {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+address+path, "", &b)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
}

// eventually polls, since what is waited for happens in the clients' goroutines.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestServesWhatItIsTold(t *testing.T) {
	var at [3]net.Listener
	for i := range at {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at[i] = l
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- New().Serve(ctx, Ports{Plain: at[0], Commands: at[1], Secure: at[2], TLS: &tls.Config{MinVersion: tls.VersionTLS13}})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	clients, commands := at[0].Addr().String(), at[1].Addr().String()
	tell(t, commands, "/replies", Replies{Namespaced: true, By: map[Class]map[ads.Kind][][]byte{
		{Namespace: "a"}: {ads.Clusters: {response(t, ads.Clusters)}, ads.Listeners: {response(t, ads.Listeners)}},
		{Namespace: "b"}: {ads.Clusters: {response(t, ads.Clusters)}},
	}})
	var ns []ads.Node
	for _, name := range []string{"a", "b"} {
		md, err := structpb.NewStruct(map[string]any{"NAMESPACE": name})
		if err != nil {
			t.Fatal(err)
		}
		node, err := proto.Marshal(&corev3.Node{Id: name, Metadata: md})
		if err != nil {
			t.Fatal(err)
		}
		ns = append(ns, ads.Node{Namespace: name, Envoy: node})
	}
	f := ads.New(ads.Options{Nodes: ns, Logger: slog.New(slog.DiscardHandler)})
	connect(t, f, clients)
	defer f.Disconnect()
	eventually(t, "not each class gets its own replies", func() bool { return f.Stats().Messages == 3 && f.InSync() == 1 })
	mark := f.Watch(ads.Endpoints, "x", 1)
	tell(t, commands, "/play", Play{{Namespaces: []string{"b"}, Frames: []ads.Frame{{Bytes: response(t, ads.Endpoints, "x")}}}})
	eventually(t, "what is played does not arrive", func() bool { return mark.Count() == 1 })
	if n := f.Stats().Messages; n != 4 {
		t.Errorf("%d messages, want the fourth at one client only", n)
	}
}

func connect(t *testing.T, f *ads.Fleet, address string) {
	t.Helper()
	if err := f.Connect(t.Context(), address); err != nil {
		t.Fatal(err)
	}
}
