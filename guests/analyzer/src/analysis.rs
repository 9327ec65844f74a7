//! The analysis itself: one pass over the records, in order. Called by `lib.rs`.
//!
//! Mean and deviation follow Welford, who adds one sample at a time without the loss of digits that the sum of squares
//! has (Technometrics 4(3), 1962). A price is judged by those before it, so that an outlier cannot hide itself.

use crate::bespoke::analyzer::types::{Alert, Output, Product, Row};
use crate::state::{Categories, Products};

/// What a user may set.
#[derive(Debug, PartialEq)]
pub struct Settings {
    /// The z-score beyond which a price is an outlier.
    pub threshold: f64,
    /// How many prices a category needs before any is judged.
    pub min_samples: u32,
}

/// What was learnt, and how to judge by it.
pub struct Analyzer {
    pub settings: Settings,
    pub categories: Categories,
    pub products: Products,
}

/// The prices of a category.
#[derive(Clone, Copy, Default)]
struct Prices {
    count: f64,
    mean: f64,
    /// The sum of squared deviations from the mean.
    squares: f64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 3.0, min_samples: 30 }
    }
}

impl Settings {
    /// Reads what the pipeline sets; what it does not keeps its default.
    pub fn parse(settings: &[(String, String)]) -> Result<Self, String> {
        let mut parsed = Self::default();
        for (name, value) in settings {
            match name.as_str() {
                "threshold" => match value.parse() {
                    Ok(number) if number > 0.0 => parsed.threshold = number,
                    _ => return Err(format!("`threshold` must be a number above 0, not `{value}`")),
                },
                "min_samples" => match value.parse() {
                    Ok(number) if number >= 2 => parsed.min_samples = number,
                    _ => return Err(format!("`min_samples` must be a whole number from 2 on, not `{value}`")),
                },
                _ => {
                    return Err(format!(
                        "there is no setting `{name}`; the analyzer knows `threshold` and `min_samples`"
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

// === impl Analyzer ===

impl Analyzer {
    /// One that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Self { settings, categories: Categories::default(), products: Products::default() }
    }

    /// A row for each record, and an alert for each outlier.
    pub fn analyze(&mut self, records: Vec<Product>) -> Output {
        let mut output = Output { analysis: Vec::with_capacity(records.len()), alerts: Vec::new() };
        for record in records {
            let (row, expected) = self.judge(record);
            if let (true, Some(z_score)) = (row.outlier, row.z_score) {
                output.alerts.push(Alert {
                    category: row.category.clone(),
                    id: row.id.clone(),
                    price: row.price,
                    updated: row.updated,
                    z_score,
                    expected,
                });
            }
            output.analysis.push(row);
        }
        output
    }

    /// The row of a record, and the mean that it was judged by.
    fn judge(&mut self, Product { id, category, price, updated }: Product) -> (Row, f64) {
        // A category or product for which the tables have no room is judged as if it came for the first time.
        let slot = self.categories.slot(&category, [0.0; 3]);
        let before = slot.map(|slot| Prices::from(self.categories.get(slot))).unwrap_or_default();
        let z_score = before.z_score(price, self.settings.min_samples);
        let after = before.with(price);
        if let Some(slot) = slot {
            self.categories.set(slot, after.into());
        }
        let row = Row {
            samples: after.count as i64,
            mean: after.mean,
            deviation: after.deviation(),
            move_percent: self.move_percent(&id, price),
            z_score,
            outlier: z_score.is_some_and(|z| z.abs() > self.settings.threshold),
            category,
            id,
            price,
            updated,
        };
        (row, before.mean)
    }

    /// The change against the product's last price, which this one replaces.
    fn move_percent(&mut self, id: &str, price: f64) -> Option<f64> {
        let slot = self.products.slot(id, [f64::NAN])?;
        let [last] = self.products.get(slot);
        if price.is_finite() {
            self.products.set(slot, [price]);
        }
        Some((price - last) / last.abs() * 100.0).filter(|percent| percent.is_finite())
    }
}

// === impl Prices ===

impl Prices {
    /// With one price more. A price that is no finite number, or one that would make the sums so, is left out.
    fn with(self, price: f64) -> Self {
        let count = self.count + 1.0;
        let delta = price - self.mean;
        let mean = self.mean + delta / count;
        let squares = self.squares + delta * (price - mean);
        if squares.is_finite() { Self { count, mean, squares } } else { self }
    }

    fn deviation(self) -> f64 {
        if self.count > 0.0 { (self.squares / self.count).sqrt() } else { 0.0 }
    }

    /// How many deviations the price lies from the mean; none while there is nothing to judge by.
    fn z_score(self, price: f64, min_samples: u32) -> Option<f64> {
        if self.count < f64::from(min_samples) {
            return None;
        }
        Some((price - self.mean) / self.deviation()).filter(|z| z.is_finite())
    }
}

impl From<[f64; 3]> for Prices {
    fn from([count, mean, squares]: [f64; 3]) -> Self {
        Self { count, mean, squares }
    }
}

impl From<Prices> for [f64; 3] {
    fn from(Prices { count, mean, squares }: Prices) -> Self {
        [count, mean, squares]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;

    fn product(id: &str, price: f64) -> Product {
        Product { id: id.to_owned(), category: "books".to_owned(), price, updated: 7 }
    }

    fn analyze(analyzer: &mut Analyzer, prices: &[f64]) -> Output {
        analyzer.analyze(prices.iter().map(|price| product("b-1", *price)).collect())
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_textbook() {
        let mut analyzer = Analyzer::new(Settings::default());
        let prices = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        let last = analyze(&mut analyzer, &prices).analysis.pop().expect("rows");
        assert_eq!((last.samples, last.mean, last.deviation), (8, 5.0, 2.0));
    }

    #[test]
    fn a_large_level_costs_no_digits() {
        let mut analyzer = Analyzer::new(Settings::default());
        let last =
            analyze(&mut analyzer, &[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]).analysis.pop().expect("rows");
        assert!((last.deviation - 22.5_f64.sqrt()).abs() < 1e-6, "{}", last.deviation);
    }

    #[test]
    fn an_outlier_is_judged_by_the_prices_before_it() {
        let mut analyzer = Analyzer::new(Settings { threshold: 3.0, min_samples: 4 });
        let output = analyze(&mut analyzer, &[9.0, 11.0, 9.0, 11.0, 10.5, 20.0]);
        let flags: Vec<_> = output.analysis.iter().map(|row| row.outlier).collect();
        assert_eq!(flags, [false, false, false, false, false, true]);
        assert_eq!(output.analysis[3].z_score, None);
        assert_eq!(output.analysis[4].z_score, Some(0.5));
        let [alert] = &output.alerts[..] else { panic!("one alert") };
        assert_eq!((alert.id.as_str(), alert.price), ("b-1", 20.0));
        assert!((alert.expected - 10.1).abs() < 1e-9 && alert.z_score > 3.0);
    }

    #[test]
    fn equal_prices_have_no_score() {
        let mut analyzer = Analyzer::new(Settings { threshold: 3.0, min_samples: 2 });
        let output = analyze(&mut analyzer, &[5.0, 5.0, 5.0, 6.0]);
        assert!(output.analysis.iter().all(|row| row.z_score.is_none() && !row.outlier));
    }

    #[test]
    fn moves_are_against_the_last_price_of_the_same_product() {
        let mut analyzer = Analyzer::new(Settings::default());
        let output =
            analyzer.analyze(vec![product("a", 10.0), product("b", 50.0), product("a", 12.5), product("b", 25.0)]);
        let moves: Vec<_> = output.analysis.iter().map(|row| row.move_percent).collect();
        assert_eq!(moves, [None, None, Some(25.0), Some(-50.0)]);
    }

    #[test]
    fn numbers_that_are_not_finite_spoil_nothing() {
        let mut analyzer = Analyzer::new(Settings { threshold: 3.0, min_samples: 2 });
        let output = analyze(&mut analyzer, &[9.0, f64::NAN, 11.0, f64::INFINITY, f64::MAX, 10.0]);
        let last = output.analysis.last().expect("rows");
        assert_eq!((last.samples, last.mean, last.z_score), (3, 10.0, Some(0.0)));
    }

    #[test]
    fn a_restored_analyzer_goes_on_with_the_same_numbers() {
        let prices: Vec<f64> = (0..100).map(|n| 10.0 + f64::from(n % 7)).collect();
        let (first, second) = prices.split_at(50);
        let mut whole = Analyzer::new(Settings::default());
        analyze(&mut whole, first);
        let (categories, products) = state::read(&state::write(&whole.categories, &whole.products)).expect("a state");
        let mut restored = Analyzer { settings: Settings::default(), categories, products };
        let expected = format!("{:?}", analyze(&mut whole, second));
        assert_eq!(format!("{:?}", analyze(&mut restored, second)), expected);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let parse = |name: &str, value: &str| Settings::parse(&[(name.to_owned(), value.to_owned())]);
        assert_eq!(parse("threshold", "2.5"), Ok(Settings { threshold: 2.5, min_samples: 30 }));
        assert_eq!(parse("min_samples", "2"), Ok(Settings { threshold: 3.0, min_samples: 2 }));
        for (name, value) in
            [("threshold", "0"), ("threshold", "NaN"), ("threshold", ""), ("min_samples", "1"), ("max", "1")]
        {
            assert!(parse(name, value).is_err_and(|reason| reason.contains(name)), "{name} = {value}");
        }
    }
}
