package bespoke

import (
	"bytes"
	"math/big"
	"testing"
	"time"
)

func TestDaysGoBothWaysAlsoBeforeTheEpoch(t *testing.T) {
	for days, text := range map[int32]string{0: "1970-01-01", -1: "1969-12-31", 19_782: "2024-02-29"} {
		if got := Date(days).Format(time.DateOnly); got != text || Days(Date(days)) != days {
			t.Errorf("%d is %s", days, got)
		}
	}
	evening := time.Date(2024, 2, 29, 23, 0, 0, 0, time.FixedZone("west", -5*60*60))
	if Days(evening) != 19_782 {
		t.Error("the date is that of its own zone")
	}
}

func TestDecimalsAreThoseOfTheSpecification(t *testing.T) {
	for text, unscaled := range map[string][]byte{
		"0": {0}, "12.34": {0x04, 0xd2}, "-12.34": {0xfb, 0x2e}, "1.27": {0x7f}, "1.28": {0, 0x80}, "-1.28": {0x80}, "-1.29": {0xff, 0x7f},
	} {
		number, _ := new(big.Rat).SetString(text)
		if got := Decimal(unscaled, 2); got.Cmp(number) != 0 {
			t.Errorf("%v is %v", unscaled, got)
		}
		if got, err := DecimalBytes(number, 2); err != nil || !bytes.Equal(got, unscaled) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	if _, err := DecimalBytes(big.NewRat(1, 1000), 2); err == nil {
		t.Error("rounded in silence")
	}
}

func TestAFixedIsFilledUp(t *testing.T) {
	for text, filled := range map[string][]byte{"-0.01": {255, 255, 255}, "0": {0, 0, 0}, "327.68": {0, 128, 0}} {
		number, _ := new(big.Rat).SetString(text)
		if got, err := DecimalFixed(number, 2, 3); err != nil || !bytes.Equal(got, filled) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	if _, err := DecimalFixed(big.NewRat(32768, 100), 2, 2); err == nil {
		t.Error("cut off in silence")
	}
}

func TestDurationsGoBothWays(t *testing.T) {
	twelve := []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0, 0}
	duration, err := DurationOf(twelve)
	if err != nil || duration != (Duration{Months: 1, Days: 2, Millis: 259}) || !bytes.Equal(duration.Bytes(), twelve) {
		t.Error(duration, err)
	}
	if _, err := DurationOf(twelve[:11]); err == nil {
		t.Error("eleven bytes are no duration")
	}
}
