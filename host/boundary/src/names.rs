//! Names: from Avro to WIT and back.
//!
//! Avro names are `[A-Za-z_][A-Za-z0-9_]*` in any style; WIT names are words in lower case, joined by hyphens. The rule
//! ([`wit_name`]) is one-way, because WIT has no room for case and underscores. Back from WIT a field is *looked up*
//! among the names of a schema ([`find`]), never computed. This module only compares and rewrites text; the plans and
//! `host wit` call it.

use std::borrow::Cow;

/// The words that WIT keeps for itself (wit-parser, `ast/lex.rs`). A name that equals one is written with `%` before
/// it, which is not a part of the name.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "as", "async", "bool", "borrow", "char", "constructor", "enum", "error-context", "export", "external-id", "f32",
    "f64", "flags", "from", "func", "future", "implements", "import", "include", "interface", "list", "map",
    "option", "own", "package", "record", "resource", "result", "s16", "s32", "s64", "s8", "static", "stream",
    "string", "tuple", "type", "u16", "u32", "u64", "u8", "use", "variant", "with", "world",
];

/// A name that WIT cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot be written in WIT, {why}")]
pub struct Unnameable {
    /// The Avro name.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Two names of a schema that a WIT name could mean.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{wit}` could mean `{first}` or `{second}`; rename one of them with an alias in the reader schema")]
pub struct Ambiguous {
    /// The WIT name.
    pub wit: String,
    /// A name that fits.
    pub first: String,
    /// Another name that fits.
    pub second: String,
}

/// The WIT name for an Avro name, without `%` (see [`escape`]).
///
/// Words end at `_`, between a lower-case letter or digit and a capital, and before the last capital of a run that a
/// lower-case letter follows; they are lower-cased and joined by `-`. A word that starts with a digit is glued to the one
/// before: `price-2024` is legal only in newer versions of WIT.
///
/// # Errors
/// [`Unnameable`] if nothing is left, if the first word starts with a digit, or if the name is not one that Avro allows.
pub fn wit_name(avro: &str) -> Result<String, Unnameable> {
    let unnameable = |why| Unnameable { name: avro.to_owned(), why };
    let bytes = avro.as_bytes();
    let mut wit = String::with_capacity(bytes.len() + 4);
    let mut starts_word = true;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'_' {
            starts_word = true;
            continue;
        }
        if !byte.is_ascii_alphanumeric() {
            return Err(unnameable("because Avro names have only letters, digits and underscores"));
        }
        if byte.is_ascii_uppercase() && at > 0 {
            let before = bytes[at - 1];
            let ends_run = before.is_ascii_uppercase() && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            starts_word |= before.is_ascii_lowercase() || before.is_ascii_digit() || ends_run;
        }
        if byte.is_ascii_digit() {
            if wit.is_empty() {
                return Err(unnameable("because a WIT name starts with a letter"));
            }
        } else if starts_word && !wit.is_empty() {
            wit.push('-');
        }
        wit.push(char::from(byte.to_ascii_lowercase()));
        starts_word = false;
    }
    if wit.is_empty() { Err(unnameable("because it has no letter")) } else { Ok(wit) }
}

/// The name as it stands in a WIT text: `%` before a keyword.
#[must_use]
pub fn escape(wit: &str) -> Cow<'_, str> {
    if KEYWORDS.contains(&wit) { Cow::Owned(format!("%{wit}")) } else { Cow::Borrowed(wit) }
}

/// Whether the names are equal after lower-casing and removing separators.
#[must_use]
pub fn matches(avro: &str, wit: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> {
        name.bytes().filter(|b| !matches!(b, b'_' | b'-')).map(|b| b.to_ascii_lowercase())
    }
    letters(avro).eq(letters(wit))
}

/// The index of the candidate that a WIT name means: one whose [`wit_name`] it is, else one that it [`matches`](fn@matches).
///
/// # Errors
/// [`Ambiguous`] if two candidates fit equally well.
pub fn find<'a>(wit: &str, candidates: impl Iterator<Item = &'a str>) -> Result<Option<usize>, Ambiguous> {
    // The rule never maps to a name that the loose equality would not find: one pass sees all that can fit.
    let (mut exact, mut loose) = (Fit::default(), Fit::default());
    for (index, avro) in candidates.enumerate().filter(|(_, avro)| matches(avro, wit)) {
        let fit = if wit_name(avro).is_ok_and(|name| name == wit) { &mut exact } else { &mut loose };
        fit.add(index, avro);
    }
    let fit = if exact.first.is_some() { exact } else { loose };
    match (fit.first, fit.second) {
        (Some((_, first)), Some(second)) => {
            Err(Ambiguous { wit: wit.to_owned(), first: first.to_owned(), second: second.to_owned() })
        }
        (first, _) => Ok(first.map(|(index, _)| index)),
    }
}

