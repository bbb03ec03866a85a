package incluster

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ConditionType is the type of the condition that a revision writes: of several side by side each has its
// own, so that none takes back what another says.
func ConditionType(revision string) string {
	if revision == "" || revision == "default" {
		return "Accepted"
	}
	return revision + "/Accepted"
}

// maxMessage bounds a condition's message, in bytes; the API takes 32 KiB, but people read it.
const maxMessage = 4096

// conditionFor says in a condition what is wrong with an object. Its status is False where the object, or a
// part of it, is not in effect, and True where it is in effect, though probably not as meant.
func conditionFor(kind string, problems []model.Problem) *metav1.Condition {
	out := &metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: string(problems[0].Reason)}
	for _, p := range problems {
		if p.Severity == model.SeverityError {
			out.Status, out.Reason = metav1.ConditionFalse, string(p.Reason)
			break
		}
	}
	var text strings.Builder
	for i, p := range problems {
		line := strings.TrimPrefix(p.Field+": "+p.Text(), ": ")
		if i > 0 {
			line = "; " + line
		}
		if i == 0 && len(line) > maxMessage {
			line = strings.ToValidUTF8(line[:maxMessage], "")
		}
		if text.Len()+len(line) > maxMessage {
			fmt.Fprintf(&text, "; and %d more", len(problems)-i)
			break
		}
		text.WriteString(line)
	}
	out.Message = text.String()
	return out
}

// sameCondition tells whether two conditions say the same, of the same generation; nil is none.
func sameCondition(a, b *metav1.Condition) bool {
	return saysSame(a, b) && (a == nil || a.ObservedGeneration == b.ObservedGeneration)
}

// saysSame tells whether two conditions say the same, of whatever generation.
func saysSame(a, b *metav1.Condition) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
}
