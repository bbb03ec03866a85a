package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// clustersPath is where Envoy's admin interface has the servers of all clusters.
const clustersPath = "clusters?format=json"

// running gives what the proxy of --from runs, with what the control plane knows of it. That is left out where the
// control plane does not answer: the proxy's own word is enough for all but reasons.
func (e *explanation) running(ctx context.Context, errs io.Writer) (*explain.Config, error) {
	name, namespace, err := e.workload()
	if err != nil {
		return nil, err
	}
	m, err := e.reach()
	if err != nil {
		return nil, err
	}
	e.close = m.close
	found, err := m.find(ctx, name+"."+namespace)
	if err != nil {
		return nil, err
	}
	pod := found.Name + "." + found.Namespace
	if model.ProxyContainerOf(&found.Spec) == nil {
		return nil, fmt.Errorf("pod %s has no sidecar, so what it sends passes no proxy: there is no container %s", pod, model.ProxyContainer)
	}
	data, err := m.admin(ctx, pod, "GET", dumpPath)
	if err != nil {
		return nil, err
	}
	c, err := explain.ParseDump(data)
	if err != nil {
		return nil, err
	}
	// What names came to is a detail of few clusters, and without it they are taken to be resolved.
	if data, err := m.admin(ctx, pod, "GET", clustersPath); err == nil {
		if c.Resolved, err = explain.ParseClusters(data); err != nil {
			return nil, err
		}
	}
	e.namespace = pod[strings.LastIndexByte(pod, '.')+1:]
	if all, _, err := m.lists(ctx, "/debug/problems"); err == nil {
		if said, err := readProblems(all); err == nil {
			var problems []model.Problem
			for _, p := range said {
				problems = append(problems, p.Model())
			}
			c.SecretProblem = secretProblem(e.namespace, problems)
		}
	}
	made, err := remake(ctx, m, pod)
	if err != nil {
		_, _ = fmt.Fprintf(errs, "which rules and lines the routes come from, and what servers' proxies decide, is not said: %v\n", err)
		return c, nil
	}
	return made.tell(ctx, m, c), nil
}

// tell adds to what a proxy runs what the control plane knows of it, as files do.
func (r *remade) tell(ctx context.Context, m reached, c *explain.Config) *explain.Config {
	c = policed(ctx, r.translation, r.proxy, c)
	c.Host = hostsOf(r.translation, r.proxy, func() *analyze.Translation { return r.endpoints(ctx) })
	c.Gateway, c.Ports, c.UDPPorts = r.proxy.Kind == model.RouterProxy, r.proxy.Ports, r.proxy.UDPPorts
	c.Peer = r.peers(ctx, m)
	c.Bare = func(server netip.Addr) bool {
		whole := r.endpoints(ctx)
		return whole != nil && whole.BareServer(server)
	}
	return c
}

// remade is what a proxy of the mesh runs, made once more, since that tells which rules its routes come from.
type remade struct {
	translation *analyze.Translation
	proxy       analyze.Proxy
	revision    reached       // the control plane that knows it
	connected   []model.Proxy // to control planes of any revision, it among them
}

// remake asks the control plane of each revision, since only the one knows the proxy that it is connected to.
func remake(ctx context.Context, m reached, pod string) (*remade, error) {
	revisions, err := perRevision(ctx, m)
	if err != nil {
		return nil, err
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(revisions)) {
		mesh, err := readRunning(ctx, revisions[name], routedBy()...)
		if err != nil {
			all = append(all, err)
			continue
		}
		out := &remade{revision: revisions[name]}
		mesh.Proxies = slices.DeleteFunc(slices.Clone(mesh.Proxies), func(p model.Proxy) bool { return p.Name+"."+p.Namespace != pod })
		if len(mesh.Proxies) == 0 {
			continue
		}
		if mesh.Proxies[0].Type == model.RouterProxy { // its pod tells where a Service leads by a port's name
			pods, err := readRunning(ctx, revisions[name], string(model.KindPod))
			if err != nil {
				return nil, err
			}
			mesh.Objects = append(mesh.Objects, pods.Objects...)
		}
		if _, local := m.(*localMesh); local {
			mesh.Read = file.Load
		}
		if out.translation, err = mesh.Translate(ctx); err != nil {
			return nil, err
		}
		out.proxy = out.translation.Proxies[0]
		// Proxies of a control plane that does not answer are not known, which a step tells.
		if out.connected, _, err = connected(ctx, m); err != nil {
			return nil, err
		}
		return out, nil
	}
	if len(all) == 0 {
		all = append(all, errors.New("the proxy is not connected to the control plane"))
	}
	return nil, errors.Join(all...)
}

// peers finds the proxies beside servers among those that are connected, and asks them what they run.
func (r *remade) peers(ctx context.Context, m reached) func(netip.Addr) *explain.Peer {
	return func(server netip.Addr) *explain.Peer {
		i := slices.IndexFunc(r.connected, func(p model.Proxy) bool { return slices.Contains(p.IPs, server.String()) })
		if i < 0 {
			return nil
		}
		pod := r.connected[i].Name + "." + r.connected[i].Namespace
		return &explain.Peer{Name: pod, Replica: true, Config: func() (*explain.Config, error) {
			data, err := m.admin(ctx, pod, "GET", dumpPath)
			if err != nil {
				return nil, err
			}
			c, err := explain.ParseDump(data)
			if err != nil {
				return nil, err
			}
			return policed(ctx, r.translation, r.translation.Beside(&r.connected[i]), c), nil
		}}
	}
}

// routedBy are the kinds of objects that decide about routes and calls. Endpoints, which are most of a mesh, are not among them.
func routedBy() []string {
	var out []string
	for _, kind := range []model.Kind{
		model.KindMeshConfig, model.KindMeshNetworks, model.KindNamespace, model.KindService, model.KindServiceEntry, model.KindWorkloadEntry,
		model.KindVirtualService, model.KindDestinationRule, model.KindGateway, model.KindSidecar, model.KindEnvoyFilter,
		model.KindIngress, model.KindIngressClass, model.KindTelemetry, model.KindRequestAuthentication, model.KindPeerAuthentication,
		model.KindAuthorizationPolicy,
	} {
		out = append(out, string(kind))
	}
	return out
}
