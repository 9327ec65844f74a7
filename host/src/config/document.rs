//! The text of a configuration as a tree in which every key and value knows its place.
//!
//! `--set` changes the tree, the environment fills its strings in, then serde reads it. Places are byte ranges of the
//! text; what a `--set` put in has a place beyond the end of the text, one for each. Nothing here knows what a key means.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::{Fault, Problem};
use super::names;

/// Where something is written.
pub(super) type Place = Range<usize>;

/// The keys by which elements of arrays of tables are addressed, the first that is there.
const ELEMENT_NAMES: [&str; 3] = ["name", "topic", "table"];

type Table<'t> = DeTable<'t>;
type Value<'t> = Spanned<DeValue<'t>>;

/// A parsed text and what was found wrong with it so far.
pub(super) struct Document<'t> {
    file: &'t str,
    text: &'t str,
    overrides: &'t [String],
    tree: Spanned<Table<'t>>,
    problems: Vec<(Place, String, Fault)>,
}

// === impl Document ===

impl<'t> Document<'t> {
    /// Parses the text of the file called `file`.
    pub(super) fn parse(file: &'t str, text: &'t str, overrides: &'t [String]) -> Self {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let mut document = Self { file, text, overrides, tree, problems: Vec::new() };
        for error in errors {
            let fault = Fault::Syntax(lower_first(error.message()));
            document.problems.push((error.span().unwrap_or_default(), String::new(), fault));
        }
        document
    }

    /// Applies every `--set key=value`.
    pub(super) fn apply_overrides(&mut self) {
        for (index, text) in self.overrides.iter().enumerate() {
            let start = self.text.len() + 1 + index;
            let place = start..start + 1;
            let done = split_override(text)
                .ok_or(Fault::Override)
                .and_then(|(path, value)| set(self.tree.get_mut(), &path, respan(value, &place), &place));
            if let Err(fault) = done {
                self.problems.push((place, String::new(), fault));
            }
        }
    }

    /// Replaces `${NAME}` and `${NAME:-default}` in every string value.
    pub(super) fn fill_in(&mut self, env: &dyn Fn(&str) -> Option<String>) {
        let mut faults = Vec::new();
        fill_table(self.tree.get_mut(), env, &mut faults);
        for (place, fault) in faults {
            self.problem(&place, fault);
        }
    }

    /// Notes that something is wrong with what is written at a place.
    pub(super) fn problem(&mut self, place: &Place, fault: Fault) {
        let key = find(self.tree.get_ref(), place).map(|path| path.join(".")).unwrap_or_default();
        self.problems.push((place.clone(), key, fault));
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Reads the tree as a `T`. On an error its culprit is taken out of the tree and the rest is read again, until all
    /// errors are noted.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut tree = self.tree.clone();
        // Keys that are missing because they were taken out, or because they are misspelt.
        let mut gone: Vec<Vec<String>> = Vec::new();
        loop {
            let error = match T::deserialize(toml::Deserializer::from(tree.clone())) {
                Ok(value) => return self.is_sound().then_some(value),
                Err(error) => error,
            };
            let (place, mut fault) = (error.span().unwrap_or_default(), explain(error.message()));
            let path = find(tree.get_ref(), &place).unwrap_or_default();
            if let Fault::Type(_) = fault
                && path.first().is_some_and(|section| section == "topics")
                && path.last().is_some_and(|key| key == "create_topics")
            {
                fault = Fault::Meaningless { key: "create_topics", why: "write it above the first [section]" };
            }
            let beside = |key: &String| path.iter().rev().skip(1).rev().chain([key]).cloned().collect();
            let excused = match &fault {
                Fault::Missing(key) => gone.contains(&path.iter().chain([key]).cloned().collect()),
                Fault::Unknown { what: "key", suggestion: Some(meant), .. } => {
                    gone.push(beside(meant));
                    false
                }
                _ => false,
            };
            if !excused {
                self.problems.push((place.clone(), path.join("."), fault));
            }
            gone.push(path);
            if !remove(tree.get_mut(), &place) {
                return None;
            }
        }
    }

