package pod

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/volume"
)

// Labels of containers and sandboxes, by which others find a pod's containers.
const (
	LabelPod       = "io.kubernetes.pod.name"
	LabelNamespace = "io.kubernetes.pod.namespace"
	LabelUID       = "io.kubernetes.pod.uid"
	LabelContainer = "io.kubernetes.container.name"
)

func labels(p *corev1.Pod) map[string]string {
	return map[string]string{LabelPod: p.Name, LabelNamespace: p.Namespace, LabelUID: string(p.UID)}
}

// sandboxConfig describes the pod's sandbox to CRI.
func (n *Node) sandboxConfig(p *corev1.Pod, attempt uint32) *cri.PodSandboxConfig {
	hostname := p.Spec.Hostname
	if p.Spec.HostNetwork {
		hostname = "" // it is the machine's, which no pod may change
	} else if hostname == "" {
		const maxHostname = 63
		hostname = strings.TrimRight(p.Name[:min(len(p.Name), maxHostname)], "-.")
	}
	sc := &cri.LinuxSandboxSecurityContext{
		NamespaceOptions: namespaces(p),
		Privileged:       anyPrivileged(p),
		Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined},
	}
	sysctls := map[string]string{}
	if psc := p.Spec.SecurityContext; psc != nil {
		for _, s := range psc.Sysctls {
			sysctls[s.Name] = s.Value
		}
	}
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: p.Name, Namespace: p.Namespace, Uid: string(p.UID), Attempt: attempt},
		Hostname:     hostname,
		LogDirectory: n.LogDir(p),
		DnsConfig:    n.dnsConfig(p),
		Labels:       labels(p),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    n.cgroup(p),
			SecurityContext: sc,
			Sysctls:         sysctls,
		},
	}
}

func namespaces(p *corev1.Pod) *cri.NamespaceOption {
	o := &cri.NamespaceOption{Network: cri.NamespaceMode_POD, Pid: cri.NamespaceMode_CONTAINER, Ipc: cri.NamespaceMode_POD}
	if p.Spec.HostNetwork {
		o.Network = cri.NamespaceMode_NODE
	}
	if p.Spec.ShareProcessNamespace != nil && *p.Spec.ShareProcessNamespace {
		o.Pid = cri.NamespaceMode_POD
	}
	return o
}

func anyPrivileged(p *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, c := range list {
			if c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged {
				return true
			}
		}
	}
	return false
}

// dnsConfig leads the pod to the mesh's nameserver with the search path of its namespace.
func (n *Node) dnsConfig(p *corev1.Pod) *cri.DNSConfig {
	d := &cri.DNSConfig{}
	if p.Spec.DNSPolicy != corev1.DNSNone {
		d.Servers = []string{n.DNS}
		d.Searches = []string{p.Namespace + ".svc." + n.Domain, "svc." + n.Domain, n.Domain}
		d.Options = []string{"ndots:5"}
	}
	if c := p.Spec.DNSConfig; c != nil {
		d.Servers = append(d.Servers, c.Nameservers...)
		d.Searches = append(d.Searches, c.Searches...)
		for _, o := range c.Options {
			if o.Value != nil {
				o.Name += ":" + *o.Value
			}
			d.Options = append(d.Options, o.Name)
		}
	}
	return d
}

// request is what one start of a container needs besides its pod.
type request struct {
	spec    *corev1.Container
	attempt int
	image   string
	fields  fields
	volumes *volume.Set
	hosts   string // the host's path of the pod's /etc/hosts
	message string // the host's path of its termination message
}

// containerConfig describes one start of a container to CRI.
func (n *Node) containerConfig(p *corev1.Pod, r request) (*cri.ContainerConfig, error) {
	env, err := environment(r.fields, n.Objects)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	var envs []*cri.KeyValue
	for _, v := range env {
		values[v.Name] = v.Value
		envs = append(envs, &cri.KeyValue{Key: v.Name, Value: []byte(v.Value)})
	}
	mounts, err := mountsOf(r, values)
	if err != nil {
		return nil, err
	}
	sc, err := securityContext(p, r.spec)
	if err != nil {
		return nil, err
	}
	sc.SupplementalGroups = append(sc.SupplementalGroups, r.volumes.Groups(r.spec)...)
	l := labels(p)
	l[LabelContainer] = r.spec.Name
	return &cri.ContainerConfig{
		Metadata:   &cri.ContainerMetadata{Name: r.spec.Name, Attempt: uint32(r.attempt)},
		Image:      &cri.ImageSpec{Image: r.image},
		Command:    expandAll(r.spec.Command, values),
		Args:       expandAll(r.spec.Args, values),
		WorkingDir: r.spec.WorkingDir,
		Envs:       envs,
		Mounts:     mounts,
		Labels:     l,
		LogPath:    LogPath(r.spec.Name, r.attempt),
		Stdin:      r.spec.Stdin,
		StdinOnce:  r.spec.StdinOnce,
		Tty:        r.spec.TTY,
		Linux:      &cri.LinuxContainerConfig{Resources: resourcesOf(r.spec), SecurityContext: sc},
	}, nil
}

