package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"text/template"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// kubeletConfig leaves the machine's cgroups and oom scores alone. So containerd chooses the cgroups of pods, and
// runtime.Sweep finds what is left of them by what containerd keeps.
var kubeletConfig = template.Must(template.New("kubelet").Parse(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "{{.CA}}"}
authorization: {mode: Webhook}
address: "{{.IP}}"
healthzBindAddress: 127.0.0.1
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDomain: {{.Domain}}
clusterDNS: ["{{.DNS}}"]
containerRuntimeEndpoint: "unix://{{.Socket}}"
podLogsDir: "{{.Logs}}"
volumePluginDir: "{{.Volumes}}"
resolvConf: "{{.ResolvConf}}"
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
maxPods: 250
nodeStatusUpdateFrequency: 5s
nodeLeaseDurationSeconds: 8 # a node that is busy still renews its lease long before it counts as lost
syncFrequency: 10s
shutdownGracePeriod: 0s
`))

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: "%s"}
conntrack: {maxPerCore: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
hostnameOverride: %s
oomScoreAdj: 0
metricsBindAddress: 127.0.0.1:10249
healthzBindAddress: 127.0.0.1:10256
detectLocalMode: ClusterCIDR
clusterCIDR: %s
`

// startNode starts a node's containerd with the images, its kubelet and its kube-proxy.
func (c *cluster) startNode(ctx context.Context, i int, n *node) error {
	if err := c.startRuntime(ctx, i, n); err != nil {
		return err
	}
	var config bytes.Buffer
	err := kubeletConfig.Execute(&config, map[string]any{
		"CA": c.first().dir.Path("ca.crt"), "IP": n.ip, "Domain": domain,
		"DNS": c.plan.dnsAddress(), "Socket": runtime.Socket(n.dir.Path("containerd")),
		"Logs": n.dir.Logs(), "Volumes": n.dir.Path("volume-plugins"), "ResolvConf": c.first().dir.Path("resolv.conf"),
	})
	if err != nil {
		return err
	}
	proxy := fmt.Appendf(nil, proxyConfig, c.first().dir.Path("proxy.kubeconfig"), n.name, c.plan.Pods)
	err = errors.Join(
		state.WriteFile(n.dir.Path("kubelet.yaml"), config.Bytes()),
		state.WriteFile(n.dir.Path("kube-proxy.yaml"), proxy),
	)
	if err != nil {
		return err
	}
	err = c.procs.start(n, c.program("kubelet"), "--config="+n.dir.Path("kubelet.yaml"),
		"--kubeconfig="+n.dir.Path("kubelet.kubeconfig"), "--root-dir="+n.dir.Memory()+"/kubelet",
		"--cert-dir="+n.dir.Memory()+"/kubelet/pki", "--hostname-override="+n.name, "--node-ip="+n.ip.String())
	if err != nil {
		return err
	}
	return c.procs.start(n, c.program("kube-proxy"), "--config="+n.dir.Path("kube-proxy.yaml"))
}

func (c *cluster) startRuntime(ctx context.Context, i int, n *node) (err error) {
	for _, d := range []string{n.dir.Logs(), n.dir.Path("volume-plugins")} {
		if err := state.Private(d); err != nil {
			return err
		}
	}
	n.containerd, err = runtime.Start(ctx, runtime.Options{
		Dir: n.dir.Path("containerd"), Namespace: n.ns, Plan: c.plan.of(i), PauseImage: localnode.DefaultPauseImage,
		Started: func(mountNS string) error {
			n.rec.MountNS = mountNS
			return n.dir.WriteRecord(n.rec)
		},
	})
	if err != nil {
		return err
	}
	none := func() (map[string]string, error) { return nil, nil }
	images, err := runtime.NewImages(n.dir.Path("containerd"), c.cfg.Images, none, n.containerd.Client())
	if err != nil {
		return err
	}
	for _, tarball := range c.cfg.Images {
		tags, err := runtime.Tags(tarball)
		if err != nil {
			return err
		}
		for _, tag := range tags {
			if _, err := images.Resolve(ctx, tag); err != nil {
				return err
			}
		}
	}
	return nil
}
