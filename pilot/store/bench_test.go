package store

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// goalState holds the mesh that the project's goals speak of, committed.
func goalState(b *testing.B) *state {
	b.Helper()
	m, err := mesh.New(mesh.Default(), b.TempDir())
	if err == nil {
		err = m.Write()
	}
	if err != nil {
		b.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(m.Dirs()[0], "*.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	s := newState("")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		objects, _ := file.Decode(data, name)
		for _, o := range objects {
			s.put(o.Key, o)
		}
	}
	s.commit()
	return s
}

// firstOf gives the first object of a kind.
func firstOf(b *testing.B, s *state, kind model.Kind) *model.Object {
	b.Helper()
	var first *model.Object
	for at, objects := range s.members {
		for _, o := range objects {
			if at.kind == kind && (first == nil || o.Compare(first.Key) < 0) {
				first = o
			}
		}
	}
	if first == nil {
		b.Fatalf("no %s", kind)
	}
	return first
}

// BenchmarkCommit changes one object of the goal's mesh, and names the rows that differ.
func BenchmarkCommit(b *testing.B) {
	pod := func(change func(*model.Object, *model.Pod, int)) func(*model.Object, int) *model.Object {
		return func(o *model.Object, i int) *model.Object {
			next, spec := *o, *o.Spec.(*model.Pod)
			next.Spec = &spec
			change(&next, &spec, i)
			return &next
		}
	}
	for _, edit := range []struct {
		name    string
		kind    model.Kind
		commits bool
		change  func(o *model.Object, i int) *model.Object
	}{
		{"endpoint", model.KindPod, true, pod(func(_ *model.Object, p *model.Pod, i int) { p.IP = fmt.Sprintf("10.9.0.%d", 1+i) })},
		{"readiness", model.KindPod, true, pod(func(_ *model.Object, p *model.Pod, i int) { p.Ready = i == 1 })},
		{"irrelevant", model.KindPod, false, pod(func(o *model.Object, _ *model.Pod, i int) {
			o.Annotations = map[string]string{"example.org/i": fmt.Sprint(i)}
		})},
		{"route", model.KindVirtualService, true, func(o *model.Object, i int) *model.Object {
			next, spec := *o, proto.Clone(o.Spec.(*networking.VirtualService)).(*networking.VirtualService)
			spec.Http[0].Timeout = &durationpb.Duration{Seconds: int64(1 + i)}
			next.Spec = spec
			return &next
		}},
		{"rule", model.KindDestinationRule, true, func(o *model.Object, i int) *model.Object {
			next, spec := *o, proto.Clone(o.Spec.(*networking.DestinationRule)).(*networking.DestinationRule)
			spec.TrafficPolicy.ConnectionPool.Tcp.MaxConnections = int32(1 + i)
			next.Spec = spec
			return &next
		}},
		{"service", model.KindService, true, func(o *model.Object, i int) *model.Object {
			next, spec := *o, o.Spec.(*corev1.Service).DeepCopy()
			spec.Labels = maps.Clone(spec.Labels)
			spec.Labels["i"] = fmt.Sprint(i)
			next.Spec, next.Labels = spec, spec.Labels
			return &next
		}},
	} {
		b.Run(edit.name, func(b *testing.B) {
			s := goalState(b)
			o := firstOf(b, s, edit.kind)
			versions := [2]*model.Object{edit.change(o, 0), edit.change(o, 1)}
			s.put(o.Key, versions[1])
			s.commit()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				s.put(o.Key, versions[i%2])
				c, ok := s.commit()
				if ok != edit.commits {
					b.Fatalf("commit: %v", c)
				}
			}
		})
	}
}
