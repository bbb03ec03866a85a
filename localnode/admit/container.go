package admit

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (c *checker) containers(s *corev1.PodSpec, path *field.Path, volumes map[string]bool) {
	names := map[string]bool{}
	if len(s.Containers) == 0 {
		c.errs = append(c.errs, field.Required(path.Child("containers"), "a pod has at least one"))
	}
	for i := range s.InitContainers {
		c.container(&s.InitContainers[i], path.Child("initContainers").Index(i), names, volumes)
	}
	for i := range s.Containers {
		c.container(&s.Containers[i], path.Child("containers").Index(i), names, volumes)
	}
	if len(s.EphemeralContainers) > 0 {
		c.errs = append(c.errs, field.Forbidden(path.Child("ephemeralContainers"), "a manifest must not have them"))
	}
}

func (c *checker) container(ct *corev1.Container, path *field.Path, names, volumes map[string]bool) {
	c.required(path.Child("name"), ct.Name, validation.IsDNS1123Label)
	c.unique(path.Child("name"), ct.Name, names)
	c.required(path.Child("image"), ct.Image, oneWord)
	c.ports(ct.Ports, path.Child("ports"))
	c.env(ct, path)
	c.mounts(ct.VolumeMounts, volumes, path.Child("volumeMounts"))
	for i, d := range ct.VolumeDevices {
		c.errs = append(c.errs, field.Forbidden(path.Child("volumeDevices").Index(i).Child("name"), d.Name+": block devices cannot be run locally"))
	}
	c.optional(path.Child("terminationMessagePath"), ct.TerminationMessagePath, mountPath)
	c.resources(&ct.Resources, path.Child("resources"))
	c.probe(ct.LivenessProbe, path.Child("livenessProbe"))
	c.probe(ct.ReadinessProbe, path.Child("readinessProbe"))
	c.probe(ct.StartupProbe, path.Child("startupProbe"))
	if s := ct.SecurityContext; s != nil {
		c.user(path.Child("securityContext", "runAsUser"), s.RunAsUser)
		c.group(path.Child("securityContext", "runAsGroup"), s.RunAsGroup)
	}
}

func (c *checker) ports(ports []corev1.ContainerPort, path *field.Path) {
	names := map[string]bool{}
	for i, p := range ports {
		at := path.Index(i)
		if p.Name != "" {
			c.valid(at.Child("name"), p.Name, validation.IsValidPortName)
			c.unique(at.Child("name"), p.Name, names)
		}
		c.port(at.Child("containerPort"), p.ContainerPort)
		if p.HostPort != 0 {
			c.port(at.Child("hostPort"), p.HostPort)
		}
		switch p.Protocol {
		case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP, "":
		default:
			c.errs = append(c.errs, field.NotSupported(at.Child("protocol"), p.Protocol,
				[]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
		}
	}
}

func (c *checker) port(path *field.Path, port int32) {
	for _, msg := range validation.IsValidPortNum(int(port)) {
		c.invalid(path, port, msg)
	}
}

func (c *checker) env(ct *corev1.Container, path *field.Path) {
	for i, e := range ct.Env {
		at := path.Child("env").Index(i)
		c.required(at.Child("name"), e.Name, validation.IsRelaxedEnvVarName)
		if e.ValueFrom == nil {
			continue
		}
		if ref := e.ValueFrom.ConfigMapKeyRef; ref != nil {
			c.reference(at.Child("valueFrom", "configMapKeyRef"), ref.Name, ref.Key)
		}
		if ref := e.ValueFrom.SecretKeyRef; ref != nil {
			c.reference(at.Child("valueFrom", "secretKeyRef"), ref.Name, ref.Key)
		}
	}
	for i, from := range ct.EnvFrom {
		at := path.Child("envFrom").Index(i)
		c.optional(at.Child("prefix"), from.Prefix, validation.IsRelaxedEnvVarName)
		if from.ConfigMapRef != nil {
			c.required(at.Child("configMapRef", "name"), from.ConfigMapRef.Name, validation.IsDNS1123Subdomain)
		}
		if from.SecretRef != nil {
			c.required(at.Child("secretRef", "name"), from.SecretRef.Name, validation.IsDNS1123Subdomain)
		}
	}
}

func (c *checker) reference(path *field.Path, name, key string) {
	c.required(path.Child("name"), name, validation.IsDNS1123Subdomain)
	c.required(path.Child("key"), key, validation.IsConfigMapKey)
}

func (c *checker) resources(r *corev1.ResourceRequirements, path *field.Path) {
	for kind, list := range map[string]corev1.ResourceList{"limits": r.Limits, "requests": r.Requests} {
		for name, q := range list {
			at := path.Child(kind).Key(string(name))
			c.valid(at, string(name), validation.IsQualifiedName)
			if q.Sign() < 0 {
				c.invalid(at, q.String(), "must not be negative")
			}
		}
	}
}

func (c *checker) probe(p *corev1.Probe, path *field.Path) {
	if p == nil {
		return
	}
	for name, n := range map[string]int32{
		"initialDelaySeconds": p.InitialDelaySeconds, "timeoutSeconds": p.TimeoutSeconds, "periodSeconds": p.PeriodSeconds,
		"successThreshold": p.SuccessThreshold, "failureThreshold": p.FailureThreshold,
	} {
		if n < 0 {
			c.invalid(path.Child(name), n, "must not be negative")
		}
	}
	switch {
	case p.HTTPGet != nil:
		c.probePort(path.Child("httpGet", "port"), &p.HTTPGet.Port)
		for i, h := range p.HTTPGet.HTTPHeaders {
			c.required(path.Child("httpGet", "httpHeaders").Index(i).Child("name"), h.Name, validation.IsHTTPHeaderName)
		}
	case p.TCPSocket != nil:
		c.probePort(path.Child("tcpSocket", "port"), &p.TCPSocket.Port)
	case p.GRPC != nil:
		c.port(path.Child("grpc", "port"), p.GRPC.Port)
	}
	if g := p.TerminationGracePeriodSeconds; g != nil && *g <= 0 {
		c.invalid(path.Child("terminationGracePeriodSeconds"), *g, "must be positive")
	}
}

func (c *checker) probePort(path *field.Path, port *intstr.IntOrString) {
	if port.Type == intstr.Int {
		c.port(path, port.IntVal)
		return
	}
	// The injector writes numbers as strings now and then.
	if len(validation.IsValidPortName(port.StrVal)) > 0 {
		for _, msg := range validation.IsValidPortNum(port.IntValue()) {
			c.invalid(path, port.StrVal, msg)
		}
	}
}
