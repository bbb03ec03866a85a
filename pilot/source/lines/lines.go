// Package lines finds the line on which a field of an object stands in its file. All that tells of a field tells its line
// by it: the source of files, whoever shows problems of later stages, and findings of files.
package lines

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
	"github.com/pilothouse-mesh/pilothouse/pilot/yamldoc"
)

// Finder finds the lines of fields in files. It keeps what it has read, and is for one goroutine.
type Finder struct {
	read func(name string) ([]byte, error)
	// namespaces are those of objects that name none, by file, where it is not the usual one.
	namespaces map[string]string

	nodes     map[objectAt]place
	documents map[string][]yamldoc.Document // of the files that were looked at
}

// objectAt is where an object begins; several of a List may begin on one line.
type objectAt struct {
	origin model.Origin
	key    model.Key
}

// place is an object's node, nil where there is none, with the number of lines before the text that it is of.
type place struct {
	node *yaml.Node
	base int
}

// NewFinder gives a Finder that reads files by a function. namespaces are those of objects that name none, by file; nil
// where it is the usual one.
func NewFinder(read func(name string) ([]byte, error), namespaces map[string]string) *Finder {
	return &Finder{read: read, namespaces: namespaces, nodes: map[objectAt]place{}, documents: map[string][]yamldoc.Document{}}
}

// Problems gives problems with the lines of their fields, in place of those on which their objects begin.
func (f *Finder) Problems(all []model.Problem) []model.Problem {
	out := slices.Clone(all)
	for i := range out {
		out[i].Origin.Line = f.Line(out[i].Origin, out[i].Object, out[i].Field)
	}
	return out
}

// Line gives the line of a field of an object that begins at the origin, or of as much of the path as
// there is. What already tells a line within the object has it kept where the field is not found.
func (f *Finder) Line(at model.Origin, key model.Key, field string) int {
	if field == "" || at.File == "" || at.AsOf != 0 { // the file has another text now
		return at.Line
	}
	p := f.place(at, key)
	return Field(p.node, p.base, at.Line, field)
}

// Field gives the line of a field below a node, of a text before which its file has so many lines, or of as much of the
// path as there is: the given line for none of it.
func Field(node *yaml.Node, before, line int, field string) int {
	for _, step := range steps(field) {
		var next *yaml.Node
		node = target(node)
		switch {
		case node == nil:
		case node.Kind == yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
				next = node.Content[i]
				line = before + next.Line
			}
		case node.Kind == yaml.MappingNode:
			var key *yaml.Node
			if key, next = entry(node, step); key != nil {
				line = before + key.Line
			}
		}
		if next == nil {
			return line
		}
		node = next
	}
	return line
}

// target gives what an alias stands for, else the node itself.
func target(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// maxMerges bounds how deep mappings merge each other, which may go round.
const maxMerges = 100

// entry finds the entry of a mapping, its own before those that it merges ("<<").
func entry(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	return entryOf(mapping, name, maxMerges)
}

func entryOf(mapping *yaml.Node, name string, depth int) (key, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Tag != "!!merge" || depth == 0 {
			continue
		}
		merged := []*yaml.Node{target(mapping.Content[i+1])}
		if merged[0].Kind == yaml.SequenceNode {
			merged = merged[0].Content
		}
		for _, m := range merged {
			if m = target(m); m.Kind == yaml.MappingNode {
				if key, value = entryOf(m, name, depth-1); key != nil {
					return key, value
				}
			}
		}
	}
	return nil, nil
}

// steps takes a path apart. What stands in brackets is one step, as the name of an annotation.
func steps(field string) []string {
	var out []string
	for field != "" {
		if inner, bracket := strings.CutPrefix(field, "["); bracket {
			step, rest, _ := strings.Cut(inner, "]")
			out, field = append(out, step), rest
			continue
		}
		field = strings.TrimPrefix(field, ".")
		end := strings.IndexAny(field, ".[")
		if end < 0 {
			end = len(field)
		}
		out, field = append(out, field[:end]), field[end:]
	}
	return out
}

// Object finds the node of an object; nil where there is none.
func (f *Finder) Object(at model.Origin, key model.Key) *yaml.Node { return f.place(at, key).node }

func (f *Finder) place(at model.Origin, key model.Key) place {
	here := objectAt{at, key}
	if p, ok := f.nodes[here]; ok {
		return p
	}
	base, text := f.documentAt(at.File, at.Line)
	p := place{base: base}
	if root := parse(text); root != nil {
		p.node = objectIn(root, key, cmp.Or(f.namespaces[at.File], kinds.DefaultNamespace))
		if name, ok := mapKeys()[key.Kind]; ok && isMap(p.node) {
			p = within(Child(Child(p.node, "data"), name), base)
		}
	}
	f.nodes[here] = p
	return p
}

func parse(text []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// mapKeys gives where a ConfigMap has the configurations of the mesh.
func mapKeys() map[model.Kind]string {
	return map[model.Kind]string{model.KindMeshConfig: model.MeshConfigMapKey, model.KindMeshNetworks: model.MeshNetworksMapKey}
}

func isMap(n *yaml.Node) bool {
	kind := Child(n, "kind")
	return kind != nil && kind.Value == string(model.KindConfigMap)
}

// within gives what stands in a text, which a ConfigMap has line by line after "|".
func within(text *yaml.Node, base int) place {
	if text == nil || text.Style&yaml.LiteralStyle == 0 {
		return place{base: base}
	}
	return place{parse([]byte(text.Value)), base + text.Line}
}

// documentAt gives the document that holds a line of a file, and the number of lines before it.
func (f *Finder) documentAt(file string, line int) (base int, text []byte) {
	all, known := f.documents[file]
	if !known {
		data, err := f.read(file)
		if err != nil {
			data = nil // its objects have the lines on which they begin
		}
		_ = yamldoc.Each(data, func(d yamldoc.Document) error { // which has no error of its own
			all = append(all, d)
			return nil
		})
		f.documents[file] = all
	}
	after, found := slices.BinarySearchFunc(all, max(line, 1), func(d yamldoc.Document, line int) int { return cmp.Compare(d.Base, line) })
	if found {
		after++
	}
	if after == 0 {
		return 0, nil
	}
	return all[after-1].Base - 1, all[after-1].Text
}

// objectIn finds the object itself, or that of a List. usual is the namespace of one that names none.
func objectIn(root *yaml.Node, key model.Key, usual string) *yaml.Node {
	items := Child(root, "items")
	if kind := Child(root, "kind"); kind == nil || !strings.HasSuffix(kind.Value, "List") || items == nil {
		return root
	}
	for _, item := range items.Content {
		meta := Child(item, "metadata")
		if kind, name := Child(item, "kind"), Child(meta, "name"); kind != nil && name != nil &&
			kind.Value == string(key.Kind) && name.Value == key.Name && inNamespace(meta, key, usual) {
			return target(item)
		}
	}
	return nil
}

// inNamespace tells whether an object's metadata are those of a key, as far as the namespace goes.
func inNamespace(meta *yaml.Node, key model.Key, usual string) bool {
	namespace := Child(meta, "namespace")
	return key.Namespace == "" || namespace == nil && key.Namespace == usual || namespace != nil && namespace.Value == key.Namespace
}

// Child gives the value of a name in a mapping; nil for none.
func Child(n *yaml.Node, name string) *yaml.Node {
	if n = target(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	_, value := entry(n, name)
	return target(value)
}
