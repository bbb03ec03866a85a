package page

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// objectLink leads to the page of an object.
type objectLink struct {
	Key   model.Key
	Place string // FILE:LINE, "" where it is not known
}

// link leads to an object, or to the one that users wrote of which it is made.
func (p *Page) link(k model.Key) *objectLink {
	if o := p.opts.Object(k); o != nil {
		written := o.Written()[0]
		return &objectLink{Key: written.Object, Place: place(written.Origin)}
	}
	return &objectLink{Key: k}
}

// linkOfPath leads to the object that a resource says it came from; nil where that is none of Istio's.
func (p *Page) linkOfPath(path string) *objectLink {
	key, ok := resource.SourceKey(path)
	if _, istio := kinds.OfIstio()[key.Kind]; !ok || !istio {
		return nil
	}
	return p.link(key)
}

// linkOfHost leads to the object that a service came from.
func (p *Page) linkOfHost(client, host string) *objectLink {
	svc := p.opts.Service(client, host)
	if svc == nil {
		return nil
	}
	return &objectLink{Key: svc.Key, Place: place(svc.Origin)}
}

// objectBody is the page of one object.
type objectBody struct {
	Key      model.Key
	Found    bool
	Place    string
	YAML     string // "" where the kind's content is not shown
	Problems []problemRow
}

func (p *Page) object(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	b := objectBody{Key: model.Key{Kind: model.Kind(q.Get("kind")), Namespace: q.Get("namespace"), Name: q.Get("name")}}
	status := http.StatusNotFound
	if o := p.opts.Object(b.Key); o != nil {
		status, b.Found, b.Place = http.StatusOK, true, place(o.Origin)
		b.YAML = shownSpec(o)
	}
	for _, one := range p.opts.Problems() {
		if one.Object == b.Key {
			b.Problems = append(b.Problems, p.problemRow(one))
		}
	}
	if len(b.Problems) > 0 {
		status = http.StatusOK // a refused object is told about
	}
	p.write(w, status, objectPage, frame{Title: b.Key.String(), Body: b})
}

// shownSpec gives the content of Istio's kinds. What objects of Kubernetes hold, of which Secrets and
// environments are some, is not for a page.
func shownSpec(o *model.Object) string {
	spec, ok := o.Spec.(proto.Message)
	if !ok {
		return ""
	}
	data, err := protojson.Marshal(spec)
	if err != nil {
		return ""
	}
	text, err := yaml.JSONToYAML(data)
	if err != nil {
		return ""
	}
	return string(text)
}
