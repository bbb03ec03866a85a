package tap

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
)

// Filter chooses requests; zero fields choose all.
type Filter struct {
	Side, Method, Path string // Path is the beginning of one
	// Code is a response code, or one for its class as 5xx.
	Code string
}

// Check says what is wrong with a filter.
func (f Filter) Check() error {
	if f.Side != "" && f.Side != "in" && f.Side != "out" {
		return fmt.Errorf("direction %q: use in or out", f.Side)
	}
	code := strings.ToLower(f.Code)
	if digits, class := strings.CutSuffix(code, "xx"); class {
		code = digits + "00"
	}
	if n, err := strconv.Atoi(code); f.Code != "" && (err != nil || n != 0 && (n < 100 || n > 599)) {
		return fmt.Errorf("code %q: use one as 503, a class as 5xx, or 0 for no answer", f.Code)
	}
	return nil
}

// Matches tells whether a request is chosen.
func (f Filter) Matches(r Request) bool {
	code := strconv.Itoa(int(r.Code))
	class, isClass := strings.CutSuffix(strings.ToLower(f.Code), "xx")
	return (f.Side == "" || f.Side == r.Side) && (f.Method == "" || strings.EqualFold(f.Method, r.Method)) && strings.HasPrefix(r.Path, f.Path) &&
		(f.Code == "" || f.Code == code || isClass && len(code) == 3 && code[:1] == class)
}

// PrintLine prints a request as a line for people.
func PrintLine(w io.Writer, r Request) error {
	parts := []string{
		r.Time.Local().Format("15:04:05.000"), quoted(r.Pod), cmp.Or(r.Side, "-"), quoted(r.Source), "→", quoted(cmp.Or(r.Destination, "-")),
		quoted(r.Method), quoted(r.Authority + r.Path), strconv.Itoa(int(r.Code)), strconv.FormatFloat(r.Millis, 'f', 1, 64) + "ms",
	}
	for _, p := range []struct{ name, value string }{{"route", cmp.Or(r.Route, r.RouteName)}, {"policy", r.Policy}, {"details", details(r)}} {
		if p.value != "" {
			parts = append(parts, p.name+"="+quoted(p.value))
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(parts, " "))
	return err
}

// details gives Envoy's reason where it is not that the server answered.
func details(r Request) string {
	if r.Details == "via_upstream" || r.Policy != "" && strings.Contains(r.Details, r.Policy) {
		return ""
	}
	return r.Details
}

// PrintJSON prints a request as an object on a line.
func PrintJSON(w io.Writer, r Request) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(terminal.JSON(data), '\n'))
	return err
}

// quoted quotes what would be taken for more than one word of the line, or for commands of a terminal.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r == '"' || r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r)
	}
	if s == "" || strings.ContainsFunc(s, plain) {
		return strconv.QuoteToASCII(s)
	}
	return terminal.Text(s)
}
