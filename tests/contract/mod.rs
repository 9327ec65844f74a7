//! What the implementations of a trait promise, checked for each of them.

mod table;
