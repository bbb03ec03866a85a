package webhook

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

// One address whose bodies do not come takes a few places only, and nobody waits for ever.
func TestReviewsAreFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bodies()
		handler := p.limit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		ask := func(from string, body io.Reader) int {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/inject", body)
			r.RemoteAddr = from
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Code
		}
		never, end := io.Pipe()
		done := make(chan int)
		const places = maxReviewsAddress * maxBody / 2 / maxSaid
		const held = places + 16
		for range held {
			go func() { done <- ask("10.0.0.1:1", never) }()
		}
		synctest.Wait()
		if left := (maxReviews - maxReviewsAddress) * int64(maxBody) / 2; !p.first.all.TryAcquire(left) || p.first.all.TryAcquire(1) {
			t.Error("one address has not what one may have")
		} else {
			p.first.all.Release(left)
		}
		if code := ask("10.0.0.2:1", strings.NewReader("x")); code != http.StatusOK {
			t.Errorf("another address gets %d", code)
		}
		begun := time.Now()
		for range held - places {
			if code := <-done; code != http.StatusTooManyRequests {
				t.Errorf("without a place: %d", code)
			}
		}
		if waited := time.Since(begun); waited != patience {
			t.Errorf("they waited %v", waited)
		}
		end.Close()
		for range places {
			<-done
		}
		if !p.first.all.TryAcquire(maxReviews*maxBody/2) || len(p.first.addresses) != 0 {
			t.Errorf("places are taken, of %d addresses", len(p.first.addresses))
		}
	})
}

// An API server that has more to do than processors sends many bodies late: the others of its are answered at once.
func TestLateBodiesKeepNoneWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := Handler(Options{
			Injector:   func(string, string) (*inject.Injector, error) { return nil, errors.New("none") },
			Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		})
		never, end := io.Pipe()
		var late sync.WaitGroup
		for range 199 {
			late.Go(func() {
				r := review(t, "/inject", "CREATE", pod)
				r.Body = never
				handler.ServeHTTP(httptest.NewRecorder(), r)
			})
		}
		synctest.Wait()
		begun, w := time.Now(), httptest.NewRecorder()
		handler.ServeHTTP(w, review(t, "/inject", "CREATE", pod))
		if waited := time.Since(begun); w.Code != http.StatusOK || waited != 0 {
			t.Errorf("it gets %d after %v", w.Code, waited)
		}
		end.Close()
		late.Wait()
	})
}

// A body that does not come ends its review.
func TestABodyThatDoesNotComeEndsItsReview(t *testing.T) {
	ended := make(chan error, 1)
	p := bodies()
	p.first.patience = time.Millisecond
	server := httptest.NewServer(p.limit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})))
	defer server.Close()
	never, end := io.Pipe()
	defer end.Close()
	go func() {
		if res, err := http.Post(server.URL, "application/json", never); err == nil {
			res.Body.Close()
		}
	}()
	if err := <-ended; err == nil {
		t.Error("the body ended by itself")
	}
}

// asking gives what asks a handler that reads all, from an address.
func asking(t *testing.T, rooms rooms) func(from string, body io.Reader, said int64) int {
	handler := rooms.limit(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); errors.Is(err, errNoRoom) {
			tooMany(w)
		}
	}))
	return func(from string, body io.Reader, said int64) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/inject", body)
		r.ContentLength, r.RemoteAddr = said, from+":1"
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
}

// Bodies of which nothing, or only a part, comes have little of the room, whatever is said of their length.
func TestLargeBodiesKeepNoSmallOneWaiting(t *testing.T) {
	for name, c := range map[string]struct {
		came int
		said int64
	}{
		"silent": {0, -1}, "silent, of a length": {0, maxBody}, "in part": {maxBody - 1, -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			ask := asking(t, bodies())
			never, end := io.Pipe()
			var large sync.WaitGroup
			for i := range maxReviews * 2 {
				large.Go(func() {
					ask([]string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8"}[i%8],
						io.MultiReader(io.LimitReader(zeros{}, int64(c.came)), never), c.said)
				})
			}
			synctest.Wait()
			for _, from := range []string{"10.0.0.1", "10.9.9.9"} {
				begun := time.Now()
				if code := ask(from, strings.NewReader("{}"), 2); code != http.StatusOK || time.Since(begun) != 0 {
					t.Errorf("%s: %s gets %d after %v", name, from, code, time.Since(begun))
				}
			}
			end.Close()
			large.Wait()
		})
	}
}

type zeros struct{}

func (zeros) Read(to []byte) (int, error) { return len(to), nil }

// Of large bodies that come at once some are read, and the others are told to come again; all room is given back.
func TestLargeBodiesTakeRoomAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rooms := bodies()
		ask := asking(t, rooms)
		never, end := io.Pipe()
		done := make(chan int, maxReviewsAddress)
		for range maxReviewsAddress {
			go func() { done <- ask("10.0.0.1", io.MultiReader(io.LimitReader(zeros{}, maxBody-1), never), -1) }()
		}
		time.Sleep(patience + 1)
		end.Close()
		count := map[int]int{}
		for range maxReviewsAddress {
			count[<-done]++
		}
		if count[http.StatusOK] == 0 || count[http.StatusTooManyRequests] == 0 {
			t.Errorf("answers: %v", count)
		}
		if code := ask("10.0.0.1", io.LimitReader(zeros{}, maxBody), maxBody); code != http.StatusOK {
			t.Errorf("alone it gets %d", code)
		}
		for _, p := range []*places{rooms.first, rooms.more} {
			if !p.all.TryAcquire(maxReviews*maxBody/2) || len(p.addresses) != 0 {
				t.Errorf("places are taken, of %d addresses", len(p.addresses))
			}
		}
	})
}

// deadlines notes how long reading may take.
type deadlines struct {
	http.ResponseWriter
	set []time.Duration
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, time.Until(at))
	return nil
}

// Who sends nothing is waited for a short time only.
func TestTheFirstBytesHaveLessTime(t *testing.T) {
	for body, want := range map[string][]time.Duration{"": {silence}, "{}": {silence, patience}} {
		synctest.Test(t, func(t *testing.T) {
			w := &deadlines{ResponseWriter: httptest.NewRecorder()}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/inject", strings.NewReader(body))
			bodies().limit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })).ServeHTTP(w, r)
			if !slices.Equal(w.set, want) {
				t.Errorf("%q: %v, want %v", body, w.set, want)
			}
		})
	}
}
