package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestMisspeltFlagIsAnErrorAndAForeignOneAWarning(t *testing.T) {
	cmd := discoveryCommand()
	var out bytes.Buffer
	log, err := newLogger(&out, "default:info")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{"--configdir=x", "--grpcAdr=:1", "--log-output-level=debug"} {
		if err := checkUnknown(cmd, []string{arg}, log); err == nil || !strings.Contains(err.Error(), "did you mean --") {
			t.Errorf("%s: got %v, want a suggestion", arg, err)
		}
	}
	if err := checkUnknown(cmd, []string{"discovery", "--ctrlz_port=:15017", "--tlsCertFile", "x", "--configDir=y"}, log); err != nil {
		t.Errorf("foreign flags are an error: %v", err)
	}
	for _, want := range []string{"--ctrlz_port", "--tlsCertFile"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no warning names %s: %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "configDir") {
		t.Errorf("warns of our own flag: %s", out.String())
	}
}

// What there is not is wrong usage, and nothing runs.
func TestWrongUsageHasItsOwnExitCode(t *testing.T) {
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := newRoot()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		return out.String(), cmd.Execute()
	}
	for _, args := range [][]string{
		{"foo"},
		{"help", "foo"},
		{"help", "version", "foo"},
		{"completion", "nope"},
		{"completion", "bash", "nope"},
		{"version", "x"},
		{"version", "--nope"},
		{"discovery", "x"},
		{"discovery", "--log_output_level=loud"},
		{"discovery", "--monitoringAddr"},
	} {
		if out, err := run(args...); err == nil || exitCode(err) != 2 {
			t.Errorf("%v: %v, want exit code 2\n%s", args, err, out)
		}
	}
	for _, args := range [][]string{nil, {"help"}, {"help", "discovery"}, {"version"}, {"completion", "bash"}, {"completion"}} {
		if out, err := run(args...); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if got := exitCode(errors.New("x")); got != 1 {
		t.Errorf("a failure has exit code %d", got)
	}
}

func TestLogLevels(t *testing.T) {
	for levels, wantDebug := range map[string]bool{"default:info": false, "debug": true, "ads:debug,default:warn": false, "default:none": false} {
		log, err := newLogger(&bytes.Buffer{}, levels)
		if err != nil {
			t.Fatal(err)
		}
		if got := log.Enabled(t.Context(), -4); got != wantDebug {
			t.Errorf("%s: debug %v, want %v", levels, got, wantDebug)
		}
	}
	if _, err := newLogger(&bytes.Buffer{}, "default:loud"); err == nil {
		t.Error("an unknown level is accepted")
	}
}

// TestLogsQuote logs what a proxy may say.
func TestLogsQuote(t *testing.T) {
	const hostile = "a\x1b]0;t\x07\nlevel=ERROR msg=forged\u202e\u009b\xff"
	var out bytes.Buffer
	log, err := newLogger(&out, "default:info")
	if err != nil {
		t.Fatal(err)
	}
	log.With(hostile, hostile).WithGroup(hostile).Info(hostile, "node", hostile, "err", errors.New(hostile), hostile, 1)
	text := strings.TrimSuffix(out.String(), "\n")
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(text) {
		t.Errorf("as it came: %q", text)
	}
}

// The linker's name of the release is what metrics, /version and Kiali are told.
func TestTheReleaseIsWhatTheLinkerSays(t *testing.T) {
	own := version
	t.Cleanup(func() { version = own })
	if version = "1.2.3"; release() != "1.2.3" {
		t.Errorf("the release is %q", release())
	}
	if version = ""; release() == "" {
		t.Error("a program that was built otherwise has no release")
	}
}
