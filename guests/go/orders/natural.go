package orders

import (
	"fmt"
	"strconv"
	"time"

	"orders/bindings/bespoke"
	types "orders/bindings/bespoke_orders_types"
)

// How moments are written, but for the digits after the point.
const (
	seconds = "2006-01-02T15:04:05"
	clock   = "15:04:05"
)

// words are dates, times, decimals and the span, as people read them.
func words(order *types.Order) ([]string, error) {
	exact, err := strconv.ParseInt(order.Exact, 10, 64)
	if err != nil {
		return nil, err
	}
	span, err := bespoke.DurationOf(order.Span)
	if err != nil {
		return nil, err
	}
	midnight := bespoke.Date(0)
	return []string{
		bespoke.Date(order.Day).Format(time.DateOnly),
		midnight.Add(time.Duration(order.Opens) * time.Millisecond).Format(clock + ".000"),
		midnight.Add(time.Duration(order.Closes) * time.Microsecond).Format(clock + ".000000"),
		time.UnixMilli(order.Created).UTC().Format(seconds + ".000Z"),
		time.UnixMicro(order.Changed).UTC().Format(seconds + ".000000Z"),
		time.UnixMilli(order.Local).UTC().Format(seconds + ".000"),
		time.Unix(0, exact).UTC().Format(seconds + ".000000000Z"),
		bespoke.Decimal(order.Amount, amountScale).FloatString(amountScale),
		bespoke.Decimal(order.Fee, feeScale).FloatString(feeScale),
		fmt.Sprintf("%d months %d days %d ms", span.Months, span.Days, span.Millis),
	}, nil
}

func nextDay(days int32) int32 { return bespoke.Days(bespoke.Date(days).AddDate(0, 0, 1)) }

func nextHour(millis int64) int64 { return time.UnixMilli(millis).Add(time.Hour).UnixMilli() }

func nextMicrosecond(micros int64) int64 {
	return time.UnixMicro(micros).Add(time.Microsecond).UnixMicro()
}
