package telemetry

import (
	"maps"
	"strings"
	"testing"
)

var local = Workload{Name: "a-v1", Namespace: "default", Canonical: "a", Revision: "v1", App: "a", Version: "v1", Cluster: "c1", Principal: "spiffe://td/ns/default/sa/a"}

func labels(s Series) map[string]string {
	out := map[string]string{}
	for _, p := range s.Labels {
		out[p.Name] = p.Value
	}
	return out
}

// wantLabels compares the labels that a case names.
func wantLabels(t *testing.T, s Series, want map[string]string) {
	t.Helper()
	got := labels(s)
	for name, value := range want {
		if v, ok := got[name]; v != value || ok != (value != "") {
			t.Errorf("%s: %s is %q, want %q", s.Metric, name, v, value)
		}
	}
}

func TestAPeerIsWhoItProvesToBe(t *testing.T) {
	header, err := (Workload{Name: "b-v2", Namespace: "claimed", Canonical: "b", Revision: "v2", App: "b-app", Version: "v2", Cluster: "c2"}).PeerHeaderValue()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		principal, peer string
		want            map[string]string
	}{
		"the identity decides the namespace": {
			"spiffe://td/ns/proven/sa/b", header,
			map[string]string{
				"source_workload": "b-v2", "source_workload_namespace": "proven", "source_canonical_service": "b", "source_app": "b-app",
				"source_cluster": "c2", "source_principal": "spiffe://td/ns/proven/sa/b", "connection_security_policy": "mutual_tls",
				"destination_principal": local.Principal,
			},
		},
		"the first of several identities": {"spiffe://td/ns/proven/sa/b,spiffe://td/ns/other/sa/b", header, map[string]string{"source_principal": "spiffe://td/ns/proven/sa/b"}},
		"in short": {
			"spiffe://td/ns/proven/sa/b", Workload{Name: "b-v2", Namespace: "proven", Canonical: "b", Revision: "v2", App: "b-app", Version: "v2", Cluster: "c2", Principal: "spiffe://td/ns/proven/sa/b"}.ShortPeerValue(),
			map[string]string{
				"source_workload": "b-v2", "source_workload_namespace": "proven", "source_canonical_service": "b", "source_canonical_revision": "v2",
				"source_app": "b-app", "source_version": "v2", "source_cluster": "c2",
			},
		},
		"by Istio's proxy": {"spiffe://td/ns/proven/sa/b", "s" + header, map[string]string{"source_workload": "b-v2", "source_cluster": "c2"}},
		"in short by an application behind Istio's proxy": {"spiffe://td/ns/proven/sa/b", "s;forged;b;v2;c2", map[string]string{"source_workload": "unknown", "source_workload_namespace": "proven"}},
		"in short and cut off":                            {"spiffe://td/ns/proven/sa/b", ";b", map[string]string{"source_workload": "unknown", "source_workload_namespace": "proven"}},
		"plaintext":                                       {"", "", map[string]string{"source_workload": "unknown", "source_canonical_revision": "latest", "source_principal": "unknown", "destination_principal": "unknown", "connection_security_policy": "none"}},
		"no base64":                                       {"spiffe://td/ns/proven/sa/b", "%% a b c \x00", map[string]string{"source_workload": "unknown", "source_workload_namespace": "proven"}},
		"base64 of something else":                        {"", "AAAA", map[string]string{"source_workload": "unknown"}},
		"far too long":                                    {"", strings.Repeat("A", maxPeer+1), map[string]string{"source_workload": "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			value := Format(Destination, "", nil, HTTPFields("a.default.svc.cluster.local", "200", "-", "", c.principal, c.peer)...)
			got := (&Expander{Local: local}).Expand(StatRequests, value)
			if len(got) != 1 || got[0].Metric != "istio_requests_total" {
				t.Fatalf("got %v", got)
			}
			wantLabels(t, got[0], c.want)
		})
	}
}

func TestDestinations(t *testing.T) {
	for name, c := range map[string]struct {
		reporter            Reporter
		cluster, peer       string
		host, service, work string
	}{
		"a service":             {Source, "outbound|80||b.default.svc.cluster.local", "b-v1;default;b;v1;", "b.default.svc.cluster.local", "b", "b-v1"},
		"a subset of it":        {Source, "outbound|80|v1|b.default.svc.cluster.local", "b-v1;default;b;v1;", "b.default.svc.cluster.local", "b", "b-v1"},
		"outside the mesh":      {Source, "outbound|443||api.example.com", "", "api.example.com", "api.example.com", "unknown"},
		"no service":            {Source, "PassthroughCluster", "", "unknown", "PassthroughCluster", "unknown"},
		"nothing":               {Source, "", "", "unknown", "unknown", "unknown"},
		"the proxy's own":       {Destination, "a.default.svc.cluster.local", "", "a.default.svc.cluster.local", "a", "a-v1"},
		"a port of no service":  {Destination, "InboundPassthroughCluster", "", "a", "InboundPassthroughCluster", "a-v1"},
		"metadata that is none": {Source, "outbound|80||b.default.svc.cluster.local", "b;c", "b.default.svc.cluster.local", "b", "unknown"},
	} {
		got := (&Expander{Local: local}).Expand(StatRequests, Format(c.reporter, "", nil, HTTPFields(c.cluster, "200", "-", "", "", c.peer)...))
		if len(got) != 1 {
			t.Fatalf("%s: %v", name, got)
		}
		wantLabels(t, got[0], map[string]string{"destination_service": c.host, "destination_service_name": c.service, "destination_workload": c.work})
	}
}

