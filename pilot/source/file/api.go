package file

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// Reader reads objects one by one, as an API server gives them, with the checks that documents of a
// file go through and without what decides nothing about a proxy. It is for one goroutine at a time.
type Reader struct{ r *reader }

// NewReader gives a reader.
func NewReader() *Reader { return &Reader{readers(Options{Lean: true})()} }

// JSON reads an object. What cannot take effect is left out and is a problem of severity error. A
// ConfigMap may give a second object, the mesh configuration.
func (r *Reader) JSON(data []byte) ([]*model.Object, []Refusal, []model.Problem) {
	doc := document{text: data, base: 1, line: 1}
	out := r.r.decode(doc, r.r.write(doc))
	for _, o := range out.objects {
		o.Origin = model.Origin{}
	}
	for i := range out.problems {
		out.problems[i].Origin = model.Origin{}
	}
	for _, refused := range out.invalid {
		if refused.Denial != nil {
			refused.Denial.Origin = model.Origin{}
		}
	}
	return out.objects, out.invalid, out.problems
}

// Kubernetes takes an object of a kind that kinds.KubernetesOf knows, and keeps it or parts of it.
func (r *Reader) Kubernetes(kind kinds.Kubernetes, obj metav1.Object) ([]*model.Object, []model.Problem) {
	obj.SetManagedFields(nil)
	obj.SetResourceVersion("")
	obj.SetUID("")
	obj.SetGeneration(0)
	obj.SetAnnotations(kept(obj.GetAnnotations()))
	r.r.out = decoded{}
	r.r.typed(kind, obj, nil, &source{})
	return r.r.out.objects, r.r.out.problems
}

// kept gives the annotations that somebody reads.
func kept(annotations map[string]string) map[string]string {
	var out map[string]string
	for name, value := range annotations {
		if model.KeepsAnnotation(name) {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = value
		}
	}
	return out
}
