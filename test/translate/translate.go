// Package translate runs the whole translation, from YAML to Envoy's resources, on cases of one
// file each (txtar): the input, the proxies that ask and what each of them is to get. Its cases
// cover every resource type; each builder of a stage adds to the same directory.
//
// A case holds the sections
//
//	input.yaml            objects, as in a --configDir
//	CLUSTER/input.yaml    objects of a remote cluster, if any
//	proxies.yaml          who asks, and which resources the case is about (see Proxy)
//	PROXY/TYPE.yaml       what is expected: clusters, endpoints, listeners, routes, secrets, nametable
//	problems.txt          the problems expected, one a line; absent for none
//
// go test ./test/translate -update writes the last two anew.
package translate

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// Proxy is one asker of a case.
type Proxy struct {
	Name         string            `json:"name"` // the pod's name
	Namespace    string            `json:"namespace"`
	Type         model.ProxyType   `json:"type"` // sidecar if empty
	IPs          []string          `json:"ips"`
	Labels       map[string]string `json:"labels"` // node metadata, used where no Pod object is known
	DNSCapture   bool              `json:"dnsCapture"`
	HTTP10       bool              `json:"http10"`       // it takes requests of HTTP/1.0
	Unprivileged bool              `json:"unprivileged"` // it cannot listen on ports below 1024
	LogService   bool              `json:"logService"`   // its bootstrap has the cluster of an access log service
	HTTPProxy    uint32            `json:"httpProxy"`    // the port at which it is an HTTP proxy
	Locality     string            `json:"locality"`     // region/zone/subzone
	Node         string            `json:"node"`         // that it is on
	Cluster      string            `json:"cluster"`      // that it is in; the control plane's own if empty
	Network      string            `json:"network"`      // that it says it is in
	View         []string          `json:"view"`         // the networks that it asks to see
	Unproven     bool              `json:"unproven"`     // it came without a proof of its namespace
	// Show lists by type (clusters, endpoints, listeners, routes, secrets, nametable) the patterns of the
	// names that the case is about, with "*" for any run of characters.
	Show map[string][]string `json:"show"`
}

// Case is one parsed case.
type Case struct {
	Objects  []*model.Object
	Problems []model.Problem // of decoding
	Proxies  []Proxy
}

// Resources are all that one proxy gets, by type; a name table has type "nametable".
type Resources struct {
	ByType   map[string][]Resource
	Problems []model.Problem
}

// Resource is a message with its name.
type Resource struct {
	Name string
	Body proto.Message
}

// Types are the resource types in the order in which a server sends them.
var types = []string{"clusters", "endpoints", "listeners", "routes", "secrets", "nametable", "trustbundle", "bootstrap"}

// Parse reads the input sections of an archive.
func Parse(a *txtar.Archive) (*Case, error) {
	var out Case
	for _, f := range a.Files {
		switch cluster, name := path.Split(f.Name); name {
		case "input.yaml":
			objects, problems := file.Decode(f.Data, f.Name)
			for _, o := range objects {
				o.Cluster = strings.TrimSuffix(cluster, "/")
			}
			out.Objects, out.Problems = append(out.Objects, objects...), append(out.Problems, problems...)
		case "proxies.yaml":
			if err := yaml.UnmarshalStrict(f.Data, &out.Proxies); err != nil {
				return nil, fmt.Errorf("proxies.yaml: %w", err)
			}
		}
	}
	if len(out.Proxies) == 0 {
		return nil, fmt.Errorf("proxies.yaml names no proxy")
	}
	return &out, nil
}

// Model gives the proxy as a control plane would know it after it connected.
func (p *Proxy) Model() *model.Proxy {
	parts := append(strings.Split(p.Locality, "/"), "", "", "")
	out := &model.Proxy{
		Type: p.Type, Name: p.Name, Namespace: p.Namespace, IPs: p.IPs, Labels: p.Labels,
		DNSDomain: p.Namespace + ".svc.cluster.local", ClusterID: cmp.Or(p.Cluster, model.DefaultClusterID), Interception: "REDIRECT",
		DNSCapture: p.DNSCapture, HTTP10: p.HTTP10, LogService: p.LogService, Unprivileged: p.Unprivileged, HTTPProxyPort: p.HTTPProxy, Secrets: !p.Unproven, Node: p.Node, Network: p.Network, NetworkView: p.View, Locality: model.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]},
	}
	if out.Type == "" {
		out.Type = model.SidecarProxy
	}
	return out
}

// Snapshot gives the snapshot of a set of objects.
func Snapshot(objects []*model.Object) *store.Snapshot {
	return store.FromObjects(objects, store.Options{Domain: "cluster.local", Environment: environment})
}

// environment is that of the control plane of all cases.
func environment(name string) string {
	return map[string]string{"COLLECTOR_TOKEN": "100% secret", "COLLECTOR_KEY": "a secret", "COLLECTOR_LINES": "a secret\nof lines"}[name]
}