// LogPath is a container's log below its pod's log directory; attempt counts its starts from 0.
func LogPath(container string, attempt int) string {
	return filepath.Join(container, strconv.Itoa(attempt)+".log")
}

func mountsOf(r request, values map[string]string) ([]*cri.Mount, error) {
	message := r.spec.TerminationMessagePath
	if message == "" {
		message = corev1.TerminationMessagePathDefault
	}
	mounts := []*cri.Mount{
		{ContainerPath: "/etc/hosts", HostPath: r.hosts},
		{ContainerPath: message, HostPath: r.message},
	}
	for i, m := range r.spec.VolumeMounts {
		sub := m.SubPath
		if m.SubPathExpr != "" {
			sub = expand(m.SubPathExpr, values)
		}
		src, err := r.volumes.Mount(r.spec.Name, i, m, sub)
		if err != nil {
			return nil, err
		}
		if m.MountPath == "/etc/hosts" {
			mounts = mounts[1:]
		}
		mounts = append(mounts, &cri.Mount{ContainerPath: m.MountPath, HostPath: src.Path, Readonly: m.ReadOnly || src.ReadOnly})
	}
	return mounts, nil
}

// The paths below /proc and /sys that Kubernetes hides from containers without privileges.
var (
	maskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// securityContext merges the pod's security context and the container's, which wins.
func securityContext(p *corev1.Pod, c *corev1.Container) (*cri.LinuxContainerSecurityContext, error) {
	out := &cri.LinuxContainerSecurityContext{
		NamespaceOptions: namespaces(p),
		Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined},
		MaskedPaths:      maskedPaths,
		ReadonlyPaths:    readonlyPaths,
	}
	var nonRoot bool
	if s := p.Spec.SecurityContext; s != nil {
		out.RunAsUser, out.RunAsGroup = int64Value(s.RunAsUser), int64Value(s.RunAsGroup)
		out.SupplementalGroups = append(out.SupplementalGroups, s.SupplementalGroups...)
		if s.FSGroup != nil {
			out.SupplementalGroups = append(out.SupplementalGroups, *s.FSGroup)
		}
		nonRoot = isTrue(s.RunAsNonRoot)
	}
	if s := c.SecurityContext; s != nil {
		mergeContainer(out, s)
		if s.RunAsNonRoot != nil {
			nonRoot = *s.RunAsNonRoot
		}
	}
	if out.Privileged {
		out.MaskedPaths, out.ReadonlyPaths = nil, nil
	}
	if nonRoot && out.RunAsUser != nil && out.RunAsUser.Value == 0 {
		return nil, errors.New("securityContext.runAsNonRoot is true and runAsUser is 0: choose one")
	}
	if out.RunAsGroup != nil && out.RunAsUser == nil {
		return nil, fmt.Errorf("securityContext.runAsGroup is %d and runAsUser is not given: the runtime needs both", out.RunAsGroup.Value)
	}
	return out, nil
}

func mergeContainer(out *cri.LinuxContainerSecurityContext, s *corev1.SecurityContext) {
	if s.RunAsUser != nil {
		out.RunAsUser = int64Value(s.RunAsUser)
	}
	if s.RunAsGroup != nil {
		out.RunAsGroup = int64Value(s.RunAsGroup)
	}
	out.Privileged = isTrue(s.Privileged)
	out.ReadonlyRootfs = isTrue(s.ReadOnlyRootFilesystem)
	out.NoNewPrivs = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation && !out.Privileged
	if s.Capabilities != nil {
		out.Capabilities = &cri.Capability{}
		for _, c := range s.Capabilities.Add {
			out.Capabilities.AddCapabilities = append(out.Capabilities.AddCapabilities, string(c))
		}
		for _, c := range s.Capabilities.Drop {
			out.Capabilities.DropCapabilities = append(out.Capabilities.DropCapabilities, string(c))
		}
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

func int64Value(v *int64) *cri.Int64Value {
	if v == nil {
		return nil
	}
	return &cri.Int64Value{Value: *v}
}

// resourcesOf turns requests and limits into cgroup values: 1024 shares and 100 ms of quota in
// each period of 100 ms are one CPU.
func resourcesOf(c *corev1.Container) *cri.LinuxContainerResources {
	const period, sharesPerCPU, minShares, minQuota = 100_000, 1024, 2, 1000
	r := &cri.LinuxContainerResources{}
	if q, ok := c.Resources.Requests[corev1.ResourceCPU]; ok {
		r.CpuShares = max(q.MilliValue()*sharesPerCPU/1000, minShares)
	}
	if q, ok := c.Resources.Limits[corev1.ResourceCPU]; ok && !q.IsZero() {
		r.CpuPeriod = period
		r.CpuQuota = max(q.MilliValue()*period/1000, minQuota)
	}
	if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
		r.MemoryLimitInBytes = q.Value()
	}
	return r
}
