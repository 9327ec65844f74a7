package analyzer

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"analyzer/bindings/wit"
)

// What a user may set.
type settings struct {
	// The z-score beyond which a price is an outlier.
	threshold float64
	// How many prices a category needs before any is judged.
	minSamples uint32
}

// What was learnt, and how to judge by it.
//
// Mean and deviation follow Welford, who adds one sample at a time without the loss of digits that the sum of squares has
// (Technometrics 4(3), 1962). A price is judged by those before it, so that an outlier cannot hide itself.
type analyzer struct {
	settings   settings
	categories table
	products   table
}

// What is told of a price.
type seen struct {
	samples     int64
	mean        float64
	deviation   float64
	movePercent wit.Option[float64]
	zScore      wit.Option[float64]
	isOutlier   bool
	// The mean of the prices before it.
	expected float64
}

// The prices of a category: their count, their mean, and the sum of squared deviations from it.
type prices struct{ count, mean, squares float64 }

// No price yet: the bits that other languages have for what is no number, and math.NaN() has not.
var noPrice = math.Float64frombits(0x7ff8 << 48)

func newAnalyzer() *analyzer {
	return &analyzer{settings: settings{threshold: 3, minSamples: 30}, categories: newTable(3), products: newTable(1)}
}

// parseSettings reads what the pipeline sets; what it does not keeps its default.
func parseSettings(given []wit.Tuple2[string, string]) (settings, error) {
	parsed := settings{threshold: 3, minSamples: 30}
	for _, setting := range given {
		name, value := setting.F0, setting.F1
		switch name {
		case "threshold":
			threshold, err := strconv.ParseFloat(value, 64)
			// Go also takes hexadecimal numbers, and refuses those that are too large, which are infinite elsewhere.
			if strings.ContainsAny(value, "_xXpP") || (err != nil && !math.IsInf(threshold, 0)) || !(threshold > 0) {
				return settings{}, fmt.Errorf("`threshold` must be a number above 0, not `%s`", value)
			}
			parsed.threshold = threshold
		case "min_samples":
			samples, err := strconv.ParseUint(strings.TrimPrefix(value, "+"), 10, 32)
			if err != nil || samples < 2 {
				return settings{}, fmt.Errorf("`min_samples` must be a whole number from 2 on, not `%s`", value)
			}
			parsed.minSamples = uint32(samples)
		default:
			return settings{}, fmt.Errorf("there is no setting `%s`; the analyzer knows `threshold` and `min_samples`", name)
		}
	}
	return parsed, nil
}

// judge is what a price looks like after those before it, which from now on include it.
func (a *analyzer) judge(product, category string, price float64) seen {
	// A category or product for which the tables have no room is judged as if it came for the first time.
	var before prices
	at, isThere := a.categories.slot(category, 0, 0, 0)
	if isThere {
		before = prices{a.categories.get(at, 0), a.categories.get(at, 1), a.categories.get(at, 2)}
	}
	zScore := before.zScore(price, a.settings.minSamples)
	after := before.with(price)
	if isThere {
		a.categories.set(at, after.count, after.mean, after.squares)
	}
	return seen{
		samples:     int64(after.count),
		mean:        after.mean,
		deviation:   after.deviation(),
		movePercent: a.movePercent(product, price),
		zScore:      zScore,
		isOutlier:   zScore.IsSome() && math.Abs(zScore.Some()) > a.settings.threshold,
		expected:    before.mean,
	}
}

// movePercent is the change against the product's last price, which this one replaces.
func (a *analyzer) movePercent(product string, price float64) wit.Option[float64] {
	at, isThere := a.products.slot(product, noPrice)
	if !isThere {
		return wit.None[float64]()
	}
	last := a.products.get(at, 0)
	if isFinite(price) {
		a.products.set(at, price)
	}
	return finite((price - last) / math.Abs(last) * 100)
}

// with is with one price more. A price that is no finite number, or one that would make the sums so, is left out.
func (p prices) with(price float64) prices {
	count := p.count + 1
	delta := price - p.mean
	mean := p.mean + delta/count
	// Rounded before it is added, on every machine: the sums are to be the same everywhere.
	squares := p.squares + float64(delta*(price-mean))
	if !isFinite(squares) {
		return p
	}
	return prices{count, mean, squares}
}

func (p prices) deviation() float64 {
	if p.count > 0 {
		return math.Sqrt(p.squares / p.count)
	}
	return 0
}

// zScore is how many deviations the price lies from the mean; none while there is nothing to judge by.
func (p prices) zScore(price float64, minSamples uint32) wit.Option[float64] {
	if p.count < float64(minSamples) {
		return wit.None[float64]()
	}
	return finite((price - p.mean) / p.deviation())
}

func finite(value float64) wit.Option[float64] {
	if !isFinite(value) {
		return wit.None[float64]()
	}
	return wit.Some(value)
}

func isFinite(value float64) bool { return !math.IsNaN(value) && !math.IsInf(value, 0) }
