//! The load generator: a product feed without a shop.
//!
//! Categories have their own price levels (log-normal), products are as popular as Zipf's law has it, prices move as in a
//! random walk, and a few records are outliers or, on request, invalid. A record is a function of the options and of its
//! number alone, so a feed that is taken up again goes on with the same sequence at no cost. Called by the feed's worker
//! and by `host feed generate`. It writes records and never waits: how fast they go is the caller's concern.

use std::io::Write;

use bespoke_boundary::wire::{write_bytes, write_long};

use crate::random::Random;

mod catalog;
mod zipf;

#[cfg(test)]
mod tests;

use catalog::{Catalog, cents};
use zipf::Zipf;

/// The schema of the records.
pub const SCHEMA: &str = include_str!("../../../../schemas/product.avsc");

/// How much more often a product comes than one of twice its rank: the exponent of Zipf's law.
const POPULARITY: f64 = 1.0;

/// The share of records that are out of stock.
const OUT_OF_STOCK: f64 = 0.05;

/// Quantities go from 1 to this, small ones more often (log-uniform). There are this many to draw from.
const MAX_QUANTITY: f64 = 200.0;
const QUANTITIES: u32 = 1024;

/// How many times an outlier's price is too high or too low: at least this, and less than this plus the range.
const OUTLIER: f64 = 5.0;
const OUTLIER_RANGE: f64 = 15.0;

/// Prices that no product has.
const IMPOSSIBLE: [f64; 6] = [0.0, -1.0, 1e9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Products are kept in memory, about 100 bytes each.
const MAX_PRODUCTS: u32 = 1_000_000;

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorOptions {
    /// How many records; none for no end.
    pub count: Option<u64>,
    /// Another seed gives other products and other records.
    pub seed: u64,
    /// How many products there are.
    pub products: u32,
    /// How many categories they are in.
    pub categories: u32,
    /// The share of records that cannot be right: impossible prices, and in JSON lines also lines that are malformed.
    pub invalid: f64,
    /// The share of records whose price is far from those of their category.
    pub outliers: f64,
    /// `updated` of the first record, in milliseconds since the epoch.
    pub start_ms: i64,
    /// How much later each record is than the one before, in milliseconds.
    pub interval_ms: u32,
}

/// Options that make no sense.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GeneratorError {
    /// None, or too many.
    #[error("`{name}` is {value}, but must be from 1 to {MAX_PRODUCTS}")]
    Number {
        /// The option.
        name: &'static str,
        /// What it is.
        value: u32,
    },
    /// Not a share.
    #[error("`{name}` is {value}, but must be a share from 0 to 1")]
    Share {
        /// The option.
        name: &'static str,
        /// What it is.
        value: f64,
    },
}

/// Generates records, one after the other.
pub struct Generator {
    options: GeneratorOptions,
    catalog: Catalog,
    popularity: Zipf,
    quantities: Vec<i32>,
    position: u64,
}

/// A record.
struct Offer {
    product: catalog::Product,
    price: f64,
    quantity: i32,
    updated_ms: i64,
    in_stock: bool,
    /// What is wrong with its line of JSON, if something is.
    malformed: Option<Malformed>,
}

/// How a line of JSON can be wrong.
#[derive(Clone, Copy)]
enum Malformed {
    /// It breaks off.
    Cut,
    /// The price is text.
    TextPrice,
    /// It has no id.
    NoId,
    /// It is not JSON at all.
    NotJson,
}

const MALFORMED: [Malformed; 4] = [Malformed::Cut, Malformed::TextPrice, Malformed::NoId, Malformed::NotJson];

// === impl GeneratorOptions ===

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self {
            count: None,
            seed: 1,
            products: 10_000,
            categories: 20,
            invalid: 0.0,
            outliers: 0.001,
            start_ms: 1_767_225_600_000, // 2026-01-01T00:00:00Z
            interval_ms: 100,
        }
    }
}

impl GeneratorOptions {
    fn check(&self) -> Result<(), GeneratorError> {
        for (name, value) in [("products", self.products), ("categories", self.categories)] {
            if !(1..=MAX_PRODUCTS).contains(&value) {
                return Err(GeneratorError::Number { name, value });
            }
        }
        for (name, value) in [("invalid", self.invalid), ("outliers", self.outliers)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(GeneratorError::Share { name, value });
            }
        }
        Ok(())
    }
}

// === impl Generator ===