    /// All that is wrong, in the order of the text.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|(place, ..)| place.start);
        let problems = std::mem::take(&mut self.problems);
        problems.into_iter().map(|(place, key, fault)| Problem { place: self.locate(&place), key, fault }).collect()
    }

    fn locate(&self, place: &Place) -> String {
        if let Some(index) = place.start.checked_sub(self.text.len() + 1) {
            return format!("--set {}", self.overrides.get(index).map_or("", String::as_str));
        }
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.file)
    }
}

// === overrides ===

/// The path and the value of `a."b.c".d=value`. The value is TOML, or else it is taken as text.
fn split_override(text: &str) -> Option<(Vec<String>, Value<'_>)> {
    // The first `=` at which what is before it is a key: a quoted key may hold others.
    text.match_indices('=').find_map(|(at, _)| {
        let path = key_path(&text[..at])?;
        let raw = text[at + 1..].trim();
        let value = DeValue::parse(raw).unwrap_or_else(|_| Spanned::new(0..0, DeValue::String(Cow::Borrowed(raw))));
        Some((path, value))
    })
}

fn key_path(key: &str) -> Option<Vec<String>> {
    if key.contains(['\n', '[', '{']) {
        return None;
    }
    let probe = format!("{key} = 0");
    let parsed = DeTable::parse(&probe).ok()?;
    let (mut table, mut path) = (parsed.get_ref(), Vec::new());
    loop {
        let (key, value) = table.iter().next()?;
        path.push(key.get_ref().clone().into_owned());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

/// Gives all parts of a value the same place.
fn respan<'t>(value: Value<'t>, place: &Place) -> Value<'t> {
    let inner = match value.into_inner() {
        DeValue::Array(items) => {
            let mut array = DeArray::new();
            items.into_iter().for_each(|item| array.push(respan(item, place)));
            DeValue::Array(array)
        }
        DeValue::Table(entries) => {
            let mut table = DeTable::new();
            for (key, value) in entries {
                table.insert(Spanned::new(place.clone(), key.into_inner()), respan(value, place));
            }
            DeValue::Table(table)
        }
        scalar => scalar,
    };
    Spanned::new(place.clone(), inner)
}

fn set<'t>(table: &mut Table<'t>, path: &[String], value: Value<'t>, place: &Place) -> Result<(), Fault> {
    let Some((first, rest)) = path.split_first() else { return Err(Fault::Override) };
    if rest.is_empty() {
        table.remove(first.as_str());
        table.insert(Spanned::new(place.clone(), Cow::Owned(first.clone())), value);
        return Ok(());
    }
    if table.get(first.as_str()).is_none() {
        let empty = Spanned::new(place.clone(), DeValue::Table(DeTable::new()));
        table.insert(Spanned::new(place.clone(), Cow::Owned(first.clone())), empty);
    }
    match table.get_mut(first.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => set(inner, rest, value, place),
        Some(DeValue::Array(items)) => set_in_array(items, first, rest, value, place),
        _ => Err(Fault::NoTable(first.clone())),
    }
}

fn set_in_array<'t>(
    items: &mut DeArray<'t>,
    key: &str,
    path: &[String],
    value: Value<'t>,
    place: &Place,
) -> Result<(), Fault> {
    let (Some((element, rest)), true) = (path.split_first(), items.iter().all(|item| item.get_ref().is_table())) else {
        return Err(Fault::NoTable(key.to_owned()));
    };
    let labels: Vec<String> = items.iter().enumerate().map(|(i, item)| label(item, i)).collect();
    let by_name = labels.iter().position(|label| label == element);
    let by_index = element.parse::<usize>().ok().filter(|index| *index < items.len());
    let found = by_name.or(by_index).and_then(|index| items.get_mut(index));
    match found.map(Spanned::get_mut) {
        Some(DeValue::Table(_)) if rest.is_empty() => Err(Fault::Override),
        Some(DeValue::Table(table)) => set(table, rest, value, place),
        _ => Err(Fault::Unknown {
            what: "name",
            word: element.clone(),
            suggestion: names::suggest(element, labels.iter().map(String::as_str)),
            known: labels,
        }),
    }
}

