package translate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// treeOf gives a resource as JSON has it.
func treeOf(t *testing.T, r *resource.Resource) any {
	t.Helper()
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = withoutTap(data); err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if r.Type == resource.Endpoints {
		return endpointsTree(out.(map[string]any))
	}
	return out
}

// endpointsTree gives an assignment with each locality in one text.
func endpointsTree(assignment map[string]any) any {
	localities, _ := assignment["endpoints"].([]any)
	for i, l := range localities {
		locality := l.(map[string]any)
		text := cmp.Or(elementName(locality), "nowhere")
		for _, key := range []string{"priority", "load_balancing_weight"} {
			if locality[key] != nil {
				text += fmt.Sprintf(" %s %v", strings.TrimPrefix(key, "load_balancing_"), locality[key])
			}
		}
		endpoints, _ := locality["lb_endpoints"].([]any)
		for _, e := range endpoints {
			text += "; " + endpointText(e.(map[string]any))
		}
		localities[i] = text
	}
	return assignment
}

// endpointText gives an endpoint with its address first.
func endpointText(e map[string]any) string {
	name := elementName(e)
	if endpoint, ok := e["endpoint"].(map[string]any); ok && name != "" {
		delete(endpoint, "address")
		if len(endpoint) == 0 {
			delete(e, "endpoint")
		}
	}
	return strings.TrimSpace(name + " " + flow(e))
}

// changesOf gives the lines that tell one tree from another, each with the path of what differs.
func changesOf(path string, a, b any) []string {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok && x["@type"] == y["@type"] {
			return changesOfMaps(path, x, y)
		}
	case []any:
		if y, ok := b.([]any); ok {
			return changesOfLists(path, x, y)
		}
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	how := flow(a) + " -> " + flow(b)
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			how = changedText(x, y)
		}
	}
	return []string{strings.TrimPrefix(path, ".") + ": " + how}
}

func changesOfMaps(path string, a, b map[string]any) (out []string) {
	both := maps.Clone(a)
	maps.Copy(both, b)
	for _, key := range slices.Sorted(maps.Keys(both)) {
		at := path + "." + short(key)
		if key == "typed_config" {
			at = path // the name of what is around it tells its type
		}
		x, was := a[key]
		y, is := b[key]
		switch {
		case !was:
			out = append(out, "+ "+strings.TrimPrefix(at, ".")+": "+flow(y))
		case !is:
			out = append(out, "- "+strings.TrimPrefix(at, ".")+": "+flow(x))
		default:
			out = append(out, changesOf(at, x, y)...)
		}
	}
	return out
}

// changesOfLists pairs the elements of two lists, by their names where they have some, so that an element that
// came does not make those after it look different.
func changesOfLists(path string, a, b []any) (out []string) {
	path = strings.TrimPrefix(path, ".")
	namesA, namesB := elementNames(a), elementNames(b)
	if namesA == nil || namesB == nil {
		return changesByPlace(path, a, b)
	}
	var orderA, orderB []string
	for i, name := range namesA {
		if slices.Contains(namesB, name) {
			orderA = append(orderA, name)
		} else {
			out = append(out, "- "+path+"["+namesA[i]+"]")
		}
	}
	for i, name := range namesB {
		at := path + "[" + name + "]"
		if former := slices.Index(namesA, name); former >= 0 {
			orderB = append(orderB, name)
			out = append(out, changesOf(at, a[former], b[i])...)
			continue
		}
		if len(b) > 1 {
			at += " as " + strconv.Itoa(i+1) + " of " + strconv.Itoa(len(b))
		}
		out = append(out, like("+ "+at, b[i], a, namesA)...)
	}
	if !slices.Equal(orderA, orderB) {
		out = append(out, path+": in the order "+strings.Join(orderB, ", ")+", was "+strings.Join(orderA, ", "))
	}
	return out
}

// changesByPlace is for lists whose elements have no names.
func changesByPlace(path string, a, b []any) (out []string) {
	for _, p := range paired(a, b) {
		at := path + "[" + strconv.Itoa(max(p.a, p.b)) + "]"
		if p.b >= 0 {
			at = path + "[" + strconv.Itoa(p.b) + "]"
		}
		switch {
		case p.b < 0:
			out = append(out, "- "+path+"["+strconv.Itoa(p.a)+"]: "+gone(a[p.a]))
		case p.a < 0:
			out = append(out, like("+ "+at, b[p.b], a, indexes(len(a)))...)
		default:
			out = append(out, changesOf(at, a[p.a], b[p.b])...)
		}
	}
	return out
}

