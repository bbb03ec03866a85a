package discovery

import (
	"slices"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/lines"
)

// locateEvery is how often files are read at most for the same problems. Fields may move in them without a problem.
const locateEvery = 2 * time.Second

// located gives problems as people are told them: with the lines of their fields, as the files are now.
type located struct {
	problems func() []model.Problem
	read     func(name string) ([]byte, error)

	mu   sync.Mutex
	of   []model.Problem // of which told was made, at a time
	told []model.Problem
	at   time.Time
}

func newLocated(problems func() []model.Problem) *located {
	return &located{problems: problems, read: file.Load}
}

// Problems gives the present problems, in order.
func (l *located) Problems() []model.Problem {
	all, now := l.problems(), time.Now()
	if told, ok := l.known(all, now); ok {
		return told
	}
	told := lines.NewFinder(l.read, nil).Problems(all) // a disk may be slow, which nobody else waits for
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of, l.told, l.at = all, told, now
	return slices.Clone(told)
}

// known gives what was told of the same problems a moment ago.
func (l *located) known(all []model.Problem, now time.Time) (told []model.Problem, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.at) > locateEvery || !slices.Equal(all, l.of) {
		return nil, false
	}
	return slices.Clone(l.told), true
}
