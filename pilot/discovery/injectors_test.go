package discovery

import (
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// Its tags are those of a revision's webhooks, and not those of another's.
func TestARevisionHasTags(t *testing.T) {
	webhooks := func(name, tag, revision string) *admissionv1.MutatingWebhookConfiguration {
		out := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"istio.io/rev": revision}}}
		if tag != "" {
			out.Labels["istio.io/tag"] = tag
		}
		return out
	}
	client := fake.NewClientset(
		webhooks("istio-sidecar-injector-1-22", "", "1-22"), webhooks("istio-revision-tag-prod", "prod", "1-22"),
		webhooks("istio-revision-tag-default", "default", "1-22"), webhooks("istio-revision-tag-next", "next", "1-23"),
	).AdmissionregistrationV1().MutatingWebhookConfigurations()
	for revision, want := range map[string][]string{"1-22": {"default", "prod"}, "1-23": {"next"}, "default": nil} {
		if got, err := tags(t.Context(), client, revision); err != nil || !slices.Equal(got, want) {
			t.Errorf("tags of %s: %v, %v", revision, got, err)
		}
	}
}
