package status

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func problem(name, message string, line int) model.Problem {
	return model.Problem{
		Object: model.Key{Kind: model.KindService, Namespace: "default", Name: name}, Message: message,
		Severity: model.SeverityError, Reason: model.ReasonInvalid, Origin: model.Origin{File: "a.yaml", Line: line},
	}
}

func TestBoardSortsAndDedupes(t *testing.T) {
	b := New(nil)
	changed := b.Changed()
	b.Report("validate", []model.Problem{problem("b", "wrong", 3), problem("a", "wrong", 1), problem("a", "wrong", 1)})
	b.Report("resolve", []model.Problem{problem("a", "wrong", 1)})
	select {
	case <-changed:
	default:
		t.Error("Changed did not tell")
	}
	got := b.Problems()
	if len(got) != 2 || got[0].Object.Name != "a" || got[1].Object.Name != "b" {
		t.Errorf("problems: %v", got)
	}
	if got := b.ByObject(problem("b", "", 0).Object); len(got) != 1 {
		t.Errorf("of one object: %v", got)
	}
	b.Report("validate", nil)
	if got := b.Problems(); len(got) != 1 {
		t.Errorf("after one stage is clean: %v", got)
	}
}

func TestBoardLogsBeginningAndEndOnce(t *testing.T) {
	var out bytes.Buffer
	b := New(slog.New(slog.NewTextHandler(&out, nil)))
	b.Report("validate", []model.Problem{problem("a", "wrong", 1)})
	b.Report("validate", []model.Problem{problem("a", "wrong", 7)}) // only its line moved
	b.Report("resolve", []model.Problem{problem("a", "wrong", 7)})  // another stage finds the same
	if n := strings.Count(out.String(), "msg=wrong"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), "object=Service/default/a") || !strings.Contains(out.String(), "file=a.yaml") {
		t.Errorf("log does not name object and file:\n%s", out.String())
	}
	b.Report("validate", nil)
	if strings.Contains(out.String(), "solved") {
		t.Errorf("one stage still reports it:\n%s", out.String())
	}
	b.Report("resolve", nil)
	if n := strings.Count(out.String(), "solved"); n != 1 {
		t.Errorf("end logged %d times:\n%s", n, out.String())
	}
	if got := b.Problems(); got != nil {
		t.Errorf("left: %v", got)
	}
}

// TestTextsOfStrangers reports what a proxy or a file may say.
func TestTextsOfStrangers(t *testing.T) {
	const hostile = "a\x1b]0;t\x07\nFORGED: Error\u202e\u009b\xff"
	var log bytes.Buffer
	b := New(slog.New(slog.NewTextHandler(&log, nil)))
	p := model.Problem{
		Object: model.Key{Kind: hostile, Namespace: hostile, Name: hostile}, Field: hostile, Message: hostile,
		Severity: model.SeverityError, Reason: model.ReasonRejected, Origin: model.Origin{File: hostile, Line: 1},
	}
	b.Report("push", []model.Problem{p})
	text := b.Problems()[0].String()
	for _, out := range []string{text, strings.TrimSuffix(log.String(), "\n")} {
		if strings.ContainsFunc(out, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(out) {
			t.Errorf("as it came: %q", out)
		}
	}
	b.Report("push", []model.Problem{p})
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("said again: %s", log.String())
	}
}
