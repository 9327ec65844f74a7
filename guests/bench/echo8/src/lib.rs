//! Answers every record as it came: what crossing costs when all eight fields do so, in both directions.
//!
//! The module itself does nothing, so that the bench measures the boundary.

#![allow(missing_docs, reason = "the generated bindings")]

wit_bindgen::generate!({ path: "wit", world: "echo8" });

struct Echo8;
export!(Echo8);

impl Guest for Echo8 {
    fn process(records: Vec<Product>) -> Vec<Product> {
        records
    }
}
