//! Avro's decimals, which arrive as bytes, as whole numbers and as text, and back. Nothing is rounded in silence.
//!
//!     #[path = "../bindings/bespoke.rs"]
//!     mod bespoke;
//!
//! A decimal is a whole number and, in its schema, the scale: how many of its digits stand after the point. With the crate
//! rust_decimal: `Decimal::from_i128_with_scale(unscaled(bytes)?, scale)`, and `decimal_bytes(decimal.mantissa())` of one
//! that has this scale.

#![allow(dead_code, reason = "a module uses what it needs")]

/// The whole number with these bytes. None if it has more than 128 bits.
pub fn unscaled(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [sign; 16];
    let skipped = bytes.len().saturating_sub(whole.len());
    let (before, kept) = bytes.split_at(skipped);
    whole[16 - kept.len()..].copy_from_slice(kept);
    let number = i128::from_be_bytes(whole);
    // What is left out must have been the sign, and nothing but it.
    (before.iter().all(|byte| *byte == sign) && (number < 0) == (sign != 0)).then_some(number)
}

/// The shortest bytes of a whole number.
pub fn decimal_bytes(unscaled: i128) -> Vec<u8> {
    let bytes = unscaled.to_be_bytes();
    let is_sign = |pair: &&[u8]| (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xff && pair[1] >= 0x80);
    bytes[bytes.windows(2).take_while(is_sign).count()..].to_vec()
}

/// The bytes of a whole number in a `fixed` of this size. None if it does not fit.
pub fn decimal_fixed(unscaled: i128, size: usize) -> Option<Vec<u8>> {
    let shortest = decimal_bytes(unscaled);
    let mut bytes = vec![if unscaled < 0 { 0xff } else { 0 }; size.checked_sub(shortest.len())?];
    bytes.extend_from_slice(&shortest);
    Some(bytes)
}

/// A decimal as text, such as `-12.30`. None if it has more than 128 bits.
pub fn decimal_text(bytes: &[u8], scale: usize) -> Option<String> {
    let number = unscaled(bytes)?;
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (before, after) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    Some(if scale == 0 { format!("{sign}{before}") } else { format!("{sign}{before}.{after}") })
}

/// The whole number of a text such as `-12.3`, at this scale. None if it is no decimal, or would have to be rounded.
pub fn unscaled_of(text: &str, scale: usize) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (before, after) = digits.split_once('.').unwrap_or((digits, "0"));
    let after = if after.len() > scale { after.trim_end_matches('0') } else { after };
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if before.is_empty() || after.len() > scale || !is_number(before) || !is_number(after) || digits.ends_with('.') {
        return None;
    }
    format!("{sign}{before}{after:0<scale$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_their_bytes() {
        for (number, bytes) in [
            (0, &[0][..]),
            (1, &[1]),
            (-1, &[0xff]),
            (127, &[0x7f]),
            (128, &[0, 0x80]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
            (1234, &[0x04, 0xd2]),
            (i128::MAX, &i128::MAX.to_be_bytes()),
            (i128::MIN, &i128::MIN.to_be_bytes()),
        ] {
            assert_eq!(unscaled(bytes), Some(number));
            assert_eq!(decimal_bytes(number), bytes);
            assert_eq!(decimal_fixed(number, 20).as_deref().and_then(unscaled), Some(number));
        }
        assert_eq!(unscaled(&[]), Some(0));
        assert_eq!(unscaled(&[1; 17]), None);
        assert_eq!(unscaled(&[&[0][..], &[0x80; 16]].concat()), None);
        assert_eq!(decimal_fixed(128, 1), None);
        assert_eq!(decimal_fixed(-2, 3), Some(vec![0xff, 0xff, 0xfe]));
    }

    #[test]
    fn decimals_as_text() {
        for (text, scale, number) in
            [("12.30", 2, 1230), ("-0.05", 2, -5), ("7", 0, 7), ("0.000", 3, 0), ("-123456.789", 3, -123_456_789)]
        {
            assert_eq!(decimal_text(&decimal_bytes(number), scale).as_deref(), Some(text));
            assert_eq!(unscaled_of(text, scale), Some(number));
        }
        assert_eq!(unscaled_of("1.5", 2), Some(150));
        assert_eq!(unscaled_of("1.500", 2), Some(150));
        assert_eq!(unscaled_of("3", 2), Some(300));
        for text in ["1.555", "", ".", "1.", ".5", "-", "--1", "+1", "1e3", "1_0", "one", "1.-5"] {
            assert_eq!(unscaled_of(text, 2), None, "{text}");
        }
    }
}
