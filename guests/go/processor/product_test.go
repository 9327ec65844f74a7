package processor

import (
	"math"
	"strings"
	"testing"

	"processor/bindings/wit"
)

func TestCategoriesBecomeLowerCaseWordsWithHyphens(t *testing.T) {
	for given, normal := range map[string]string{
		"books":                 "books",
		"  Home &  Garden\t":    "home-&-garden",
		"MÖBEL":                 "möbel",
		"toys\u00a0\u2003games": "toys-games",
		"a\x1cB":                "a\x1cb",
		"ΟΔΟΣ Σ ΑΣΒ":            "οδος-σ-ασβ",
		"İ":                     "i\u0307",
		" \n ":                  "",
	} {
		if got := normalise(given); got != normal {
			t.Errorf("%q became %q, not %q", given, got, normal)
		}
	}
}

func TestImpossiblePricesAreRefusedWithTheReason(t *testing.T) {
	negativeZero := math.Copysign(0, -1)
	for price, text := range map[float64]string{math.Inf(-1): "-inf", negativeZero: "0", 1e23: "1" + strings.Repeat("0", 23), -1.5: "-1.5"} {
		if err := refusePrice(price); err == nil || !strings.Contains(err.Error(), text+" ") {
			t.Errorf("%v: %v", price, err)
		}
	}
	if refusePrice(math.NaN()) == nil || refusePrice(1e7) != nil || refusePrice(5e-324) != nil {
		t.Error("the limits are others")
	}
}

func TestALargerQuantityNeverGetsASmallerDiscount(t *testing.T) {
	for quantity, share := range map[int32]float64{-5: 0, 9: 0, 10: 0.02, 49: 0.02, 50: 0.05, 99: 0.05, 100: 0.1} {
		if got := discount(quantity); got != share {
			t.Errorf("%d gets %v", quantity, got)
		}
	}
}

func TestUnknownSettingsAreRefused(t *testing.T) {
	setting := func(name, value string) []wit.Tuple2[string, string] {
		return []wit.Tuple2[string, string]{{F0: name, F1: value}}
	}
	read, err := droppedCategories(setting("drop_categories", "Gift Cards, ,samples"))
	if err != nil || len(read) != 2 || !read["gift-cards"] || !read["samples"] {
		t.Error(read, err)
	}
	if _, err := droppedCategories(setting("drop_category", "x")); err == nil {
		t.Error("not refused")
	}
}
