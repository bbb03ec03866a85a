package file

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"

	"google.golang.org/protobuf/proto"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// wanted is what the directories hold together.
type wanted struct {
	objects  map[model.Key]*model.Object
	invalid  map[model.Key]bool
	problems []model.Problem // sorted
}

// gather puts the directories together: within one the first of a key counts, in the order of
// file names; a later directory's object replaces an earlier one's.
func (s *Source) gather() wanted {
	w := wanted{objects: map[model.Key]*model.Object{}, invalid: map[model.Key]bool{}}
	for _, d := range s.dirs {
		if d.lost != nil {
			w.problems = append(w.problems, model.Problem{
				Severity: model.SeverityError, Reason: model.ReasonDegraded,
				Message: "the directory cannot be read: " + reason(d.lost) + "; what it held before stays in effect",
				Origin:  model.Origin{File: d.path, Line: 1},
			})
		}
		own := map[model.Key]*model.Object{}
		var held []*model.Object
		for _, name := range slices.Sorted(maps.Keys(d.files)) {
			f := d.files[name]
			held = append(held, f.held...)
			s.logIgnored(d.path, name, f.ignored)
			w.problems = append(w.problems, f.problems...)
			maps.Copy(w.invalid, f.invalid)
			for _, o := range f.objects {
				if first := own[o.Key]; first != nil {
					w.problems = append(w.problems, conflict(o, first))
					continue
				}
				own[o.Key] = o
			}
		}
		for _, o := range held { // it may have moved to another file
			if own[o.Key] == nil {
				own[o.Key] = o
			}
		}
		maps.Copy(w.objects, own)
	}
	slices.SortFunc(w.problems, model.CompareProblems)
	w.problems = slices.Compact(w.problems)
	return w
}

func conflict(o, first *model.Object) model.Problem {
	return model.Problem{
		Object: o.Key, Severity: model.SeverityError, Reason: model.ReasonConflict, Origin: o.Origin,
		Message: fmt.Sprintf("is defined twice; %s:%d is in effect, remove one of them", first.Origin.File, first.Origin.Line),
	}
}

// logIgnored tells once of each document that does not concern a mesh.
func (s *Source) logIgnored(dir, file string, ignored []string) {
	for _, what := range ignored {
		id := dir + "/" + file + " " + what
		if !s.told[id] {
			s.told[id] = true
			s.log.Debug("a document does not concern the mesh", slog.String("file", dir+"/"+file), slog.String("object", what))
		}
	}
}

func sameDirectory(a, b os.FileInfo) bool { return a != nil && b != nil && os.SameFile(a, b) }

// sameObject tells whether two objects are equal, with the place where they were read, which
// problems name.
func sameObject(a, b *model.Object) bool {
	if a == nil || b == nil || a == b {
		return a == b
	}
	if a.Origin != b.Origin || !a.Created.Equal(b.Created) ||
		!maps.Equal(a.Labels, b.Labels) || !maps.Equal(a.Annotations, b.Annotations) {
		return false
	}
	x, isProto := a.Spec.(proto.Message)
	y, bothProto := b.Spec.(proto.Message)
	if isProto && bothProto {
		return proto.Equal(x, y)
	}
	return apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
}
