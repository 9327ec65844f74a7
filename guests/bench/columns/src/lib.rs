//! Changes two fields of eight, as columns: the cheapest way over the boundary.
//!
//! The same work as the module `two`, so that the two can be compared.

#![allow(missing_docs, reason = "the generated bindings")]

wit_bindgen::generate!({ path: "wit", world: "columns" });

struct Columns;
export!(Columns);

impl Guest for Columns {
    fn process(mut records: Products) -> Products {
        for price in &mut records.price {
            *price *= 0.9;
        }
        for quantity in &mut records.quantity {
            *quantity = quantity.wrapping_add(1);
        }
        records
    }
}
