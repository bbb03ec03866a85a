package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pilotctl": main})
}

// The scripts of testdata/script are the commands that need no mesh, as a shell sees them.
func TestScripts(t *testing.T) {
	data, err := filepath.Abs("../../proxyconfig/testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exitcode": exitCode},
		Setup: func(e *testscript.Env) error {
			e.Setenv("DATA", data)
			return nil
		},
	})
}

// exitCode runs a program and wants one exit code: exitcode 2 PROGRAM [ARG...].
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("sh", append([]string{"-c", `want=$1; shift; "$@"; got=$?; [ $got = $want ] || { echo "exit code $got, want $want" >&2; exit 1; }`, "sh"}, args...)...))
}
