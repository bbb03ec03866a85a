package analyze

import (
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// repeats tells whether analyzers have found what the control plane says: the same code at the same field. Where rules
// are in each other's way, they tell it at those that are not used.
func (m *mesh) repeats(f Finding, analyzed map[telling]bool) bool {
	if f.Code == "" {
		return false
	}
	says := func(field string) bool {
		return analyzed[telling{f.Object, field, f.Code}]
	}
	// A destination without a port has that of the request, which the service may not have.
	if f.Code == notFound && strings.HasSuffix(f.Field, ".port") && analyzed[telling{f.Object, "", portRequired}] {
		return true
	}
	if says(f.Field) {
		return true
	}
	o := m.object(f.Object)
	if o == nil {
		return false
	}
	vs, ok := o.Spec.(*networking.VirtualService)
	if !ok {
		return false
	}
	switch f.Code {
	case conflictingMeshHosts:
		return m.hostTold(f, vs, says)
	case unreachableRule:
		return laterRulesTold(f, vs, says)
	}
	return false
}

// telling is what a finding tells of.
type telling struct {
	object      model.Key
	field, code string
}

func toldBy(all []Finding) map[telling]bool {
	out := map[telling]bool{}
	for _, f := range all {
		out[telling{f.Object, f.Field, f.Code}] = true
		if f.Code == portRequired { // which is told once of an object
			out[telling{f.Object, "", f.Code}] = true
		}
	}
	return out
}

// merged has one finding where two stages of the control plane report the same value of a field: what it does, which
// is the error, and what to write, which the warning about its form says last.
func merged(all []Finding) []Finding {
	first := map[telling]string{} // messages
	for _, f := range all {
		at := telling{f.Object, f.Field, f.Code}
		if _, told := first[at]; !told && f.Field != "" {
			first[at] = f.Message
		}
	}
	var out []Finding
	for _, f := range all {
		_, failed := first[telling{f.Object, f.Field, schemaError}]
		form, formed := first[telling{f.Object, f.Field, schemaWarning}]
		switch {
		case f.Code == schemaWarning && failed:
			continue
		case f.Code == schemaError && formed:
			f.Message += "; " + strings.TrimSpace(form[strings.LastIndexByte(form, ';')+1:])
		}
		out = append(out, f)
	}
	return out
}

// hostTold tells whether it is told at the host which the control plane names of the whole list.
func (m *mesh) hostTold(f Finding, vs *networking.VirtualService, says func(field string) bool) bool {
	for i, host := range vs.GetHosts() {
		if strings.Contains(f.Message, " "+model.ResolveHost(host, f.Object.Namespace, m.domain)+" ") && says(fmt.Sprintf("spec.hosts[%d]", i)) {
			return true
		}
	}
	return false
}

// laterRulesTold tells whether it is told at every rule after one that takes all requests, where the control plane
// tells it.
func laterRulesTold(f Finding, vs *networking.VirtualService, says func(field string) bool) bool {
	var at int
	if _, err := fmt.Sscanf(f.Field, "spec.http[%d]", &at); err != nil || at+1 >= len(vs.GetHttp()) {
		return false
	}
	for i := at + 1; i < len(vs.GetHttp()); i++ {
		if !says(fmt.Sprintf("spec.http[%d]", i)) {
			return false
		}
	}
	return true
}
