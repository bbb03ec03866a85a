package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	proxyContainer = "istio-proxy"
	// proxyID is the proxy's user and group where its container does not say.
	proxyID = 1337
)

// warnBypass tells of an application container whose traffic is not redirected, before its first
// start.
func (r *Pod) warnBypass(ctx context.Context, u *unit, image string, sc *cri.LinuxContainerSecurityContext) {
	if u.kind == initKind || u.attempt > 0 {
		return // init containers run as the proxy's user on purpose, to reach others before it is there
	}
	var user *int64
	if sc.GetRunAsUser() != nil {
		user = &sc.RunAsUser.Value
	} else if uid, ok := r.node.Images.User(ctx, image); ok {
		user = &uid
	}
	var group *int64
	if sc.GetRunAsGroup() != nil {
		group = &sc.RunAsGroup.Value
	}
	if why := bypass(r.pod, u.spec, user, group); why != "" {
		r.event(Event{Container: u.spec.Name, Warning: true, Message: why})
	}
}

// bypass tells why a container's traffic goes around its pod's proxy: the rules leave out what the
// proxy's own user and group send. It gives "" where it does not.
func bypass(p *corev1.Pod, c *corev1.Container, user, group *int64) string {
	proxy := findContainer(p, proxyContainer)
	if proxy == nil || c.Name == proxyContainer {
		return ""
	}
	uid, gid := int64(proxyID), int64(proxyID)
	if s := proxy.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			uid = *s.RunAsUser
		}
		if s.RunAsGroup != nil {
			gid = *s.RunAsGroup
		}
	}
	switch {
	case user != nil && *user == uid:
		return fmt.Sprintf("container %s runs as user %d, which is the proxy's: what it sends goes around the sidecar; give it another runAsUser", c.Name, uid)
	case group != nil && *group == gid:
		return fmt.Sprintf("container %s runs as group %d, which is the proxy's: what it sends goes around the sidecar; give it another runAsGroup", c.Name, gid)
	}
	return ""
}
