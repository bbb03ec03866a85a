package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
)

// Bounds are the most that a scenario may take; what is zero is not checked. None of them is a
// time on the wall, since that says more of the machine than of the program.
type Bounds struct {
	Allocs     float64 `json:"allocs,omitempty"`
	AllocBytes float64 `json:"allocBytes,omitempty"`
	Down       float64 `json:"downBytes,omitempty"`
	Up         float64 `json:"upBytes,omitempty"`
	Messages   int64   `json:"messages,omitempty"`
	// Ratio is of the server's CPU time to the floor's.
	Ratio float64 `json:"ratio,omitempty"`
	// UninterestedAllocs are for each client that a change is not for, and each change.
	UninterestedAllocs float64 `json:"uninterestedAllocs,omitempty"`
	// Silent scenarios send nothing; in no scenario a client gets what is not for it.
	Silent bool `json:"silent,omitempty"`
}

// Baseline holds bounds by series, then by scenario.
type Baseline map[string]map[string]Bounds

// Room that a baseline leaves above what was measured. How many allocations and messages a storm
// costs depends on how many of its changes are merged, and a CPU's time on what its caches share.
const (
	roomAllocs, roomStorm, roomBytes, roomRatio = 1.25, 1.6, 1.03, 2
	// What sampled checks of the server may allocate in any scenario: at most two of them.
	roomCheck, roomCheckBytes = 16000, 4 << 20
	// What nothing at all seems to allocate for each client that a change is not for.
	roomNothing = 20
)

// NewBaseline allows what was measured and some room.
func NewBaseline(all []*Measured) Baseline {
	out := Baseline{}
	for _, s := range all {
		by := map[string]Bounds{}
		for _, x := range s.Results {
			by[x.Name] = bounds(x)
		}
		out[s.Options.Name] = by
	}
	return out
}

func bounds(x *Result) Bounds {
	allocations := roomAllocs
	var b Bounds
	switch x.Name {
	case scenarioTouch:
		allocations, b.Silent = roomStorm, true
	case scenarioChurn, scenarioRollout:
		allocations = roomStorm
	default:
		b.Down, b.Up = math.Ceil(roomBytes*x.Down), math.Ceil(roomBytes*x.Up)
		b.Messages = int64(math.Ceil(roomBytes * float64(x.Messages)))
	}
	b.Allocs = math.Ceil(allocations*x.Allocs + roomCheck)
	b.AllocBytes = math.Ceil(allocations*x.AllocBytes + roomCheckBytes)
	if x.UninterestedAllocs != nil {
		b.UninterestedAllocs = math.Ceil(allocations*max(0, *x.UninterestedAllocs) + roomNothing)
	}
	if x.Name == scenarioCold || x.Name == scenarioEndpoint {
		b.Ratio = math.Ceil(10*roomRatio*x.Ratio()) / 10
	}
	return b
}

// Write writes the bounds into a file.
func (b Baseline) Write(file string) error {
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// ReadBaseline reads a file of bounds.
func ReadBaseline(file string) (Baseline, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var b Baseline
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// Check compares series to the bounds. All that is beyond them, or was not measured, is one error.
func (b Baseline) Check(all []*Measured) error {
	var errs []error
	for _, s := range all {
		for _, e := range s.Errors {
			errs = append(errs, fmt.Errorf("%s, %s", s.Options.Name, e))
		}
		by := b[s.Options.Name]
		for _, name := range slices.Sorted(maps.Keys(by)) {
			bounds := by[name]
			x := s.Result(name)
			if x == nil {
				errs = append(errs, fmt.Errorf("%s, %s: was not measured", s.Options.Name, name))
				continue
			}
			for _, err := range bounds.exceeded(x) {
				errs = append(errs, fmt.Errorf("%s, %s: %w", s.Options.Name, name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (b *Bounds) exceeded(x *Result) []error {
	var errs []error
	check := func(what string, got, most float64) {
		if most > 0 && got > most {
			errs = append(errs, fmt.Errorf("%s %.4g, more than %.4g", what, got, most))
		}
	}
	check("allocations", x.Allocs, b.Allocs)
	check("allocated bytes", x.AllocBytes, b.AllocBytes)
	check("bytes down for each client", x.Down, b.Down)
	check("bytes up for each client", x.Up, b.Up)
	check("messages", float64(x.Messages), float64(b.Messages))
	check("CPU time to the floor's", x.Ratio(), b.Ratio)
	if x.UninterestedAllocs != nil {
		check("allocations for each client that a change is not for", *x.UninterestedAllocs, b.UninterestedAllocs)
	}
	if b.Silent && x.Messages > 0 {
		errs = append(errs, fmt.Errorf("%d messages where none is due", x.Messages))
	}
	if x.Stray > 0 {
		errs = append(errs, fmt.Errorf("%d messages to clients that the changes are not for", x.Stray))
	}
	return errs
}
