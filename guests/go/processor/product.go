package processor

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	types "processor/bindings/bespoke_processor_types"
	"processor/bindings/wit"
)

const (
	// A price above this is a mistake of the shop, in euro.
	maxPrice = 1e7
	// Prices below this are in the band budget, in euro.
	standardFrom = 20
	// Prices from this on are in the band premium, in euro.
	premiumFrom = 100
)

// The smallest quantity of each discount, the largest first, and the share of the price that it takes off.
var discounts = []struct {
	least int32
	share float64
}{{100, 0.10}, {50, 0.05}, {10, 0.02}}

var errEmptyCategory = errors.New("the category is empty")

// refusePrice tells why no product can have this price.
func refusePrice(price float64) error {
	switch {
	case math.IsNaN(price) || math.IsInf(price, 0):
		return fmt.Errorf("the price %s is not a finite number", number(price))
	case price <= 0:
		return fmt.Errorf("the price %s is not above zero", number(price))
	case price > maxPrice:
		return fmt.Errorf("the price %s is above the limit of %s", number(price), number(maxPrice))
	}
	return nil
}

// normalise trims, lower-cases, and turns each run of inner white space into one hyphen. Text that is so already, as nearly
// all is, stays where it is.
func normalise(category string) string {
	for _, c := range []byte(category) {
		if c <= ' ' || c > '~' || 'A' <= c && c <= 'Z' {
			return strings.Join(strings.Fields(lower(category)), "-")
		}
	}
	return category
}

// lower is the text in lower case, with the two rules that unicode.ToLower, which sees one letter at a time, leaves out: the
// sigma at the end of a word, and the dot of the capital dotted I (Unicode, SpecialCasing.txt).
func lower(text string) string {
	if !strings.ContainsAny(text, "Σİ") {
		return strings.ToLower(text)
	}
	letters := []rune(text)
	var out strings.Builder
	for i, letter := range letters {
		switch {
		case letter == 'İ':
			out.WriteString("i\u0307")
		case letter == 'Σ' && isCased(letters, i, -1) && !isCased(letters, i, 1):
			out.WriteRune('ς')
		default:
			out.WriteRune(unicode.ToLower(letter))
		}
	}
	return out.String()
}

// isCased tells whether the next character in a direction that is not passed over is a letter that has cases.
func isCased(letters []rune, i, step int) bool {
	for i += step; i >= 0 && i < len(letters); i += step {
		letter := letters[i]
		if strings.ContainsRune("'.:^`¨\u00ad·¯´¸\u2018\u2019\u2024\u2027", letter) || unicode.In(letter, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) {
			continue
		}
		return unicode.In(letter, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Uppercase, unicode.Other_Lowercase)
	}
	return false
}

// discount is the share of the price that is taken off for this quantity.
func discount(quantity int32) float64 {
	for _, d := range discounts {
		if quantity >= d.least {
			return d.share
		}
	}
	return 0
}

// priceBand is where a price stands among all.
func priceBand(price float64) types.PriceBand {
	switch {
	case price < standardFrom:
		return types.PriceBand_Budget
	case price < premiumFrom:
		return types.PriceBand_Standard
	}
	return types.PriceBand_Premium
}

// droppedCategories reads the module's settings: the categories, normalised, whose records are dropped.
func droppedCategories(settings []wit.Tuple2[string, string]) (map[string]bool, error) {
	dropped := map[string]bool{}
	for _, setting := range settings {
		if setting.F0 != "drop_categories" {
			return nil, fmt.Errorf("there is no setting `%s`; the processor knows `drop_categories`", setting.F0)
		}
		for category := range strings.SplitSeq(setting.F1, ",") {
			// What the host handed over is let go of again.
			if normal := strings.Clone(normalise(category)); normal != "" {
				dropped[normal] = true
			}
		}
	}
	return dropped, nil
}

// number is a number with as many digits as tell it from all others, and no exponent.
func number(value float64) string {
	switch {
	case math.IsInf(value, 1):
		return "inf"
	case math.IsInf(value, -1):
		return "-inf"
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}
