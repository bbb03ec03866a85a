package bench

import (
	"math"
	"slices"
	"time"
)

// Result of one scenario.
type Result struct {
	Name    string `json:"name"`
	Clients int    `json:"clients"`
	// Concerned are the clients that each change has to reach, Changes how many were made.
	Concerned int `json:"concerned,omitempty"`
	Changes   int `json:"changes,omitempty"`
	// Last is from a change to the last client's acknowledgement, over changes; Each is over
	// changes and clients. For connecting clients both are from the start to being in sync.
	Last *Quantiles `json:"last,omitempty"`
	Each *Quantiles `json:"each,omitempty"`
	// Inside is the mean time that the server itself saw from an event's arrival to its
	// acknowledgement; what is missing to Each is the file source's.
	Inside float64 `json:"insideMs,omitempty"`
	// Missing acknowledgements did not come before the next change of the same resource, or at all.
	Missing int `json:"missing,omitempty"`
	// Seconds is wall time; Making is the part of it in which changes were made.
	Seconds float64 `json:"seconds"`
	Making  float64 `json:"makingSeconds,omitempty"`
	// Ready is from the server's exec to its readiness, in seconds.
	Ready float64 `json:"readySeconds,omitempty"`
	// ServerCPU, FloorCPU and ClientCPU are CPU seconds of the server, of the floor that sent the
	// same, and of all simulated clients and the one who edits the files.
	ServerCPU float64 `json:"serverCPU"`
	FloorCPU  float64 `json:"floorCPU,omitempty"`
	ClientCPU float64 `json:"clientCPU,omitempty"`
	// Down and Up are bytes of messages for each client; State is the first client's full state.
	Down     float64 `json:"downBytes"`
	Up       float64 `json:"upBytes"`
	State    float64 `json:"stateBytes,omitempty"`
	Messages int64   `json:"messages"`
	// Due are the bytes of the responses that carry the changed resources, for each client on
	// average; what Down is more was not due.
	Due float64 `json:"dueBytes,omitempty"`
	// Resent are messages to clients that came back beside those that they were due.
	Resent int64 `json:"resent,omitempty"`
	// Broken streams are those that the server ended.
	Broken int64 `json:"broken,omitempty"`
	// Allocs and AllocBytes are the server's.
	Allocs     float64 `json:"allocs"`
	AllocBytes float64 `json:"allocBytes"`
	Views      float64 `json:"views,omitempty"`
	Rebuilt    float64 `json:"rebuiltViews,omitempty"`
	// Uninterested is the CPU time in µs that one client costs for a change that is not for it.
	Uninterested *float64 `json:"uninterestedUs,omitempty"`
	// UninterestedAllocs are the allocations of the server for it.
	UninterestedAllocs *float64 `json:"uninterestedAllocs,omitempty"`
	// Stray are messages to clients that the changes are not for.
	Stray int64 `json:"stray,omitempty"`
	// Memory in bytes: Live is heap and stacks in use after a collection, PerClient its slope.
	// PeakPerClient is the slope of the cgroup's peak, or of the resident set's without one.
	Live          float64 `json:"live,omitempty"`
	PerClient     float64 `json:"perClient,omitempty"`
	PeakPerClient float64 `json:"peakPerClient,omitempty"`
	PeakRSS       float64 `json:"peakRSS"`
	PeakCgroup    float64 `json:"peakCgroup,omitempty"`
	FloorPeak     float64 `json:"floorPeak,omitempty"`
	// Against is the same measured without what the scenario adds, where it compares two.
	Against *Result  `json:"against,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Ratio is the server's CPU time to the floor's; 0 where there is no floor.
func (r *Result) Ratio() float64 { return per(r.ServerCPU, r.FloorCPU) }

// Peak is the most memory that the server has held until then.
func (r *Result) Peak() float64 { return max(r.PeakRSS, r.PeakCgroup) }

// per divides; 0 where there is nothing to divide by.
func per(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// Quantiles in milliseconds.
type Quantiles struct {
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Count int     `json:"count"`
}

// quantiles gives nil for none. The p99 of fewer than 100 values is the highest.
func quantiles(ds []time.Duration) *Quantiles {
	if len(ds) == 0 {
		return nil
	}
	slices.Sort(ds)
	at := func(q float64) float64 {
		i := max(0, int(math.Ceil(q*float64(len(ds))))-1)
		return float64(ds[i].Microseconds()) / 1000
	}
	return &Quantiles{P50: at(.5), P99: at(.99), Max: at(1), Count: len(ds)}
}

// median of some values, the higher of the middle ones; 0 of none.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
