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
	w   *bufio.Writer
	buf *bufio.Reader
	// What a line begins and ends with.
	head, tail []byte
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

// sample writes the line of one: name and suffix, labels as they are written, and a value.
// An error stays with the buffer, so the last write tells of all.
func (s *section) sample(name, suffix string, l labels, value float64) error {
	s.head = append(append(append(s.head[:0], name...), suffix...), '{')
	s.head = append(append(append(s.head, l.head...), l.tail...), "} "...)
	_, _ = s.w.Write(s.head)
	s.tail = append(appendNumber(s.tail[:0], value), '\n')
	_, err := s.w.Write(s.tail)
	return err
}

// beginBuckets begins with those of a histogram. What all their lines begin with is put together once, since it is
// nearly all of a page.
func (s *section) beginBuckets(name string, l labels) {
	s.head = append(append(s.head[:0], name...), "_bucket{"...)
	s.head = append(append(s.head, l.head...), l.tail...)
	if l != (labels{}) {
		s.head = append(s.head, ',')
	}
	s.head = append(s.head, `le="`...)
}

// bucket writes the line of one. An error stays with the buffer.
func (s *section) bucket(bound string, value float64) {
	_, _ = s.w.Write(s.head)
	s.tail = append(append(s.tail[:0], bound...), `"} `...)
	s.tail = append(appendNumber(s.tail, value), '\n')
	_, _ = s.w.Write(s.tail)
}

// appendNumber writes a value; nearly all are whole numbers, which are written for less than others.
func appendNumber(to []byte, value float64) []byte {
	const exact = 1 << 53 // up to here a float64 has all of them
	if n := int64(value); n >= 0 && n < exact && float64(n) == value {
		return strconv.AppendInt(to, n, 10)
	}
	return strconv.AppendFloat(to, value, 'f', -1, 64)
}

// end marks the end of an OpenMetrics page; the client's absence is no matter here.
func (s *section) end() {
	_, _ = s.w.WriteString("# EOF\n")
}
