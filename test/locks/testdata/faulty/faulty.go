// Package faulty has the faults that the test looks for, and beside each what is right.
package faulty

import "sync"

// engine tells streams under its mutex.
type engine struct {
	mu      sync.Mutex
	changed []func()
	bad     bool
}

func (e *engine) connect(changed func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changed = append(e.changed, changed)
}

func (e *engine) apply() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, changed := range e.changed {
		changed()
	}
}

func (e *engine) rejected() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.bad
}

type stream struct {
	engine *engine
	mu     sync.Mutex
	views  int
}

func (s *stream) open() { s.engine.connect(s.refresh) }

func (s *stream) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.views++
}

// acknowledged asks the engine under the mutex that refresh takes under the engine's.
func (s *stream) acknowledged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.views > 0 && !s.engine.rejected()
}

// asked asks before, and so does well.
func (s *stream) asked() bool {
	bad := s.engine.rejected()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.views > 0 && !bad
}

// first is done once, under which second's mutex is taken, and second asks for first under it.
type first struct{ once sync.Once }

type second struct {
	mu sync.Mutex
	of *first
}

func (f *first) do(s *second) {
	f.once.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
	})
}

func (s *second) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of.once.Do(func() {})
}

type twice struct{ mu sync.RWMutex }

func (t *twice) one() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return 1
}

// two reads while it reads, which a writer that waits in between stops for ever.
func (t *twice) two() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.one() + 1
}

// after reads once more when it reads no more.
func (t *twice) after() int {
	t.mu.RLock()
	if n := 1; n > 1 {
		t.mu.RUnlock()
		return t.one()
	}
	t.mu.RUnlock()
	return t.one()
}

type sender struct {
	mu  sync.Mutex
	out chan int
}

func (s *sender) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out <- 1
}

// try does not wait.
func (s *sender) try() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.out <- 1:
	default:
	}
}

type sleeper struct {
	mu sync.Mutex
	wg sync.WaitGroup
}

// wait holds the mutex that those take for whom it waits.
func (s *sleeper) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wg.Wait()
}

// start has one begin, which takes the mutex later.
func (s *sleeper) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wg.Go(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
	})
	go s.start()
}
