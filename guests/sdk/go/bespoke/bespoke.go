// Package bespoke turns Avro's logical types, which arrive as numbers and bytes, into Go's own types and back.
//
//	date                    Date, Days
//	time-millis, -micros    time.Duration(n) * time.Millisecond, time.Microsecond
//	timestamp-millis        time.UnixMilli(n).UTC(), t.UnixMilli()
//	timestamp-micros        time.UnixMicro(n).UTC(), t.UnixMicro()
//	timestamp-nanos         time.Unix(0, n).UTC(), t.UnixNano()
//	decimal                 Decimal, DecimalBytes; DecimalFixed if it is in a fixed
//	duration                DurationOf, Duration.Bytes
package bespoke

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	secondsOfDay  = 24 * 60 * 60
	durationBytes = 12
)

// Duration has three numbers, none of which can be told by another.
type Duration struct{ Months, Days, Millis uint32 }

// Date is the midnight, in UTC, with which a day since 1970-01-01 begins.
func Date(days int32) time.Time { return time.Unix(int64(days)*secondsOfDay, 0).UTC() }

// Days is the day since 1970-01-01 of a date, as its own time zone has it.
func Days(date time.Time) int32 {
	year, month, day := date.Date()
	return int32(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsOfDay)
}

// Decimal is the number with these bytes and this many digits after the point.
func Decimal(unscaled []byte, scale int) *big.Rat {
	number := new(big.Int).SetBytes(unscaled)
	if len(unscaled) > 0 && unscaled[0]&0x80 != 0 {
		number.Sub(number, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	return new(big.Rat).SetFrac(number, power(scale))
}

// DecimalBytes is the shortest form of a number with so many digits after the point. A number with more is an error, as it
// would have to be rounded.
func DecimalBytes(number *big.Rat, scale int) ([]byte, error) {
	scaled := new(big.Rat).Mul(number, new(big.Rat).SetInt(power(scale)))
	if !scaled.IsInt() {
		return nil, errors.New(number.RatString() + " has more digits after the point than the decimal")
	}
	whole := scaled.Num()
	if whole.Sign() >= 0 {
		bytes := whole.Bytes()
		if len(bytes) == 0 || bytes[0]&0x80 != 0 {
			bytes = append([]byte{0}, bytes...)
		}
		return bytes, nil
	}
	// As many bytes as -whole-1 needs with a bit for the sign; then the two's complement.
	length := new(big.Int).Not(whole).BitLen()/8 + 1
	return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), uint(8*length)), whole).FillBytes(make([]byte, length)), nil
}

// DecimalFixed is the same in as many bytes as a fixed has. It is an error if these are too few.
func DecimalFixed(number *big.Rat, scale, size int) ([]byte, error) {
	shortest, err := DecimalBytes(number, scale)
	if err != nil {
		return nil, err
	}
	if len(shortest) > size {
		return nil, fmt.Errorf("%s needs %d bytes, and there are %d", number.RatString(), len(shortest), size)
	}
	bytes := make([]byte, size)
	if shortest[0]&0x80 != 0 {
		for i := range bytes {
			bytes[i] = 0xff
		}
	}
	copy(bytes[size-len(shortest):], shortest)
	return bytes, nil
}

// DurationOf is the duration with these twelve bytes.
func DurationOf(bytes []byte) (Duration, error) {
	if len(bytes) != durationBytes {
		return Duration{}, fmt.Errorf("a duration has %d bytes, and not %d", durationBytes, len(bytes))
	}
	part := func(at int) uint32 { return binary.LittleEndian.Uint32(bytes[at:]) }
	return Duration{Months: part(0), Days: part(4), Millis: part(8)}, nil
}

// Bytes are the twelve bytes of a duration.
func (d Duration) Bytes() []byte {
	bytes := make([]byte, 0, durationBytes)
	for _, part := range []uint32{d.Months, d.Days, d.Millis} {
		bytes = binary.LittleEndian.AppendUint32(bytes, part)
	}
	return bytes
}

func power(scale int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
}
