//! Reads an order, which has a field of each type of Avro, and answers another: what each type becomes in Rust.
//!
//! This file joins the rest to the contract in `wit/orders.wit`: `change.rs` makes of each field another value of its type,
//! `natural.rs` turns numbers and bytes into dates, times and decimals, and back.

#![allow(missing_docs, reason = "the generated bindings")]

use std::cell::Cell;

mod change;
#[path = "../../sdk/rust/bespoke.rs"]
mod decimal;
mod natural;

wit_bindgen::generate!({ path: "wit", world: "orders", generate_all });

use wasi::logging::logging::{Level, log};

struct Orders;
export!(Orders);

/// Where log lines come from.
const CONTEXT: &str = "orders";
/// Digits of the largest step.
const DIGITS: usize = 9;

thread_local! {
    static STEP: Cell<i32> = const { Cell::new(1) };
}

impl Guest for Orders {
    fn configure(settings: Vec<(String, String)>) -> Result<(), String> {
        for (name, value) in &settings {
            if name != "step" {
                return Err(format!("there is no setting `{name}`; this module knows `step`"));
            }
            let is_whole = value.len() <= DIGITS && value.bytes().all(|byte| byte.is_ascii_digit());
            let step = value.parse().ok().filter(|_| is_whole);
            STEP.set(step.ok_or_else(|| format!("`step` must be a whole number, not `{value}`"))?);
        }
        log(Level::Info, CONTEXT, &format!("the step is {}", STEP.get()));
        Ok(())
    }

    fn process(records: Vec<Order>, meta: Vec<About>) -> Vec<Result<Option<Change>, String>> {
        records.into_iter().zip(&meta).map(|(order, about)| answer(order, about)).collect()
    }
}

fn answer(order: Order, about: &About) -> Result<Option<Change>, String> {
    if order.count < 0 {
        let reason = format!("order {} has a count below zero", order.id);
        log(Level::Warn, CONTEXT, &reason);
        return Err(reason);
    }
    if order.coupon.as_deref() == Some("void") {
        return Ok(None);
    }
    change::of(order, about, STEP.get()).map(Some)
}
