package page

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// formats are how templates write numbers.
var formats = template.FuncMap{
	"rate": rate, "percent": percent, "millis": millis, "bytes": amount, "age": age, "count": count,
}

// rate writes events a second.
func rate(v float64) string {
	switch {
	case v == 0:
		return "0/s"
	case v < 0.05:
		return "<0.1/s"
	case v < 10:
		return fmt.Sprintf("%.1f/s", v)
	}
	return fmt.Sprintf("%.0f/s", v)
}

// percent writes a share from 0 to 1. What is not 0 is not written as 0.
func percent(v float64) string {
	switch {
	case v == 0:
		return "0%"
	case v < 0.001:
		return "<0.1%"
	case v < 0.1:
		return fmt.Sprintf("%.1f%%", 100*v)
	}
	return fmt.Sprintf("%.0f%%", 100*v)
}

// millis writes a duration in ms, "–" for none.
func millis(v float64) string {
	switch {
	case v < 0:
		return "–"
	case v < 10:
		return fmt.Sprintf("%.1f ms", v)
	case v < 10_000:
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.1f s", v/1000)
}

func amount(v float64) string {
	for _, unit := range []string{"B", "KB", "MB"} {
		if v < 1000 {
			return fmt.Sprintf("%.3g %s", v, unit)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.3g GB", v)
}

func count(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// age writes how long ago something was, in its largest unit.
func age(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// place is where an object was read, as FILE:LINE; "" for an API server.
func place(o model.Origin) string {
	if o.File == "" {
		return ""
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}
