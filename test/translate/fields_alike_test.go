package translate

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
)

// placed is what tells a line from another that says the same of another port, host, address or element of a list.
var placed = regexp.MustCompile(`\[[^\[\]{}]*\]|[a-z0-9.*-]+\.(svc\.cluster\.local|example\.com)(:\d+)?|\d+\.\d+\.\d+\.\d+([_:]\d+)?|(in|out)bound(_\.\d+_\.\w*|\|\d+\|\w*)|(destination_port|port_value): \d+| as \d+ of \d+`)

// alike gives what lines of one kind have in common.
func alike(line string) string {
	return placed.ReplaceAllString(line, "*")
}

// more tells of what is left out since it is alike; its sum tells whether it is as it was.
func more(left []string) string {
	if len(left) == 0 {
		return ""
	}
	h := fnv.New32a()
	n := 0
	for _, l := range left {
		h.Write([]byte(l + "\n"))
		if !strings.HasPrefix(l, "  ") {
			n++
		}
	}
	return fmt.Sprintf(" (and %d more alike, #%06x)", n, h.Sum32()&0xffffff)
}

// once leaves out lines that are like a former one.
func once(lines []string) (out []string) {
	left := map[string][]string{}
	var order []string
	for _, l := range lines {
		key := alike(l)
		if strings.HasPrefix(l, "  ") { // belongs to the line before it
			key = l
			if len(order) > 0 {
				left[order[len(order)-1]] = append(left[order[len(order)-1]], l)
				continue
			}
		}
		if _, ok := left[key]; !ok {
			order = append(order, key)
		}
		left[key] = append(left[key], l)
	}
	for _, key := range order {
		group := left[key]
		shown := 1
		for shown < len(group) && strings.HasPrefix(group[shown], "  ") {
			shown++
		}
		first := slices.Clone(group[:shown])
		first[0] += more(group[shown:])
		out = append(out, first...)
	}
	return out
}

// byResource says what is alike of several resources once.
func byResource(all []*change) (out []string) {
	key := func(c *change) string {
		var b strings.Builder
		for _, l := range c.lines {
			b.WriteString(alike(l) + "\n")
		}
		return fmt.Sprint(c.kind, c.how, c.to, b.String())
	}
	slices.SortStableFunc(all, func(a, b *change) int { return compareNames(a.itemName, b.itemName) })
	for len(all) > 0 {
		first, as := all[0], key(all[0])
		var left []string
		all = slices.DeleteFunc(all[1:], func(c *change) bool {
			same := key(c) == as
			if same {
				left = append(left, c.name+"\n"+strings.Join(c.lines, "\n"))
			}
			return same
		})
		out = append(out, head(first, left))
		out = append(out, indented(once(first.lines))...)
	}
	return out
}

// long texts that a golden has several times are written once, at its end.
const repeated = 160

// abbreviated puts a short name into the place of each message that is long and occurs more than once.
func abbreviated(text string) string {
	counts := map[string]int{}
	visit(text, func(message string) string {
		counts[message]++
		return message
	})
	var notes []string
	var replace func(text string) string
	names := map[string]string{}
	replace = func(text string) string {
		return visit(text, func(message string) string {
			if len(message) < repeated || counts[message] < 2 {
				kind, inner, _ := strings.Cut(message, "{")
				return kind + "{" + replace(inner)
			}
			if names[message] == "" {
				h := fnv.New32a()
				h.Write([]byte(message))
				kind, inner, _ := strings.Cut(message, "{")
				names[message] = fmt.Sprintf("%s#%04x", kind, h.Sum32()&0xffff)
				notes = append(notes, names[message]+" = {"+replace(inner))
			}
			return names[message]
		})
	}
	text = replace(text)
	if len(notes) > 0 {
		slices.SortFunc(notes, func(a, b string) int { return cmp.Compare(a, b) })
		text += "\nWhat is named above:\n\n" + strings.Join(notes, "\n") + "\n"
	}
	return text
}

// message is where a message with a type begins.
var message = regexp.MustCompile(`\b[A-Z][A-Za-z0-9]*\{`)

// visit gives a text with each outermost message replaced.
func visit(text string, with func(message string) string) string {
	var b strings.Builder
	for {
		at := message.FindStringIndex(text)
		if at == nil {
			return b.String() + text
		}
		end := closing(text, at[1])
		b.WriteString(text[:at[0]])
		b.WriteString(with(text[at[0]:end]))
		text = text[end:]
	}
}

// closing finds the end of what a brace before start has opened.
func closing(text string, start int) int {
	depth, quoted := 1, false
	for i := start; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case c == '\n':
			return i
		}
	}
	return len(text)
}

// changed shows two texts without what is the same at their ends, where they are long.
func changedText(a, b string) string {
	const around, short = 20, 60
	if len(a) <= short || len(b) <= short {
		return flow(a) + " -> " + flow(b)
	}
	begin, end := 0, 0
	for begin < min(len(a), len(b)) && a[begin] == b[begin] {
		begin++
	}
	for end < min(len(a), len(b))-begin && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	begin, end = max(begin-around, 0), max(end-around, 0)
	cut := func(s string) string {
		out := s[begin : len(s)-end]
		if begin > 0 {
			out = "…" + out
		}
		if end > 0 {
			out += "…"
		}
		return flow(out)
	}
	return cut(a) + " -> " + cut(b)
}
