package runtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// LogOptions choose what of a container's log is read.
type LogOptions struct {
	Follow     bool
	Tail       int // the last lines only; 0 for all
	Timestamps bool
	// Ended tells, while following, that nothing will be appended any more.
	Ended func() bool
}

// followInterval is how often a followed log is looked at for new lines.
const followInterval = 100 * time.Millisecond

// Rotated is where the former part of a log goes when it has grown too large. There is one such
// part at most.
func Rotated(path string) string { return path + ".1" }

// ReadLog copies the lines of a CRI log file to w: lines `TIME STREAM TAG MESSAGE`, where tag P
// says that the next one continues the line. What was rotated out comes first.
func ReadLog(ctx context.Context, path string, opts LogOptions, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer func() { f.Close() }()
	missing := opts.Tail
	if opts.Tail > 0 {
		if missing, err = seekTail(f, opts.Tail); err != nil {
			return err
		}
	}
	l := logCopier{w: w, timestamps: opts.Timestamps}
	if opts.Tail == 0 || missing > 0 {
		if err := l.copyRotated(path, missing); err != nil {
			return err
		}
	}
	for {
		// Told before the last read, so that nothing that was written before is missed.
		ended := !opts.Follow || opts.Ended()
		if err := l.copy(f); err != nil {
			return err
		}
		next, err := os.Open(path)
		if err == nil && !sameFile(f, next) {
			if err := l.copy(f); err != nil { // what was written before the log was reopened
				return errors.Join(err, next.Close())
			}
			f.Close()
			f = next
			continue
		}
		next.Close()
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followInterval):
		}
	}
}

func sameFile(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// logCopier writes the messages of log files, as if they were one.
type logCopier struct {
	w          io.Writer
	timestamps bool
	partial    []byte // the begin of a line that is not written to its end yet
}

func (l *logCopier) copyRotated(path string, tail int) error {
	f, err := os.Open(Rotated(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	if tail > 0 {
		if _, err := seekTail(f, tail); err != nil {
			return err
		}
	}
	return l.copy(f)
}

// copy writes what the file holds from where it stands.
func (l *logCopier) copy(f *os.File) error {
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		l.partial = append(l.partial, line...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if err := writeLogLine(l.w, l.partial, l.timestamps); err != nil {
			return err
		}
		l.partial = l.partial[:0]
	}
}

func writeLogLine(w io.Writer, line []byte, timestamps bool) error {
	stamp, rest, ok := bytes.Cut(line, []byte(" "))
	_, rest, ok2 := bytes.Cut(rest, []byte(" "))
	tag, message, ok3 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || !ok3 {
		return nil // not of CRI's format: nothing that a container wrote
	}
	if bytes.Equal(tag, []byte("P")) {
		message = bytes.TrimSuffix(message, []byte("\n"))
	}
	if timestamps {
		message = append(append(bytes.Clone(stamp), ' '), message...)
	}
	_, err := w.Write(message)
	return err
}

// seekTail moves f to the start of its last n lines, and tells how many it lacks.
func seekTail(f *os.File, n int) (missing int, err error) {
	const block = 8 << 10
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	if end == 0 {
		return n, nil
	}
	buf := make([]byte, block)
	for pos := end; pos > 0; {
		size := min(block, pos)
		pos -= size
		if _, err := f.ReadAt(buf[:size], pos); err != nil {
			return 0, fmt.Errorf("read log: %w", err)
		}
		for i := size - 1; i >= 0; i-- {
			if buf[i] != '\n' || pos+i == end-1 {
				continue
			}
			if n--; n == 0 {
				_, err := f.Seek(pos+i+1, io.SeekStart)
				return 0, err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return n - 1, err // the first line has no line end before it
}
