// Package processor is the first stage of the product feed: it normalises the category, rejects impossible prices with a
// reason, and adds a discount and a price band.
//
// This file joins the logic of product.go to the contract in wit/processor.wit. The module keeps nothing from one record to
// the next; its settings are the only state.
package processor

import (
	"processor/bindings/bespoke_processor_types"
	"processor/bindings/wit"
)

type (
	product = bespoke_processor_types.Product
	change  = bespoke_processor_types.Change
	answer  = wit.Result[wit.Option[change], string]
)

var dropped = map[string]bool{}

// Configure takes the settings of the pipeline.
func Configure(settings []wit.Tuple2[string, string]) wit.Result[wit.Unit, string] {
	read, err := droppedCategories(settings)
	if err != nil {
		return wit.Err[wit.Unit](err.Error())
	}
	dropped = read
	return wit.Ok[wit.Unit, string](wit.Unit{})
}

// Process gives one answer for each record, in order.
func Process(records []product) []answer {
	answers := make([]answer, len(records))
	for i, record := range records {
		changed, err := process(record)
		if err != nil {
			answers[i] = wit.Err[wit.Option[change]](err.Error())
		} else {
			answers[i] = wit.Ok[wit.Option[change], string](changed)
		}
	}
	return answers
}

// process is the change of a record, none to drop it, or the reason why it is refused.
func process(record product) (wit.Option[change], error) {
	if err := refusePrice(record.Price); err != nil {
		return wit.None[change](), err
	}
	category := normalise(record.Category)
	if category == "" {
		return wit.None[change](), errEmptyCategory
	}
	if dropped[category] {
		return wit.None[change](), nil
	}
	return wit.Some(change{
		Category:  category,
		Discount:  discount(record.Quantity),
		PriceBand: priceBand(record.Price),
	}), nil
}
