package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// runningPod tells of a pod as the control plane has it that its proxy is connected to.
func (d *description) runningPod(ctx context.Context, name string) (analyze.Description, error) {
	m, err := d.reach()
	if err != nil {
		return analyze.Description{}, err
	}
	defer m.close()
	pod, err := m.find(ctx, name)
	if err != nil {
		return analyze.Description{}, err
	}
	if model.ProxyContainerOf(&pod.Spec) == nil {
		return d.bare(ctx, m, pod)
	}
	made, err := remake(ctx, m, pod.Name+"."+pod.Namespace)
	if err != nil {
		return analyze.Description{}, err
	}
	status, err := statusOf(ctx, m, pod.Name+"."+pod.Namespace)
	if err != nil {
		return analyze.Description{}, err
	}
	d.refused = status.Refused()
	return d.reported(ctx, m, made.translation, made.translation.DescribeWorkload(made.proxy))
}

// bare tells of a pod without a proxy, by the first control plane that answers.
func (d *description) bare(ctx context.Context, m reached, pod *corev1.Pod) (analyze.Description, error) {
	revisions, err := perRevision(ctx, m)
	if err != nil {
		return analyze.Description{}, err
	}
	var all []error
	for _, revision := range slices.Sorted(maps.Keys(revisions)) {
		t, err := d.translatedOf(ctx, revisions[revision])
		if err != nil {
			all = append(all, err)
			continue
		}
		return d.reported(ctx, m, t, t.DescribeBare(pod.Namespace, pod.Name, pod.Labels, "there is no container "+model.ProxyContainer))
	}
	return analyze.Description{}, errors.Join(all...)
}

// runningService tells of a service what all control planes know: each knows the proxies that are connected to it. namespace
// and name are those of a Service, host is the same as it was given.
func (d *description) runningService(ctx context.Context, namespace, name, host string) (analyze.Description, error) {
	m, err := d.reach()
	if err != nil {
		return analyze.Description{}, err
	}
	defer m.close()
	revisions, err := perRevision(ctx, m)
	if err != nil {
		return analyze.Description{}, err
	}
	var of, last *analyze.Translation
	var out analyze.Description
	for _, revision := range slices.Sorted(maps.Keys(revisions)) {
		t, err := d.translatedOf(ctx, revisions[revision], namespace, d.namespace)
		if err != nil {
			d.silent = append(d.silent, err)
			continue
		}
		last = t
		one, ok := d.serviceIn(t, namespace, name, host)
		switch {
		case !ok:
		case of == nil:
			of, out = t, one
		default:
			out = out.Merge(one)
		}
	}
	if of == nil {
		var near []string
		if last != nil {
			near = last.ServiceNames(d.namespace)
		}
		return out, errors.Join(append(d.silent, noService(namespace, name, host, near))...)
	}
	return d.reported(ctx, m, of, out)
}

// serviceIn finds a service by its name, else by its host.
func (d *description) serviceIn(t *analyze.Translation, namespace, name, host string) (analyze.Description, bool) {
	if out, ok := t.DescribeService(namespace, name); ok {
		return out, true
	}
	return t.DescribeHost(d.namespace, host)
}

// noService says that nothing has a name, and which of the names that there are come closest.
func noService(namespace, name, host string, all []string) error {
	if bare, _, ok := strings.Cut(host, ":"); ok {
		return fmt.Errorf("there is no service %s: a service is named without a port; write %s", host, bare)
	}
	text := fmt.Sprintf("there is no Service %s/%s, and no ServiceEntry has host %s", namespace, name, host)
	if near := spelling.Nearest(host, all); len(near) > 0 {
		text += "; there is " + strings.Join(near, ", ")
	}
	return errors.New(text)
}

// translatedOf gives what the proxies of namespaces run that are connected to a control plane.
func (d *description) translatedOf(ctx context.Context, m reached, namespaces ...string) (*analyze.Translation, error) {
	mesh, err := readRunning(ctx, m, routedBy()...)
	if err != nil {
		return nil, err
	}
	mesh.Proxies = slices.DeleteFunc(mesh.Proxies, func(p model.Proxy) bool { return !slices.Contains(namespaces, p.Namespace) })
	return mesh.Translate(ctx)
}

// manifestsMost bounds how many objects a mesh is asked for, since what is unknown of others is told as well.
const manifestsMost = 100

// reported adds what the control planes report of the objects that are named, and of those that they refused, which are not
// among what proxies run.
func (d *description) reported(ctx context.Context, m reached, t *analyze.Translation, told analyze.Description) (analyze.Description, error) {
	all, silent, err := m.lists(ctx, "/debug/problems")
	if err != nil {
		return told, err
	}
	d.silent = append(d.silent, silent...)
	said, err := readProblems(all)
	if err != nil {
		return told, err
	}
	var unnamed []analyze.Finding // that are not known by what proxies run
	for _, one := range said {
		p := one.Model()
		if d.refused != nil && p.Reason == model.ReasonRejected {
			continue // by which proxies is not said there
		}
		f := analyze.Finding{Object: p.Object, Field: p.Field, Message: p.Message, Origin: p.Origin, Level: analyze.Error}
		named := slices.Contains(told.About, p.Object)
		if named || p.Severity == model.SeverityError {
			d.trouble.found = append(d.trouble.found, f)
		}
		if !named && p.Severity == model.SeverityError && len(unnamed) < manifestsMost {
			unnamed = append(unnamed, f)
		}
	}
	for _, p := range d.refused {
		told.About = append(told.About, p.Object)
		d.trouble.found = append(d.trouble.found, analyze.Finding{Object: p.Object, Field: p.Field, Message: p.Message, Origin: p.Origin, Level: analyze.Error})
	}
	d.trouble.about = manifestsOf(m.manifests(ctx, unnamed), func(analyze.File) bool { return true })
	return d.troubled(t, told), nil
}
