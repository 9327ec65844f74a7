//! Differences as people read them: lines that are missing (`-`) and lines that came (`+`), with some around them.

use std::fmt::Write as _;

use serde_json::Value;
use similar::{ChangeTag, DiffOp, TextDiff};

/// Lines around a difference.
const AROUND: usize = 2;
/// More lines than this are counted only.
const MAX_LINES: usize = 60;
/// Longer lines are cut.
const MAX_CHARS: usize = 400;
/// Bytes of a line of a dump.
const ROW: usize = 16;

/// Lines against lines. Under a line that takes the place of another stand the fields that differ.
pub(super) fn lines(expected: &[String], actual: &[String]) -> String {
    let old: Vec<&str> = expected.iter().map(String::as_str).collect();
    let new: Vec<&str> = actual.iter().map(String::as_str).collect();
    let diff = TextDiff::from_slices(&old, &new);
    let mut told = Vec::new();
    for group in diff.grouped_ops(AROUND) {
        let first = group.first().map_or(0, |op| op.old_range().start);
        told.push(format!("@@ line {}", first + 1));
        for op in &group {
            match *op {
                // Records that take the place of as many others are shown in pairs.
                DiffOp::Replace { old_index, old_len, new_index, new_len } if old_len == new_len => {
                    let pairs = old[old_index..].iter().zip(&new[new_index..]).take(old_len);
                    for (i, (old, new)) in pairs.enumerate() {
                        told.extend([format!("- {}", cut(old)), format!("+ {}", cut(new))]);
                        told.extend(fields(old_index + i + 1, old, new));
                    }
                }
                _ => told.extend(diff.iter_changes(op).map(|change| {
                    let sign = match change.tag() {
                        ChangeTag::Delete => '-',
                        ChangeTag::Insert => '+',
                        ChangeTag::Equal => ' ',
                    };
                    format!("{sign} {}", cut(change.value()))
                })),
            }
        }
    }
    let left = told.len().saturating_sub(MAX_LINES);
    told.truncate(MAX_LINES);
    let mut text = told.join("\n") + "\n";
    if left > 0 {
        let _ = writeln!(text, "… and {left} lines more");
    }
    text
}

/// Bytes against bytes: as lines if they are text, else as a dump.
pub(super) fn bytes(expected: &[u8], actual: &[u8]) -> String {
    let split = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    match (text(expected), text(actual)) {
        (Some(expected), Some(actual)) => lines(&split(expected), &split(actual)),
        _ => lines(&dump(expected), &dump(actual)),
    }
}

/// What differs between two records.
fn fields(line: usize, expected: &str, actual: &str) -> Option<String> {
    let (Ok(Value::Object(old)), Ok(Value::Object(new))) =
        (serde_json::from_str(expected), serde_json::from_str(actual))
    else {
        return None;
    };
    let absent = "absent".to_owned();
    let show = |value: Option<&Value>| value.map_or(absent.clone(), |value| cut(&value.to_string()));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let differ = names.filter(|name| !is_same(old.get(*name), new.get(*name)));
    let told: Vec<_> = differ
        .map(|name| format!("{name} should be {}, and is {}", show(old.get(name)), show(new.get(name))))
        .collect();
    (!told.is_empty()).then(|| format!("  line {line}: {}", told.join("; ")))
}

/// Whether two values mean the same: a number may be written as a whole one or not.
fn is_same(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(Value::Number(old)), Some(Value::Number(new))) => old == new || old.as_f64() == new.as_f64(),
        (old, new) => old == new,
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(MAX_CHARS) {
        None => line.to_owned(),
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t').then_some(text)
}

fn dump(bytes: &[u8]) -> Vec<String> {
    let row = |(i, row): (usize, &[u8])| {
        let hex: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String =
            row.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        format!("{:06x}  {:<48}{shown}", i * ROW, hex.join(" "))
    };
    bytes.chunks(ROW).enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_record_that_differs_is_shown_with_its_fields() {
        let told = lines(
            &owned(&[r#"{"id":1}"#, r#"{"id":2,"band":"low","gone":1,"cost":1}"#, r#"{"id":3}"#]),
            &owned(&[r#"{"id":1}"#, r#"{"id":2,"band":"high","cost":1.0}"#, r#"{"id":3}"#]),
        );
        assert_eq!(
            told,
            "@@ line 1\n  {\"id\":1}\n- {\"id\":2,\"band\":\"low\",\"gone\":1,\"cost\":1}\n+ {\"id\":2,\"band\":\"high\",\"cost\":1.0}\n  line 2: \
             band should be \"low\", and is \"high\"; gone should be 1, and is absent\n  {\"id\":3}\n"
        );
    }

    #[test]
    fn records_in_the_place_of_others_are_shown_in_pairs() {
        assert_eq!(lines(&owned(&["a", "b"]), &owned(&["c", "d"])), "@@ line 1\n- a\n+ c\n- b\n+ d\n");
        assert_eq!(lines(&owned(&["a", "b"]), &owned(&["c"])), "@@ line 1\n- a\n- b\n+ c\n");
    }

    #[test]
    fn what_is_long_is_cut() {
        let many: Vec<String> = (0..1000).map(|n| format!("{n}{}", "ä".repeat(1000))).collect();
        let told = lines(&many, &[]);
        assert_eq!(told.lines().count(), MAX_LINES + 1);
        assert!(told.ends_with("… and 941 lines more\n") && told.len() < MAX_LINES * MAX_CHARS * 3, "{}", told.len());
    }

    #[test]
    fn bytes_are_dumped_unless_they_are_text() {
        assert_eq!(bytes(b"a\nb\n", b"a\nc\n"), "@@ line 1\n  a\n- b\n+ c\n");
        let told = bytes(&[0, 1, b'x'], &[0, 1, b'y']);
        assert!(told.contains("- 000000  00 01 78") && told.contains("+ 000000  00 01 79"), "{told}");
        assert!(told.contains("..x\n") && told.contains("..y\n"), "{told}");
    }
}
