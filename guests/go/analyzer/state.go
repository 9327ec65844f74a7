package analyzer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// The module's state as bytes, the same in every language, so that a module takes over from one in another: a magic word
// with the version, then the table of categories and the table of products, each after its length in bytes (u32,
// little-endian).
const magic = "ana1"

const (
	// A table remembers at most this many bytes: what memory a hostile feed of ever new keys can take.
	maxBytes = 24 << 20

	numberBytes = 8
	lengthBytes = 4
)

// table maps text to a few numbers, always in the form in which it is saved. An entry is its numbers (f64, little-endian),
// the length of its key (u32), and the key (UTF-8).
type table struct {
	numbers int
	bytes   []byte
	index   map[string]int
}

func newTable(numbers int) table { return table{numbers: numbers, index: map[string]int{}} }

// slot is where the entry of a key is, made with these numbers if it is new; false if there is no room for another.
func (t *table) slot(key string, first ...float64) (int, bool) {
	if at, isThere := t.index[key]; isThere {
		return at, true
	}
	if len(t.bytes)+t.numbers*numberBytes+lengthBytes+len(key) > maxBytes {
		return 0, false
	}
	at := len(t.bytes)
	for _, number := range first {
		t.bytes = binary.LittleEndian.AppendUint64(t.bytes, math.Float64bits(number))
	}
	t.bytes = binary.LittleEndian.AppendUint32(t.bytes, uint32(len(key)))
	t.bytes = append(t.bytes, key...)
	// A copy: the host's memory would live as long as the key.
	t.index[strings.Clone(key)] = at
	return at, true
}

func (t *table) get(at, number int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(t.bytes[at+number*numberBytes:]))
}

func (t *table) set(at int, numbers ...float64) {
	for i, number := range numbers {
		binary.LittleEndian.PutUint64(t.bytes[at+i*numberBytes:], math.Float64bits(number))
	}
}

// loadTable is the table of these bytes, which are copied.
func loadTable(numbers int, saved []byte) (table, error) {
	t := newTable(numbers)
	if len(saved) > maxBytes {
		return t, errors.New("too long")
	}
	t.bytes = append([]byte(nil), saved...)
	for at := 0; at < len(saved); {
		_, rest, err := cut(saved[at:], numbers*numberBytes)
		if err != nil {
			return t, err
		}
		key, _, err := cutWithLength(rest)
		if err != nil {
			return t, err
		}
		if _, isThere := t.index[string(key)]; isThere || !utf8.Valid(key) {
			return t, errors.New("a key that comes twice, or is no text")
		}
		t.index[string(key)] = at
		at += numbers*numberBytes + lengthBytes + len(key)
	}
	return t, nil
}

func writeState(tables ...*table) []byte {
	state := []byte(magic)
	for _, t := range tables {
		state = binary.LittleEndian.AppendUint32(state, uint32(len(t.bytes)))
		state = append(state, t.bytes...)
	}
	return state
}

func readState(state []byte) (categories, products table, err error) {
	damaged := fmt.Errorf("the state of %d bytes is damaged", len(state))
	rest, isOurs := strings.CutPrefix(string(state), magic)
	if !isOurs {
		return categories, products, errors.New("the state is not one of this module, or of a later version of it")
	}
	first, tail, err := cutWithLength([]byte(rest))
	if err != nil {
		return categories, products, damaged
	}
	second, tail, err := cutWithLength(tail)
	if err != nil || len(tail) > 0 {
		return categories, products, damaged
	}
	if categories, err = loadTable(3, first); err != nil {
		return categories, products, damaged
	}
	if products, err = loadTable(1, second); err != nil {
		return categories, products, damaged
	}
	return categories, products, nil
}

func cut(bytes []byte, length int) (part, rest []byte, err error) {
	if length > len(bytes) {
		return nil, nil, errors.New("cut off")
	}
	return bytes[:length], bytes[length:], nil
}

func cutWithLength(bytes []byte) (part, rest []byte, err error) {
	length, rest, err := cut(bytes, lengthBytes)
	if err != nil {
		return nil, nil, err
	}
	count := binary.LittleEndian.Uint32(length)
	if uint64(count) > uint64(len(rest)) {
		return nil, nil, errors.New("cut off")
	}
	return cut(rest, int(count))
}
