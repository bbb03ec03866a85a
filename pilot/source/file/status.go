package file

import (
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	metav1alpha1 "istio.io/api/meta/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// statusOf reads what of an object's status decides about proxies, see model.Object. Controllers write
// a status, also newer ones, so an unknown field is none of the user's faults.
func statusOf(kind model.Kind, raw json.RawMessage) (proto.Message, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	read := protojson.UnmarshalOptions{DiscardUnknown: true}
	switch kind {
	case model.KindServiceEntry:
		var all networking.ServiceEntryStatus
		if err := read.Unmarshal(raw, &all); err != nil || len(all.GetAddresses()) == 0 {
			return nil, err
		}
		return &networking.ServiceEntryStatus{Addresses: all.GetAddresses()}, nil
	case model.KindWorkloadEntry:
		var all metav1alpha1.IstioStatus
		if err := read.Unmarshal(raw, &all); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(all.GetConditions(), func(c *metav1alpha1.IstioCondition) bool { return c.GetType() == model.ConditionHealthy })
		if at < 0 {
			return nil, nil
		}
		c := all.GetConditions()[at]
		healthy := &metav1alpha1.IstioCondition{Type: c.GetType(), Status: c.GetStatus(), LastProbeTime: c.GetLastProbeTime(), Reason: c.GetReason()}
		return &metav1alpha1.IstioStatus{Conditions: []*metav1alpha1.IstioCondition{healthy}}, nil
	}
	return nil, nil
}
