package h2

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many streams are looked at for each question to the kernel, pollBuffer how much
	// of one is read at a time.
	batch, pollBuffer = 128, 256 << 10
	readable          = unix.EPOLLIN | unix.EPOLLRDHUP
)

// Poller reads many streams in one goroutine.
type Poller struct {
	epoll, wake int // file descriptors; wake ends the goroutine
	mu          sync.Mutex
	by          map[int32]*watched
	done        sync.WaitGroup
}

// Handler is what happens with a stream's messages, in the poller's goroutine.
type Handler struct {
	// Message takes one, which is valid until it returns. It may send.
	Message func([]byte) error
	// Idle tells that nothing is to be read for now, until Resume.
	Idle func() bool
}

// watched is a stream in the care of a poller.
type watched struct {
	*Stream
	Handler
	fd    int32
	mu    sync.Mutex // held while it is read
	idle  bool
	ended bool
	end   chan error
}

// NewPoller starts a poller, which runs until Close.
func NewPoller() (*Poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(epoll))
	}
	p := &Poller{epoll: epoll, wake: wake, by: map[int32]*watched{}}
	if err := p.control(unix.EPOLL_CTL_ADD, int32(wake), unix.EPOLLIN); err != nil {
		return nil, errors.Join(err, unix.Close(epoll), unix.Close(wake))
	}
	p.done.Go(p.run)
	return p, nil
}

// Close ends the poller. Its streams must have ended.
func (p *Poller) Close() error {
	_, err := unix.Write(p.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	p.done.Wait()
	return errors.Join(err, unix.Close(p.epoll), unix.Close(p.wake))
}

func (p *Poller) control(op int, fd int32, events uint32) error {
	if err := unix.EpollCtl(p.epoll, op, int(fd), &unix.EpollEvent{Events: events, Fd: fd}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// Watch takes a stream over and reads it until it ends or stop is closed, and gives the reason.
// The stream is closed then.
func (p *Poller) Watch(stop <-chan struct{}, s *Stream, h Handler) error {
	fd, err := s.detach()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	w := &watched{Stream: s, Handler: h, fd: fd, end: make(chan error, 1)}
	p.mu.Lock()
	p.by[fd] = w
	p.mu.Unlock()
	if err = p.control(unix.EPOLL_CTL_ADD, fd, readable); err == nil {
		select {
		case err = <-w.end:
		case <-stop:
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	p.mu.Lock()
	delete(p.by, fd)
	p.mu.Unlock()
	return errors.Join(err, s.Close()) // which takes it from epoll too
}

// Resume lets all streams be read again that were idle.
func (p *Poller) Resume() error {
	p.mu.Lock()
	var all []*watched
	for _, w := range p.by {
		all = append(all, w)
	}
	p.mu.Unlock()
	var errs []error
	for _, w := range all {
		w.mu.Lock()
		if w.idle && !w.ended {
			w.idle = false
			errs = append(errs, p.control(unix.EPOLL_CTL_MOD, w.fd, readable))
		}
		w.mu.Unlock()
	}
	return errors.Join(errs...)
}

func (p *Poller) run() {
	buffer := make([]byte, pollBuffer)
	var events [batch]unix.EpollEvent
	for {
		n, err := unix.EpollWait(p.epoll, events[:], -1)
		if err != nil && err != unix.EINTR {
			p.fail(fmt.Errorf("epoll: %w", err))
			return
		}
		for _, e := range events[:max(0, n)] {
			if e.Fd == int32(p.wake) {
				return
			}
			p.mu.Lock()
			w := p.by[e.Fd]
			p.mu.Unlock()
			if w != nil {
				p.serve(w, buffer)
			}
		}
	}
}

// fail ends all streams.
func (p *Poller) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.by {
		select {
		case w.end <- err:
		default: // it ends already
		}
	}
}

// serve reads what has come on a stream, once.
func (p *Poller) serve(w *watched, buffer []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.idle {
		return
	}
	var err error
	if w.idle = w.Idle(); w.idle {
		err = p.control(unix.EPOLL_CTL_MOD, w.fd, 0)
	} else {
		err = w.read(buffer)
	}
	if err != nil {
		w.ended = true
		_ = p.control(unix.EPOLL_CTL_DEL, w.fd, 0) // closing it does the same
		w.end <- err
	}
}

func (w *watched) read(buffer []byte) error {
	n, err := w.conn.Read(buffer)
	if err != nil {
		return err
	}
	if err := w.feed(buffer[:n]); err != nil {
		return err
	}
	for {
		m, ok := w.next()
		if !ok {
			return w.Flush()
		}
		if err := w.Message(m); err != nil {
			return err
		}
	}
}

// detach takes the connection from the runtime's own polling.
func (s *Stream) detach() (int32, error) {
	conn, ok := s.conn.(net.Conn)
	if !ok {
		return 0, errors.New("the stream is watched already")
	}
	s.unwatch()
	fd, err := bare(conn)
	if err == nil {
		s.conn = fd
	}
	return int32(fd), err
}
