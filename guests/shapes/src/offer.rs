//! What is decided about an offer: pure functions, called by `lib.rs` and tested natively.

/// Digits of the largest number that settings and states have.
const DIGITS: usize = 9;

/// The price of all pieces.
pub fn total(price: f64, quantity: i32) -> f64 {
    price * f64::from(quantity)
}

/// Refuses an offer without a price, and says so.
pub fn check(id: &str, price: f64) -> Result<(), String> {
    if price > 0.0 { Ok(()) } else { Err(format!("offer `{id}` has no price")) }
}

/// Reads the module's settings: the quantity below which an offer is dropped.
pub fn least(settings: &[(String, String)]) -> Result<i32, String> {
    let mut least = 1;
    for (name, value) in settings {
        if name != "least" {
            return Err(format!("there is no setting `{name}`; this module knows `least`"));
        }
        least = whole(value).ok_or_else(|| format!("`least` must be a whole number, not `{value}`"))?;
    }
    Ok(least)
}

/// A number that is written with digits alone.
pub fn whole(text: &str) -> Option<i32> {
    let is_whole = text.len() <= DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_needs_a_price() {
        assert_eq!(check("a", 0.01), Ok(()));
        for price in [0.0, -1.0, f64::NAN] {
            assert_eq!(check("a", price), Err("offer `a` has no price".to_owned()));
        }
        assert_eq!(total(0.5, -3), -1.5);
    }

    #[test]
    fn settings_are_whole_numbers() {
        let setting = |name: &str, value: &str| least(&[(name.to_owned(), value.to_owned())]);
        assert_eq!(least(&[]), Ok(1));
        assert_eq!(setting("least", "007"), Ok(7));
        for bad in ["", "-1", "+1", "1.0", "1000000000", "x"] {
            assert!(setting("least", bad).is_err(), "{bad}");
        }
        assert!(setting("most", "1").is_err());
    }
}
