package ca

import (
	"bytes"
	"maps"
)

// Use puts the CA of other files in the place of the present one, of a Keeper that was given files and no
// directory. own tells that they are of a CA that was made here. What cannot be used leaves the CA as it is. One
// goroutine calls it.
func (k *Keeper) Use(files map[string][]byte, own bool) error {
	if own == k.opts.Own && maps.EqualFunc(files, k.opts.Files, bytes.Equal) {
		return nil
	}
	opts := k.opts.Options
	opts.Files, opts.Own = files, own
	next, err := New(opts)
	if err != nil {
		return err
	}
	k.opts.Files, k.opts.Own = files, own
	k.put(next)
	return nil
}
