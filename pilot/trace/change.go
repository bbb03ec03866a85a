package trace

import (
	"sync"
	"time"
)

// Change is one that is followed. A nil one takes all calls and does nothing.
type Change struct {
	recorder *Recorder

	mu      sync.Mutex // guards all below until over
	record  Record
	waiting int         // clients
	pushed  bool        // so that no more clients come
	timer   *time.Timer // ends the wait
	over    bool
}

// Built notes how the resources were made.
func (c *Change) Built(b Build) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record.Build = b
}

// Pushed notes that all clients have been told, and waits for those that are concerned.
func (c *Change) Pushed(p Push) {
	if c == nil {
		return
	}
	c.note(func() {
		c.record.Push, c.pushed = p, true
		if c.waiting > 0 {
			c.timer = time.AfterFunc(c.recorder.opts.Patience, c.giveUp)
		}
	})
}

// Await notes that a client is sent something. Each is followed by Taken or Gone of that client.
func (c *Change) Await() {
	if c == nil {
		return
	}
	c.note(func() {
		c.waiting++
		c.record.Acknowledgements.Concerned++
	})
}

// Refused notes a refusal. The client goes on being waited for, since it gets something else.
func (c *Change) Refused(a Answer) {
	if c == nil {
		return
	}
	c.note(func() {
		if acks := &c.record.Acknowledgements; len(acks.Refusals) < maxNamed {
			acks.Refusals = append(acks.Refusals, a)
		}
	})
}

// Taken notes that a client runs what came of the change; refused says that it refused something of it before.
func (c *Change) Taken(a Answer, refused bool) {
	if c == nil {
		return
	}
	c.note(func() {
		acks := &c.record.Acknowledgements
		c.waiting--
		acks.Ended = a.At
		if refused {
			acks.Refused++
			return
		}
		acks.Taken++
		if len(acks.Last) == maxNamed {
			copy(acks.Last, acks.Last[1:])
			acks.Last = acks.Last[:maxNamed-1]
		}
		acks.Last = append(acks.Last, a)
	})
}

// Gone notes that a client will not answer.
func (c *Change) Gone(refused bool) {
	if c == nil {
		return
	}
	c.note(func() {
		c.waiting--
		if refused {
			c.record.Acknowledgements.Refused++
		} else {
			c.record.Acknowledgements.Gone++
		}
	})
}

// giveUp ends the wait.
func (c *Change) giveUp() {
	c.note(func() {
		if c.waiting > 0 || !c.pushed {
			c.record.Acknowledgements.Late, c.record.Acknowledgements.Ended = true, time.Now()
		}
		c.waiting, c.pushed = 0, true
	})
}

// note changes the record unless it is over, and delivers it if it is over then.
func (c *Change) note(change func()) {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	change()
	c.over = c.pushed && c.waiting == 0
	over := c.over
	if over && c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if over {
		c.recorder.finish(c)
	}
}
