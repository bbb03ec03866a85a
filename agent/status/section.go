package status

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
)

// bufferSize is that of what is read and of what is written, in bytes: large beside a line, since a page may have tens
// of megabytes.
const bufferSize = 64 << 10

// section writes several metrics pages as one: it drops what may stand only at the end of a page
// (# EOF) or nowhere in OpenMetrics (empty lines), and ends each page's last line. It has to be closed.
type section struct {
	w      *bufio.Writer
	buf    *bufio.Reader
	number []byte
}

func newSection(w io.Writer) *section {
	return &section{w: bufio.NewWriterSize(w, bufferSize), buf: bufio.NewReaderSize(nil, bufferSize)}
}

// Write implements io.Writer, for pages that are known to be whole lines without an end mark.
func (s *section) Write(p []byte) (int, error) { return s.w.Write(p) }

// close writes what is left; the client's absence is no matter here.
func (s *section) close() { _ = s.w.Flush() }

// noLimit is for a page that cannot grow without bounds.
const noLimit = math.MaxInt

// reader reads a page by the buffer of all.
func (s *section) reader(page io.Reader) *bufio.Reader {
	s.buf.Reset(page)
	return s.buf
}

// copy writes one page of at most limit bytes, line by line, so that its size costs no memory. An
// error leaves out the rest of the page, at the end of a line.
func (s *section) copy(page io.Reader, limit int) error { return s.copyTo(page, limit, s.line) }

// copyTo gives each line to take instead.
func (s *section) copyTo(page io.Reader, limit int, take func(line []byte) error) error {
	buf := s.reader(page)
	for {
		line, err := buf.ReadSlice('\n')
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
	return s.w.WriteByte('\n')
}

// sample writes the line of one: name and suffix, labels as they are written, the bound of a bucket or "", and a value.
// An error stays with the buffer, so the last write tells of all.
func (s *section) sample(name, suffix string, l labels, bound string, value float64) error {
	_, _ = s.w.WriteString(name)
	_, _ = s.w.WriteString(suffix)
	_ = s.w.WriteByte('{')
	_, _ = s.w.WriteString(l.head)
	_, _ = s.w.WriteString(l.tail)
	if bound != "" {
		if l != (labels{}) {
			_ = s.w.WriteByte(',')
		}
		_, _ = s.w.WriteString(`le="`)
		_, _ = s.w.WriteString(bound)
		_ = s.w.WriteByte('"')
	}
	_, _ = s.w.WriteString("} ")
	s.number = strconv.AppendFloat(s.number[:0], value, 'f', -1, 64)
	_, _ = s.w.Write(s.number)
	return s.w.WriteByte('\n')
}

// end marks the end of an OpenMetrics page; the client's absence is no matter here.
func (s *section) end() {
	_, _ = s.w.WriteString("# EOF\n")
}
