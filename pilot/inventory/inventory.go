// Package inventory tells a program beside the control plane what the control plane has: its objects, as
// lines of JSON without the keys of Secrets, and the proxies that are connected. What stands in other objects, such as
// a token in a header or a key in an EnvoyFilter, is told as it is. Of all this the program makes by the control
// plane's own code what proxies run, and what they would run by other files.
package inventory

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meta "istio.io/api/meta/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Head is the first line: what no object says.
type Head struct {
	Domain   string           `json:"domain"`  // of the cluster's DNS
	Cluster  string           `json:"cluster"` // by which proxies know the control plane's own
	Settings resolve.Settings `json:"settings"`
	// Injection decides which pods get a proxy; nil where the control plane injects none.
	Injection *inject.Policy `json:"injection,omitempty"`
}

// Inventory is what was read.
type Inventory struct {
	Head
	Objects []*model.Object
}

// line is one line after the first. The last has no object: without it the text was cut off.
type line struct {
	Key         *model.Key        `json:"key,omitempty"`
	Created     time.Time         `json:"created,omitzero"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Spec        json.RawMessage   `json:"spec,omitempty"`
	Status      json.RawMessage   `json:"status,omitempty"`
	File        string            `json:"file,omitempty"`
	Line        int               `json:"line,omitempty"`
	AsOf        int64             `json:"asOf,omitempty"`
	End         bool              `json:"end,omitempty"`
}

// Write writes objects, one after the other. An object of a kind that nobody reads is an error.
func Write(w io.Writer, head Head, objects []*model.Object) error {
	enc := json.NewEncoder(w)
	if err := enc.Encode(head); err != nil {
		return err
	}
	for _, o := range objects {
		l := line{
			Key: &o.Key, Created: o.Created, Labels: o.Labels, Annotations: o.Annotations,
			File: o.Origin.File, Line: o.Origin.Line, AsOf: o.Origin.AsOf,
		}
		if o.Kind == model.KindSecret {
			l.Annotations = nil // kubectl notes there what it applied, keys and all
		}
		if _, ok := o.Spec.(runtime.Object); ok {
			l.Annotations = keptAnnotations(l.Annotations)
		}
		var err error
		if l.Spec, err = marshal(told(o.Spec)); err == nil && o.Status != nil {
			l.Status, err = marshal(o.Status)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.Key, err)
		}
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return enc.Encode(line{End: true})
}

func marshal(v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok {
		return protojson.Marshal(m)
	}
	return json.Marshal(v)
}

// ErrCutOff tells that the end is missing.
var ErrCutOff = errors.New("the list of the control plane's objects was cut off")

// Read reads what Write wrote.
func Read(r io.Reader) (*Inventory, error) {
	out := &Inventory{}
	d := json.NewDecoder(bufio.NewReader(r))
	if err := d.Decode(&out.Head); err != nil {
		return nil, fmt.Errorf("it is no list of a control plane's objects: %w", err)
	}
	for {
		var l line
		switch err := d.Decode(&l); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, ErrCutOff
		case err != nil:
			return nil, fmt.Errorf("it is no list of a control plane's objects: %w", err)
		case l.End:
			return out, nil
		case l.Key == nil:
			return nil, errors.New("it is no list of a control plane's objects: a line has no key")
		}
		o, err := l.object()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Key, err)
		}
		out.Objects = append(out.Objects, o)
	}
}

func (l *line) object() (*model.Object, error) {
	o := &model.Object{
		Key: *l.Key, Created: l.Created, Labels: l.Labels, Annotations: l.Annotations,
		Origin: model.Origin{File: l.File, Line: l.Line, AsOf: l.AsOf},
	}
	if len(l.Status) > 0 {
		if o.Status = statusOf(o.Kind); o.Status == nil {
			return nil, errors.New("has a status that is not known here")
		}
		if err := unmarshal(l.Status, o.Status); err != nil {
			return nil, err
		}
	}
	spec := empty(o.Kind)
	if spec == nil {
		return nil, errors.New("is of a kind that is not known here; use a pilotctl of the control plane's version")
	}
	if err := unmarshal(l.Spec, spec); err != nil {
		return nil, err
	}
	if s, ok := spec.(*secret); ok {
		spec = s.model()
	}
	o.Spec = spec
	return o, nil
}

func unmarshal(text []byte, into any) error {
	if m, ok := into.(proto.Message); ok {
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, m)
	}
	return json.Unmarshal(text, into)
}

// statusOf gives an empty status of the kind of object, nil for kinds of which none is kept.
func statusOf(kind model.Kind) proto.Message {
	switch kind {
	case model.KindServiceEntry:
		return &networking.ServiceEntryStatus{}
	case model.KindWorkloadEntry:
		return &meta.IstioStatus{}
	}
	return nil
}
