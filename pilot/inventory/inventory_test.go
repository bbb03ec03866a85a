package inventory

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// pair gives a certificate and its key.
func pair(t *testing.T) (certificate, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// written gives the text of objects, and what is read of it.
func written(t *testing.T, objects ...*model.Object) (string, []*model.Object) {
	t.Helper()
	var b bytes.Buffer
	head := Head{
		Domain: "example.org", Settings: resolve.Settings{QUIC: true},
		Injection: &inject.Policy{Revision: "canary", Tags: []string{"prod"}, Mode: "disabled", ByDefault: true, Never: []metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}}},
	}
	if err := Write(&b, head, objects); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	got, err := Read(&b)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !reflect.DeepEqual(got.Head, head) || len(got.Objects) != len(objects) {
		t.Fatalf("read %+v with %d objects, of %d", got.Head, len(got.Objects), len(objects))
	}
	return text, got.Objects
}

const objects = `
apiVersion: v1
kind: Service
metadata: {name: shop, labels: {a: b}, annotations: {networking.istio.io/exportTo: "."}, creationTimestamp: "2020-01-02T03:04:05Z"}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}}]
ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out}
spec: {hosts: [out.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
status: {addresses: [{value: 240.240.0.9}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm}
spec: {address: 10.2.0.1, labels: {app: vm}, weight: 3}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop], http: [{name: one, timeout: 3s, retries: {attempts: 2}, route: [{destination: {host: shop, subset: v1}, weight: 100}]}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patch}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: in}
spec: {ingressClassName: istio, defaultBackend: {service: {name: shop, port: {number: 80}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
`

func TestWhatIsReadIsWhatThereWas(t *testing.T) {
	all, problems := file.Decode([]byte(objects), "a.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	all = append(all,
		&model.Object{Key: model.Key{Kind: model.KindKeySet, Name: "x"}, Spec: &model.KeySet{Keys: `{"keys":[]}`}},
		&model.Object{Key: model.Key{Kind: model.KindSPIFFEBundle, Name: "x"}, Spec: &model.SPIFFEBundle{Roots: []string{"r"}}},
		&model.Object{Key: model.ResolvedNameKey("x.example.com"), Spec: &model.ResolvedName{Addresses: []string{"10.0.0.1"}}},
		&model.Object{Key: model.Key{Kind: model.KindTrustBundle, Name: "x"}, Spec: &model.TrustBundle{Roots: []string{"r"}}},
		&model.Object{Key: model.Key{Kind: model.KindPod, Namespace: "a", Name: "b", Cluster: "far"}, Spec: fullPod(t)},
	)
	_, got := written(t, all...)
	for i, o := range all {
		if o.Spec == nil {
			t.Fatalf("%s has no content", o.Key)
		}
		if !model.SameSpec(o, got[i]) {
			t.Errorf("%s was\n%+v\nand is read as\n%+v", o.Key, o.Spec, got[i].Spec)
		}
		if got[i].Key != o.Key || !got[i].Created.Equal(o.Created) || got[i].Origin != o.Origin ||
			!reflect.DeepEqual(got[i].Labels, o.Labels) || !reflect.DeepEqual(got[i].Annotations, o.Annotations) {
			t.Errorf("of %+v is read %+v", o, got[i])
		}
	}
}

// fullPod has another value than none in every field.
func fullPod(t *testing.T) *model.Pod {
	t.Helper()
	pod := &model.Pod{Ports: []model.PodPort{{Name: "web", Number: 80, UDP: true}}}
	v := reflect.ValueOf(pod).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
		default:
			t.Fatalf("field %s is of a type that the test does not know", v.Type().Field(i).Name)
		}
	}
	return pod
}

func TestEveryKindOfTheSourcesCanBeRead(t *testing.T) {
	all := []model.Kind{model.KindPod, model.KindSecret, model.KindMeshConfig, model.KindService, model.KindEndpointSlice, model.KindNamespace, model.KindIngress, model.KindIngressClass}
	for kind := range kinds.OfIstio() {
		all = append(all, kind)
	}
	for _, kind := range all {
		if empty(kind) == nil {
			t.Errorf("nothing to read a %s into", kind)
		}
	}
	_, err := Read(strings.NewReader("{}\n" + `{"key":{"Kind":"Other","Name":"x"},"spec":{}}` + "\n"))
	if err == nil || !strings.Contains(err.Error(), "use a pilotctl of the control plane's version") {
		t.Errorf("a kind that is not known: %v", err)
	}
}

