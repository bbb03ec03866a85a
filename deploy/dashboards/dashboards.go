// Package dashboards has the Grafana dashboards of the mesh, and what Prometheus has to scrape for them. The
// JSON files are made from the tables here (go test ./deploy/dashboards -update); a test of test/e2e runs
// every query on a real Prometheus that reads a real mesh.
package dashboards

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

// Files are the dashboards as Grafana imports them, prometheus.yaml, and the rights of who scrapes by it.
//
//go:embed *.json prometheus.yaml prometheus-rights.yaml
var Files embed.FS

// Dashboard is one page of Grafana.
type Dashboard struct {
	Name      string // of its file and, with a prefix, in URLs
	Title     string
	Variables []Variable
	Rows      []Row
}

// Variable is what a user chooses at the head of a dashboard: one or more values of a label.
type Variable struct {
	Name, Title, Query string // label_values(METRIC, LABEL)
}

// Row is a line of panels under a title.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one plot.
type Panel struct {
	Title   string
	Unit    string // as Grafana calls it
	Queries []Query
	// Number shows the present value in place of a plot.
	Number bool
	// Table shows the present values by label.
	Table bool
}

// Query is an expression of PromQL with the legend of its series.
type Query struct{ Expr, Legend string }

type object = map[string]any

var source = object{"type": "prometheus", "uid": "${datasource}"}

// columns are Grafana's, of a line.
const columns = 24

// JSON gives the dashboard as Grafana imports it.
func (d Dashboard) JSON() ([]byte, error) {
	variables := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}}
	for _, v := range d.Variables {
		variables = append(variables, object{
			"name": v.Name, "label": v.Title, "type": "query", "datasource": source, "query": v.Query, "refresh": 2, "sort": 1,
			"includeAll": true, "multi": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"},
		})
	}
	var panels []object
	y := 0
	for _, r := range d.Rows {
		panels = append(panels, object{"id": len(panels) + 1, "type": "row", "title": r.Title, "collapsed": false, "gridPos": object{"x": 0, "y": y, "w": columns, "h": 1}})
		y++
		height := 8
		if r.Panels[0].Number {
			height = 4
		}
		width := columns / len(r.Panels)
		for i, p := range r.Panels {
			o := p.object()
			o["id"], o["gridPos"] = len(panels)+1, object{"x": i * width, "y": y, "w": width, "h": height}
			panels = append(panels, o)
		}
		y += height
	}
	return marshal(object{
		"uid": "pilothouse-" + d.Name, "title": d.Title, "tags": []string{"pilothouse"}, "schemaVersion": 39, "editable": true,
		"time": object{"from": "now-30m", "to": "now"}, "refresh": "10s", "templating": object{"list": variables}, "panels": panels,
	})
}

func (p Panel) object() object {
	kind := "timeseries"
	if p.Number {
		kind = "stat"
	}
	if p.Table {
		kind = "table"
	}
	var targets []object
	for i, q := range p.Queries {
		t := object{"refId": string(rune('A' + i)), "datasource": source, "expr": q.Expr, "legendFormat": q.Legend}
		if p.Table {
			t["format"], t["instant"] = "table", true
		}
		targets = append(targets, t)
	}
	return object{
		"type": kind, "title": p.Title, "datasource": source, "targets": targets,
		"fieldConfig": object{"defaults": object{"unit": p.Unit, "min": 0}, "overrides": []object{}},
	}
}

// marshal leaves the characters of queries as they are.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	return []byte(b.String()), nil
}
