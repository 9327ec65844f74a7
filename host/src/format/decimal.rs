//! Avro decimals as text and back, exactly.
//!
//! A decimal is a big-endian two's complement number and a scale: from the schema, or, for `big-decimal`, in the bytes.
//! Turning digits into bytes takes time by the square of their number, so both sides are bounded.

use bespoke_boundary::wire::{write_bytes, write_long};
use bespoke_boundary::{Cursor, WireError};
use num_bigint::BigInt;

/// Digits, before or after the point, beyond which no number is meant.
const MAX_DIGITS: usize = 4096;

/// Bytes of so many digits.
const MAX_BYTES: usize = 1720;

/// A decimal that cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Text that is no number.
    #[error("it is not a decimal number, such as -12.50")]
    Syntax,
    /// More digits after the point than the schema has.
    #[error("it has more than {0} digits after the point")]
    Scale(usize),
    /// More digits than the schema has.
    #[error("it has more than {0} digits")]
    Precision(usize),
    /// A number that does not fit into a `fixed`.
    #[error("it does not fit into {0} bytes")]
    Size(usize),
    /// More than anyone means.
    #[error("it has more than {MAX_DIGITS} digits")]
    TooLong,
    /// The bytes of a `big-decimal` are not one.
    #[error("its bytes are no big-decimal: {0}")]
    Wire(#[from] WireError),
}

/// The text of an unscaled number in bytes: `-12.50`.
///
/// # Errors
/// [`DecimalError::TooLong`].
pub fn text(unscaled: &[u8], scale: usize) -> Result<String, DecimalError> {
    if unscaled.len() > MAX_BYTES || scale > MAX_DIGITS {
        return Err(DecimalError::TooLong);
    }
    let number = BigInt::from_signed_bytes_be(unscaled);
    let mut digits = number.magnitude().to_string();
    if digits.len() <= scale {
        digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
    }
    if scale > 0 {
        digits.insert(digits.len() - scale, '.');
    }
    if number.sign() == num_bigint::Sign::Minus {
        digits.insert(0, '-');
    }
    Ok(digits)
}

/// The unscaled number in as few bytes as it takes.
///
/// # Errors
/// Text that is no number, or one that the precision and the scale have no room for.
pub fn unscaled(text: &str, precision: usize, scale: usize) -> Result<Vec<u8>, DecimalError> {
    let (number, own_scale) = parse(text)?;
    if scale > MAX_DIGITS {
        return Err(DecimalError::TooLong);
    }
    let number = rescale(number, own_scale, scale)?;
    if number.magnitude().to_string().len() > precision {
        return Err(DecimalError::Precision(precision));
    }
    Ok(number.to_signed_bytes_be())
}

/// The same number in exactly `size` bytes.
///
/// # Errors
/// [`DecimalError::Size`].
pub fn extend(unscaled: &[u8], size: usize) -> Result<Vec<u8>, DecimalError> {
    let missing = size.checked_sub(unscaled.len()).ok_or(DecimalError::Size(size))?;
    let sign = if unscaled.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    Ok([&vec![sign; missing][..], unscaled].concat())
}

/// The text of a `big-decimal`, whose bytes hold the unscaled number and the scale.
///
/// # Errors
/// Bytes that are none.
pub fn big_text(bytes: &[u8]) -> Result<String, DecimalError> {
    let mut cursor = Cursor::new(bytes);
    let unscaled = cursor.bytes()?;
    let scale = cursor.long()?;
    cursor.end()?;
    match usize::try_from(scale) {
        Ok(scale) => text(unscaled, scale),
        Err(_) => {
            let zeros = usize::try_from(scale.unsigned_abs()).ok().filter(|z| *z <= MAX_DIGITS);
            let mut digits = text(unscaled, 0)?;
            if digits != "0" {
                digits.push_str(&"0".repeat(zeros.ok_or(DecimalError::TooLong)?));
            }
            Ok(digits)
        }
    }
}

/// The bytes of a `big-decimal`.
///
/// # Errors
/// Text that is no number.
pub fn big_bytes(text: &str) -> Result<Vec<u8>, DecimalError> {
    let (number, scale) = parse(text)?;
    let mut bytes = Vec::new();
    write_bytes(&mut bytes, &number.to_signed_bytes_be());
    write_long(&mut bytes, scale);
    Ok(bytes)
}

/// The digits as a number, and how many of them stand after the point.
fn parse(text: &str) -> Result<(BigInt, i64), DecimalError> {
    if text.len() > 2 * MAX_DIGITS {
        return Err(DecimalError::TooLong);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| DecimalError::Syntax)?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return Err(DecimalError::Syntax);
    }
    let number = format!("{sign}{whole}{fraction}").parse().map_err(|_| DecimalError::Syntax)?;
    let scale = fraction.len() as i64 - i64::from(exponent);
    if scale.unsigned_abs() > MAX_DIGITS as u64 { Err(DecimalError::TooLong) } else { Ok((number, scale)) }
}

fn rescale(number: BigInt, from: i64, to: usize) -> Result<BigInt, DecimalError> {
    let ten = BigInt::from(10);
    let shift = to as i64 - from;
    let factor = ten.pow(shift.unsigned_abs() as u32);
    if shift >= 0 {
        return Ok(number * factor);
    }
    if &number % &factor == BigInt::ZERO { Ok(number / factor) } else { Err(DecimalError::Scale(to)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        for (text_in, scale, bytes, text_out) in [
            ("12.50", 2, &[4, 0xe2][..], "12.50"),
            ("-0.05", 2, &[0xfb], "-0.05"),
            ("0", 0, &[0], "0"),
            ("1.5e3", 1, &[0x3a, 0x98], "1500.0"),
            ("+.5", 1, &[5], "0.5"),
            ("128", 0, &[0, 0x80], "128"),
        ] {
            assert_eq!(unscaled(text_in, 30, scale).as_deref(), Ok(bytes), "{text_in}");
            assert_eq!(text(bytes, scale).as_deref(), Ok(text_out));
        }
        assert_eq!(text(&[], 2).as_deref(), Ok("0.00"));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(unscaled("1.234", 9, 2), Err(DecimalError::Scale(2)));
        assert_eq!(unscaled("1.230", 9, 2).as_deref(), Ok(&[123][..]));
        assert_eq!(unscaled("1000", 3, 0), Err(DecimalError::Precision(3)));
        assert_eq!(extend(&[1, 2, 3], 2), Err(DecimalError::Size(2)));
        assert_eq!(extend(&[0xfe], 3), Ok(vec![0xff, 0xff, 0xfe]));
        for text in ["", "-", ".", "1,5", "0x1", "1e", "NaN", "--1", "1e99999999999"] {
            assert_eq!(unscaled(text, 9, 2), Err(DecimalError::Syntax), "{text}");
        }
        assert_eq!(unscaled("1e9999", 9, 2), Err(DecimalError::TooLong));
        assert_eq!(text(&vec![1; MAX_BYTES + 1], 0), Err(DecimalError::TooLong));
    }

    #[test]
    fn big_decimals_carry_their_scale() {
        for (text, out) in [("12.50", "12.50"), ("1e3", "1000"), ("-7", "-7"), ("0e5", "0")] {
            assert_eq!(big_text(&big_bytes(text).expect("a number")).as_deref(), Ok(out));
        }
        assert!(big_text(&[2]).is_err());
    }
}
