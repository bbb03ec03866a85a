package runtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// ReadLog copies the lines of a CRI log file to w: lines `TIME STREAM TAG MESSAGE`, where tag P
// says that the next one continues the line.
func ReadLog(ctx context.Context, path string, opts LogOptions, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	if opts.Tail > 0 {
		if err := seekTail(f, opts.Tail); err != nil {
			return err
		}
	}
	r := bufio.NewReader(f)
	var partial []byte
	for {
		line, err := r.ReadBytes('\n')
		partial = append(partial, line...)
		if err == nil {
			if err := writeLogLine(w, partial, opts.Timestamps); err != nil {
				return err
			}
			partial = partial[:0]
			continue
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("read log: %w", err)
		}
		if !opts.Follow || opts.Ended() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followInterval):
		}
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

// seekTail moves f to the start of its last n lines.
func seekTail(f *os.File, n int) error {
	const block = 8 << 10
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	buf := make([]byte, block)
	for pos := end; pos > 0; {
		size := min(block, pos)
		pos -= size
		if _, err := f.ReadAt(buf[:size], pos); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		for i := size - 1; i >= 0; i-- {
			if buf[i] != '\n' || pos+i == end-1 {
				continue
			}
			if n--; n == 0 {
				_, err := f.Seek(pos+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}
