package shapes

import (
	"math"
	"strings"
	"testing"

	"shapes/bindings/wit"
)

func TestAnOfferNeedsAPrice(t *testing.T) {
	if err := check("a", 0.01); err != nil {
		t.Error(err)
	}
	for _, price := range []float64{0, -1, math.NaN()} {
		if err := check("a", price); err == nil || err.Error() != "offer `a` has no price" {
			t.Error(price, err)
		}
	}
	if total(0.5, -3) != -1.5 {
		t.Error(total(0.5, -3))
	}
}

func TestSettingsAreWholeNumbers(t *testing.T) {
	read := func(name, value string) (int32, error) {
		return readLeast([]wit.Tuple2[string, string]{{F0: name, F1: value}})
	}
	if least, err := readLeast(nil); least != 1 || err != nil {
		t.Error(least, err)
	}
	if least, err := read("least", "007"); least != 7 || err != nil {
		t.Error(least, err)
	}
	for _, bad := range []string{"", "-1", "+1", "1.0", "1000000000", "x", "1_0"} {
		if _, err := read("least", bad); err == nil || !strings.Contains(err.Error(), "whole number") {
			t.Error(bad, err)
		}
	}
	if _, err := read("most", "1"); err == nil {
		t.Error("not refused")
	}
}
