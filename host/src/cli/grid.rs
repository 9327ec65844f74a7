//! Text in columns.

use std::io::{self, Write};

/// On which side of its column a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Prints rows under a head, as wide as the widest cell of each column.
pub(super) fn print(out: &mut dyn Write, head: &[(&str, Side)], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let names: Vec<String> = head.iter().map(|(name, _)| (*name).to_owned()).collect();
    for row in std::iter::once(&names).chain(rows) {
        let mut line = String::new();
        for ((cell, (_, side)), width) in row.iter().zip(head).zip(&widths) {
            match side {
                Side::Left => line.push_str(&format!("{cell:<width$}  ")),
                Side::Right => line.push_str(&format!("{cell:>width$}  ")),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One line of at most so many characters; what a terminal would obey is shown, not done.
pub(super) fn one_line(text: &str, max_chars: usize) -> String {
    let visible = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = visible.clone().take(max_chars).collect();
    if visible.count() > max_chars {
        line.pop();
        line.push('…');
    }
    line
}

/// Bytes as people read them.
pub(super) fn bytes(number: i64) -> String {
    let mut value = number as f64;
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Milliseconds since the epoch as a date and time in UTC.
pub(super) fn time(timestamp_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(timestamp_ms).map_or_else(|_| timestamp_ms.to_string(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();
        let rows = [vec!["ä".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1000".to_owned()]];
        print(&mut out, &[("A", Side::Left), ("N", Side::Right)], &rows).expect("memory");
        assert_eq!(String::from_utf8_lossy(&out), "A        N\nä        1\nlong  1000\n");
    }

    #[test]
    fn long_and_hostile_text_stays_on_its_line() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc", 20), "a [2Jb c");
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("abcd", 4), "abcd");
    }

    #[test]
    fn sizes_and_times_are_readable() {
        assert_eq!([0, 1023, 1536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}
