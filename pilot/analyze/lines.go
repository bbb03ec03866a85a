package analyze

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

// lines finds the line of a field in a file.
type lines struct {
	files map[string][]byte
	// namespaces are those of objects that name none, by file.
	namespaces map[string]string

	nodes map[objectAt]*yaml.Node
	bases map[objectAt]int // lines before the object's document
	read  func(name string) ([]byte, error)

	documents map[string][]yamldoc.Document // of the files that were looked at
}

// objectAt is where an object begins; several of a List may begin on one line.
type objectAt struct {
	origin model.Origin
	key    model.Key
}

func newLines(files []File) *lines {
	l := &lines{files: map[string][]byte{}, namespaces: map[string]string{}, nodes: map[objectAt]*yaml.Node{}, bases: map[objectAt]int{}, documents: map[string][]yamldoc.Document{}}
	for _, f := range files {
		l.files[f.Name], l.namespaces[f.Name] = f.Data, cmp.Or(f.Namespace, kinds.DefaultNamespace)
	}
	return l
}

// of gives the line of a field of an object that begins at the origin, or of as much of the path as
// there is. What already tells a line within the object has it kept.
func (l *lines) of(at model.Origin, key model.Key, field string) int {
	if field == "" || at.File == "" || at.AsOf != 0 { // the file has another text now
		return at.Line
	}
	node, base := l.object(at, key)
	line := at.Line
	for _, step := range steps(field) {
		var next *yaml.Node
		node = target(node)
		switch {
		case node == nil:
		case node.Kind == yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
				next = node.Content[i]
				line = base + next.Line
			}
		case node.Kind == yaml.MappingNode:
			var key *yaml.Node
			if key, next = entry(node, step); key != nil {
				line = base + key.Line
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

// entry finds the entry of a mapping, its own before those that it merges ("<<").
func entry(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Tag != "!!merge" {
			continue
		}
		merged := []*yaml.Node{target(mapping.Content[i+1])}
		if merged[0].Kind == yaml.SequenceNode {
			merged = merged[0].Content
		}
		for _, m := range merged {
			if m = target(m); m.Kind == yaml.MappingNode {
				if key, value = entry(m, name); key != nil {
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

// object finds the node of an object in its document.
func (l *lines) object(at model.Origin, key model.Key) (*yaml.Node, int) {
	here := objectAt{at, key}
	if n, ok := l.nodes[here]; ok {
		return n, l.bases[here]
	}
	base, text := l.documentAt(at.File, at.Line)
	var doc yaml.Node
	var found *yaml.Node
	if err := yaml.Unmarshal(text, &doc); err == nil && len(doc.Content) > 0 {
		found = objectIn(doc.Content[0], key, cmp.Or(l.namespaces[at.File], kinds.DefaultNamespace))
	}
	l.nodes[here], l.bases[here] = found, base
	return found, base
}

// file gives the text of a file, nil where it is not known.
func (l *lines) file(name string) []byte {
	if _, known := l.files[name]; !known && l.read != nil && name != "" {
		data, err := l.read(name)
		if err != nil {
			data = nil
		}
		l.files[name] = data
	}
	return l.files[name]
}

// documentAt gives the document that holds a line of a file, and the number of lines before it.
func (l *lines) documentAt(file string, line int) (base int, text []byte) {
	all, known := l.documents[file]
	if !known {
		_ = yamldoc.Each(l.file(file), func(d yamldoc.Document) error { // which has no error of its own
			all = append(all, d)
			return nil
		})
		l.documents[file] = all
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
	items := child(root, "items")
	if kind := child(root, "kind"); kind == nil || !strings.HasSuffix(kind.Value, "List") || items == nil {
		return root
	}
	for _, item := range items.Content {
		meta := child(item, "metadata")
		if kind, name := child(item, "kind"), child(meta, "name"); kind != nil && name != nil &&
			kind.Value == string(key.Kind) && name.Value == key.Name && inNamespace(meta, key, usual) {
			return target(item)
		}
	}
	return nil
}

// inNamespace tells whether an object's metadata are those of a key, as far as the namespace goes.
func inNamespace(meta *yaml.Node, key model.Key, usual string) bool {
	namespace := child(meta, "namespace")
	return key.Namespace == "" || namespace == nil && key.Namespace == usual || namespace != nil && namespace.Value == key.Namespace
}

func child(n *yaml.Node, name string) *yaml.Node {
	if n = target(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	_, value := entry(n, name)
	return target(value)
}