// Build translates for one proxy, by the pipeline of the product.
func Build(s *store.Snapshot, p *model.Proxy) Resources { return BuildBy(build.Options{}, s, p) }

// Scratch does so without putting what proxies share below anything.
func Scratch(s *store.Snapshot, p *model.Proxy) Resources {
	return BuildBy(build.Options{Alone: true}, s, p)
}

// BuildBy does so by a control plane with options.
func BuildBy(options build.Options, s *store.Snapshot, p *model.Proxy) Resources {
	b := build.New(options)
	if _, err := b.Advance(context.Background(), store.Commit{Snapshot: s, Full: true}); err != nil {
		panic(err) // the context does not end
	}
	seat := b.Seat(p)
	defer b.Leave(seat)
	made := b.Result(&seat.Class)
	out := Resources{ByType: map[string][]Resource{}, Problems: slices.Concat(made.Shared, made.Own)}
	for t, name := range typeNames() {
		for r := range made.Sets[t].All() {
			m, err := r.Message()
			if err != nil {
				panic(err) // our own bytes
			}
			out.ByType[name] = append(out.ByType[name], Resource{r.Name, m})
		}
	}
	slices.SortFunc(out.Problems, model.CompareProblems)
	return out
}

// Served gives what a server of tests gives out: all but the name table.
func (r Resources) Served() envoytest.Resources {
	out := envoytest.Resources{}
	for kind, all := range r.ByType {
		if kind == "nametable" {
			continue
		}
		out[kind] = map[string]proto.Message{}
		for _, x := range all {
			out[kind][x.Name] = x.Body
		}
	}
	return out
}

func typeNames() map[resource.Type]string {
	return map[resource.Type]string{
		resource.Clusters: "clusters", resource.Endpoints: "endpoints", resource.Listeners: "listeners",
		resource.Routes: "routes", resource.Secrets: "secrets", resource.NameTables: "nametable", resource.TrustBundles: "trustbundle",
		resource.BootstrapPatches: "bootstrap",
	}
}

// Golden gives the expected sections of a case as translation makes them now.
func (c *Case) Golden() ([]txtar.File, error) {
	r := Snapshot(c.Objects)
	problems := slices.Clone(c.Problems)
	var out []txtar.File
	for i := range c.Proxies {
		p := &c.Proxies[i]
		res := Build(r, p.Model())
		problems = append(problems, res.Problems...)
		for _, t := range types {
			patterns, ok := p.Show[t]
			if !ok {
				continue
			}
			data, err := section(res.ByType[t], patterns)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", t, p.Name, err)
			}
			out = append(out, txtar.File{Name: p.Name + "/" + t + ".yaml", Data: data})
		}
	}
	if len(problems) > 0 {
		slices.SortFunc(problems, model.CompareProblems)
		var b bytes.Buffer
		for _, p := range slices.Compact(problems) {
			fmt.Fprintln(&b, p)
		}
		out = append(out, txtar.File{Name: "problems.txt", Data: b.Bytes()})
	}
	return out, nil
}

// section writes the resources whose names match as one YAML document each.
func section(resources []Resource, patterns []string) ([]byte, error) {
	var b bytes.Buffer
	for _, r := range resources {
		if !slices.ContainsFunc(patterns, func(p string) bool { return matches(p, r.Name) }) {
			continue
		}
		data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r.Body)
		if err != nil {
			return nil, err
		}
		if data, err = withoutTap(data); err != nil {
			return nil, err
		}
		data, err = yaml.JSONToYAML(data)
		if err != nil {
			return nil, err
		}
		if b.Len() > 0 {
			b.WriteString("---\n")
		}
		b.Write(data)
	}
	return b.Bytes(), nil
}

// matches compares a name with a pattern; "/" is a character like any other.
func matches(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
	return err == nil && ok
}

// Validate checks a message by its generated rules, and those of every message packed in it.
func Validate(m proto.Message) error {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return err
		}
	}
	return validatePacked(m.ProtoReflect())
}

// validatePacked follows Any fields, whose content generated validation does not look into.
func validatePacked(m protoreflect.Message) error {
	if packed, ok := m.Interface().(*anypb.Any); ok {
		inner, err := packed.UnmarshalNew()
		if err != nil {
			return fmt.Errorf("%s: %w", packed.GetTypeUrl(), err)
		}
		if err := Validate(inner); err != nil {
			return fmt.Errorf("%s: %w", packed.GetTypeUrl(), err)
		}
		return nil
	}
	var failed error
	visit := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Message() != nil {
			failed = validatePacked(v.Message())
		}
		return failed == nil
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			for i := 0; i < v.List().Len() && visit(fd, v.List().Get(i)); i++ {
			}
		case fd.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { return visit(fd.MapValue(), v) })
		default:
			visit(fd, v)
		}
		return failed == nil
	})
	return failed
}
