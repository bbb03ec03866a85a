package validate

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// deployment refuses what an API server refuses: a Deployment that would not know its own pods.
func (c *checker) deployment(d *appsv1.Deployment) {
	if field, fault := SelectorFault(d.Spec.Selector, d.Spec.Template.Labels); fault != "" {
		c.fail(field, "%s", fault)
	}
}

// SelectorFault tells why an API server refuses what makes pods by a template: the selector does not match the
// template's labels. Both fault and field are "" where it does, and where there is no selector.
func SelectorFault(selector *metav1.LabelSelector, template map[string]string) (field, fault string) {
	if selector == nil {
		return "", ""
	}
	matches, err := metav1.LabelSelectorAsSelector(selector)
	switch {
	case err != nil:
		return "spec.selector", "is no selector of labels: " + err.Error()
	case matches.Empty():
		return "spec.selector", "is empty, which an API server refuses; name labels of the template"
	case !matches.Matches(labels.Set(template)):
		return "spec.template.metadata.labels", "spec.selector (" + matches.String() + ") does not match them, which an API server refuses; make them alike"
	}
	return "", ""
}
