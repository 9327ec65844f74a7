// Package shapes has a function for each shape that an answer can have, over offers. A stage calls Process, the tests call all.
//
// What is decided about an offer stands in offer.go. The module counts the offers, which is its state, as text.
package shapes

import (
	"fmt"
	"strconv"

	types "shapes/bindings/bespoke_shapes_types"
	"shapes/bindings/wit"
)

type (
	outcome = wit.Result[wit.Option[types.Total], string]
	nothing = wit.Result[wit.Unit, string]
)

var (
	least = int32(1)
	seen  int64
)

// Configure takes the settings of the pipeline.
func Configure(settings []wit.Tuple2[string, string]) nothing {
	read, err := readLeast(settings)
	if err != nil {
		return wit.Err[wit.Unit](err.Error())
	}
	least = read
	return wit.Ok[wit.Unit, string](wit.Unit{})
}

// Process answers every record.
func Process(records []types.Offer) []types.Total { return each(records, totalOf) }

// ProcessOptions answers none for an offer below the least quantity.
func ProcessOptions(records []types.Offer) []wit.Option[types.Total] {
	return each(records, func(record types.Offer) wit.Option[types.Total] { return ifEnough(record, totalOf(record)) })
}

// ProcessResults answers err for an offer without a price.
func ProcessResults(records []types.Offer) []wit.Result[types.Total, string] {
	return each(records, func(record types.Offer) wit.Result[types.Total, string] {
		if record.Id == "trap" {
			panic("told to trap")
		}
		return checked(record, totalOf(record))
	})
}

// ProcessWhole does both, and refuses the batch if one has no id.
func ProcessWhole(records []types.Offer) wit.Result[[]outcome, string] {
	if !haveIds(records) {
		return wit.Err[[]outcome]("an offer has no id")
	}
	return wit.Ok[[]outcome, string](each(records, func(record types.Offer) outcome {
		return checked(record, ifEnough(record, totalOf(record)))
	}))
}

// ProcessFilter answers false below the least quantity.
func ProcessFilter(records []types.Offer) []bool {
	count(len(records))
	return each(records, isEnough)
}

// ProcessValidator answers err for an offer without a price.
func ProcessValidator(records []types.Offer) []nothing {
	count(len(records))
	return each(records, func(record types.Offer) nothing { return checked(record, wit.Unit{}) })
}

// ProcessColumns takes columns and gives columns.
func ProcessColumns(records types.Offers) types.Totals {
	before := seen
	count(len(records.Price))
	totals := types.Totals{Total: make([]float64, len(records.Price)), Seen: make([]int64, len(records.Price))}
	for i, price := range records.Price {
		totals.Total[i] = total(price, records.Quantity[i])
		totals.Seen[i] = before + int64(i) + 1
	}
	totals.Note = each(records.Note, func(note wit.Option[string]) wit.Option[string] {
		if note.IsNone() {
			return wit.Some("no note")
		}
		return wit.None[string]()
	})
	return totals
}

// AnalyzeRows gives one row for each batch.
func AnalyzeRows(records []types.Offer, meta []types.Place) []types.Summary {
	count(len(records))
	row := types.Summary{Seen: seen}
	for i, record := range records {
		if !isEnough(record) {
			continue
		}
		if row.Offers == 0 {
			row.Partition, row.First = meta[i].Partition, meta[i].Offset
		}
		row.Offers++
		row.Total += total(record.Price, record.Quantity)
		row.Last = meta[i].Offset
	}
	if row.Offers == 0 {
		return nil
	}
	return []types.Summary{row}
}

// AnalyzeColumns gives the offers that are large enough, as columns.
func AnalyzeColumns(records []types.Offer) (sums types.Sums) {
	count(len(records))
	for _, record := range records {
		if isEnough(record) {
			sums.Id = append(sums.Id, record.Id)
			sums.Total = append(sums.Total, total(record.Price, record.Quantity))
		}
	}
	return sums
}

// AnalyzeWhole gives two outputs, and refuses the batch if one has no id.
func AnalyzeWhole(records []types.Offer) wit.Result[types.Output, string] {
	if !haveIds(records) {
		return wit.Err[types.Output]("an offer has no id")
	}
	count(len(records))
	var output types.Output
	for _, record := range records {
		if err := check(record.Id, record.Price); err != nil {
			output.Refusals = append(output.Refusals, types.Refusal{Id: record.Id, Reason: err.Error()})
		} else {
			output.Sums = append(output.Sums, types.Sum{Id: record.Id, Total: total(record.Price, record.Quantity)})
		}
	}
	return wit.Ok[types.Output, string](output)
}

// Snapshot is how many offers came so far, as text.
func Snapshot() string { return strconv.FormatInt(seen, 10) }

// Restore takes up a snapshot.
func Restore(state string) nothing {
	number, isWhole := whole(state)
	if !isWhole {
		return wit.Err[wit.Unit](fmt.Sprintf("the state `%s` is no number", state))
	}
	seen = int64(number)
	return wit.Ok[wit.Unit, string](wit.Unit{})
}

func each[A, B any](list []A, answer func(A) B) []B {
	answers := make([]B, len(list))
	for i, item := range list {
		answers[i] = answer(item)
	}
	return answers
}

// count counts this many offers more.
func count(offers int) { seen += int64(offers) }

func totalOf(record types.Offer) types.Total {
	count(1)
	return types.Total{Total: total(record.Price, record.Quantity), Seen: seen}
}

func ifEnough(record types.Offer, answer types.Total) wit.Option[types.Total] {
	if isEnough(record) {
		return wit.Some(answer)
	}
	return wit.None[types.Total]()
}

// checked is the answer, unless the offer is refused.
func checked[T any](record types.Offer, answer T) wit.Result[T, string] {
	if err := check(record.Id, record.Price); err != nil {
		return wit.Err[T](err.Error())
	}
	return wit.Ok[T, string](answer)
}

func isEnough(record types.Offer) bool { return record.Quantity >= least }

func haveIds(records []types.Offer) bool {
	for _, record := range records {
		if record.Id == "" {
			return false
		}
	}
	return true
}
