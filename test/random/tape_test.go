package random

import (
	"fmt"
	"strings"
	"time"
)

// step is one thing that happened at a client; one of opened, closed, got and said is set.
type step struct {
	at             time.Time
	opened, closed bool // its stream
	got            *response
	said           *request
}

func (s step) String() string {
	switch {
	case s.opened:
		return "connects"
	case s.closed:
		return "is disconnected"
	case s.got != nil:
		return fmt.Sprintf("< %v", s.got)
	}
	return fmt.Sprintf("> %v", s.said)
}

func (c *client) note(s step) {
	s.at = time.Now()
	c.tape = append(c.tape, s)
}

func printed(tape []step) string {
	var b strings.Builder
	for _, s := range tape {
		fmt.Fprintf(&b, "%s %v\n", s.at.Format("04:05.000"), s)
	}
	return b.String()
}