impl Generator {
    /// At the first record.
    ///
    /// # Errors
    /// [`GeneratorError`] if the options make no sense.
    pub fn new(options: &GeneratorOptions) -> Result<Self, GeneratorError> {
        options.check()?;
        Ok(Self {
            catalog: Catalog::new(options.seed, options.products, options.categories),
            popularity: Zipf::new(options.products, POPULARITY),
            quantities: (0..QUANTITIES)
                .map(|n| MAX_QUANTITY.powf((f64::from(n) + 0.5) / f64::from(QUANTITIES)) as i32)
                .collect(),
            options: options.clone(),
            position: 0,
        })
    }

    /// The number of the next record, from 0.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on with the record of this number, whichever was the last.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// Appends the next record in Avro's binary encoding by [`SCHEMA`]. False if there is none left.
    #[inline]
    pub fn next_avro(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(offer) = self.next() else { return false };
        for text in self.catalog.texts(offer.product) {
            write_bytes(out, text.as_bytes());
        }
        out.extend_from_slice(&offer.price.to_le_bytes());
        write_long(out, i64::from(offer.quantity));
        write_long(out, offer.updated_ms);
        out.push(u8::from(offer.in_stock));
        match offer.product.rating {
            None => write_long(out, 0),
            Some(rating) => {
                write_long(out, 1);
                out.extend_from_slice(&rating.to_le_bytes());
            }
        }
        true
    }

    /// Appends the next record as a line of JSON. False if there is none left.
    pub fn next_json(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(offer) = self.next() else { return false };
        let start = out.len();
        self.write_json(&offer, out);
        if let Some(Malformed::Cut) = offer.malformed {
            out.truncate(start + (out.len() - start) / 2);
        }
        out.push(b'\n');
        true
    }

    fn next(&mut self) -> Option<Offer> {
        let number = self.position;
        if self.options.count.is_some_and(|count| number >= count) {
            return None;
        }
        self.position = number.checked_add(1)?;
        let mut random = Random::at(self.options.seed, number);
        let product = self.catalog.get(self.popularity.draw(&mut random));
        let mut offer = Offer {
            product,
            price: product.price(number),
            quantity: self.quantities[random.below(QUANTITIES) as usize],
            updated_ms: self.updated_ms(number),
            in_stock: random.unit() >= OUT_OF_STOCK,
            malformed: None,
        };
        let fate = random.unit();
        if fate < self.options.invalid {
            offer.spoil(&mut random);
        } else if fate < self.options.invalid + self.options.outliers {
            offer.stand_out(&mut random);
        }
        Some(offer)
    }

    fn updated_ms(&self, number: u64) -> i64 {
        let later = number.saturating_mul(u64::from(self.options.interval_ms));
        self.options.start_ms.saturating_add_unsigned(later)
    }

    fn write_json(&self, offer: &Offer, out: &mut Vec<u8>) {
        let [id, name, category] = self.catalog.texts(offer.product);
        // A Vec takes all that is written.
        let _ = match offer.malformed {
            Some(Malformed::NotJson) => {
                out.extend_from_slice(b"-- the shop's server says: 502 Bad Gateway --");
                return;
            }
            Some(Malformed::NoId) => write!(out, "{{"),
            _ => write!(out, "{{\"id\":\"{id}\","),
        };
        let _ = write!(out, "\"name\":\"{name}\",\"category\":\"{category}\",\"price\":");
        let price = offer.price;
        let _ = match offer.malformed {
            Some(Malformed::TextPrice) => write!(out, "\"12,50 EUR\""),
            _ if price.is_nan() => write!(out, "\"NaN\""),
            _ if price.is_infinite() => write!(out, "\"{}Infinity\"", if price < 0.0 { "-" } else { "" }),
            _ => write!(out, "{price}"),
        };
        let Offer { quantity, updated_ms, in_stock, .. } = offer;
        let _ = write!(out, ",\"quantity\":{quantity},\"updated\":{updated_ms},\"in_stock\":{in_stock},\"rating\":");
        let _ = match offer.product.rating {
            None => write!(out, "null}}"),
            Some(rating) => write!(out, "{rating}}}"),
        };
    }
}

// === impl Offer ===

impl Offer {
    /// Makes it a record that cannot be right. Half of the lines of JSON are malformed then, the others and all Avro
    /// records have an impossible price.
    fn spoil(&mut self, random: &mut Random) {
        let impossible = IMPOSSIBLE[random.below(IMPOSSIBLE.len() as u32) as usize];
        let malformed = MALFORMED[random.below(MALFORMED.len() as u32) as usize];
        self.malformed = (random.unit() < 0.5).then_some(malformed);
        self.price = impossible;
    }

    /// Makes its price far too high or, more rarely, far too low.
    fn stand_out(&mut self, random: &mut Random) {
        let times = OUTLIER + random.unit() * OUTLIER_RANGE;
        self.price = cents(if random.unit() < 0.75 { self.price * times } else { self.price / times });
    }
}
