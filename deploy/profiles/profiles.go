// Package profiles holds the settings that an installation begins with, as IstioOperator files. Every
// profile is laid over the default one.
package profiles

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Default is the profile under all others.
const Default = "default"

// Names gives the names of all profiles, sorted.
func Names() []string {
	entries, _ := files.ReadDir(".") // it is embedded
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(out)
	return out
}

// Get gives the text of a profile.
func Get(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("there is no profile %q, only %s", name, strings.Join(Names(), ", "))
	}
	return files.ReadFile(name + ".yaml")
}
