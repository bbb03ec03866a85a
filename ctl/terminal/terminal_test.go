package terminal

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostile is what must not reach a terminal as it is: an escape sequence, a bell, line ends, a forged column,
// signs that turn the direction of writing, C1 control characters, invalid UTF-8.
const hostile = "a\x1b]0;title\x07\r\nFORGED\tSYNCED\u202egnp\u2066\u200f\u0085\u009b\u2028\x7f\xff\xc3"

const escaped = `a\x1b]0;title\a\r\nFORGED\tSYNCED\u202egnp\u2066\u200f\u0085\u009b\u2028\x7f\xff\xc3`

func TestText(t *testing.T) {
	if got := Text(hostile); got != escaped {
		t.Errorf("got %s", got)
	}
	for _, plain := range []string{"", "reviews-v1.default", "größer, 東京, 100 %", `a\b "c"`} {
		if got := Text(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
}

func TestLinesKeepTheirEnds(t *testing.T) {
	if got := Lines("a\n\tb\x1b[2J\r\n"); got != "a\n\tb\\x1b[2J\\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestTableKeepsItsForm(t *testing.T) {
	var b strings.Builder
	if err := Table(&b, 2, []string{"NAME", "STATE"}, [][]string{{hostile, "SYNCED"}, {"b", "STALE"}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], escaped+"  SYNCED") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("%d lines: %q", len(lines), b.String())
	}
}

func TestJSONMeansTheSame(t *testing.T) {
	text := "\u202e\u009b\u2028\U000e0001 größer"
	document := []byte(`{"a": "` + text + `"}`)
	out := JSON(document)
	var got struct{ A string }
	if err := json.Unmarshal(out, &got); err != nil || got.A != text {
		t.Errorf("%s: %v", out, err)
	}
	if want := `{"a": "\u202e\u009b\u2028` + "\U000e0001" + ` größer"}`; string(out) != want {
		t.Errorf("got %s", out)
	}
	if got := JSON([]byte("\"\xff\"")); string(got) != `"\ufffd"` {
		t.Errorf("got %q", got)
	}
}

// TestTablesAreWrittenHereOnly looks for others that write tables.
func TestTablesAreWrittenHereOnly(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || filepath.Base(filepath.Dir(path)) == "terminal" {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), `"text/tabwriter"`) {
			t.Errorf("%s writes a table of its own; use terminal.Table", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
