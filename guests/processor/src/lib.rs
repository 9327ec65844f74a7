//! The first stage of the product feed: it normalises the category, rejects impossible prices with a reason, and adds a
//! discount and a price band.
//!
//! This file joins the logic of `product.rs` to the contract in `wit/processor.wit`. The module keeps nothing from one
//! record to the next; its settings are the only state.

#![allow(missing_docs, reason = "the generated bindings")]

use std::cell::RefCell;

mod product;

wit_bindgen::generate!({ path: "wit", world: "processor" });

struct Processor;
export!(Processor);

thread_local! {
    static DROPPED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Processor {
    fn configure(settings: Vec<(String, String)>) -> Result<(), String> {
        let dropped = product::dropped_categories(&settings)?;
        DROPPED.set(dropped);
        Ok(())
    }

    fn process(records: Vec<Product>) -> Vec<Result<Option<Change>, String>> {
        DROPPED.with_borrow(|dropped| records.into_iter().map(|record| answer(record, dropped)).collect())
    }
}

fn answer(record: Product, dropped: &[String]) -> Result<Option<Change>, String> {
    product::check_price(record.price)?;
    let category = product::normalise(record.category);
    if category.is_empty() {
        return Err("the category is empty".to_owned());
    }
    if dropped.contains(&category) {
        return Ok(None);
    }
    Ok(Some(Change {
        category,
        discount: product::discount(record.quantity),
        price_band: product::price_band(record.price),
    }))
}
