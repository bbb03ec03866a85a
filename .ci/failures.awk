# Prints what the tests that failed said themselves, from the output of `go test`, with -v or without:
# in a long log the rest hides it.
# usage: awk -f failures.awk LOG

function keep(line) { said[last++ + 0] = line; if (last > first + 40) delete said[first++] }
function forget() { delete said; first = last = 0 }

{ line = substr($0, 1, 500) }
/^=== RUN [^\/]*$/ { forget() } # a test of its own, not a part of one
/^--- FAIL/ { for (i = first + 0; i < last; i++) print said[i]; forget() }
/^ *--- FAIL/ { failed = 1; print line; next }
/^ *--- (PASS|SKIP)/ || /^=== / || /^ok / { failed = 0; next }
/^panic: |^fatal error: |^WARNING: DATA RACE|^make.*Error|^FAIL\t/ { print line; next }
/_test\.go:[0-9]+: / { if (failed) print line; else keep(line) }
