// Package prometheus asks a running Prometheus what tests want to know. The folder program is the Prometheus that
// runs in a cluster; Debian's lacks discovery there.
package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Server is a running one.
type Server struct{ URL string }

// Sample is a value of a series at present.
type Sample struct {
	Labels map[string]string
	Value  string
}

// Target is what Prometheus scrapes.
type Target struct {
	Labels     map[string]string
	ScrapeURL  string
	ScrapePool string // the job's name in the configuration, which a rule may change in the labels
	Health     string // "up", "down", or "unknown" before the first scrape
	LastError  string
}

// Query gives those values of an expression that are numbers.
func (s Server) Query(ctx context.Context, expr string) ([]Sample, error) {
	var found struct {
		Result []struct {
			Metric map[string]string
			Value  []any
		}
	}
	if err := s.get(ctx, "query?"+url.Values{"query": {expr}}.Encode(), &found); err != nil {
		return nil, err
	}
	var samples []Sample
	for _, r := range found.Result {
		if len(r.Value) != 2 || r.Value[1] == "NaN" {
			continue
		}
		samples = append(samples, Sample{r.Metric, fmt.Sprint(r.Value[1])})
	}
	return samples, nil
}

// Has tells by an error that an expression has no value.
func (s Server) Has(ctx context.Context, expr string) error {
	samples, err := s.Query(ctx, expr)
	if err == nil && len(samples) == 0 {
		err = fmt.Errorf("no data for %s", expr)
	}
	return err
}

// Targets gives all that is scraped.
func (s Server) Targets(ctx context.Context) ([]Target, error) {
	var found struct{ ActiveTargets []Target }
	err := s.get(ctx, "targets?state=active", &found)
	return found.ActiveTargets, err
}

// get reads the data of an answer of the API.
func (s Server) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", path, resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}
