package model

import (
	"cmp"
	"fmt"
	"strings"
)

// Severity tells what became of the object that a problem names.
type Severity string

const (
	// SeverityError means that the object, or the named part of it, is not in effect.
	SeverityError Severity = "Error"
	// SeverityWarning means that it is in effect, though probably not as meant.
	SeverityWarning Severity = "Warning"
)

// Reason classifies a problem for machines.
type Reason string

const (
	// ReasonInvalid marks content that does not parse or makes no sense.
	ReasonInvalid Reason = "Invalid"
	// ReasonNotTranslated marks content that is understood but that this version does not translate.
	ReasonNotTranslated Reason = "NotTranslated"
	// ReasonConflict marks an object that another one overrides.
	ReasonConflict Reason = "Conflict"
	// ReasonInboundConflict marks a service port that asks for another protocol on a port of a
	// workload than a former one.
	ReasonInboundConflict Reason = "InboundConflict"
	// ReasonOutboundConflict marks a service port whose address and port are taken already.
	ReasonOutboundConflict Reason = "OutboundConflict"
	// ReasonRejected marks content that an Envoy refused.
	ReasonRejected Reason = "Rejected"
	// ReasonDegraded marks a source that cannot be read, so that what it held last is in effect.
	ReasonDegraded Reason = "Degraded"
	// ReasonReference marks a reference to something that does not exist.
	ReasonReference Reason = "UnresolvedReference"
)

// KindResource stands in a problem for an object's kind where a resource of xDS came from none.
const KindResource Kind = "Resource"

// Problem is one thing wrong with one object. Problems leave every stage sideways; none of
// them stops the rest of the configuration from being served (invariant 7).
type Problem struct {
	Object   Key
	Field    string // path in the object, e.g. "spec.http[0].route[1].weight"; may be empty
	Severity Severity
	Reason   Reason
	Message  string // what is wrong and what to do, one sentence
	Origin   Origin
	Scope    Scope // of whom it holds
}

// ErrorAt gives a problem at a field of the object by which something of it is not in effect, or denies.
func (o *Object) ErrorAt(field string, reason Reason, message string) Problem {
	return o.problemAt(field, SeverityError, reason, message)
}

// WarningAt gives one that takes nothing out of effect.
func (o *Object) WarningAt(field string, reason Reason, message string) Problem {
	return o.problemAt(field, SeverityWarning, reason, message)
}

// problemAt names what users have written: of an object that is made of Ingresses, what asked for the field.
func (o *Object) problemAt(field string, severity Severity, reason Reason, message string) Problem {
	if m, ok := o.MadeOf(field); ok {
		return Problem{m.Object, m.Field, severity, reason, message, m.Origin, Scope{}}
	}
	return Problem{o.Key, field, severity, reason, message, o.Origin, Scope{}}
}

// String gives one line: file:line: object field: message. A file's own problem has no object.
func (p Problem) String() string {
	var b strings.Builder
	if p.Origin.File != "" {
		fmt.Fprintf(&b, "%s: ", p.Origin)
	}
	if p.Object != (Key{}) {
		b.WriteString(p.Object.String())
	}
	if p.Field != "" {
		b.WriteString(" " + p.Field)
	}
	if p.Object != (Key{}) || p.Field != "" {
		b.WriteString(": ")
	}
	b.WriteString(p.Text())
	return b.String()
}

// Text gives what is wrong, with whom it is so for where that is not everybody.
func (p Problem) Text() string {
	if p.Scope == (Scope{}) {
		return p.Message
	}
	return p.Message + "; so it is for " + p.Scope.String()
}

// OfAnyone gives the problem without its scope.
func (p Problem) OfAnyone() Problem {
	p.Scope = Scope{}
	return p
}

// CompareProblems orders problems by object, field and message.
func CompareProblems(a, b Problem) int {
	return cmp.Or(a.Object.Compare(b.Object), strings.Compare(a.Field, b.Field),
		strings.Compare(a.Message, b.Message), strings.Compare(a.Origin.File, b.Origin.File),
		cmp.Compare(a.Origin.Line, b.Origin.Line))
}

// OfAnyProxy gives the problem without the proxy that it names, where a proxy has refused something: each replica of a
// control plane names one of its own.
func (p Problem) OfAnyProxy() Problem {
	if by, what, ok := strings.Cut(p.Message, " refused "); ok && p.Reason == ReasonRejected && strings.HasPrefix(by, "proxy ") {
		p.Message = what
	}
	return p
}
