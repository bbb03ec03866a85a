package translate

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// badInput is a row: objects beside a healthy mesh that are bad in one way.
type badInput struct {
	name, objects string
	// differs are the parts of what the healthy mesh gives that are others with the objects, and must be.
	differs []string
	// problem names the object and the field that is reported, and fine says why nothing has to be.
	problem, fine string
	// refused is a listener that Envoy refuses, and takes all but that.
	refused string
	// adds are parts that come, where the row is about them.
	adds []string
}

// mostAllocated bounds what reading, checking and translating a row for all askers may allocate, in bytes. It is
// for what grows without bound; the largest row, of 10,000 rules, takes 395 MiB.
const mostAllocated = 1 << 30

// One bad object harms only itself. What a healthy mesh gives stays byte for byte but for what the row says, and a
// problem names the object and the field. All is valid, Envoy takes it, and no row costs without bound.
func TestBadInputHarmsOnlyItself(t *testing.T) {
	secrets := envoytest.NewSecrets(t)
	pair, other := secrets.Named("own").GetTlsCertificate(), envoytest.NewSecrets(t).Named("other").GetTlsCertificate()
	good := goodMesh + secretOf("good", pair.GetCertificateChain().GetInlineBytes(), pair.GetPrivateKey().GetInlineBytes())
	rows := append(badRows(), badInput{
		name: "a Secret with the key of another pair",
		objects: secretOf("worse", pair.GetCertificateChain().GetInlineBytes(), other.GetPrivateKey().GetInlineBytes()) +
			worseGateway("{port: {number: 8443, name: x, protocol: HTTPS}, hosts: [x.example.com], tls: {mode: SIMPLE, credentialName: worse}}"),
		problem: "Secret/istio-system/worse data[tls.crt]",
	}, badInput{
		name: "a Secret whose certificate is none",
		objects: secretOf("worse", []byte("nothing"), pair.GetPrivateKey().GetInlineBytes()) +
			worseGateway("{port: {number: 8443, name: x, protocol: HTTPS}, hosts: [x.example.com], tls: {mode: SIMPLE, credentialName: worse}}"),
		problem: "Secret/istio-system/worse data[tls.crt]",
	})
	healthy := readMesh(t, good)
	if len(healthy.problems) > 0 {
		t.Fatalf("the healthy mesh has problems: %s", healthy.problems)
	}
	loads := map[string]func(*testing.T){}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			before := allocated()
			got := readMesh(t, good+row.objects)
			spent := allocated() - before
			t.Logf("%d MiB were allocated", spent>>20)
			if spent > mostAllocated {
				t.Errorf("%d bytes were allocated, at most %d are expected", spent, mostAllocated)
			}
			row.compare(t, healthy.parts, got.parts)
			row.checkProblems(t, got.problems)
			if res, ok := changedFor(t, healthy, got); ok {
				loads[row.name] = func(t *testing.T) { loadBut(t, row.refused, res, secrets) }
			}
		})
	}
	for name, load := range loads {
		t.Run("Envoy takes "+name, func(t *testing.T) {
			t.Parallel()
			load(t)
		})
	}
}

// changedFor gives what the first asker gets that gets something else.
func changedFor(t *testing.T, healthy, got meshRead) (Resources, bool) {
	for _, p := range badAskers() {
		if res := got.made[p.Name]; !maps.Equal(partsOf(t, res), partsOf(t, healthy.made[p.Name])) {
			return res, true
		}
	}
	return Resources{}, false
}

// allocated counts the bytes that were ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// compare checks what of the healthy mesh differs.
func (row *badInput) compare(t *testing.T, healthy, got map[string]string) {
	t.Helper()
	var differs []string
	for _, name := range slices.Sorted(maps.Keys(healthy)) {
		if other, ok := got[name]; !ok || other != healthy[name] {
			differs = append(differs, name)
		}
	}
	if !slices.Equal(differs, row.differs) {
		t.Errorf("of the healthy mesh differ %q, want %q", differs, row.differs)
	}
	for _, name := range row.adds {
		if _, ok := got[name]; !ok {
			t.Errorf("there is no %s, but %q", name, slices.Sorted(maps.Keys(got)))
		}
	}
}

