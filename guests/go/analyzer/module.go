// Package analyzer is the second stage of the product feed: per category the running mean and deviation of prices, per
// product the move against its last price, and a flag for outliers.
//
// This file joins the logic of analysis.go to the contract in wit/analyzer.wit, and holds the one instance of it.
package analyzer

import (
	types "analyzer/bindings/bespoke_analyzer_types"
	"analyzer/bindings/wit"
)

var module = newAnalyzer()

// Configure takes the settings of the pipeline.
func Configure(settings []wit.Tuple2[string, string]) wit.Result[wit.Unit, string] {
	read, err := parseSettings(settings)
	if err != nil {
		return wit.Err[wit.Unit](err.Error())
	}
	module.settings = read
	return wit.Ok[wit.Unit, string](wit.Unit{})
}

// Analyze gives a row for each record, and an alert for each outlier.
func Analyze(records []types.Product) types.Output {
	output := types.Output{Analysis: make([]types.Row, 0, len(records))}
	for _, r := range records {
		s := module.judge(r.Id, r.Category, r.Price)
		output.Analysis = append(output.Analysis, types.Row{
			Category: r.Category, Id: r.Id, Price: r.Price, Updated: r.Updated,
			Samples: s.samples, Mean: s.mean, Deviation: s.deviation,
			MovePercent: s.movePercent, ZScore: s.zScore, Outlier: s.isOutlier,
		})
		if s.isOutlier {
			output.Alerts = append(output.Alerts, types.Alert{
				Category: r.Category, Id: r.Id, Price: r.Price, Updated: r.Updated,
				ZScore: s.zScore.Some(), Expected: s.expected,
			})
		}
	}
	return output
}

// Snapshot is all that was learnt, as bytes.
func Snapshot() []byte { return writeState(&module.categories, &module.products) }

// Restore takes up a snapshot.
func Restore(state []byte) wit.Result[wit.Unit, string] {
	categories, products, err := readState(state)
	if err != nil {
		return wit.Err[wit.Unit](err.Error())
	}
	module.categories, module.products = categories, products
	return wit.Ok[wit.Unit, string](wit.Unit{})
}
