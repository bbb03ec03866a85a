package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// nodes describes the first n pods of a mesh as their agents do.
func nodes(m *mesh.Mesh, n int) []ads.Node {
	out := make([]ads.Node, n)
	for i := range out {
		w := m.Workload(i)
		labels := map[string]*structpb.Value{}
		for k, v := range w.Labels {
			labels[k] = structpb.NewStringValue(v)
		}
		fields := map[string]*structpb.Value{"LABELS": structpb.NewStructValue(&structpb.Struct{Fields: labels})}
		for k, v := range map[string]string{
			"NAME": w.Name, "NAMESPACE": w.Namespace, "SERVICE_ACCOUNT": w.ServiceAccount, "INSTANCE_IPS": w.Address.String(),
			"CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0", "INTERCEPTION_MODE": "REDIRECT", "MESH_ID": "cluster.local",
		} {
			fields[k] = structpb.NewStringValue(v)
		}
		out[i] = ads.Node{Namespace: w.Namespace, Envoy: &corev3.Node{
			Id:       "sidecar~" + w.Address.String() + "~" + w.Name + "." + w.Namespace + "~" + w.Namespace + ".svc.cluster.local",
			Cluster:  w.ServiceAccount + "." + w.Namespace,
			Locality: &corev3.Locality{Region: w.Region, Zone: w.Zone},
			Metadata: &structpb.Struct{Fields: fields}, UserAgentName: "envoy",
		}}
	}
	return out
}

// issuer signs service-account tokens as an API server does.
type issuer struct{ signer jose.Signer }

// newIssuer makes a key and writes its public half for the server.
func newIssuer(jwks string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	const id = "bench"
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &key.PublicKey, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"},
	}})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(jwks, public, 0o644); err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	return &issuer{signer}, err
}

func (i *issuer) token(namespace, account string) (string, error) {
	now := time.Now()
	return jwt.Signed(i.signer).Claims(jwt.Claims{
		Issuer: "https://bench.example.org", Audience: jwt.Audience{"istio-ca"},
		Subject:  "system:serviceaccount:" + namespace + ":" + account,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}).Serialize()
}
