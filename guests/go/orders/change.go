package orders

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"orders/bindings/bespoke"
	types "orders/bindings/bespoke_orders_types"
	"orders/bindings/wit"
)

const (
	// Digits after the point.
	amountScale = 2
	feeScale    = 4
	// Bytes of the fixed that a fee is in.
	feeBytes = 8
)

var nextStatus = map[types.Status]types.Status{
	types.Status_New: types.Status_Packed, types.Status_Packed: types.Status_InTransit, types.Status_InTransit: types.Status_New,
}

var nextChannel = map[string]string{"WEB": "SHOP", "SHOP": "WEB"}

// change makes of each field another value of its type.
func change(order *types.Order, about *types.About) (changed types.Change, err error) {
	fail := func(wrong error) {
		if err == nil {
			err = wrong
		}
	}
	next := func(text string) string {
		number, wrong := strconv.ParseInt(text, 10, 64)
		fail(wrong)
		return strconv.FormatInt(number+1, 10)
	}
	more := func(item types.Item) types.Item {
		price, wrong := bespoke.DecimalBytes(doubled(item.Price, amountScale), amountScale)
		fail(wrong)
		return types.Item{Sku: item.Sku, Quantity: item.Quantity + 1, Price: price, Size: nextSize(item.Size)}
	}
	amount, wrong := bespoke.DecimalBytes(doubled(order.Amount, amountScale), amountScale)
	fail(wrong)
	fee, wrong := bespoke.DecimalFixed(doubled(order.Fee, feeScale), feeScale, feeBytes)
	fail(wrong)
	spoken, wrong := words(order)
	fail(wrong)
	changed = types.Change{
		Paid:     !order.Paid,
		Count:    order.Count + step,
		Rank:     order.Rank * 3,
		Weight:   order.Weight * 2,
		Ratio:    order.Ratio * 2,
		Total:    order.Total / 4,
		Number:   next(order.Number),
		Note:     reversed(order.Note),
		Mark:     reversed(order.Mark),
		Status:   nextStatus[order.Status],
		Channel:  order.Channel,
		Customer: swapped(order.Customer),
		Payment:  paidOtherwise(order.Payment),
		Extra:    otherExtra(order.Extra),
		Tags:     reversed(order.Tags),
		Items:    each(order.Items, more),
		Grid:     each(order.Grid, withSum),
		Labels: each(order.Labels, func(label wit.Tuple2[string, string]) wit.Tuple2[string, string] {
			return wit.Tuple2[string, string]{F0: label.F1, F1: label.F0}
		}),
		Stock: each(order.Stock, func(part wit.Tuple2[string, wit.Option[int64]]) wit.Tuple2[string, wit.Option[int64]] {
			return wit.Tuple2[string, wit.Option[int64]]{F0: part.F0, F1: restocked(part.F1)}
		}),
		Parts: each(order.Parts, func(part wit.Tuple2[string, types.Item]) wit.Tuple2[string, types.Item] {
			return wit.Tuple2[string, types.Item]{F0: part.F0, F1: more(part.F1)}
		}),
		Amount:  amount,
		Fee:     fee,
		Day:     nextDay(order.Day),
		Created: nextHour(order.Created),
		Changed: nextMicrosecond(order.Changed),
		Exact:   next(order.Exact),
		Words:   spoken,
		Origin:  origin(about, order.Weekday.SomeOr("no weekday")),
	}
	if channel, isKnown := nextChannel[order.Channel]; isKnown {
		changed.Channel = channel
	}
	if order.Coupon.IsNone() {
		changed.Coupon = wit.Some("welcome")
	}
	if order.Gift.IsSome() {
		changed.Gift = wit.Some(order.Gift.Some() + "!")
	}
	return changed, err
}

func each[A, B any](list []A, answer func(A) B) []B {
	answers := make([]B, len(list))
	for i, item := range list {
		answers[i] = answer(item)
	}
	return answers
}

func reversed[T any](list []T) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// swapped lives where they are called, and is called where they live.
func swapped(customer types.Customer) types.Customer {
	address := types.Address{Street: customer.Name}
	if customer.Address.Zip.IsNone() {
		address.Zip = wit.Some("00000")
	}
	return types.Customer{Name: customer.Address.Street, Address: address}
}

// paidOtherwise is the next branch, with what was in this one.
func paidOtherwise(payment types.Payment) types.Payment {
	switch payment.Tag() {
	case types.Payment_String:
		return types.MakePaymentCard(types.Card{Number: payment.String(), Limit: 1})
	case types.Payment_Card:
		return types.MakePaymentLong(int64(payment.Card().Limit))
	default:
		return types.MakePaymentString(strconv.FormatInt(payment.Long(), 10))
	}
}

// otherExtra is another branch, with something of what was in this one.
func otherExtra(extra wit.Option[types.Extra]) wit.Option[types.Extra] {
	if extra.IsNone() {
		return wit.Some(types.MakeExtraBoolean(true))
	}
	value := extra.Some()
	switch value.Tag() {
	case types.Extra_Boolean:
		return wit.None[types.Extra]()
	case types.Extra_Double:
		return wit.Some(types.MakeExtraDouble(-value.Double()))
	case types.Extra_Bytes:
		return wit.Some(types.MakeExtraArray(each(value.Bytes(), func(b byte) string { return fmt.Sprintf("%02x", b) })))
	case types.Extra_Status:
		return wit.Some(types.MakeExtraStatus(nextStatus[value.Status()]))
	case types.Extra_Mark:
		return wit.Some(types.MakeExtraBytes(value.Mark()))
	case types.Extra_Array:
		entries := make([]wit.Tuple2[string, int64], 0, len(value.Array()))
		for i, text := range value.Array() {
			entries = append(entries, wit.Tuple2[string, int64]{F0: text, F1: int64(i)})
		}
		return wit.Some(types.MakeExtraMap(entries))
	default:
		keys := each(value.Map(), func(entry wit.Tuple2[string, int64]) string { return entry.F0 })
		return wit.Some(types.MakeExtraArray(keys))
	}
}

func nextSize(size wit.Option[types.Size]) wit.Option[types.Size] {
	switch {
	case size.IsNone():
		return wit.Some[types.Size](types.Size_Small)
	case size.Some() == types.Size_Small:
		return wit.Some[types.Size](types.Size_Large)
	default:
		return wit.None[types.Size]()
	}
}

func withSum(row []float64) []float64 {
	sum := 0.0
	for _, number := range row {
		sum += number
	}
	return append(slices.Clone(row), sum)
}

// restocked: none is no stock, no stock is none, and all other stock is owed.
func restocked(stock wit.Option[int64]) wit.Option[int64] {
	switch {
	case stock.IsNone():
		return wit.Some[int64](0)
	case stock.Some() == 0:
		return wit.None[int64]()
	default:
		return wit.Some(-stock.Some())
	}
}

func doubled(unscaled []byte, scale int) *big.Rat {
	number := bespoke.Decimal(unscaled, scale)
	return number.Add(number, number)
}

// origin is where a record is from, in one line.
func origin(about *types.About, weekday string) string {
	key := "-"
	if about.Key.IsSome() {
		key = hex.EncodeToString(about.Key.Some())
	}
	for _, header := range about.Headers {
		key += " " + header.F0 + "=" + hex.EncodeToString(header.F1)
	}
	return fmt.Sprintf("%s/%d/%d %d %s %s", about.Topic, about.Partition, about.Offset, about.Timestamp, key, weekday)
}
