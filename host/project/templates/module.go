t|// Package @snake@ trims `@text@`, and refuses records where nothing is left of it.
f|// Package @snake@ lets every record pass; answer false for those that are to be dropped.
n|// Package @snake@ counts records, with the running mean of `@number@`. The host keeps what was counted with the position in
n|// the topic.
c|// Package @snake@ counts records. The host keeps the count with the position in the topic.
package @snake@

import (
n|	"fmt"
c|	"strconv"
t|	"strings"
f|	types "@snake@/bindings/local_@snake@_types"
t|
t|	types "@snake@/bindings/local_@snake@_types"
t|	"@snake@/bindings/wit"
a|
a|	types "@snake@/bindings/local_@snake@_types"
a|	"@snake@/bindings/wit"
)

t|type answer = wit.Result[wit.Option[types.Change], string]
t|
p|// Process gives one answer for each record, in order.
t|func Process(records []types.@Record_go@) []answer {
t|	answers := make([]answer, len(records))
t|	for i, record := range records {
t|		if text := strings.TrimSpace(record.@text_go@); text != "" {
t|			answers[i] = wit.Ok[wit.Option[types.Change], string](wit.Some(types.Change{@text_go@: text}))
t|		} else {
t|			answers[i] = wit.Err[wit.Option[types.Change]]("`@text@` is empty")
t|		}
t|	}
t|	return answers
t|}
f|func Process(records []types.@Record_go@) []bool {
f|	answers := make([]bool, len(records))
f|	for i := range records {
f|		answers[i] = true
f|	}
f|	return answers
f|}
a|var (
a|	count int64
n|	mean  float64
a|)
a|
a|// Analyze gives a row for each record.
a|func Analyze(records []types.@Record_go@) []types.Row {
a|	rows := make([]types.Row, len(records))
n|	for i, record := range records {
c|	for i := range records {
a|		count++
n|		mean += (float64(record.@number_go@) - mean) / float64(count)
n|		rows[i] = types.Row{Count: count, Mean: mean}
c|		rows[i] = types.Row{Count: count}
a|	}
a|	return rows
a|}
a|
a|// Snapshot is what was counted.
n|func Snapshot() string { return fmt.Sprint(count, " ", mean) }
c|func Snapshot() string { return strconv.FormatInt(count, 10) }
a|
a|// Restore takes it up again.
a|func Restore(state string) wit.Result[wit.Unit, string] {
n|	if _, err := fmt.Sscan(state, &count, &mean); err != nil {
c|	var err error
c|	if count, err = strconv.ParseInt(state, 10, 64); err != nil {
a|		return wit.Err[wit.Unit]("`" + state + "` is not a state of this module")
a|	}
a|	return wit.Ok[wit.Unit, string](wit.Unit{})
a|}
