package patch

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	_ "github.com/pilothouse-mesh/pilothouse/proto/envoyapi" // what a value may hold in an Any
)

// decode reads a patch's value as the message that it stands for. Fields that the API does not have are
// told and passed over, as Istio does; a value that goes in whole has to be allowed as it is.
func (p *parser) decode(value *structpb.Struct, to proto.Message, out *Patch) bool {
	if value == nil {
		p.fail(".patch.value", "there is no value; write what the patch puts in")
		return false
	}
	text, err := protojson.Marshal(value)
	if err != nil {
		p.fail(".patch.value", "it is no JSON object: "+err.Error())
		return false
	}
	if err := protojson.Unmarshal(text, to); err != nil {
		proto.Reset(to)
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, to) != nil {
			p.fail(".patch.value", fmt.Sprintf("it is no %s: %s", to.ProtoReflect().Descriptor().FullName(), model.ProtoJSONError(err)))
			return false
		}
		p.report(".patch.value", model.SeverityWarning, model.ReasonInvalid, "the API of Envoy has no such field, which is passed over: "+model.ProtoJSONError(err))
	}
	if out.operation != opMerge {
		if err := allowed(to); err != nil {
			p.fail(".patch.value", fmt.Sprintf("Envoy's API forbids it: %v", err))
			return false
		}
	} else if err := impossible(to); err != nil {
		p.report(".patch.value", model.SeverityWarning, model.ReasonInvalid, fmt.Sprintf("Envoy's API forbids it, so the patch has no effect: %v", err))
	}
	out.value = to
	return true
}

// impossible finds what a value to be merged sets itself and the API forbids, whatever it is merged into.
func impossible(m proto.Message) error {
	v, ok := m.(interface{ ValidateAll() error })
	if !ok {
		return nil
	}
	var all interface{ AllErrors() []error }
	if !errors.As(v.ValidateAll(), &all) {
		return nil
	}
	set := map[string]bool{} // by their names in the generated rules, without what merges field by field
	m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !fd.IsList() && !fd.IsMap() && (fd.Message() == nil || fd.Message().ParentFile().Package() == "google.protobuf") {
			set[strings.ToLower(strings.ReplaceAll(string(fd.Name()), "_", ""))] = true
		}
		return true
	})
	var errs []error
	for _, err := range all.AllErrors() {
		if of, ok := err.(interface{ Field() string }); ok && set[strings.ToLower(of.Field())] {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// allowed checks a message, and those in its Any fields, by their generated rules.
func allowed(m proto.Message) error {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return err
		}
	}
	var errs []error
	eachAny(m.ProtoReflect(), func(a *anypb.Any) {
		inner, err := a.UnmarshalNew()
		if err == nil {
			err = allowed(inner)
		}
		if err != nil {
			errs = append(errs, err)
		}
	})
	return errors.Join(errs...)
}

// eachAny visits the Any messages within a message.
func eachAny(m protoreflect.Message, visit func(*anypb.Any)) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		visit(a)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					eachAny(v.Message(), visit)
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				eachAny(v.List().Get(i).Message(), visit)
			}
		default:
			eachAny(v.Message(), visit)
		}
		return true
	})
}
