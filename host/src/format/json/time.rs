//! Dates and times as people write them (RFC 3339, ISO 8601), as the numbers that Avro keeps.

use bespoke_boundary::schema::Logical;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The number for a text. What is finer than the type's unit is cut off. None if the type is no time, or the text none.
pub(super) fn number(logical: Logical, text: &str) -> Option<i64> {
    let timestamp = || text.parse::<Timestamp>().ok();
    let local = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    let time = || Some(text.parse::<Time>().ok()?.duration_since(Time::midnight()));
    match logical {
        Logical::Date => {
            let since: SignedDuration = text.parse::<Date>().ok()?.duration_since(Date::constant(1970, 1, 1));
            Some(since.as_hours() / 24)
        }
        Logical::TimeMillis => i64::try_from(time()?.as_millis()).ok(),
        Logical::TimeMicros => i64::try_from(time()?.as_micros()).ok(),
        Logical::TimestampMillis => Some(timestamp()?.as_millisecond()),
        Logical::TimestampMicros => Some(timestamp()?.as_microsecond()),
        Logical::TimestampNanos => i64::try_from(timestamp()?.as_nanosecond()).ok(),
        Logical::LocalTimestampMillis => Some(local()?.as_millisecond()),
        Logical::LocalTimestampMicros => Some(local()?.as_microsecond()),
        Logical::LocalTimestampNanos => i64::try_from(local()?.as_nanosecond()).ok(),
        Logical::Decimal { .. } | Logical::BigDecimal | Logical::Uuid | Logical::Duration => None,
    }
}

/// An example of what [`number`] takes.
pub(super) fn example(logical: Logical) -> Option<&'static str> {
    match logical {
        Logical::Date => Some("2025-01-31"),
        Logical::TimeMillis | Logical::TimeMicros => Some("13:45:30.5"),
        Logical::TimestampMillis | Logical::TimestampMicros | Logical::TimestampNanos => Some("2025-01-31T13:45:30Z"),
        Logical::LocalTimestampMillis | Logical::LocalTimestampMicros | Logical::LocalTimestampNanos => {
            Some("2025-01-31T13:45:30")
        }
        Logical::Decimal { .. } | Logical::BigDecimal | Logical::Uuid | Logical::Duration => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_the_numbers_of_the_type() {
        for (logical, text, number_out) in [
            (Logical::Date, "1970-01-02", Some(1)),
            (Logical::Date, "1969-12-31", Some(-1)),
            (Logical::Date, "2025-02-30", None),
            (Logical::TimeMillis, "00:00:01.5", Some(1_500)),
            (Logical::TimeMicros, "23:59:59", Some(86_399_000_000)),
            (Logical::TimestampMillis, "1970-01-01T01:00:00+01:00", Some(0)),
            (Logical::TimestampMicros, "1970-01-01T00:00:00.000001Z", Some(1)),
            (Logical::TimestampNanos, "9999-01-01T00:00:00Z", None),
            (Logical::TimestampMillis, "1970-01-01T00:00:00", None),
            (Logical::LocalTimestampMillis, "1970-01-01T00:00:01", Some(1_000)),
            (Logical::Uuid, "1970-01-01", None),
        ] {
            assert_eq!(number(logical, text), number_out, "{logical}: {text}");
        }
    }
}
