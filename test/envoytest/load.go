package envoytest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Requests are what a Load sends.
type Requests struct {
	URL      string
	Host     string        // where it is not that of the URL
	Interval time.Duration // from one to the next, if its answer is there by then
	Apart    bool          // each has a connection of its own
}

// Load sends GETs one after the other and remembers what failed: no answer, or any status but 200.
type Load struct {
	requests Requests
	client   *http.Client
	cancel   context.CancelFunc
	done     sync.WaitGroup

	mu            sync.Mutex
	total, failed int
	failure       Failure
	last          Answer
}

// Failure is a request that failed.
type Failure struct {
	At  time.Time
	Err error
}

// Answer is a good answer to a request of a Load.
type Answer struct {
	Header http.Header
	Body   string
}

// StartLoad sends requests until Stop, at the latest until the test ends.
func StartLoad(t testing.TB, r Requests) *Load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{requests: r, cancel: cancel, client: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: r.Apart}, Timeout: 10 * time.Second,
	}}
	l.done.Go(func() {
		defer l.client.CloseIdleConnections()
		tick := time.NewTicker(r.Interval)
		defer tick.Stop()
		for ctx.Err() == nil {
			l.note(l.request())
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(l.Stop)
	return l
}

// request is not bound to the load's context: what is under way when it stops counts as well.
func (l *Load) request() (Answer, error) {
	r, err := http.NewRequest(http.MethodGet, l.requests.URL, nil)
	if err != nil {
		return Answer{}, err
	}
	r.Host = l.requests.Host
	res, err := l.client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, err
	}
	if res.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("%s: %s", res.Status, body)
	}
	return Answer{res.Header, string(body)}, nil
}

func (l *Load) note(a Answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	if err != nil {
		l.failed++
		l.failure = Failure{time.Now(), err}
		return
	}
	l.last = a
}

// Stop waits for the last answer.
func (l *Load) Stop() {
	l.cancel()
	l.done.Wait()
}

// Last gives the last good answer.
func (l *Load) Last() Answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Result tells how many requests there were, how many failed, and the last of those.
func (l *Load) Result() (total, failed int, last Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.failed, l.failure
}

// Backend answers every request with its name until the test ends; it gives its port of loopback.
func Backend(t testing.TB, name string) uint32 {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return uint32(s.Listener.Addr().(*net.TCPAddr).Port)
}
