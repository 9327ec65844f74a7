//! Decimal text as Cassandra has decimals: an unscaled number and a scale.

use num_bigint::BigInt;

/// The unscaled number in two's complement, big-endian, and how many of its digits stand after the point. None if the text
/// is not digits with a point among them.
pub(super) fn parts(text: &str) -> Option<(i32, Vec<u8>)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = i32::try_from(fraction.len()).ok()?;
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_number =
        digits.len() + fraction.len() > 0 && digits.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !is_number {
        return None;
    }
    // Most are short.
    if digits.len() + fraction.len() <= 18 {
        let magnitude = digits.bytes().chain(fraction.bytes()).fold(0i64, |n, digit| n * 10 + i64::from(digit - b'0'));
        return Some((scale, minimal(if whole.starts_with('-') { -magnitude } else { magnitude })));
    }
    let number: BigInt = format!("{whole}{fraction}").parse().ok()?;
    Some((scale, number.to_signed_bytes_be()))
}

/// A number in as few bytes as it takes.
pub(super) fn minimal(number: i64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let sign = if number < 0 { 0xff } else { 0 };
    let is_needless = |pair: &[u8]| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0;
    let first = bytes.windows(2).position(|pair| !is_needless(pair)).unwrap_or(bytes.len() - 1);
    bytes[first..].to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_no_number_is_none() {
        for text in ["", "-", ".", "1e3", "+1", "1.2.3", " 1", "--1"] {
            assert_eq!(parts(text), None, "{text}");
        }
        assert_eq!(parts("-0.010"), Some((3, vec![0xf6])));
        assert_eq!(parts("12345678901234567890.5").map(|(scale, _)| scale), Some(1));
    }

    proptest! {
        #[test]
        fn short_numbers_are_written_as_long_ones_are(number: i64) {
            prop_assert_eq!(minimal(number), BigInt::from(number).to_signed_bytes_be());
        }

        #[test]
        fn digits_are_kept(number in any::<i128>(), scale in 0usize..30) {
            let mut text = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
            text.insert(text.len() - scale, '.');
            let text = format!("{}{text}", if number < 0 { "-" } else { "" });
            let (found, bytes) = parts(&text).expect("a number");
            prop_assert_eq!((found as usize, BigInt::from_signed_bytes_be(&bytes)), (scale, BigInt::from(number)));
        }
    }
}