func TestEndpointsTellTheirWorkload(t *testing.T) {
	for _, w := range []Workload{
		WorkloadOf("b-v1", "ns", "c2", map[string]string{"app": "b", "version": "v1"}),
		WorkloadOf("b", "ns", "c2", map[string]string{"app": "b"}),
		WorkloadOf("b", "ns", "c2", nil),
		WorkloadOf("b", "ns", "c2", map[string]string{"app": "x", "service.istio.io/canonical-name": "y", "service.istio.io/canonical-revision": "z"}),
	} {
		got := fromEndpoint(w.EndpointValue())
		if got.Revision == "" {
			got.Revision = latest
		}
		if got != w {
			t.Errorf("%q gives %+v, want %+v", w.EndpointValue(), got, w)
		}
	}
}

func TestConnectionsAndMessagesAreDivided(t *testing.T) {
	tcp := func(detail, flags string) []Series {
		return (&Expander{Local: local}).Expand(StatConnections, Format(Source, detail, nil, TCPFields("outbound|80||b", flags, "", "")...))
	}
	call := func(detail string) []Series {
		return (&Expander{Local: local}).Expand(StatMessages, Format(Source, detail, nil, HTTPFields("outbound|80||b", "200", "-", "", "", "")...))
	}
	for name, c := range map[string]struct {
		got  []Series
		want map[string]uint64
	}{
		"connected":         {tcp(LogConnected+",10.0.0.1", "-"), map[string]uint64{MetricOpened: 1}},
		"ended":             {tcp(LogEnded+",10.0.0.1", "-"), map[string]uint64{MetricClosed: 1}},
		"never connected":   {tcp(LogEnded+",-", "UF,URX"), map[string]uint64{MetricOpened: 1, MetricClosed: 1}},
		"denied":            {tcp(LogEnded+",", "-"), map[string]uint64{MetricOpened: 1, MetricClosed: 1}},
		"of a socket":       {tcp(LogEnded+",unix", "-"), map[string]uint64{MetricClosed: 1}},
		"of none there":     {tcp(LogEnded+",-unix", "URX,UF"), map[string]uint64{MetricOpened: 1, MetricClosed: 1}},
		"of a former plane": {tcp(LogEnded, "-"), map[string]uint64{MetricClosed: 1}},
		"another log entry": {tcp("TcpPeriodic", "-"), map[string]uint64{}},
		"messages":          {call("3,12"), map[string]uint64{MetricRequestMessages: 3, MetricResponseMessages: 12}},
		"no messages":       {call("x"), map[string]uint64{}},
	} {
		got := map[string]uint64{}
		for _, s := range c.got {
			got[s.Metric] = s.Times
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestLabelsThatAreNotWanted(t *testing.T) {
	value := Format(Source, "", []string{"source_principal", "response_flags"}, HTTPFields("outbound|80||b", "200", "-", "", "", "")...)
	wantLabels(t, (&Expander{Local: local}).Expand(StatRequests, value)[0], map[string]string{"source_principal": "", "response_flags": "", "response_code": "200"})
}

func FuzzExpand(f *testing.F) {
	f.Add(StatRequests, "s a b c d e f")
	f.Add(StatConnections, "dTcpConnectionEnd!x a b c d")
	f.Fuzz(func(t *testing.T, statistic, value string) {
		for _, s := range (&Expander{Local: local}).Expand(statistic, value) {
			for _, p := range s.Labels {
				if p.Name == "" || p.Value == "" {
					t.Errorf("%q: an empty label", value)
				}
			}
		}
	})
}

func TestSeriesLimit(t *testing.T) {
	for text, want := range map[string]int{"": DefaultSeries, "1": 1, "1000000": 1_000_000, "0": 0, "-1": 0, "1000001": 0, "many": 0} {
		got, err := SeriesLimit(text)
		if want == 0 && (err == nil || got != DefaultSeries) || want != 0 && (err != nil || got != want) {
			t.Errorf("%q gives %d, %v", text, got, err)
		}
	}
}

func TestResourceAttributes(t *testing.T) {
	for _, c := range []struct{ users, injected, want string }{
		{want: "service.name=a"},
		{users: "team=x", want: "team=x,service.name=a"},
		{users: "service.name=mine, team = x", want: "service.name=mine,team=x"},
		{injected: "service.name=b,service.namespace=n", want: "service.name=b,service.namespace=n"},
		{users: "service.namespace=mine", injected: "service.name=b,service.namespace=n", want: "service.namespace=mine,service.name=b"},
		{users: "team,service.name=,x=a=b,=c", want: "service.name=a"},
	} {
		if got := ResourceAttributes(c.users, c.injected, "a"); got != c.want {
			t.Errorf("%q and %q give %q, want %q", c.users, c.injected, got, c.want)
		}
	}
}

// Where the identity does not prove the namespace, servers are told all of it.
func TestAHeaderIsNeverEmpty(t *testing.T) {
	w := Workload{Name: "b", Namespace: "ns", Canonical: "b", Principal: "spiffe://td/b"}
	got, err := w.PeerEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if got[ShortPeerVariable] == "" || got[ShortPeerVariable] != got[PeerVariable] {
		t.Errorf("got %q", got)
	}
}
