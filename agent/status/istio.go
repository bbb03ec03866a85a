package status

import (
	"bytes"
	"io"
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
	local telemetry.Workload
	line  func([]byte) error // writes one line
	open  bool               // the page is OpenMetrics

	statistic string // of the present family, "" where it is none of Istio's
	histogram bool
	families  []*family
	// former are the series of the last line's labels, which most lines of a histogram share.
	formerLabels []byte
	former       []counted
}

// family is one metric of Istio's.
type family struct {
	name   string
	series map[string]*series // by labels as they are written
	order  []*series
	bounds []string // of a histogram's buckets, as Envoy writes them
}

// series is one of a family: a counter's value, or a histogram's.
type series struct {
	family     *family
	labels     string
	value, sum float64
	buckets    []float64 // cumulative, by bound
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
		if err := t.flush(); err != nil {
			return err
		}
		name, kind, _ := strings.Cut(string(rest), " ")
		t.statistic = ""
		if statistic, ok := strings.CutPrefix(name, istioPrefix); ok && telemetry.Known(statistic) {
			t.statistic, t.histogram = statistic, kind == "histogram"
			return nil
		}
	}
	if t.statistic == "" || !bytes.HasPrefix(line, []byte(istioPrefix)) {
		return t.line(line)
	}
	t.sample(line)
	return nil
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
	labels, bound := line[open+1:end], []byte(nil)
	if !t.histogram {
		for _, c := range t.seriesOf(labels) {
			c.value += value * c.times
		}
		return
	}
	part := string(line[len(istioPrefix)+len(t.statistic) : open])
	if part == "_bucket" {
		at := bytes.LastIndex(labels, []byte(`le="`))
		if at < 0 {
			return
		}
		bound = bytes.TrimSuffix(labels[at+len(`le="`):], []byte(`"`))
		labels = bytes.TrimSuffix(labels[:at], []byte(","))
	}
	for _, c := range t.seriesOf(labels) {
		switch part {
		case "_bucket":
			c.bucket(bound, value)
		case "_sum":
			c.sum += value
		case "_count":
			c.value += value
		}
	}
}

func (s *series) bucket(bound []byte, value float64) {
	at := slices.IndexFunc(s.family.bounds, func(b string) bool { return b == string(bound) })
	if at < 0 {
		at = len(s.family.bounds)
		s.family.bounds = append(s.family.bounds, string(bound))
	}
	if missing := at + 1 - len(s.buckets); missing > 0 {
		s.buckets = append(slices.Grow(s.buckets, max(missing, len(s.family.bounds)-len(s.buckets))), make([]float64, missing)...)
	}
	s.buckets[at] += value
}

// seriesOf gives the series that the labels of one of Envoy's stand for.
func (t *translation) seriesOf(labels []byte) []counted {
	if t.former != nil && bytes.Equal(labels, t.formerLabels) {
		return t.former
	}
	t.formerLabels, t.former = append(t.formerLabels[:0], labels...), []counted{}
	text, others := "", []telemetry.Pair(nil)
	for name, value := range labelPairs(string(labels)) {
		if name == telemetry.Label {
			text = value
		} else {
			others = append(others, telemetry.UserPair(name, value))
		}
	}
	for _, s := range telemetry.Expand(t.local, t.statistic, text) {
		key := writtenLabels(s.Labels, othersOf(s.Metric, others))
		f := t.family(s.Metric)
		one := f.series[key]
		if one == nil {
			one = &series{family: f, labels: key}
			f.series[key] = one
			f.order = append(f.order, one)
		}
		t.former = append(t.former, counted{one, float64(s.Times)})
	}
	return t.former
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
	f := &family{name: name, series: map[string]*series{}}
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
		if err := t.line([]byte("# TYPE " + name + " " + kind)); err != nil {
			return err
		}
		for _, s := range f.order {
			if err := t.write(s); err != nil {
				return err
			}
		}
	}
	t.families, t.former = nil, nil
	return nil
}

func (t *translation) write(s *series) error {
	b := make([]byte, 0, len(s.labels)+128)
	add := func(suffix, bound string, value float64) {
		b = append(append(append(b[:0], s.family.name...), suffix...), '{')
		b = append(b, s.labels...)
		if bound != "" {
			b = append(append(append(b, `,le="`...), bound...), '"')
		}
		b = strconv.AppendFloat(append(b, "} "...), value, 'f', -1, 64)
	}
	if !t.histogram {
		add("", "", s.value)
		return t.line(b)
	}
	for i, value := range s.buckets {
		add("_bucket", s.family.bounds[i], value)
		if err := t.line(b); err != nil {
			return err
		}
	}
	add("_sum", "", s.sum)
	if err := t.line(b); err != nil {
		return err
	}
	add("_count", "", s.value)
	return t.line(b)
}

// writtenLabels gives labels as a page has them. The others, which a user set, replace ours of the name.
func writtenLabels(ours, others []telemetry.Pair) string {
	var b strings.Builder
	write := func(p telemetry.Pair) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(p.Name)
		b.WriteString(`="`)
		_, _ = labelEscaper.WriteString(&b, p.Value)
		b.WriteByte('"')
	}
	for _, p := range ours {
		if !slices.ContainsFunc(others, func(o telemetry.Pair) bool { return o.Name == p.Name }) {
			write(p)
		}
	}
	for _, p := range others {
		write(p)
	}
	return b.String()
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

// copyEnvoy writes Envoy's page with Istio's metrics, and after it what the agent counts itself.
func (s *section) copyEnvoy(page io.Reader, cfg MetricsConfig, open bool) error {
	t := &translation{local: cfg.Workload, line: s.line, open: open}
	err := s.copyTo(page, noLimit, t.take)
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
