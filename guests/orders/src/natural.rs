//! Avro's logical types as Rust has them: dates and times of the crate jiff, and decimals as the helpers have them.

use jiff::civil::{Date, DateTime, Time, date};
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::{Order, decimal};

/// Digits after the point.
const AMOUNT_SCALE: usize = 2;
const FEE_SCALE: usize = 4;

/// Dates, times, decimals and the span of an order, as people read them.
pub fn words(order: &Order) -> Result<Vec<String>, String> {
    let nanos: i128 = order.exact.parse().map_err(|_| format!("`{}` is no long", order.exact))?;
    let exact = Timestamp::from_nanosecond(nanos).map_err(wrong)?;
    Ok(vec![
        day(order.day)?.to_string(),
        format!("{:.3}", time(SignedDuration::from_millis(order.opens.into()))?),
        format!("{:.6}", time(SignedDuration::from_micros(order.closes))?),
        format!("{:.3}", Timestamp::from_millisecond(order.created).map_err(wrong)?),
        format!("{:.6}", Timestamp::from_microsecond(order.changed).map_err(wrong)?),
        format!("{:.3}", local(order.local)?),
        format!("{exact:.9}"),
        text(&order.amount, AMOUNT_SCALE)?,
        text(&order.fee, FEE_SCALE)?,
        span(&order.span)?,
    ])
}

/// The day after.
pub fn next_day(days: i32) -> Result<i32, String> {
    let next = day(days)?.tomorrow().map_err(wrong)?;
    i32::try_from(next.duration_since(EPOCH).as_hours() / 24).map_err(wrong)
}

/// An hour later, in milliseconds.
pub fn next_hour(millis: i64) -> Result<i64, String> {
    let moment = Timestamp::from_millisecond(millis).map_err(wrong)?;
    Ok(moment.checked_add(1.hour()).map_err(wrong)?.as_millisecond())
}

/// A microsecond later.
pub fn next_microsecond(micros: i64) -> Result<i64, String> {
    let moment = Timestamp::from_microsecond(micros).map_err(wrong)?;
    Ok(moment.checked_add(1.microsecond()).map_err(wrong)?.as_microsecond())
}

/// Twice the number, in as few bytes as it needs.
pub fn doubled(unscaled: &[u8]) -> Result<Vec<u8>, String> {
    Ok(decimal::decimal_bytes(number(unscaled)? * 2))
}

/// The same in a fixed of this size.
pub fn doubled_fixed(unscaled: &[u8], size: usize) -> Result<Vec<u8>, String> {
    decimal::decimal_fixed(number(unscaled)? * 2, size).ok_or_else(|| format!("a decimal needs more than {size} bytes"))
}

const EPOCH: Date = date(1970, 1, 1);

fn day(days: i32) -> Result<Date, String> {
    EPOCH.checked_add(days.days()).map_err(wrong)
}

fn time(since_midnight: SignedDuration) -> Result<Time, String> {
    Time::midnight().checked_add(since_midnight).map_err(wrong)
}

fn local(millis: i64) -> Result<DateTime, String> {
    EPOCH.at(0, 0, 0, 0).checked_add(SignedDuration::from_millis(millis)).map_err(wrong)
}

fn number(unscaled: &[u8]) -> Result<i128, String> {
    decimal::unscaled(unscaled).ok_or_else(|| "a decimal has more than 128 bits".to_owned())
}

fn text(unscaled: &[u8], scale: usize) -> Result<String, String> {
    decimal::decimal_text(unscaled, scale).ok_or_else(|| "a decimal has more than 128 bits".to_owned())
}

/// Months, days and milliseconds, each in four bytes, the lowest first (Avro 1.12 specification, "Duration").
fn span(bytes: &[u8]) -> Result<String, String> {
    let parts: Vec<_> =
        bytes.chunks_exact(4).map(|part| u32::from_le_bytes([part[0], part[1], part[2], part[3]])).collect();
    let [months, days, millis] = parts[..] else { return Err("a duration has twelve bytes".to_owned()) };
    Ok(format!("{months} months {days} days {millis} ms"))
}

fn wrong(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_doubled() {
        assert_eq!(doubled(&[0x40]), Ok(vec![0x00, 0x80]));
        assert_eq!(doubled_fixed(&[0xff], 3), Ok(vec![0xff, 0xff, 0xfe]));
        assert!(doubled(&[1; 17]).is_err() && doubled_fixed(&[0x40], 1).is_err());
    }

    #[test]
    fn days_and_times_are_those_of_the_calendar() {
        assert_eq!(day(19_782).map(|day| day.to_string()), Ok("2024-02-29".to_owned()));
        assert_eq!(next_day(-1), Ok(0));
        assert_eq!(next_hour(-1), Ok(3_599_999));
        assert_eq!(next_microsecond(-1), Ok(0));
        assert_eq!(
            time(SignedDuration::from_micros(86_399_999_999)).map(|t| format!("{t:.6}")),
            Ok("23:59:59.999999".to_owned())
        );
        assert_eq!(span(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0, 0]), Ok("1 months 2 days 259 ms".to_owned()));
    }
}
