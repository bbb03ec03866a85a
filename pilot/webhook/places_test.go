package webhook

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// One address whose bodies do not come takes a few places only, and nobody waits for ever.
func TestReviewsAreFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces()
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
		if n := len(p.all); n != maxReviewsAddress {
			t.Errorf("one address has %d places", n)
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
		if len(p.all) != 0 || len(p.addresses) != 0 {
			t.Errorf("%d places are taken, of %d addresses", len(p.all), len(p.addresses))
		}
	})
}

// A body that does not come ends its review.
func TestABodyThatDoesNotComeEndsItsReview(t *testing.T) {
	ended := make(chan error, 1)
	p := newPlaces()
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
