//! A function for each shape that an answer can have, over offers. A stage calls `process`, the tests call all.
//!
//! What is decided about an offer stands in `offer.rs`. The module counts the offers, which is its state, as text.

#![allow(missing_docs, reason = "the generated bindings")]

use std::cell::Cell;

mod offer;

wit_bindgen::generate!({ path: "wit", world: "shapes" });

use bespoke::shapes::types::{Refusal, Sum};

struct Shapes;
export!(Shapes);

thread_local! {
    static LEAST: Cell<i32> = const { Cell::new(1) };
    static SEEN: Cell<i64> = const { Cell::new(0) };
}

impl Guest for Shapes {
    fn configure(settings: Vec<(String, String)>) -> Result<(), String> {
        LEAST.set(offer::least(&settings)?);
        Ok(())
    }

    fn process(records: Vec<Offer>) -> Vec<Total> {
        records.iter().map(total).collect()
    }

    fn process_options(records: Vec<Offer>) -> Vec<Option<Total>> {
        records.iter().map(|record| Some(total(record)).filter(|_| is_enough(record))).collect()
    }

    fn process_results(records: Vec<Offer>) -> Vec<Result<Total, String>> {
        let answer = |record: &Offer| {
            if record.id == "trap" {
                panic!("told to trap");
            }
            let total = total(record);
            offer::check(&record.id, record.price).map(|()| total)
        };
        records.iter().map(answer).collect()
    }

    fn process_whole(records: Vec<Offer>) -> Result<Vec<Result<Option<Total>, String>>, String> {
        have_ids(&records)?;
        let answer = |record: &Offer| {
            let total = total(record);
            offer::check(&record.id, record.price).map(|()| is_enough(record).then_some(total))
        };
        Ok(records.iter().map(answer).collect())
    }

    fn process_filter(records: Vec<Offer>) -> Vec<bool> {
        count(records.len());
        records.iter().map(is_enough).collect()
    }

    fn process_validator(records: Vec<Offer>) -> Vec<Result<(), String>> {
        count(records.len());
        records.iter().map(|record| offer::check(&record.id, record.price)).collect()
    }

    fn process_columns(records: Offers) -> Totals {
        let before = SEEN.get();
        let seen = count(records.price.len());
        Totals {
            total: records.price.iter().zip(&records.quantity).map(|(price, n)| price * f64::from(*n)).collect(),
            seen: (before + 1..=seen).collect(),
            note: records
                .note
                .iter()
                .map(|note| if note.is_none() { Some("no note".to_owned()) } else { None })
                .collect(),
        }
    }

    fn analyze_rows(records: Vec<Offer>, meta: Vec<Place>) -> Vec<Summary> {
        let seen = count(records.len());
        let enough: Vec<_> = records.iter().zip(&meta).filter(|(record, _)| is_enough(record)).collect();
        let (Some((_, first)), Some((_, last))) = (enough.first(), enough.last()) else { return Vec::new() };
        vec![Summary {
            offers: i32::try_from(enough.len()).unwrap_or(i32::MAX),
            total: enough.iter().fold(0.0, |sum, (record, _)| sum + offer::total(record.price, record.quantity)),
            seen,
            partition: first.partition,
            first: first.offset,
            last: last.offset,
        }]
    }

    fn analyze_columns(records: Vec<Offer>) -> Sums {
        count(records.len());
        let enough = || records.iter().filter(|record| is_enough(record));
        Sums {
            id: enough().map(|record| record.id.clone()).collect(),
            total: enough().map(|record| offer::total(record.price, record.quantity)).collect(),
        }
    }

    fn analyze_whole(records: Vec<Offer>) -> Result<Output, String> {
        have_ids(&records)?;
        count(records.len());
        let mut output = Output { sums: Vec::new(), refusals: Vec::new() };
        for Offer { id, price, quantity } in records {
            match offer::check(&id, price) {
                Ok(()) => output.sums.push(Sum { id, total: offer::total(price, quantity) }),
                Err(reason) => output.refusals.push(Refusal { id, reason }),
            }
        }
        Ok(output)
    }

    fn snapshot() -> String {
        SEEN.get().to_string()
    }

    fn restore(state: String) -> Result<(), String> {
        SEEN.set(offer::whole(&state).ok_or_else(|| format!("the state `{state}` is no number"))?.into());
        Ok(())
    }
}

/// Counts this many offers more. Returns how many came so far.
fn count(offers: usize) -> i64 {
    SEEN.set(SEEN.get() + offers as i64);
    SEEN.get()
}

fn total(record: &Offer) -> Total {
    Total { seen: count(1), total: offer::total(record.price, record.quantity) }
}

fn is_enough(record: &Offer) -> bool {
    record.quantity >= LEAST.get()
}

fn have_ids(records: &[Offer]) -> Result<(), String> {
    if records.iter().any(|record| record.id.is_empty()) { Err("an offer has no id".to_owned()) } else { Ok(()) }
}
