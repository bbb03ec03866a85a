package inventory

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"maps"

	meshconfig "istio.io/api/mesh/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// empty gives what an object of a kind is read into, nil for kinds that no store keeps.
func empty(kind model.Kind) any {
	switch kind {
	case model.KindPod:
		return &model.Pod{}
	case model.KindSecret:
		return &secret{}
	case model.KindMeshConfig:
		return &meshconfig.MeshConfig{}
	case model.KindMeshNetworks:
		return &meshconfig.MeshNetworks{}
	case model.KindKeySet:
		return &model.KeySet{}
	case model.KindSPIFFEBundle:
		return &model.SPIFFEBundle{}
	case model.KindResolvedName:
		return &model.ResolvedName{}
	case model.KindTrustBundle:
		return &model.TrustBundle{}
	}
	if istio, ok := kinds.OfIstio()[kind]; ok {
		return istio.Make()
	}
	if k, ok := kinds.KubernetesOf([]byte(`"` + string(kind) + `"`)); ok {
		return k.Make()
	}
	return nil
}

// told gives what is told of an object's content: all but keys of Secrets, and of Kubernetes' kinds all annotations
// but the mesh's, as a source that reads a cluster keeps them.
func told(spec any) any {
	if o, ok := spec.(runtime.Object); ok {
		out := o.DeepCopyObject()
		if of, ok := out.(metav1.Object); ok {
			of.SetAnnotations(keptAnnotations(of.GetAnnotations()))
		}
		return out
	}
	if s, ok := spec.(*model.Secret); ok {
		return tell(s)
	}
	return spec
}

// keptAnnotations gives the annotations that decide anything about a mesh.
func keptAnnotations(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	maps.DeleteFunc(out, func(name, _ string) bool {
		return !model.KeepsAnnotation(name)
	})
	if len(out) == 0 {
		return nil
	}
	return out
}

// secret is what is told of a Secret: what is public of it, and whether the rest fits.
type secret struct {
	Certificate []byte `json:"certificate,omitempty"`
	Authorities []byte `json:"authorities,omitempty"`
	CRL         []byte `json:"crl,omitempty"`
	OCSPStaple  []byte `json:"ocspStaple,omitempty"`
	Unfit       string `json:"unfit,omitempty"`
}

func tell(s *model.Secret) *secret {
	return &secret{public(s.Certificate), public(s.Authorities), public(s.CRL), staple(s.OCSPStaple), resolve.UnfitPair(s)}
}

// Withheld gives a Secret as it is told and read: with all but its key. Only two such can be compared.
func Withheld(s *model.Secret) *model.Secret {
	if s.Withheld {
		return s
	}
	return tell(s).model()
}

// staple gives an OCSP response, which servers give to whoever asks. What is none is left out, since it may be
// anything.
func staple(data []byte) []byte {
	var response struct {
		Status asn1.Enumerated
		Answer struct {
			Type asn1.ObjectIdentifier
			Data []byte
		} `asn1:"explicit,tag:0,optional"`
	}
	if rest, err := asn1.Unmarshal(data, &response); err != nil || len(rest) > 0 {
		return nil
	}
	return data
}

// public gives the blocks of PEM that are no keys. What is no PEM is left out, since it may be anything.
func public(data []byte) []byte {
	var out bytes.Buffer
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE", "X509 CRL":
			_ = pem.Encode(&out, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // a buffer takes all
		}
	}
	return out.Bytes()
}

func (s *secret) model() *model.Secret {
	return &model.Secret{Certificate: s.Certificate, Authorities: s.Authorities, CRL: s.CRL, OCSPStaple: s.OCSPStaple, Withheld: true, Unfit: s.Unfit}
}
