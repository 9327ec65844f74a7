//! What the processor knows of products: pure functions, called by `lib.rs` and tested natively.

use crate::bespoke::processor::types::PriceBand;

/// A price above this is a mistake of the shop, in euro.
const MAX_PRICE: f64 = 1e7;

/// The smallest quantity of each discount, the largest first, and the share of the price that it takes off.
const DISCOUNTS: [(i32, f64); 3] = [(100, 0.10), (50, 0.05), (10, 0.02)];

/// Prices below this are in the band `budget`, in euro.
const STANDARD_FROM: f64 = 20.0;

/// Prices from this on are in the band `premium`, in euro.
const PREMIUM_FROM: f64 = 100.0;

/// Refuses a price that no product can have, and says why.
pub fn check_price(price: f64) -> Result<(), String> {
    if !price.is_finite() {
        Err(format!("the price {price} is not a finite number"))
    } else if price <= 0.0 {
        Err(format!("the price {price} is not above zero"))
    } else if price > MAX_PRICE {
        Err(format!("the price {price} is above the limit of {MAX_PRICE}"))
    } else {
        Ok(())
    }
}

/// Trims, lower-cases, and turns each run of inner white space into one hyphen. Text that is so already, as nearly all
/// is, stays where it is.
pub fn normalise(category: String) -> String {
    let is_normal = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    if category.bytes().all(is_normal) {
        return category;
    }
    let lower = category.to_lowercase();
    let mut words = lower.split_whitespace();
    let mut normal = String::with_capacity(lower.len());
    normal.extend(words.next());
    for word in words {
        normal.push('-');
        normal.push_str(word);
    }
    normal
}

/// The share of the price that is taken off for this quantity.
pub fn discount(quantity: i32) -> f64 {
    DISCOUNTS.iter().find(|(from, _)| quantity >= *from).map_or(0.0, |(_, share)| *share)
}

/// Where a price stands among all.
pub fn price_band(price: f64) -> PriceBand {
    if price < STANDARD_FROM {
        PriceBand::Budget
    } else if price < PREMIUM_FROM {
        PriceBand::Standard
    } else {
        PriceBand::Premium
    }
}

/// Reads the module's settings: the categories, normalised, whose records are dropped.
pub fn dropped_categories(settings: &[(String, String)]) -> Result<Vec<String>, String> {
    let mut dropped = Vec::new();
    for (name, value) in settings {
        if name != "drop_categories" {
            return Err(format!("there is no setting `{name}`; the processor knows `drop_categories`"));
        }
        dropped.extend(value.split(',').map(|c| normalise(c.to_owned())).filter(|c| !c.is_empty()));
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_become_lower_case_words_with_hyphens() {
        for (given, normal) in [
            ("books", "books"),
            ("  Home &  Garden\t", "home-&-garden"),
            ("pet-food", "pet-food"),
            ("MÖBEL", "möbel"),
            ("toys\u{a0}\u{2003}games", "toys-games"),
            (" \n ", ""),
            ("", ""),
        ] {
            assert_eq!(normalise(given.to_owned()), normal, "{given:?}");
        }
    }

    #[test]
    fn normalising_twice_is_normalising_once() {
        for given in ["A  b C", "ß İ", "\u{2003}x", "é É"] {
            let once = normalise(given.to_owned());
            assert_eq!(normalise(once.clone()), once, "{given:?}");
        }
    }

    #[test]
    fn impossible_prices_are_refused_with_the_reason() {
        for price in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -1.0, 1e7 + 1.0] {
            let reason = check_price(price).expect_err("refused");
            assert!(reason.contains(&price.to_string()), "{reason}");
        }
        for price in [f64::MIN_POSITIVE, 0.01, 19.99, 1e7] {
            assert_eq!(check_price(price), Ok(()));
        }
    }

    #[test]
    fn a_larger_quantity_never_gets_a_smaller_discount() {
        assert_eq!([-5, 0, 9, 10, 49, 50, 99, 100].map(discount), [0.0, 0.0, 0.0, 0.02, 0.02, 0.05, 0.05, 0.10]);
        assert_eq!(discount(i32::MAX), 0.10);
    }

    #[test]
    fn bands_begin_at_their_limits() {
        assert_eq!(price_band(19.99), PriceBand::Budget);
        assert_eq!(price_band(20.0), PriceBand::Standard);
        assert_eq!(price_band(100.0), PriceBand::Premium);
    }

    #[test]
    fn unknown_settings_are_refused() {
        let setting = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(
            dropped_categories(&setting("drop_categories", "Gift Cards, ,samples")),
            Ok(vec!["gift-cards".to_owned(), "samples".to_owned()])
        );
        assert!(dropped_categories(&setting("drop_category", "x")).is_err());
    }
}
