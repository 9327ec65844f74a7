package analyzer

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"analyzer/bindings/wit"
)

func judged(a *analyzer, values ...float64) []seen {
	out := make([]seen, 0, len(values))
	for _, value := range values {
		out = append(out, a.judge("b-1", "books", value))
	}
	return out
}

func TestMeanAndDeviationAreThoseOfTheTextbook(t *testing.T) {
	last := judged(newAnalyzer(), 2, 4, 4, 4, 5, 5, 7, 9)[7]
	if last.samples != 8 || last.mean != 5 || last.deviation != 2 {
		t.Error(last)
	}
}

func TestAnOutlierIsJudgedByThePricesBeforeIt(t *testing.T) {
	a := newAnalyzer()
	a.settings.minSamples = 4
	all := judged(a, 9, 11, 9, 11, 10.5, 20)
	if all[3].zScore.IsSome() || all[4].zScore.Some() != 0.5 || all[4].isOutlier || !all[5].isOutlier {
		t.Error(all)
	}
}

func TestNumbersThatAreNotFiniteSpoilNothing(t *testing.T) {
	a := newAnalyzer()
	a.settings.minSamples = 2
	last := judged(a, 9, math.NaN(), 11, math.Inf(1), math.MaxFloat64, 10)[5]
	if last.samples != 3 || last.mean != 10 || last.zScore.Some() != 0 {
		t.Error(last)
	}
}

func TestARestoredAnalyzerGoesOnWithTheSameNumbers(t *testing.T) {
	whole, restored := newAnalyzer(), newAnalyzer()
	for n := range 50 {
		judged(whole, 10+float64(n%7))
	}
	state := writeState(&whole.categories, &whole.products)
	var err error
	if restored.categories, restored.products, err = readState(state); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(writeState(&restored.categories, &restored.products), state) {
		t.Error("another state")
	}
	if !reflect.DeepEqual(judged(restored, 11, 12, 13), judged(whole, 11, 12, 13)) {
		t.Error("other numbers")
	}
}

func TestGarbageIsRefused(t *testing.T) {
	a := newAnalyzer()
	judged(a, 1, 2)
	state := writeState(&a.categories, &a.products)
	for end := range state {
		if _, _, err := readState(state[:end]); err == nil {
			t.Error("cut at", end)
		}
	}
	if _, _, err := readState(append(state, 'x')); err == nil {
		t.Error("bytes left over")
	}
}

func TestSettingsThatMakeNoSenseAreRefused(t *testing.T) {
	parse := func(name, value string) error {
		_, err := parseSettings([]wit.Tuple2[string, string]{{F0: name, F1: value}})
		return err
	}
	if parse("threshold", "2.5") != nil || parse("threshold", "1e999") != nil || parse("min_samples", "2") != nil {
		t.Error("refused")
	}
	for _, bad := range [][2]string{{"threshold", "0"}, {"threshold", "nan"}, {"threshold", "0x1p3"}, {"min_samples", "1"}, {"max", "1"}} {
		if err := parse(bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), bad[0]) {
			t.Error(bad, err)
		}
	}
}
