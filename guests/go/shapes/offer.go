package shapes

import (
	"fmt"
	"strconv"

	"shapes/bindings/wit"
)

// The digits of the largest number that settings and states have.
const maxDigits = 9

// total is the price of all pieces.
func total(price float64, quantity int32) float64 { return price * float64(quantity) }

// check refuses an offer without a price.
func check(id string, price float64) error {
	if price > 0 {
		return nil
	}
	return fmt.Errorf("offer `%s` has no price", id)
}

// readLeast reads the module's settings: the quantity below which an offer is dropped.
func readLeast(settings []wit.Tuple2[string, string]) (int32, error) {
	least := int32(1)
	for _, setting := range settings {
		if setting.F0 != "least" {
			return 0, fmt.Errorf("there is no setting `%s`; this module knows `least`", setting.F0)
		}
		number, isWhole := whole(setting.F1)
		if !isWhole {
			return 0, fmt.Errorf("`least` must be a whole number, not `%s`", setting.F1)
		}
		least = number
	}
	return least, nil
}

// whole is the number that is written with digits alone; false if it is not.
func whole(text string) (int32, bool) {
	if len(text) > maxDigits {
		return 0, false
	}
	for _, digit := range []byte(text) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
	}
	number, err := strconv.ParseInt(text, 10, 32)
	return int32(number), err == nil
}
