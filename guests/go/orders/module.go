// Package orders reads an order, which has a field of each type of Avro, and answers another: what each type becomes in Go.
//
// This file joins the rest to the contract in wit/orders.wit: change.go makes of each field another value of its type, natural.go
// turns numbers and bytes into dates, times and decimals, and back.
package orders

import (
	"fmt"
	"strconv"

	types "orders/bindings/bespoke_orders_types"
	logging "orders/bindings/wasi_logging_logging"
	"orders/bindings/wit"
)

// Where log lines come from.
const context = "orders"

// The digits of the largest step.
const maxDigits = 9

type answer = wit.Result[wit.Option[types.Change], string]

var step int32 = 1

// Configure takes the settings of the pipeline.
func Configure(settings []wit.Tuple2[string, string]) wit.Result[wit.Unit, string] {
	for _, setting := range settings {
		if setting.F0 != "step" {
			return wit.Err[wit.Unit](fmt.Sprintf("there is no setting `%s`; this module knows `step`", setting.F0))
		}
		number, err := strconv.ParseUint(setting.F1, 10, 31)
		if err != nil || len(setting.F1) > maxDigits {
			return wit.Err[wit.Unit](fmt.Sprintf("`step` must be a whole number, not `%s`", setting.F1))
		}
		step = int32(number)
	}
	logging.Log(logging.Level_Info, context, fmt.Sprintf("the step is %d", step))
	return wit.Ok[wit.Unit, string](wit.Unit{})
}

// Process gives one answer for each record, in order.
func Process(records []types.Order, meta []types.About) []answer {
	answers := make([]answer, len(records))
	for i := range records {
		changed, err := process(&records[i], &meta[i])
		if err != nil {
			answers[i] = wit.Err[wit.Option[types.Change]](err.Error())
		} else {
			answers[i] = wit.Ok[wit.Option[types.Change], string](changed)
		}
	}
	return answers
}

func process(order *types.Order, about *types.About) (wit.Option[types.Change], error) {
	none := wit.None[types.Change]()
	if order.Count < 0 {
		reason := fmt.Sprintf("order %s has a count below zero", order.Id)
		logging.Log(logging.Level_Warn, context, reason)
		return none, fmt.Errorf("%s", reason)
	}
	if order.Coupon.SomeOr("") == "void" {
		return none, nil
	}
	changed, err := change(order, about)
	if err != nil {
		return none, err
	}
	return wit.Some(changed), nil
}
