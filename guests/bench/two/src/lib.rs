//! Changes two fields of eight: what crossing costs when six pass through.
//!
//! It changes both, so that no shortcut for equal values can flatter the bench.

#![allow(missing_docs, reason = "the generated bindings")]

wit_bindgen::generate!({ path: "wit", world: "two" });

struct Two;
export!(Two);

impl Guest for Two {
    fn process(mut records: Vec<Product>) -> Vec<Product> {
        for product in &mut records {
            product.price *= 0.9;
            product.quantity = product.quantity.wrapping_add(1);
        }
        records
    }
}
