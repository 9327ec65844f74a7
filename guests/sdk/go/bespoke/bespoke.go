// Package bespoke turns Avro's logical types, which arrive as numbers and bytes, into Go's own types and back.
//
//	date                    Date, Days
//	time-millis, -micros    time.Duration(n) * time.Millisecond, time.Microsecond
//	timestamp-millis        time.UnixMilli(n).UTC(), t.UnixMilli()
//	timestamp-micros        time.UnixMicro(n).UTC(), t.UnixMicro()
//	timestamp-nanos         time.Unix(0, n).UTC(), t.UnixNano()
//	decimal                 Decimal, DecimalBytes
package bespoke

import (
	"errors"
	"math/big"
	"time"
)

const secondsOfDay = 24 * 60 * 60

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

func power(scale int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
}
