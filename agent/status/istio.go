package status

import (
	"bytes"
	"io"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/agent/connections"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// istioPrefix is how Envoy begins the names of the statistics that become Istio's metrics.
const istioPrefix = "envoy_" + telemetry.Scope + "_"

// translation gives Envoy's metrics on, with Istio's in place of the statistics that they follow from. It
// holds one family of those at a time, since several series of Envoy's may be one of Istio's: those of the
// subsets of a service, or of the pods of a client. All other lines pass as they come.
type translation struct {
	telemetry.Expander
	out  *section
	open bool // the page is OpenMetrics

	statistic string // of the present family, "" where it is none of Istio's
	histogram bool
	families  []*family
	// former are the series of the last line's labels, which most lines of a histogram share.
	formerLabels []byte
	former       []counted
	written      []byte            // labels as they are written
	texts        map[string]string // of labels, for a family
	// What the metrics of a page are read with.
	others []telemetry.Pair
	bounds []bound
	read   histogram
}

// family is one metric of Istio's.
type family struct {
	name   string
	series map[labels]*series
	order  []*series
	bounds []bound // of a histogram's buckets, as most series have them
}

// labels are those of a series as they are written, in two parts. Most series of a page have one of them alike: a
// client's proxy is always the same source, and a server's the same destination.
type labels struct{ head, tail string }

// series is one of a family: a counter's value, or a histogram's.
type series struct {
	family *family
	labels labels
	value  float64
	sum    float64
	// Of a histogram, once one was added: its bounds, ascending and without the last, and what is cumulated up to each.
	bounds []bound
	counts []float64
	added  bool
}

// counted is a series with how often a value counts in it.
type counted struct {
	*series
	times float64
}

// take takes the next line.
func (t *translation) take(line []byte) error {
	line = bytes.TrimRight(line, "\r\n \t")
	if rest, ok := bytes.CutPrefix(line, []byte("# TYPE ")); ok {
		name, kind, _ := strings.Cut(string(rest), " ")
		return t.begin(name, kind)
	}
	if t.statistic == "" || !bytes.HasPrefix(line, []byte(istioPrefix)) {
		return t.out.line(line)
	}
	t.sample(line)
	return nil
}

// begin begins with a family of Envoy's.
func (t *translation) begin(name, kind string) error {
	if err := t.flush(); err != nil {
		return err
	}
	t.statistic, t.histogram = "", kind == "histogram"
	if statistic, ok := strings.CutPrefix(name, istioPrefix); ok && telemetry.Known(statistic) {
		t.statistic = statistic
		return nil
	}
	return t.out.line([]byte("# TYPE " + name + " " + kind))
}

// sample adds one line of a statistic: name{labels} value. What does not parse is left out.
func (t *translation) sample(line []byte) {
	open, end := bytes.IndexByte(line, '{'), bytes.LastIndexByte(line, '}')
	if open < 0 || end < open {
		return
	}
	value, err := strconv.ParseFloat(string(bytes.TrimSpace(line[end+1:])), 64)
	if err != nil {
		return
	}
	labels := line[open+1 : end]
	if !t.histogram {
		for _, c := range t.seriesOf(labels) {
			c.value += value * c.times
		}
		return
	}
	part, le := string(line[len(istioPrefix)+len(t.statistic):open]), ""
	if part == "_bucket" {
		at := bytes.LastIndex(labels, []byte(`le="`))
		if at < 0 {
			return
		}
		le = string(bytes.TrimSuffix(labels[at+len(`le="`):], []byte(`"`)))
		labels = bytes.TrimSuffix(labels[:at], []byte(","))
	}
	all := t.seriesOf(labels)
	switch part {
	case "_bucket":
		t.read.bucket(t.boundOf(len(t.read.bounds), le), value)
	case "_sum":
		t.read.sum = value
	case "_count": // the last of a histogram's lines
		t.read.count = value
		for _, c := range all {
			c.add(&t.read)
		}
		t.read.reset()
	}
}

// seriesOf gives the series that the labels of one of Envoy's stand for.
func (t *translation) seriesOf(labels []byte) []counted {
	if t.former != nil && bytes.Equal(labels, t.formerLabels) {
		return t.former
	}
	t.read.reset() // of another histogram, whose end is missing
	t.formerLabels = append(t.formerLabels[:0], labels...)
	text, others := "", []telemetry.Pair(nil)
	for name, value := range labelPairs(string(labels)) {
		if name == telemetry.Label {
			text = value
		} else {
			others = append(others, telemetry.UserPair(name, value))
		}
	}
	t.former = t.expand([]counted{}, text, others)
	return t.former
}

// expand adds to all the series that one of Envoy's stands for, which has the value of Label, and the others.
func (t *translation) expand(all []counted, text string, others []telemetry.Pair) []counted {
	for _, s := range t.Expand(t.statistic, text) {
		key := t.labelsOf(s.Labels, othersOf(s.Metric, others))
		f := t.family(s.Metric)
		one := f.series[key]
		if one == nil {
			one = &series{family: f, labels: key}
			f.series[key] = one
			f.order = append(f.order, one)
		}
		all = append(all, counted{one, float64(s.Times)})
	}
	return all
}

// othersOf gives the labels that a user set for a metric: those for all of a statistic's, and for this one alone.
func othersOf(metric string, all []telemetry.Pair) []telemetry.Pair {
	out := make([]telemetry.Pair, 0, len(all))
	for _, p := range all {
		of, name, alone := strings.Cut(p.Name, telemetry.OfMetric)
		switch {
		case !alone:
			out = append(out, p)
		case of == metric:
			out = append(out, telemetry.Pair{Name: name, Value: p.Value})
		}
	}
	return out
}

func (t *translation) family(name string) *family {
	for _, f := range t.families {
		if f.name == name {
			return f
		}
	}
	f := &family{name: name, series: map[labels]*series{}}
	t.families = append(t.families, f)
	return f
}

// flush writes the families that are complete.
func (t *translation) flush() error {
	for _, f := range t.families {
		kind, name := "counter", f.name
		if t.histogram {
			kind = "histogram"
		} else if t.open {
			name = strings.TrimSuffix(name, "_total") // OpenMetrics names the family so
		}
		if err := t.out.line([]byte("# TYPE " + name + " " + kind)); err != nil {
			return err
		}
		for _, s := range f.order {
			if err := t.write(s); err != nil {
				return err
			}
		}
	}
	t.families, t.former, t.texts = nil, nil, nil
	t.read.reset()
	return nil
}

func (t *translation) write(s *series) error {
	name, out := s.family.name, t.out
	if !t.histogram {
		return out.sample(name, "", s.labels, s.value)
	}
	if !s.added {
		return nil // the page ended, or went on, in the middle of it
	}
	out.beginBuckets(name, s.labels)
	for i, value := range s.counts {
		out.bucket(s.bounds[i].text, value)
	}
	out.bucket("+Inf", s.value)
	if err := out.sample(name, "_sum", s.labels, s.sum); err != nil {
		return err
	}
	return out.sample(name, "_count", s.labels, s.value)
}

// labelsOf gives labels as they are written. The others, which a user set, replace ours of the name.
func (t *translation) labelsOf(ours, others []telemetry.Pair) labels {
	cut := max(slices.IndexFunc(ours, func(p telemetry.Pair) bool { return strings.HasPrefix(p.Name, "destination_") }), 0)
	t.written = t.written[:0]
	middle := 0
	for i, p := range ours {
		if i == cut {
			middle = len(t.written)
		}
		if !slices.ContainsFunc(others, func(o telemetry.Pair) bool { return o.Name == p.Name }) {
			t.written = appendLabel(t.written, p)
		}
	}
	for _, p := range others {
		t.written = appendLabel(t.written, p)
	}
	return labels{t.text(t.written[:middle]), t.text(t.written[middle:])}
}

// text gives a text that all labels of a family share which have it.
func (t *translation) text(written []byte) string {
	text, known := t.texts[string(written)]
	if !known {
		if t.texts == nil {
			t.texts = map[string]string{}
		}
		text = string(written)
		t.texts[text] = text
	}
	return text
}

// appendLabel writes a label as a page has it, after others.
func appendLabel(to []byte, p telemetry.Pair) []byte {
	if len(to) > 0 {
		to = append(to, ',')
	}
	to = append(append(to, p.Name...), `="`...)
	if strings.IndexByte(p.Value, '"') >= 0 || strings.IndexByte(p.Value, '\\') >= 0 || strings.IndexByte(p.Value, '\n') >= 0 {
		p.Value = labelEscaper.Replace(p.Value)
	}
	return append(append(to, p.Value...), '"')
}

var (
	labelEscaper   = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	labelUnescaper = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
)

// labelPairs yields the labels of a line, such as a="b",c="d", until one does not parse.
func labelPairs(text string) func(yield func(name, value string) bool) {
	return func(yield func(string, string) bool) {
		for text != "" {
			name, rest, ok := strings.Cut(text, `="`)
			if !ok {
				return
			}
			end := endOfValue(rest)
			if end < 0 || !yield(name, labelUnescaper.Replace(rest[:end])) {
				return
			}
			text = strings.TrimPrefix(rest[end+1:], ",")
		}
	}
}

// endOfValue finds the quote that ends a value, or -1.
func endOfValue(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// bytes writes the metrics of what connections have sent and received.
func (t *translation) bytes(totals []connections.Total) error {
	slices.SortFunc(totals, func(a, b connections.Total) int { return strings.Compare(a.Label, b.Label) })
	t.statistic, t.histogram = telemetry.StatBytes, false
	for _, total := range totals {
		labels := telemetry.Label + `="` + labelEscaper.Replace(total.Label) + `"`
		for _, p := range total.Others {
			labels += "," + p.Name + `="` + labelEscaper.Replace(p.Value) + `"`
		}
		for _, c := range t.seriesOf([]byte(labels)) {
			if c.family.name == telemetry.MetricSent {
				c.value += float64(total.Sent)
			} else {
				c.value += float64(total.Received)
			}
		}
	}
	return t.flush()
}

// copyEnvoy writes Envoy's page, which has a content type, with Istio's metrics, and after it what the agent counts
// itself.
func (s *section) copyEnvoy(page io.Reader, contentType string, cfg MetricsConfig, open bool) error {
	t := &translation{Expander: telemetry.Expander{Local: cfg.Workload}, out: s, open: open}
	var err error
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "application/vnd.google.protobuf" {
		err = t.takeFamilies(page)
	} else {
		err = s.copyTo(page, noLimit, t.take)
	}
	if ferr := t.flush(); err == nil {
		err = ferr
	}
	if cfg.Connections != nil {
		if werr := t.bytes(cfg.Connections.Totals()); err == nil {
			err = werr
		}
	}
	return err
}
