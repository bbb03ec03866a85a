package proxyconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
)

// Format of the output: a table, or the messages themselves.
type Format string

// The formats of -o.
const (
	Short Format = "short"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// ParseFormat checks what a user gave to -o.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Short, JSON, YAML:
		return f, nil
	case "", "table":
		return Short, nil
	}
	return "", fmt.Errorf("output format %q: use short, json or yaml", s)
}

// table prints rows under a header, with the padding that Istio's tools use.
func table(w io.Writer, padding int, header string, rows [][]string) error {
	return terminal.Table(w, padding, strings.Split(header, "\t"), rows)
}

// messages prints resources as a JSON or YAML list.
func messages(w io.Writer, f Format, raws []json.RawMessage) error {
	if raws == nil {
		raws = []json.RawMessage{}
	}
	data, err := json.Marshal(raws)
	if err != nil {
		return err
	}
	return document(w, f, data)
}

// section prints a whole section of a dump, which may have none of the kind.
func section(w io.Writer, f Format, raw json.RawMessage) error {
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	return document(w, f, raw)
}

// PrintDocument prints a whole dump as JSON or YAML.
func PrintDocument(w io.Writer, f Format, data []byte) error { return document(w, f, data) }

// document prints one JSON document as it is, indented, or as YAML.
func document(w io.Writer, f Format, data []byte) error {
	if f == YAML {
		out, err := yaml.JSONToYAML(terminal.JSON(data))
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, terminal.Lines(string(out)))
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, terminal.JSON(data), "", "    "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(w)
	return err
}

// configMetadata is the metadata by which a resource tells which object it came from.
type configMetadata struct {
	FilterMetadata struct {
		Istio struct {
			Config string `json:"config"`
		} `json:"istio"`
	} `json:"filterMetadata"`
}

// object gives name.namespace of a path /apis/GROUP/VERSION/namespaces/NS/KIND/NAME of the kind,
// "" for others.
func (m *configMetadata) object(kind string) string {
	parts := strings.Split(m.FilterMetadata.Istio.Config, "/")
	if len(parts) != 8 || parts[6] != kind {
		return ""
	}
	return parts[7] + "." + parts[5]
}