// checkProblems wants a problem of the object and field, and none of what is healthy.
func (row *badInput) checkProblems(t *testing.T, problems []model.Problem) {
	t.Helper()
	named := func(p model.Problem) bool { return strings.Contains(p.String(), " "+row.problem+": ") }
	if row.fine != "" && len(problems) > 0 || row.fine == "" && !slices.ContainsFunc(problems, named) {
		t.Errorf("reported is %s, want %q", problems, row.problem)
	}
	for _, p := range problems {
		if p.Object.Name != "worse" && p.Object.Name != "worst" {
			t.Errorf("an object that is not at fault is reported: %s", p)
		}
	}
}

// meshRead is what becomes of a mesh: what each asker gets, its parts, and all problems.
type meshRead struct {
	made     map[string]Resources
	parts    map[string]string
	problems []model.Problem
}

// badAskers are those that see the healthy mesh: a client, a server and a gateway.
func badAskers() []Proxy {
	return []Proxy{
		{Name: "client", Namespace: "default", IPs: []string{"10.1.0.9"}, DNSCapture: true},
		{Name: "a-0", Namespace: "default", IPs: []string{"10.1.0.1"}, DNSCapture: true},
		{Name: "gw-0", Namespace: "istio-system", IPs: []string{"10.1.0.8"}, Type: model.RouterProxy},
	}
}

// readMesh reads, checks and translates as the product does, and validates what comes of it.
func readMesh(t *testing.T, text string) meshRead {
	t.Helper()
	objects, _, problems := file.Checked(kinds.DefaultNamespace, []byte(text), "input.yaml", validate.Object)
	out := meshRead{made: map[string]Resources{}, parts: map[string]string{}, problems: problems}
	snapshot := Snapshot(objects)
	for _, p := range badAskers() {
		res := Build(snapshot, p.Model())
		validateAll(t, res)
		out.made[p.Name], out.problems = res, append(out.problems, res.Problems...)
		maps.Copy(out.parts, partsOf(t, res))
	}
	slices.SortFunc(out.problems, model.CompareProblems)
	out.problems = slices.Compact(out.problems)
	return out
}

// partsOf gives the bytes of what a proxy gets, apart for each virtual host, filter chain and name.
func partsOf(t *testing.T, res Resources) map[string]string {
	t.Helper()
	out := map[string]string{}
	add := func(m proto.Message, names ...string) {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.Join(names, " ")] = string(data)
	}
	for kind, list := range res.ByType {
		for _, r := range list {
			rest := proto.Clone(r.Body)
			switch body := rest.(type) {
			case *routev3.RouteConfiguration:
				for _, vh := range body.GetVirtualHosts() {
					add(vh, kind, r.Name, vh.GetName())
				}
				body.VirtualHosts = nil
			case *listenerv3.Listener:
				for _, chain := range body.GetFilterChains() {
					add(chain, kind, r.Name, chain.GetName(), chain.GetFilterChainMatch().String())
				}
				body.FilterChains = nil
			case *nds.NameTable:
				for name, info := range body.GetTable() {
					add(info, kind, name)
				}
				body.Table = nil
			}
			add(rest, kind, r.Name)
		}
	}
	return out
}

// loadBut starts an Envoy that takes all resources. The one listener that it refuses, "" for none, it names, and another
// Envoy takes all without it; that the product then leaves out just this is for the tests of pilot/xds.
func loadBut(t *testing.T, refused string, res Resources, secrets *envoytest.Secrets) {
	t.Helper()
	rest := res.Served()
	if rest["listeners"][refused] != nil {
		s := envoytest.ServeFixed(t, res.Served(), secrets)
		envoytest.Run(t, envoytest.Config{Node: "test", Socket: s.Socket, SotW: true, Apart: true})
		select {
		case reason := <-s.Rejected:
			if !strings.Contains(reason, "listener(s) "+refused+":") {
				t.Errorf("rejected: %s, want only %s", reason, refused)
			}
		case <-time.After(warmDeadline):
			t.Error("Envoy takes what it should refuse")
		}
		delete(rest["listeners"], refused)
	}
	load(t, rest, secrets)
}

// refused tells whether validation keeps an object out of effect.
func refused(o *model.Object) bool {
	return slices.ContainsFunc(validate.Object(o), func(p model.Problem) bool { return p.Severity == model.SeverityError })
}

// secretOf gives a Secret of the gateways with a pair.
func secretOf(name string, certificate, key []byte) string {
	return fmt.Sprintf("---\n{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: istio-system}, type: kubernetes.io/tls, stringData: {tls.crt: %q, tls.key: %q}}\n",
		name, certificate, key)
}