/// The Avro name for a WIT name where no schema gives one: snake case.
#[must_use]
pub fn avro_name(wit: &str) -> String {
    wit.bytes().map(|b| if b == b'-' { '_' } else { char::from(b.to_ascii_lowercase()) }).collect()
}

/// The candidates that fit in one way: the first, and a second that makes it ambiguous.
#[derive(Default)]
struct Fit<'a> {
    first: Option<(usize, &'a str)>,
    second: Option<&'a str>,
}

impl<'a> Fit<'a> {
    fn add(&mut self, index: usize, name: &'a str) {
        match self.first {
            None => self.first = Some((index, name)),
            Some(_) => self.second = self.second.or(Some(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find_in(wit: &str, candidates: &[&str]) -> Result<Option<usize>, Ambiguous> {
        find(wit, candidates.iter().copied())
    }

    #[test]
    fn words_follow_the_rule() {
        for (avro, wit) in [
            ("id", "id"),
            ("_id", "id"),
            ("productID", "product-id"),
            ("x__y", "x-y"),
            ("URL2", "url2"),
            ("HTTPServer2Go", "http-server2-go"),
            ("iPhone", "i-phone"),
            ("price_2024", "price2024"),
            ("ALL_CAPS", "all-caps"),
            ("camelCaseName", "camel-case-name"),
            ("snake_case_name_", "snake-case-name"),
            ("ABCd", "ab-cd"),
            ("None", "none"),
            ("a1b2", "a1b2"),
        ] {
            assert_eq!(wit_name(avro).as_deref(), Ok(wit), "{avro}");
        }
    }

    #[test]
    fn names_without_a_leading_letter_are_refused_with_the_reason() {
        for (avro, why) in [
            ("", "it has no letter"),
            ("_", "it has no letter"),
            ("__", "it has no letter"),
            ("_2fast", "a WIT name starts with a letter"),
            ("_1", "a WIT name starts with a letter"),
            ("naïve", "Avro names have only letters"),
            ("a-b", "Avro names have only letters"),
        ] {
            let error = wit_name(avro).expect_err(avro).to_string();
            assert!(error.starts_with(&format!("`{avro}` cannot be written in WIT, because {why}")), "{error}");
        }
    }

    #[test]
    fn keywords_are_escaped_and_nothing_else() {
        assert_eq!(escape("type"), "%type");
        assert_eq!(escape("world"), "%world");
        assert_eq!(escape("category"), "category");
    }

    #[test]
    fn the_exact_name_wins_over_a_loose_one() {
        assert_eq!(find_in("price-cents", &["pricecents", "priceCents"]), Ok(Some(1)));
        assert_eq!(find_in("price-cents", &["pricecents", "other"]), Ok(Some(0)));
        assert_eq!(find_in("price-cents", &["price"]), Ok(None));
    }

    #[test]
    fn two_candidates_are_an_error_that_names_both() {
        let error = find_in("id", &["_id", "name", "id"]).expect_err("ambiguous").to_string();
        assert!(error.contains("`_id`") && error.contains("`id`"), "{error}");
        assert!(find_in("k-w", &["kw", "KW"]).is_err());
    }

    proptest! {
        #[test]
        fn every_nameable_name_is_found_again(avro in "[A-Za-z_][A-Za-z0-9_]{0,24}") {
            if let Ok(wit) = wit_name(&avro) {
                prop_assert!(matches(&avro, &wit));
                prop_assert_eq!(find_in(&wit, &[avro.as_str()]), Ok(Some(0)));
                prop_assert!(wit.split('-').all(|word| word.starts_with(|c: char| c.is_ascii_lowercase())));
                prop_assert_eq!(wit_name(&avro_name(&wit)), Ok(wit));
            } else {
                prop_assert!(avro.trim_start_matches('_').starts_with(|c: char| c.is_ascii_digit()) || avro.chars().all(|c| c == '_'));
            }
        }

        #[test]
        fn any_text_is_a_name_or_an_error(text in any::<String>()) {
            let _ = wit_name(&text);
            let _ = find_in(&text, &[&text]);
        }
    }
}
