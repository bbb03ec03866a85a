package bench

import (
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/floor"
)

// everyone is the class of the clients of an unscoped mesh.
const everyone = ""

// tapes record what one client of each class gets, while a scenario runs. A class is a namespace
// where those get different things; else the first client stands for all that a change concerns.
type tapes struct {
	fleet   *ads.Fleet
	by      map[string]*ads.Tape
	clients []int
}

func (r *runner) record(fleet *ads.Fleet) *tapes {
	t := &tapes{fleet: fleet, by: map[string]*ads.Tape{}}
	for i := range fleet.Len() {
		class := everyone
		if r.namespaced() {
			class = fleet.Namespace(i)
		}
		if t.by[class] == nil {
			t.by[class] = fleet.Record(i)
			t.clients = append(t.clients, i)
		}
	}
	return t
}

// stop ends the recording and gives the responses by class.
func (t *tapes) stop() map[string][]ads.Frame {
	for _, i := range t.clients {
		t.fleet.Stop(i)
	}
	out := map[string][]ads.Frame{}
	for class, tape := range t.by {
		out[class] = tape.Frames()
	}
	return out
}

// answer lets the floor answer first requests of such clients with what was recorded.
func (r *runner) answer(frames map[string][]ads.Frame, class floor.Class) {
	for name, list := range frames {
		class.Namespace = name
		by := map[ads.Kind][][]byte{}
		for _, f := range list {
			by[f.Kind] = append(by[f.Kind], f.Bytes)
		}
		r.replies.By[class] = by
	}
}

// play is what the floor has to send for a result.
type play struct {
	result   *Result
	parts    floor.Play
	messages int // that all clients together get
	stall    int // one client in so many does not read
}

// gap is the longest that the floor waits between two responses. It is well above the pause between
// two changes: squeezed together, several responses would share a write and several answers a read,
// which those of the server could not.
const gap = 250 * time.Millisecond

// replay lets the floor send later what was recorded, to the clients that were concerned.
func (r *runner) replay(result *Result, frames map[string][]ads.Frame, concerned func(namespace string) bool) *play {
	p := &play{result: result}
	for class, list := range frames {
		in, part := concerned, floor.Part{Frames: cut(list)}
		if class != everyone {
			in, part.Namespaces = func(ns string) bool { return ns == class }, []string{class}
		} else if r.concerned(concerned) < r.Clients {
			part.Namespaces = r.namespaces(concerned)
		}
		if len(list) > 0 {
			p.parts = append(p.parts, part)
			p.messages += len(list) * r.concerned(in)
		}
	}
	return p
}

// cut shortens the pauses between frames.
func cut(frames []ads.Frame) []ads.Frame {
	frames = slices.Clone(frames)
	var cut, former time.Duration
	for i := range frames {
		after := frames[i].After
		if i == 0 || after-former > gap {
			cut += after - former - min(gap, after-former)
		}
		former = after
		frames[i].After = after - cut
	}
	return frames
}

// bytesOf adds up the frames of some kinds.
func bytesOf(frames []ads.Frame, kinds ...ads.Kind) int {
	n := 0
	for _, f := range frames {
		if slices.Contains(kinds, f.Kind) {
			n += len(f.Bytes)
		}
	}
	return n
}