func TestNoKeyIsTold(t *testing.T) {
	certificate, key := pair(t)
	other, otherKey := pair(t)
	secretText := strings.Split(string(key), "\n")[1]
	for name, c := range map[string]struct {
		secret *model.Secret
		unfit  string
	}{
		"a pair":               {&model.Secret{Certificate: certificate, Key: key, Authorities: other}, ""},
		"a key of another":     {&model.Secret{Certificate: certificate, Key: otherKey}, "is no certificate with its key"},
		"both in one field":    {&model.Secret{Certificate: append(bytes.Clone(certificate), key...), Key: key, Authorities: key, CRL: key}, ""},
		"a key in the wrong":   {&model.Secret{Certificate: key, Key: certificate}, "is no certificate with its key"},
		"what is no PEM":       {&model.Secret{Certificate: []byte(secretText), Key: []byte(secretText)}, "is no certificate with its key"},
		"a certificate alone":  {&model.Secret{Certificate: certificate}, "is missing, and so is key"},
		"authorities and none": {&model.Secret{Authorities: other}, "is missing, and so is cert"},
	} {
		o := &model.Object{
			Key:         model.Key{Kind: model.KindSecret, Namespace: "shop", Name: "tls"},
			Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(key)}, Spec: c.secret,
		}
		text, got := written(t, o)
		s := got[0].Spec.(*model.Secret)
		text += string(s.Certificate) + string(s.Authorities) + string(s.CRL) // of which JSON has another form
		for _, k := range [][]byte{key, otherKey} {
			if strings.Contains(text, strings.Split(string(k), "\n")[1]) || strings.Contains(text, "PRIVATE") {
				t.Errorf("%s: a key is told", name)
			}
		}
		if len(s.Key) > 0 || !s.Withheld || !strings.Contains(s.Unfit, c.unfit) || (c.unfit == "") != (s.Unfit == "") {
			t.Errorf("%s: read as unfit %q, withheld %v", name, s.Unfit, s.Withheld)
		}
		if why := resolve.UnfitPair(s); why != s.Unfit {
			t.Errorf("%s: %q where it is, %q where it is read", name, s.Unfit, why)
		}
	}
}

func TestACutOffListIsNone(t *testing.T) {
	all, _ := file.Decode([]byte(objects), "a.yaml")
	text, _ := written(t, all...)
	for _, end := range []int{len(text) - 5, strings.LastIndex(strings.TrimSpace(text), "\n"), strings.Index(text, "\n") + 1} {
		if _, err := Read(strings.NewReader(text[:end])); !errors.Is(err, ErrCutOff) {
			t.Errorf("cut off after %d of %d: %v", end, len(text), err)
		}
	}
	for _, other := range []string{"", "<html>", "{}\n{}\n"} {
		if _, err := Read(strings.NewReader(other)); err == nil {
			t.Errorf("%q is read", other)
		}
	}
}

func TestAStapleIsToldAndNothingElseInItsPlace(t *testing.T) {
	certificate, key := pair(t)
	response, err := asn1.Marshal(struct{ Status asn1.Enumerated }{1})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(key)
	for name, c := range map[string]struct{ staple, want []byte }{
		"a response": {response, response}, "a key": {block.Bytes, nil}, "a key in PEM": {key, nil},
		"more than a response": {append(bytes.Clone(response), block.Bytes...), nil},
	} {
		o := &model.Object{Key: model.Key{Kind: model.KindSecret, Name: "tls"}, Spec: &model.Secret{Certificate: certificate, Key: key, OCSPStaple: c.staple}}
		_, got := written(t, o)
		if s := got[0].Spec.(*model.Secret); !bytes.Equal(s.OCSPStaple, c.want) || !reflect.DeepEqual(s, Withheld(o.Spec.(*model.Secret))) {
			t.Errorf("%s: told as %x", name, s.OCSPStaple)
		}
	}
}

func TestOnlyTheMeshsAnnotationsOfKubernetesObjectsAreTold(t *testing.T) {
	all, _ := file.Decode([]byte(`
apiVersion: v1
kind: Service
metadata: {name: shop, annotations: {networking.istio.io/exportTo: ".", example.com/token: hidden}}
spec: {ports: [{name: http, port: 80}]}
`), "a.yaml")
	text, got := written(t, all...)
	if strings.Contains(text, "hidden") || got[0].Annotations["networking.istio.io/exportTo"] != "." {
		t.Errorf("told is %s", text)
	}
	if all[0].Annotations["example.com/token"] == "" {
		t.Error("the object itself has changed")
	}
}
