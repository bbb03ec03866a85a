package status

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// familyType is a format in which Envoy (1.38 and later) says the labels of a histogram once, and not with each of its
// buckets: messages io.prometheus.client.MetricFamily, each after its length (Prometheus, "Exposition formats").
const familyType = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

// maxMetric bounds a metric, with its labels and buckets, in bytes.
const maxMetric = 1 << 20

// familyKinds are the names of the types of metrics that Envoy has, by their number.
var familyKinds = map[uint64]string{0: "counter", 1: "gauge", 3: "untyped", 4: "histogram"}

// message reads the fields of one that stands on a stream, so that its size costs no memory.
type message struct {
	page *bufio.Reader
	left uint64 // bytes of it
	buf  []byte // of the last field
}

// ReadByte implements io.ByteReader.
func (m *message) ReadByte() (byte, error) {
	if m.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	m.left--
	return m.page.ReadByte()
}

// field gives the next one: its number, and the bytes or the number that it has.
func (m *message) field() (protowire.Number, []byte, uint64, error) {
	tag, err := binary.ReadUvarint(m)
	if err != nil {
		return 0, nil, 0, err
	}
	number, kind := protowire.DecodeTag(tag)
	if kind != protowire.BytesType && kind != protowire.VarintType {
		return 0, nil, 0, fmt.Errorf("a family of metrics has field %d of type %d", number, kind)
	}
	n, err := binary.ReadUvarint(m)
	if err != nil || kind == protowire.VarintType {
		return number, nil, n, err
	}
	if n > m.left || n > maxMetric {
		return 0, nil, 0, fmt.Errorf("a metric has %d bytes", n)
	}
	m.left -= n
	if uint64(cap(m.buf)) < n {
		m.buf = make([]byte, n)
	}
	_, err = io.ReadFull(m.page, m.buf[:n])
	return number, m.buf[:n], 0, err
}

// takeFamilies gives Envoy's metrics on, as take does with those in text.
func (t *translation) takeFamilies(page io.Reader) error {
	m := message{page: t.out.reader(page)}
	for {
		size, err := binary.ReadUvarint(m.page)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m.left = size
		if err := t.familyOf(&m); err != nil {
			return err
		}
	}
}

// familyOf gives one on. Its name and its type stand before its metrics.
func (t *translation) familyOf(m *message) error {
	name, kind := "", familyKinds[0]
	began := false
	for m.left > 0 {
		number, value, n, err := m.field()
		if err != nil {
			return err
		}
		switch number {
		case 1:
			name = string(value)
		case 3:
			kind = familyKinds[n]
		case 4:
			if kind == "" {
				continue // it is none that was asked for
			}
			if !began {
				if err := t.begin(name, kind); err != nil {
					return err
				}
				began = true
			}
			if err := t.metric(value, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// metric adds one of a statistic to Istio's, or writes it as it is.
func (t *translation) metric(data []byte, name string) error {
	label, others, value, histogram := "", t.others[:0], 0.0, []byte(nil)
	visit(data, func(number protowire.Number, field []byte, _ uint64) {
		switch number {
		case 1:
			key, text := labelPair(field)
			if key == telemetry.Label && t.statistic != "" {
				label = text
			} else {
				others = append(others, telemetry.Pair{Name: key, Value: text})
			}
		case 2, 3, 5: // gauge, counter, untyped, of which each has its value in field 1
			visit(field, func(n protowire.Number, _ []byte, bits uint64) {
				if n == 1 {
					value = math.Float64frombits(bits)
				}
			})
		case 7:
			histogram = field
		}
	})
	t.others = others
	var all []counted
	if t.statistic == "" {
		t.written = t.written[:0]
		for _, p := range others {
			t.written = appendLabel(t.written, p)
		}
		all = []counted{{&series{family: &family{name: name}, labels: labels{tail: string(t.written)}}, 1}}
	} else {
		for i, p := range others {
			others[i] = telemetry.UserPair(p.Name, p.Value)
		}
		all = t.expand(nil, label, others)
	}
	if t.histogram {
		t.takeHistogram(histogram)
	}
	for _, c := range all {
		if t.histogram {
			c.add(&t.read)
		} else {
			c.value += value * c.times
		}
		if t.statistic == "" {
			if err := t.write(c.series); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeHistogram reads a message Histogram. The bucket of all may be left out there.
func (t *translation) takeHistogram(data []byte) {
	h := &t.read
	h.reset()
	visit(data, func(number protowire.Number, field []byte, n uint64) {
		switch number {
		case 1:
			h.count = float64(n)
		case 2:
			h.sum = math.Float64frombits(n)
		case 3:
			count, bound := uint64(0), 0.0
			visit(field, func(number protowire.Number, _ []byte, n uint64) {
				if number == 1 {
					count = n
				} else if number == 2 {
					bound = math.Float64frombits(n)
				}
			})
			h.bucket(t.boundAt(len(h.bounds), bound), float64(count))
		}
	})
}

func labelPair(data []byte) (name, value string) {
	visit(data, func(number protowire.Number, field []byte, _ uint64) {
		if number == 1 {
			name = string(field)
		} else if number == 2 {
			value = string(field)
		}
	})
	return name, value
}

// visit gives the fields of a message, until one does not parse: bytes, or the bits of a number.
func visit(data []byte, with func(number protowire.Number, field []byte, bits uint64)) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return
		}
		data = data[n:]
		var field []byte
		var bits uint64
		switch kind {
		case protowire.BytesType:
			field, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(data)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return
		}
		data = data[n:]
		with(number, field, bits)
	}
}