/// How an element of an array of tables is called.
fn label(item: &Value<'_>, index: usize) -> String {
    let named =
        |table: &Table<'_>| ELEMENT_NAMES.iter().find_map(|key| Some(table.get(*key)?.get_ref().as_str()?.to_owned()));
    item.get_ref().as_table().and_then(named).unwrap_or_else(|| index.to_string())
}

// === the environment ===

fn fill_table(table: &mut Table<'_>, env: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<(Place, Fault)>) {
    for (_, value) in table.iter_mut() {
        fill_value(value, env, faults);
    }
}

fn fill_value(value: &mut Value<'_>, env: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<(Place, Fault)>) {
    let place = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains("${") => match fill(text, env) {
            Ok(filled) => *text = Cow::Owned(filled),
            Err(fault) => faults.push((place, fault)),
        },
        DeValue::Array(items) => items.iter_mut().for_each(|item| fill_value(item, env, faults)),
        DeValue::Table(table) => fill_table(table, env, faults),
        _ => {}
    }
}

fn fill(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let (reference, after) = rest[at + 2..].split_once('}').ok_or(Fault::Reference)?;
        let (name, default) = reference.split_once(":-").map_or((reference, None), |(n, d)| (n, Some(d)));
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(legal) {
            return Err(Fault::Reference);
        }
        // As in a shell, `:-` also stands in for a variable that is empty.
        match (env(name), default) {
            (Some(value), _) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (Some(_), None) => {}
            (None, None) => return Err(Fault::Variable(name.to_owned())),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

// === places ===

/// The path of the innermost key whose own or whose value's place this is.
fn find(table: &Table<'_>, place: &Place) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let here = || vec![key.get_ref().clone().into_owned()];
        let inner = find_in(value, place).map(|rest| here().into_iter().chain(rest).collect());
        inner.or_else(|| (key.span() == *place || value.span() == *place).then(here))
    })
}

fn find_in(value: &Value<'_>, place: &Place) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Table(table) => find(table, place),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let is_table = item.get_ref().is_table();
            let here = || if is_table { vec![label(item, index)] } else { vec![] };
            let inner = find_in(item, place).map(|rest| here().into_iter().chain(rest).collect());
            inner.or_else(|| (item.span() == *place).then(here))
        }),
        _ => None,
    }
}

/// Takes the innermost entry at a place out of the tree. False if there is none.
fn remove(table: &mut Table<'_>, place: &Place) -> bool {
    if table.iter_mut().any(|(_, value)| remove_in(value, place)) {
        return true;
    }
    let key = table.iter().find(|(key, value)| key.span() == *place || value.span() == *place);
    let Some(key) = key.map(|(key, _)| key.get_ref().clone().into_owned()) else { return false };
    table.remove(key.as_str()).is_some()
}

fn remove_in(value: &mut Value<'_>, place: &Place) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, place),
        DeValue::Array(items) => {
            if items.iter_mut().any(|item| remove_in(item, place)) {
                return true;
            }
            let all = std::mem::replace(items, DeArray::new());
            let before = all.len();
            all.into_iter().filter(|item| item.span() != *place).for_each(|item| items.push(item));
            items.len() < before
        }
        _ => false,
    }
}

// === messages ===

/// serde tells its errors in text only.
fn explain(message: &str) -> Fault {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = |what| {
        let (word, known) = words.split_first().map_or(("", &[][..]), |(word, known)| (*word, known));
        let suggestion = names::suggest(word, known.iter().copied());
        let known = known.iter().map(|&k| k.to_owned()).collect();
        Fault::Unknown { what, word: word.to_owned(), suggestion, known }
    };
    if message.starts_with("unknown field") {
        unknown("key")
    } else if message.starts_with("unknown variant") {
        unknown("value")
    } else if message.starts_with("missing field") {
        Fault::Missing(words.first().copied().unwrap_or_default().to_owned())
    } else {
        Fault::Type(in_words(message))
    }
}

/// Types of Rust as a person who writes TOML calls them.
fn in_words(message: &str) -> String {
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
    let expected = match expected {
        "" => return found.to_owned(),
        "a string" | "string" | "str" => "text in quotes",
        "i64" | "u64" | "u32" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list: [ … ]",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    format!("{found} where {expected} belongs")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
