package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// running gives what the proxy of --from runs, with what the control plane knows of it. That is left out where the
// control plane does not answer: the proxy's own word is enough for all but reasons.
func (e *explanation) running(ctx context.Context, errs io.Writer) (*explain.Config, error) {
	m, err := e.reach()
	if err != nil {
		return nil, err
	}
	defer m.close()
	pod, err := m.resolve(ctx, qualified(e.from, e.namespace))
	if err != nil {
		return nil, err
	}
	data, err := m.admin(ctx, pod, "GET", dumpPath)
	if err != nil {
		return nil, err
	}
	c, err := explain.ParseDump(data)
	if err != nil {
		return nil, err
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
	t, p, err := remade(ctx, m, pod)
	if err != nil {
		_, _ = fmt.Fprintf(errs, "which rules and lines the routes come from is not said: %v\n", err)
		return c, nil
	}
	c.Place = placesOf(ctx, t, p)
	return c, nil
}

// remade makes what a proxy of the mesh runs once more, since that tells which rules its routes come from. The control
// plane of each revision is asked, since only the one knows the proxy that it is connected to.
func remade(ctx context.Context, m reached, pod string) (*analyze.Translation, analyze.Proxy, error) {
	revisions, err := perRevision(ctx, m)
	if err != nil {
		return nil, analyze.Proxy{}, err
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(revisions)) {
		mesh, err := readRunning(ctx, revisions[name], routedBy()...)
		if err != nil {
			all = append(all, err)
			continue
		}
		mesh.Proxies = slices.DeleteFunc(mesh.Proxies, func(p model.Proxy) bool { return p.Name+"."+p.Namespace != pod })
		if len(mesh.Proxies) == 0 {
			continue
		}
		if _, local := m.(*localMesh); local {
			mesh.Read = os.ReadFile
		}
		t, err := mesh.Translate(ctx)
		if err != nil {
			return nil, analyze.Proxy{}, err
		}
		return t, t.Proxies[0], nil
	}
	if len(all) == 0 {
		all = append(all, errors.New("the proxy is not connected to the control plane"))
	}
	return nil, analyze.Proxy{}, errors.Join(all...)
}

// routedBy are the kinds of objects that decide about routes. Endpoints, which are most of a mesh, are not among them.
func routedBy() []string {
	var out []string
	for _, kind := range []model.Kind{
		model.KindMeshConfig, model.KindNamespace, model.KindService, model.KindServiceEntry, model.KindWorkloadEntry,
		model.KindVirtualService, model.KindDestinationRule, model.KindGateway, model.KindSidecar, model.KindEnvoyFilter,
		model.KindIngress, model.KindIngressClass, model.KindTelemetry, model.KindRequestAuthentication, model.KindPeerAuthentication,
	} {
		out = append(out, string(kind))
	}
	return out
}
