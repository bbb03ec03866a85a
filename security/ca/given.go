package ca

import (
	"bytes"
	"maps"
)

// Use puts the CA of other files in the place of the present one, of a Keeper that was given files and no
// directory. What cannot be used leaves the CA as it is. One goroutine calls it.
func (k *Keeper) Use(files map[string][]byte) error {
	if maps.EqualFunc(files, k.opts.Files, bytes.Equal) {
		return nil
	}
	opts := k.opts.Options
	opts.Files = files
	next, err := New(opts)
	if err != nil {
		return err
	}
	k.opts.Files = files
	k.put(next)
	return nil
}
