// Package plot draws bar charts as SVG.
package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// Bar is one line of a chart.
type Bar struct {
	Label string
	Value float64
	Goal  float64 // drawn as a mark; 0 for none
}

// Chart is horizontal bars under a title.
type Chart struct {
	Title, Subtitle, Unit string
	Bars                  []Bar
	// Log makes the scale logarithmic, from the power of ten below the smallest value.
	Log bool
}

const (
	width, labels, values = 760.0, 190.0, 90.0
	top, line, thick      = 64.0, 24.0, 14.0
)

// SVG draws the chart. The colours suit light and dark pages.
func (c *Chart) SVG() []byte {
	var b bytes.Buffer
	height := top + line*float64(len(c.Bars)) + 16
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", width, height)
	text(&b, 12, 24, "start", "#1c2733", c.Title, ` font-size="16" font-weight="bold"`)
	text(&b, 12, 44, "start", "#5a6875", c.Subtitle, "")
	scale := c.scale()
	for i, bar := range c.Bars {
		y := top + line*float64(i)
		text(&b, labels-8, y+thick-3, "end", "#1c2733", bar.Label, "")
		colour := "#2f7ebc"
		if bar.Goal > 0 && bar.Value > bar.Goal {
			colour = "#d9822b"
		}
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", labels, y, scale(bar.Value), thick, colour)
		text(&b, labels+scale(bar.Value)+6, y+thick-3, "start", "#1c2733", format(bar.Value)+" "+c.Unit, "")
		if bar.Goal > 0 {
			x := labels + scale(bar.Goal)
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#1c2733" stroke-width="2"><title>goal %s %s</title></line>`+"\n",
				x, x, y-3, y+thick+3, format(bar.Goal), c.Unit)
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// scale gives the width of a value.
func (c *Chart) scale() func(float64) float64 {
	low, high := math.Inf(1), 0.0
	for _, bar := range c.Bars {
		for _, v := range []float64{bar.Value, bar.Goal} {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	room := width - labels - values
	if high == 0 {
		return func(float64) float64 { return 0 }
	}
	if !c.Log {
		return func(v float64) float64 { return max(0, v/high*room) }
	}
	from := math.Floor(math.Log10(low))
	if from == math.Log10(low) {
		from--
	}
	return func(v float64) float64 {
		if v <= 0 {
			return 0
		}
		return max(0, (math.Log10(v)-from)/(math.Log10(high)-from)*room)
	}
}

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
