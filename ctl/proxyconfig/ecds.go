package proxyconfig

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// PrintECDS prints ECDS NAME, TYPE of the extensions that were discovered, by type and name. Other
// formats give the section of the dump (admin.v3.EcdsConfigDump).
func (d *Dump) PrintECDS(w io.Writer, format Format) error {
	if format != Short {
		return section(w, format, d.ecds)
	}
	var rows [][]string
	for _, r := range d.ECDS {
		var extension struct {
			Typed struct {
				Type string `json:"@type"`
			} `json:"typedConfig"`
		}
		if err := json.Unmarshal(r.Raw, &extension); err != nil {
			return err
		}
		rows = append(rows, []string{r.Name, strings.TrimPrefix(extension.Typed.Type, "type.googleapis.com/")})
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Or(strings.Compare(a[1], b[1]), strings.Compare(a[0], b[0])) })
	return table(w, 5, "ECDS NAME\tTYPE", rows)
}
