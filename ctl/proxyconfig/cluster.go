package proxyconfig

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
)

// ClusterFilter chooses clusters; zero fields choose all.
type ClusterFilter struct {
	FQDN, Subset, Direction string
	Port                    int
}

// clusterName is a cluster's name taken apart: direction|port|subset|host.
type clusterName struct {
	direction, subset, host string
	port                    int
	structured              bool
}

func parseClusterName(name string) clusterName {
	parts := strings.Split(name, "|")
	if len(parts) != 4 {
		return clusterName{host: name}
	}
	port, err := strconv.Atoi(parts[1])
	if err != nil {
		return clusterName{host: name}
	}
	return clusterName{direction: parts[0], port: port, subset: parts[2], host: parts[3], structured: true}
}

func (f ClusterFilter) matches(n clusterName) bool {
	return (f.FQDN == "" || n.host == f.FQDN) && (f.Port == 0 || n.port == f.Port) &&
		(f.Subset == "" || n.subset == f.Subset) && (f.Direction == "" || strings.EqualFold(n.direction, f.Direction))
}

type cluster struct {
	Type     string `json:"type"`
	Provider *struct {
		Name string `json:"name"`
	} `json:"clusterType"`
	Metadata configMetadata `json:"metadata"`
}

func (c *cluster) discovery() string {
	if c.Provider != nil {
		return c.Provider.Name
	}
	return cmp.Or(c.Type, "STATIC")
}

// PrintClusters prints SERVICE FQDN, PORT, SUBSET, DIRECTION, TYPE, DESTINATION RULE.
func (d *Dump) PrintClusters(w io.Writer, format Format, filter ClusterFilter) error {
	chosen := slices.DeleteFunc(slices.Clone(d.Clusters), func(r Resource) bool { return !filter.matches(parseClusterName(r.Name)) })
	if format != Short {
		return messages(w, format, raws(chosen))
	}
	slices.SortStableFunc(chosen, func(a, b Resource) int {
		x, y := parseClusterName(a.Name), parseClusterName(b.Name)
		return cmp.Or(strings.Compare(x.host, y.host), cmp.Compare(x.port, y.port),
			strings.Compare(x.subset, y.subset), strings.Compare(x.direction, y.direction))
	})
	var rows [][]string
	for _, r := range chosen {
		var c cluster
		if err := json.Unmarshal(r.Raw, &c); err != nil {
			return err
		}
		n := parseClusterName(r.Name)
		row := []string{n.host, "-", "-", "-", c.discovery(), c.Metadata.object("destination-rule")}
		if n.structured {
			row[1], row[2], row[3] = strconv.Itoa(n.port), cmp.Or(n.subset, "-"), n.direction
		}
		rows = append(rows, row)
	}
	return table(w, 5, "SERVICE FQDN\tPORT\tSUBSET\tDIRECTION\tTYPE\tDESTINATION RULE", rows)
}

func raws(rs []Resource) []json.RawMessage {
	var out []json.RawMessage
	for _, r := range rs {
		out = append(out, r.Raw)
	}
	return out
}
