package plot

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestTheScaleHoldsEveryValue(t *testing.T) {
	for name, c := range map[string]struct {
		log    bool
		values []float64
		want   []float64
	}{
		"powers of ten":  {true, []float64{63, 1068}, []float64{10, 100, 1000, 10000}},
		"a power itself": {true, []float64{10, 100}, []float64{1, 10, 100}},
		"one value":      {true, []float64{7}, []float64{1, 10}},
		"steps":          {false, []float64{538, 900}, []float64{0, 100, 200, 300, 400, 500, 600, 700, 800, 900}},
		"half steps":     {false, []float64{2.1}, []float64{0, .5, 1, 1.5, 2, 2.5}},
		"nothing":        {true, nil, []float64{.1, 1}},
	} {
		chart := &Chart{Log: c.log}
		for _, v := range c.values {
			chart.Groups = append(chart.Groups, Group{Bars: []Bar{{Value: v}}})
		}
		got := chart.ticks()
		for i := range got { // a power of ten is not exact
			got[i] = float64(int64(got[i]*1e6+.5)) / 1e6
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAChartIsXMLThatTellsEverything(t *testing.T) {
	c := &Chart{
		Title: "A & B", Subtitle: strings.Repeat("long ", 60), Axis: "ms", Names: []string{"p50", "p99"},
		Groups: []Group{{Label: "<one>", Bars: []Bar{{Value: 5, Goal: 10}, {Value: 70, Goal: 50}}}},
	}
	svg := string(c.SVG())
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"A &amp; B", "&lt;one&gt;", ">5.00<", ">70.0<", "goal 10", "goal 50", "p99", "beyond the goal", within[1], beyond[2]} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(svg, beyond[1]) {
		t.Error("what meets its goal looks as if it did not")
	}
}
