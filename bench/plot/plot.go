// Package plot draws bar charts as SVG.
package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
)

// Group is one line of a chart: a bar for each of its values.
type Group struct {
	Label string
	Bars  []Bar
}

// Bar has a mark where its goal is, 0 for none.
type Bar struct{ Value, Goal float64 }

// Chart is horizontal bars under a title.
type Chart struct {
	Title, Subtitle string
	// Axis says what is measured in which unit.
	Axis string
	// Names are those of each group's values, at most three.
	Names  []string
	Groups []Group
	// Log makes the scale logarithmic, in powers of ten.
	Log bool
}

// Sizes in pixels of the drawing, which scales.
const (
	width, labels, values = 860.0, 220.0, 70.0
	top, bottom           = 86.0, 46.0
	thick, space          = 12.0, 10.0
	letter                = 5.6 // about the width of one of the subtitle's
)

const dark, grey, light = "#1c2733", "#5a6875", "#dfe4e8"

// Of three values each but the last is lighter; what is beyond its goal has the second colour.
var within, beyond = []string{"#cfe2f1", "#9cc4e4", "#2f7ebc"}, []string{"#f9dfc2", "#f2c08a", "#d9822b"}

// SVG draws the chart. The colours suit light and dark pages.
func (c *Chart) SVG() []byte {
	var b bytes.Buffer
	each := thick*float64(len(c.Names)) + space
	height := top + each*float64(len(c.Groups)) + bottom
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", width, height)
	text(&b, 12, 24, "start", dark, c.Title, ` font-size="16" font-weight="bold"`)
	small := ` font-size="11"`
	if most := (width - 24) / letter; float64(len(c.Subtitle)) > most {
		small = fmt.Sprintf(` font-size="11" textLength="%.0f" lengthAdjust="spacingAndGlyphs"`, width-24)
	}
	text(&b, 12, 43, "start", grey, c.Subtitle, small)
	c.legend(&b)
	at := c.axis(&b, height)
	for i, g := range c.Groups {
		c.group(&b, g, top+each*float64(i), at)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// legend names the bars and the mark.
func (c *Chart) legend(b *bytes.Buffer) {
	x := labels
	for i, name := range c.Names {
		fmt.Fprintf(b, `<rect x="%.1f" y="56" width="12" height="10" fill="%s"/>`+"\n", x, colour(within, i, len(c.Names)))
		text(b, x+17, 65, "start", dark, name, "")
		x += 40 + 7*float64(len(name))
	}
	if slices.ContainsFunc(c.bars(), func(bar Bar) bool { return bar.Goal > 0 }) {
		fmt.Fprintf(b, `<rect x="%.1f" y="56" width="12" height="10" fill="%s"/>`+"\n", x, beyond[len(beyond)-1])
		text(b, x+17, 65, "start", dark, "beyond the goal", "")
		fmt.Fprintf(b, `<rect x="%.1f" y="54" width="2" height="14" fill="%s"/>`+"\n", x+130, dark)
		text(b, x+138, 65, "start", dark, "goal", "")
	}
}

// colour of value i of n: the last one is the strongest.
func colour(of []string, i, n int) string { return of[len(of)-n+i] }

func (c *Chart) bars() []Bar {
	var out []Bar
	for _, g := range c.Groups {
		out = append(out, g.Bars...)
	}
	return out
}

func (c *Chart) group(b *bytes.Buffer, g Group, y float64, at func(float64) float64) {
	text(b, labels-8, y+thick*float64(len(g.Bars))/2+4, "end", dark, g.Label, "")
	for i, bar := range g.Bars {
		of := within
		if bar.Goal > 0 && bar.Value > bar.Goal {
			of = beyond
		}
		line := y + thick*float64(i)
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
			labels, line, max(0, at(bar.Value)-labels), thick-1, colour(of, i, len(g.Bars)))
		end := at(bar.Value)
		if bar.Goal > 0 {
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="2" height="%.1f" fill="%s"><title>goal %s</title></rect>`+"\n",
				at(bar.Goal)-1, line-1, thick+1, dark, format(bar.Goal))
			if near := at(bar.Goal) - end; near >= 0 && near < values {
				end = at(bar.Goal)
			}
		}
		text(b, max(labels, end)+5, line+thick-2, "start", dark, format(bar.Value), ` font-size="11"`)
	}
}

// axis draws the ticks and gives the position of a value.
func (c *Chart) axis(b *bytes.Buffer, height float64) func(float64) float64 {
	ticks := c.ticks()
	low, high := ticks[0], ticks[len(ticks)-1]
	at := func(v float64) float64 {
		share := (v - low) / (high - low)
		if c.Log {
			share = math.Log(max(v, low)/low) / math.Log(high/low)
		}
		return labels + share*(width-labels-values)
	}
	for _, t := range ticks {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="1" height="%.1f" fill="%s"/>`+"\n", at(t)-.5, top-6, height-top-bottom+8, light)
		text(b, at(t), height-bottom+16, "middle", grey, tick(t), ` font-size="11"`)
	}
	text(b, labels+(width-labels-values)/2, height-10, "middle", grey, c.Axis, "")
	return at
}

// ticks gives at least two values, from below the smallest to above the largest.
func (c *Chart) ticks() []float64 {
	low, high := math.Inf(1), 0.0
	for _, bar := range c.bars() {
		for _, v := range []float64{bar.Value, bar.Goal} {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		low, high = 1, 1
	}
	if !c.Log {
		step := math.Pow(10, math.Floor(math.Log10(high)))
		for high/step < 4 {
			step /= 2
		}
		var out []float64
		for v := 0.0; v < high+step; v += step {
			out = append(out, v)
		}
		return out
	}
	var out []float64
	for e := math.Ceil(math.Log10(low)) - 1; ; e++ {
		out = append(out, math.Pow(10, e))
		if len(out) > 1 && out[len(out)-1] >= high {
			return out
		}
	}
}

// tick writes a value of the axis.
func tick(v float64) string { return fmt.Sprintf("%g", v) }

func format(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func text(b *bytes.Buffer, x, y float64, anchor, colour, s, more string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s"%s>`, x, y, anchor, colour, more)
	_ = xml.EscapeText(b, []byte(s)) // a Buffer never fails
	b.WriteString("</text>\n")
}
