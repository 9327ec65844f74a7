//! From a file to a TOML table: variables of the environment, values from the command line, and good words for keys that
//! nobody knows.

use toml::{Table, Value};

/// Replaces `${NAME}` and `${NAME:-default}` in every string. `path` is where the value stands, for messages.
pub(super) fn expand(
    value: &mut Value,
    path: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<String>,
) {
    match value {
        Value::String(text) => match expand_text(text, variable) {
            Ok(expanded) => *text = expanded,
            Err(why) => errors.push(format!("`{path}`: {why}")),
        },
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{path}[{i}]"), variable, errors);
            }
        }
        Value::Table(table) => {
            for (key, item) in table.iter_mut() {
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                expand(item, &path, variable, errors);
            }
        }
        _ => {}
    }
}

fn expand_text(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or_else(|| "`${` without `}`".to_owned())?;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        match (variable(name), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(format!("the environment has no variable `{name}`; set it, or write `${{{name}:-default}}`"));
            }
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Sets `a.b.c=value`. A part of the path may be the name of an element of an array of tables, or its number.
pub(super) fn set(table: &mut Table, assignment: &str) -> Result<(), String> {
    let (path, text) = assignment
        .split_once('=')
        .ok_or_else(|| format!("`--set {assignment}`: write it as key=value, such as log.path=other.db"))?;
    let value = toml::from_str::<Table>(&format!("v = {text}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    let parts: Vec<&str> = path.split('.').map(str::trim).collect();
    let (last, parents) = parts.split_last().ok_or_else(|| format!("`--set {assignment}`: no key"))?;
    let mut at: &mut Table = table;
    for part in parents {
        let next = at.entry((*part).to_owned()).or_insert_with(|| Value::Table(Table::new()));
        at = match next {
            Value::Table(table) => table,
            _ => return Err(format!("`--set {path}`: `{part}` is not a table")),
        };
    }
    at.insert((*last).to_owned(), value);
    Ok(())
}

/// Moves `stage.NAME.key`-like assignments into arrays of tables before [`set`] handles the others.
pub(super) fn set_in_arrays(table: &mut Table, assignment: &str) -> Result<(), String> {
    let Some((path, text)) = assignment.split_once('=') else { return set(table, assignment) };
    let mut parts = path.splitn(3, '.');
    let (Some(array), Some(element), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return set(table, assignment);
    };
    let Some(Value::Array(items)) = table.get_mut(array) else { return set(table, assignment) };
    let named = items.iter().position(|i| {
        ["name", "topic", "table"].iter().any(|k| i.get(k).and_then(Value::as_str) == Some(element))
    });
    let index = named.or_else(|| element.parse().ok().filter(|i| *i < items.len()));
    match index.and_then(|i| items[i].as_table_mut()) {
        Some(item) => set(item, &format!("{rest}={text}")),
        None => Err(format!("`--set {path}`: there is no [[{array}]] called `{element}`")),
    }
}

/// The known name that is most like an unknown one, if any is.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Adds the nearest name to serde's message about an unknown field.
pub(super) fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.contains("unknown field") {
        return message.trim_end().to_owned();
    }
    let Some(unknown) = quoted.next() else { return message.to_owned() };
    match nearest(unknown, quoted) {
        Some(name) => format!("{}; did you mean `{name}`?", message.trim_end()),
        None => message.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_and_missing_ones_named() {
        let variable = |name: &str| (name == "HOST").then(|| "db".to_owned());
        assert_eq!(expand_text("${HOST}:${PORT:-9092}/x", &variable).unwrap(), "db:9092/x");
        assert!(expand_text("${NIX}", &variable).unwrap_err().contains("`NIX`"));
        assert!(expand_text("${HOST", &variable).is_err());
    }

    #[test]
    fn assignments_reach_tables_and_named_elements() {
        let mut table: Table = toml::from_str("[log]\npath='a'\n[[stage]]\nname='one'\nworkers=1\n").unwrap();
        set_in_arrays(&mut table, "log.path=b.db").unwrap();
        set_in_arrays(&mut table, "stage.one.workers=4").unwrap();
        assert_eq!(table["log"]["path"].as_str(), Some("b.db"));
        assert_eq!(table["stage"][0]["workers"].as_integer(), Some(4));
        assert!(set_in_arrays(&mut table, "stage.two.workers=4").is_err());
        assert!(set_in_arrays(&mut table, "nonsense").is_err());
    }
}
