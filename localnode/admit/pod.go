// Package admit checks pods as an API server does when it admits them, before anything is made for them.
// Names in manifests become paths, host names, environment variables and lines of files that are written
// with root's rights. A pod that is refused harms nothing but itself.
package admit

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxAnnotations is how many bytes all annotations of an object may have together, as in Kubernetes.
const maxAnnotations = 256 << 10

// Pod gives all reasons why an API server would not take the pod, nil where there is none. The
// pod is complete: with its namespace, and injected.
func Pod(p *corev1.Pod) error {
	c := &checker{}
	c.metadata(&p.ObjectMeta)
	spec := field.NewPath("spec")
	c.podNames(&p.Spec, spec)
	c.hostAliases(p.Spec.HostAliases, spec.Child("hostAliases"))
	c.dns(&p.Spec, spec)
	c.securityContext(p.Spec.SecurityContext, p.Spec.HostNetwork, spec.Child("securityContext"))
	volumes := c.volumes(p.Spec.Volumes, spec.Child("volumes"))
	c.containers(&p.Spec, spec, volumes)
	return c.errs.ToAggregate()
}

// checker gathers what is wrong.
type checker struct{ errs field.ErrorList }

// valid notes what a function of the validation library says of a value.
func (c *checker) valid(path *field.Path, value string, check func(string) []string) {
	for _, msg := range check(value) {
		c.errs = append(c.errs, field.Invalid(path, value, msg))
	}
}

// optional is valid where a value is given.
func (c *checker) optional(path *field.Path, value string, check func(string) []string) {
	if value != "" {
		c.valid(path, value, check)
	}
}

// required is valid, and missing where no value is given.
func (c *checker) required(path *field.Path, value string, check func(string) []string) {
	if value == "" {
		c.errs = append(c.errs, field.Required(path, "set it"))
		return
	}
	c.valid(path, value, check)
}

func (c *checker) invalid(path *field.Path, value any, msg string) {
	c.errs = append(c.errs, field.Invalid(path, value, msg))
}

// unique notes a value that was seen before.
func (c *checker) unique(path *field.Path, value string, seen map[string]bool) {
	if seen[value] {
		c.errs = append(c.errs, field.Duplicate(path, value))
	}
	seen[value] = true
}

func (c *checker) metadata(m *metav1.ObjectMeta) {
	path := field.NewPath("metadata")
	c.required(path.Child("name"), m.Name, validation.IsDNS1123Subdomain)
	c.required(path.Child("namespace"), m.Namespace, validation.IsDNS1123Label)
	c.errs = append(c.errs, metavalidation.ValidateLabels(m.Labels, path.Child("labels"))...)
	size := 0
	for k, v := range m.Annotations {
		c.valid(path.Child("annotations"), strings.ToLower(k), validation.IsQualifiedName)
		size += len(k) + len(v)
	}
	if size > maxAnnotations {
		c.errs = append(c.errs, field.TooLong(path.Child("annotations"), "", maxAnnotations))
	}
}

func (c *checker) podNames(s *corev1.PodSpec, path *field.Path) {
	c.optional(path.Child("serviceAccountName"), s.ServiceAccountName, validation.IsDNS1123Subdomain)
	c.optional(path.Child("hostname"), s.Hostname, validation.IsDNS1123Label)
	c.optional(path.Child("subdomain"), s.Subdomain, validation.IsDNS1123Label)
	c.optional(path.Child("nodeName"), s.NodeName, validation.IsDNS1123Subdomain)
	c.optional(path.Child("priorityClassName"), s.PriorityClassName, validation.IsDNS1123Subdomain)
	for i, ref := range s.ImagePullSecrets {
		c.optional(path.Child("imagePullSecrets").Index(i).Child("name"), ref.Name, validation.IsDNS1123Subdomain)
	}
	for k, v := range s.NodeSelector {
		c.valid(path.Child("nodeSelector"), k, validation.IsQualifiedName)
		c.valid(path.Child("nodeSelector").Key(k), v, validation.IsValidLabelValue)
	}
	switch s.RestartPolicy {
	case corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever, "":
	default:
		c.errs = append(c.errs, field.NotSupported(path.Child("restartPolicy"), s.RestartPolicy,
			[]corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}))
	}
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		c.invalid(path.Child("terminationGracePeriodSeconds"), *g, "must not be negative")
	}
}

// hostAliases become lines of the pod's /etc/hosts.
func (c *checker) hostAliases(aliases []corev1.HostAlias, path *field.Path) {
	for i, a := range aliases {
		c.errs = append(c.errs, validation.IsValidIP(path.Index(i).Child("ip"), a.IP)...)
		for j, name := range a.Hostnames {
			c.valid(path.Index(i).Child("hostnames").Index(j), name, validation.IsDNS1123Subdomain)
		}
	}
}

// dns becomes the pod's resolv.conf.
func (c *checker) dns(s *corev1.PodSpec, path *field.Path) {
	d := s.DNSConfig
	if d == nil {
		return
	}
	path = path.Child("dnsConfig")
	for i, ns := range d.Nameservers {
		c.errs = append(c.errs, validation.IsValidIP(path.Child("nameservers").Index(i), ns)...)
	}
	for i, search := range d.Searches {
		c.optional(path.Child("searches").Index(i), strings.TrimSuffix(search, "."), validation.IsDNS1123SubdomainWithUnderscore)
	}
	for i, o := range d.Options {
		at := path.Child("options").Index(i)
		c.required(at.Child("name"), o.Name, oneWord)
		if o.Value != nil {
			c.valid(at.Child("value"), *o.Value, oneWord)
		}
	}
}

// oneWord is a value that becomes a part of a line.
func oneWord(s string) []string {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return []string{"must not have spaces or control characters"}
	}
	return nil
}

func (c *checker) securityContext(s *corev1.PodSecurityContext, hostNetwork bool, path *field.Path) {
	if s == nil {
		return
	}
	c.user(path.Child("runAsUser"), s.RunAsUser)
	c.group(path.Child("runAsGroup"), s.RunAsGroup)
	c.group(path.Child("fsGroup"), s.FSGroup)
	for i := range s.SupplementalGroups {
		c.group(path.Child("supplementalGroups").Index(i), &s.SupplementalGroups[i])
	}
	for i, ctl := range s.Sysctls {
		at := path.Child("sysctls").Index(i).Child("name")
		c.required(at, ctl.Name, sysctlName)
		if hostNetwork && strings.HasPrefix(strings.ReplaceAll(ctl.Name, "/", "."), "net.") {
			c.invalid(at, ctl.Name, "would change the network of all, for hostNetwork is true")
		}
	}
}

func sysctlName(name string) []string {
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '.' || r == '/' }) {
		if msgs := validation.IsDNS1123Label(strings.Trim(strings.ReplaceAll(part, "_", "-"), "-")); len(msgs) > 0 {
			return []string{"must be words of lower-case letters, digits, '-' and '_' with '.' or '/' between them"}
		}
	}
	if strings.Contains(name, "..") || strings.ContainsAny(name[:1]+name[len(name)-1:], "./") {
		return []string{"must not have an empty part"}
	}
	return nil
}

func (c *checker) user(path *field.Path, id *int64) {
	if id != nil {
		for _, msg := range validation.IsValidUserID(*id) {
			c.invalid(path, *id, msg)
		}
	}
}

func (c *checker) group(path *field.Path, id *int64) {
	if id != nil {
		for _, msg := range validation.IsValidGroupID(*id) {
			c.invalid(path, *id, msg)
		}
	}
}
