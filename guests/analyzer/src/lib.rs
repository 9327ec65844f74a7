//! The second stage of the product feed: per category the running mean and deviation of prices, per product the move
//! against its last price, and a flag for outliers.
//!
//! This file joins the logic of `analysis.rs` to the contract in `wit/analyzer.wit`, and holds the one instance of it.
//! What was learnt lives in `table.rs`, in the form in which it is handed to the host.

#![allow(missing_docs, reason = "the generated bindings")]

use std::cell::RefCell;

use analysis::{Analyzer, Settings};

mod analysis;
mod state;
mod table;

wit_bindgen::generate!({ path: "wit", world: "analyzer" });

struct Module;
export!(Module);

thread_local! {
    static ANALYZER: RefCell<Analyzer> = RefCell::new(Analyzer::new(Settings::default()));
}

impl Guest for Module {
    fn configure(settings: Vec<(String, String)>) -> Result<(), String> {
        let settings = Settings::parse(&settings)?;
        ANALYZER.with_borrow_mut(|analyzer| analyzer.settings = settings);
        Ok(())
    }

    fn analyze(records: Vec<Product>) -> Output {
        ANALYZER.with_borrow_mut(|analyzer| analyzer.analyze(records))
    }

    fn snapshot() -> Vec<u8> {
        ANALYZER.with_borrow(|analyzer| state::write(&analyzer.categories, &analyzer.products))
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        let (categories, products) = state::read(&state)?;
        ANALYZER.with_borrow_mut(|analyzer| (analyzer.categories, analyzer.products) = (categories, products));
        Ok(())
    }
}
