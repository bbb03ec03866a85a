package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
)

// outputIs tells that an output format is none of those that a command has.
func outputIs(output string, formats ...string) error {
	if slices.Contains(formats, output) {
		return nil
	}
	last := len(formats) - 1
	return usageError(fmt.Errorf("output format %q: use %s or %s", output, strings.Join(formats[:last], ", "), formats[last]))
}

// printDocument prints a value that others may have had a part in.
func printDocument(w io.Writer, f proxyconfig.Format, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return proxyconfig.PrintDocument(w, f, data)
}
