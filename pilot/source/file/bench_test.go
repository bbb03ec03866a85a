package file

import (
	"log/slog"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// goalMesh writes the mesh that the project's goals speak of.
func goalMesh(b *testing.B) *mesh.Mesh {
	b.Helper()
	m, err := mesh.New(mesh.Default(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Write(); err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkLoad reads the whole mesh.
func BenchmarkLoad(b *testing.B) {
	dirs := goalMesh(b).Dirs()
	b.ReportAllocs()
	for b.Loop() {
		t := testTree(dirs)
		for _, d := range t.dirs {
			t.scan(d, time.Now())
		}
		if len(t.take(time.Now())) < 12000 {
			b.Fatal("objects are missing")
		}
	}
}

// BenchmarkEdit follows the change of one file.
func BenchmarkEdit(b *testing.B) {
	for name, edit := range map[string]func(m *mesh.Mesh, i int) mesh.Edit{
		"irrelevant": func(m *mesh.Mesh, _ int) mesh.Edit { return m.Touch(1, 1) },
		"endpoint":   func(m *mesh.Mesh, _ int) mesh.Edit { return m.Endpoint(1, 1) },
		"route":      func(m *mesh.Mesh, _ int) mesh.Edit { return m.Route(mesh.ReachAll) },
	} {
		b.Run(name, func(b *testing.B) {
			m := goalMesh(b)
			t := testTree(m.Dirs())
			for _, d := range t.dirs {
				t.scan(d, time.Now())
			}
			t.take(time.Now())
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				e := edit(m, i)
				if _, err := e.Apply(); err != nil {
					b.Fatal(err)
				}
				at := place{1, e.Path[len(m.Dirs()[1])+1:]}
				b.StartTimer()
				t.follow(map[place]happening{at: completed}, time.Now())
				t.take(time.Now())
			}
		})
	}
}

// BenchmarkLook looks for changes that nobody told, where there are none.
func BenchmarkLook(b *testing.B) {
	t := testTree(goalMesh(b).Dirs())
	s := &Source{tree: t, log: slog.New(slog.DiscardHandler)}
	for _, d := range t.dirs {
		t.scan(d, time.Now())
	}
	b.ReportAllocs()
	for b.Loop() {
		s.look(true)
	}
}
