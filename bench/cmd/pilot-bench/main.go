// Command pilot-bench has become `pilotctl bench`; it says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "pilot-bench: use `pilotctl bench`; its flags are the same, see --help")
	os.Exit(1)
}
