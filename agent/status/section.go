package status

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
)

// section writes several metrics pages as one: it drops what may stand only at the end of a page
// (# EOF) or nowhere in OpenMetrics (empty lines), and ends each page's last line.
type section struct {
	w   io.Writer
	buf *bufio.Reader
}

func newSection(w io.Writer) *section {
	return &section{w: w, buf: bufio.NewReaderSize(nil, 64<<10)}
}

// Write implements io.Writer, for pages that are known to be whole lines without an end mark.
func (s *section) Write(p []byte) (int, error) { return s.w.Write(p) }

// noLimit is for a page that cannot grow without bounds.
const noLimit = math.MaxInt

// copy writes one page of at most limit bytes, line by line, so that its size costs no memory. An
// error leaves out the rest of the page, at the end of a line.
func (s *section) copy(page io.Reader, limit int) error { return s.copyTo(page, limit, s.line) }

// copyTo gives each line to take instead.
func (s *section) copyTo(page io.Reader, limit int, take func(line []byte) error) error {
	s.buf.Reset(page)
	for {
		line, err := s.buf.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return errors.New("a line is longer than 64 KiB")
		}
		if limit -= len(line); limit < 0 {
			return errors.New("the page is too long and was cut")
		}
		// A last line without an end is whole only where the page ended well.
		if len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			if werr := take(line); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *section) line(line []byte) error {
	text := bytes.TrimRight(line, "\r\n \t")
	if len(text) == 0 || bytes.Equal(text, []byte("# EOF")) {
		return nil
	}
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	_, err := s.w.Write([]byte{'\n'})
	return err
}

// end marks the end of an OpenMetrics page; the client's absence is no matter here.
func (s *section) end() {
	_, _ = io.WriteString(s.w, "# EOF\n")
}
