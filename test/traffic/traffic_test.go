package traffic

import (
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

func cases(t *testing.T) []*Case {
	t.Helper()
	all, err := Cases(t, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Explain says of every call what is expected.
func TestExplain(t *testing.T) {
	calls := 0
	for _, c := range cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			for _, call := range c.Calls {
				if call.unpredictable() {
					continue
				}
				calls++
				a := explained(c.resources[call.From]).Explain(call.request)
				if d := call.differ(call.predicted(a)); len(d) > 0 {
					var steps strings.Builder
					_ = a.Print(&steps) // it does not fail
					t.Errorf("%s (from %s):\n\t%s\n%s", call.Call, call.From, strings.Join(d, "\n\t"), &steps)
				}
			}
			for _, d := range c.differProblems() {
				t.Error(d)
			}
		})
	}
	t.Logf("%d calls", calls)
}

// A real Envoy does with every call what is expected.
func TestEnvoy(t *testing.T) {
	secrets := envoytest.NewSecrets(t)
	for _, c := range cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			for from, res := range c.resources {
				t.Run(from, func(t *testing.T) {
					t.Parallel()
					r := start(t, res, secrets, &c.File)
					dump, err := explain.ParseDump([]byte(r.envoy.Get("/config_dump?include_eds")))
					if err != nil {
						t.Fatal(err)
					}
					for i, call := range c.Calls {
						if call.From != from {
							continue
						}
						if d := call.differ(call.predicted(dump.Explain(call.request))); len(d) > 0 && !call.unpredictable() {
							t.Errorf("%s, by Envoy's config dump:\n\t%s", call.Call, strings.Join(d, "\n\t"))
						}
						if d := r.differ(t, call, i); len(d) > 0 {
							t.Errorf("%s:\n\t%s", call.Call, strings.Join(d, "\n\t"))
						}
					}
				})
			}
		})
	}
}

// differ makes a call and lists what is not as wanted. Envoy ejects servers a little after it has answered, so where
// some are to be ejected it waits for that.
func (r *runner) differ(t *testing.T, call *Call, number int) []string {
	t.Helper()
	d := call.differ(r.sample(t, call, number))
	if call.Ejected && len(d) > 0 {
		envoytest.Eventually(t, "an ejection", func() bool {
			d = call.differ(r.sample(t, call, number))
			return len(d) == 0
		})
	}
	return d
}

// start runs an Envoy with a proxy's resources, and waits until they are in force.
func start(t *testing.T, res translate.Resources, secrets *envoytest.Secrets, f *File) *runner {
	t.Helper()
	n := envoytest.NewNamespace(t)
	n.Redirect(t, map[int]int{marks["outbound"]: outboundPort, marks["inbound"]: inboundPort, 0: stubPort})
	r := &runner{namespace: n, logs: t.TempDir() + "/access.log", mesh: secrets.Pair(t)}
	served := res.Served()
	r.endpoints = served["endpoints"]
	if err := logged(served["listeners"], r.logs); err != nil {
		t.Fatal(err)
	}
	r.stub = serveStub(t, n, stubPort, secrets.Sign(t, stubName, identities(res)), f)
	serveDNS(t, n, f.DNS)
	if f.made != nil {
		secrets = secrets.Beside(f.made.keyed(served["secrets"]))
	}
	s := envoytest.ServeFixed(t, served, secrets)
	r.envoy = envoytest.Run(t, envoytest.Config{Node: "test", Socket: s.Socket, SotW: true, In: n, Flags: []string{"--file-flush-interval-msec", "10"}})
	envoytest.Eventually(t, "Envoy is live", func() bool {
		select {
		case reason := <-s.Rejected:
			t.Fatalf("rejected: %s", reason)
		default:
		}
		return r.envoy.Live()
	})
	envoytest.Eventually(t, "nothing is in warming", func() bool {
		clusters, listeners := r.envoy.Warming()
		return clusters == 0 && listeners == 0
	})
	if slices.ContainsFunc(f.Calls, func(c *Call) bool { return c.request.Protocol == explain.HTTP3 }) {
		r.http3 = newHTTP3Client(t, n)
	}
	return r
}

// identities are all names that clusters check certificates for.
func identities(res translate.Resources) []string {
	var out []string
	for _, r := range res.ByType["clusters"] {
		ctx := &tlsv3.UpstreamTlsContext{}
		packed := r.Body.(*clusterv3.Cluster).GetTransportSocket().GetTypedConfig()
		if !packed.MessageIs(ctx) || packed.UnmarshalTo(ctx) != nil {
			continue
		}
		for _, m := range ctx.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames() {
			if name := m.GetMatcher().GetExact(); name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