// long is the length from which something added is shown as what it has beside something else that is alike.
const long = 300

// like shows something added, by what differs from the most similar of its siblings where that is shorter.
func like(at string, added any, siblings []any, names []string) []string {
	whole := strings.TrimPrefix(at+": "+flow(added), ": ")
	best, lines := len(whole), []string{whole}
	if best < long {
		return lines
	}
	for i, s := range siblings {
		changes := changesOf("", s, added)
		text := strings.TrimSpace(at + " like [" + names[i] + "]")
		if len(changes) > 0 {
			text += " but for"
		}
		size := len(text)
		for _, c := range changes {
			size += len(c) + 4
		}
		if size < best {
			best, lines = size, append([]string{text}, indented(changes)...)
		}
	}
	return lines
}

// gone shows something removed, by what it is about where it is long.
func gone(v any) string {
	whole := flow(v)
	if m, ok := v.(map[string]any); ok && len(whole) > long {
		for _, key := range []string{"filter_chain_match", "match", "name"} {
			if m[key] != nil {
				return "what has " + key + " " + flow(m[key])
			}
		}
	}
	return whole
}

func indented(lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, "  "+l)
	}
	return out
}

// alignment is an element of a list and what stands in its place in another list; -1 for none.
type alignment struct{ a, b int }

// paired aligns two lists so that as little as possible differs.
func paired(a, b []any) (out []alignment) {
	same := 0
	for ; same < min(len(a), len(b)) && reflect.DeepEqual(a[same], b[same]); same++ {
		out = append(out, alignment{same, same})
	}
	a, b = a[same:], b[same:]
	step := steps(a, b)
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch step[i][j] {
		case 'p':
			out = append(out, alignment{same + i, same + j})
			i, j = i+1, j+1
		case 'a':
			out = append(out, alignment{same + i, -1})
			i++
		default:
			out = append(out, alignment{-1, same + j})
			j++
		}
	}
	return out
}

// steps tells for each two places in two lists what comes next in the best alignment: both elements as a pair, or
// that of the first or of the second alone.
func steps(a, b []any) [][]byte {
	cost, step := make([][]int, len(a)+1), make([][]byte, len(a)+1)
	sizeA, sizeB := sizes(a), sizes(b)
	for i := len(a); i >= 0; i-- {
		cost[i], step[i] = make([]int, len(b)+1), make([]byte, len(b)+1)
		for j := len(b); j >= 0; j-- {
			best := -1
			try := func(c int, s byte) {
				if best < 0 || c < best {
					best, step[i][j] = c, s
				}
			}
			if i < len(a) && j < len(b) {
				try(cost[i+1][j+1]+unlike(a[i], b[j]), 'p')
			}
			if i < len(a) {
				try(cost[i+1][j]+sizeA[i], 'a')
			}
			if j < len(b) {
				try(cost[i][j+1]+sizeB[j], 'b')
			}
			cost[i][j] = max(best, 0)
		}
	}
	return step
}

func sizes(list []any) (out []int) {
	for _, v := range list {
		out = append(out, leavesOf(v))
	}
	return out
}

// leavesOf counts what a tree says.
func leavesOf(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n += leavesOf(e)
		}
	case []any:
		for _, e := range v {
			n += leavesOf(e)
		}
	}
	return n
}

// unlike counts about how much of two trees differs.
func unlike(a, b any) (n int) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return leavesOf(a) + leavesOf(b)
		}
		for key, e := range x {
			if other, ok := y[key]; ok {
				n += unlike(e, other)
			} else {
				n += leavesOf(e)
			}
		}
		for key, e := range y {
			if _, ok := x[key]; !ok {
				n += leavesOf(e)
			}
		}
		return n
	case []any:
		y, ok := b.([]any)
		if !ok {
			return leavesOf(a) + leavesOf(b)
		}
		for i := range max(len(x), len(y)) {
			switch {
			case i >= len(x):
				n += leavesOf(y[i])
			case i >= len(y):
				n += leavesOf(x[i])
			default:
				n += unlike(x[i], y[i])
			}
		}
		return n
	}
	if a == b {
		return 0
	}
	return 2
}
