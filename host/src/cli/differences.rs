//! How the answers of two modules differ, for people.

use std::io::{self, Write};

use serde_json::Value;

use super::grid::{self, Side};
use crate::swap::{self, Differences};

/// Values of examples are cut after so many characters; `--format json` shows more.
const MAX_VALUE_CHARS: usize = 160;

/// How two modules did, in two lines.
pub(super) fn print_sides(out: &mut dyn Write, live: &swap::Side, candidate: &swap::Side) -> io::Result<()> {
    let time = |side: &swap::Side| side.nanos_per_record().map_or("-".to_owned(), |nanos| format!("{nanos:.0} ns"));
    let factor = match (live.nanos_per_record(), candidate.nanos_per_record()) {
        (Some(live), Some(candidate)) if live > 0.0 => format!(" ({:.2} times)", candidate / live),
        _ => String::new(),
    };
    writeln!(out, "errors     {}, then {}", live.errors, candidate.errors)?;
    writeln!(out, "time       {} a record, then {}{factor}", time(live), time(candidate))
}

/// All of it: by output, by field, by record, with examples.
pub(super) fn print(out: &mut dyn Write, differences: &Differences) -> io::Result<()> {
    let number = |name| (name, Side::Right);
    let head =
        [("OUTPUT", Side::Left), number("SAME"), number("DIFFER"), number("MISSING"), number("MORE"), number("MOVED")];
    let rows = differences.outputs.iter().map(|(topic, o)| {
        let counts = [o.same, o.different, o.missing, o.more, o.moved].map(|count| count.to_string());
        [vec![topic.clone()], counts.to_vec()].concat()
    });
    grid::print(out, &head, &rows.collect::<Vec<_>>())?;
    let fields = differences.outputs.iter().flat_map(|(topic, output)| {
        output.fields.iter().map(|(field, count)| vec![topic.clone(), field.clone(), count.to_string()])
    });
    let fields: Vec<_> = fields.collect();
    if !fields.is_empty() {
        writeln!(out)?;
        grid::print(out, &[("OUTPUT", Side::Left), ("FIELD", Side::Left), number("DIFFERS")], &fields)?;
    }
    if !differences.verdicts.is_empty() {
        let rows: Vec<_> = differences.verdicts.iter().map(|(what, n)| vec![what.clone(), n.to_string()]).collect();
        writeln!(out)?;
        grid::print(out, &[("WHAT BOTH DID", Side::Left), number("RECORDS")], &rows)?;
    }
    for example in &differences.examples {
        writeln!(out, "\nrecord {}@{}, {}: {}", example.partition, example.offset, example.topic, example.what)?;
        let sides = [("first", &example.live, &example.candidate), ("then", &example.candidate, &example.live)];
        for (who, value, other) in sides {
            let value = value.as_ref().map_or("nothing".to_owned(), |value| told(value, other.as_ref()).to_string());
            writeln!(out, "  {who:<5}  {}", grid::one_line(&value, MAX_VALUE_CHARS))?;
        }
    }
    Ok(())
}

/// A value with the fields first in which it differs from the other one, as the end may be cut off.
fn told(value: &Value, other: Option<&Value>) -> Value {
    let (Value::Object(fields), Some(Value::Object(other))) = (value, other) else { return value.clone() };
    let (same, different): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, value)| other.get(*name) == Some(*value));
    let fields = different.into_iter().chain(same);
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_differ_come_first() {
        let (first, then) = (json!({"a": 1, "b": 2, "c": 3, "d": 4}), json!({"a": 1, "b": 5, "c": 3}));
        assert_eq!(told(&first, Some(&then)).to_string(), r#"{"b":2,"d":4,"a":1,"c":3}"#);
        assert_eq!(told(&then, Some(&first)).to_string(), r#"{"b":5,"a":1,"c":3}"#);
        assert_eq!(told(&then, None), then);
        assert_eq!(told(&json!("trap"), Some(&then)), json!("trap"));
    }
}
