package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// laterError is an answer that asks to come again after some time, as a control plane gives while it starts.
type laterError struct {
	error
	after time.Duration
}

// Unwrap gives what was answered.
func (e *laterError) Unwrap() error { return e.error }

// notOK is what an answer other than 200 says.
func notOK(who string, resp *http.Response, text []byte) error {
	err := fmt.Errorf("%s: %s", who, strings.TrimSpace(string(text)))
	seconds, wrong := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	if resp.StatusCode != http.StatusServiceUnavailable || wrong != nil {
		return err
	}
	return &laterError{err, time.Duration(seconds) * time.Second}
}

// laterWithin is how long a control plane is asked again that wants to be asked later.
const laterWithin = 30 * time.Second

// askedAgain asks, and asks again as long as the answer is to come later.
func askedAgain[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, laterWithin)
	defer cancel()
	for {
		out, err := ask()
		var later *laterError
		if !errors.As(err, &later) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, err
		case <-time.After(later.after):
		}
	}
}
