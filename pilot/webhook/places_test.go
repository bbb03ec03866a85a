package webhook

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
		const held = 3 * maxReviewsAddress
		for range held {
			go func() { done <- ask("10.0.0.1:1", never) }()
		}
		synctest.Wait()
		if left := (maxReviews - maxReviewsAddress) * int64(maxBody); !p.all.TryAcquire(left) || p.all.TryAcquire(1) {
			t.Error("one address has not what one may have")
		} else {
			p.all.Release(left)
		}
		if code := ask("10.0.0.2:1", strings.NewReader("x")); code != http.StatusOK {
			t.Errorf("another address gets %d", code)
		}
		begun := time.Now()
		for range held - maxReviewsAddress {
			if code := <-done; code != http.StatusTooManyRequests {
				t.Errorf("without a place: %d", code)
			}
		}
		if waited := time.Since(begun); waited != patience {
			t.Errorf("they waited %v", waited)
		}
		end.Close()
		for range maxReviewsAddress {
			<-done
		}
		if !p.all.TryAcquire(maxReviews*maxBody) || len(p.addresses) != 0 {
			t.Errorf("places are taken, of %d addresses", len(p.addresses))
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
	p.patience = time.Millisecond
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
