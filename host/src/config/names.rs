//! Which names are legal, and which known name an unknown one is nearest to.

use crate::log::is_topic_char;

/// Names of pipelines, feeds, stages and sinks: short enough that group and topic names made of them are legal.
pub(super) const MAX_NAME: usize = 100;
/// Kafka's limit.
const MAX_TOPIC: usize = 249;
/// Cassandra's limit.
pub(super) const MAX_TABLE: usize = 48;

/// Names farther than this are not offered: 1 is the same, 0 has nothing in common (Jaro-Winkler).
const NEAR: f64 = 0.8;

/// Whether it can be the name of a pipeline, a feed, a stage or a sink.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && is_topic(name)
}

/// With what the name of a stage or sink must not begin: groups and topics of that name are made for others.
pub(super) fn reserved(name: &str) -> Option<&'static str> {
    ["feed.", "dead-letters"].into_iter().find(|prefix| name.starts_with(prefix))
}

/// Whether it can be the name of a topic, as Kafka has it.
pub(super) fn is_topic(name: &str) -> bool {
    (1..=MAX_TOPIC).contains(&name.len()) && name.chars().all(is_topic_char) && name != "." && name != ".."
}

/// Whether it can be the name of a table in every store.
pub(super) fn is_table(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= MAX_TABLE && name.chars().all(legal) && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// The known name that was probably meant.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = |name: &'a str| (strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase()), name);
    let (score, name) = known.into_iter().map(near).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score >= NEAR).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_as_in_kafka() {
        assert!(is_topic("bespoke.avro.product") && is_topic("a_-9") && is_topic(&"x".repeat(249)));
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(!is_topic(bad), "{bad}");
        }
    }

    #[test]
    fn tables_are_named_as_every_store_allows() {
        assert!(is_table("product_analysis2"));
        for bad in ["", "2x", "_x", "a-b", "a.b", "drop table x", &"x".repeat(49)] {
            assert!(!is_table(bad), "{bad}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["module", "workers", "from"];
        assert_eq!(suggest("modul", known).as_deref(), Some("module"));
        assert_eq!(suggest("form", known).as_deref(), Some("from"));
        assert_eq!(suggest("Workers", known).as_deref(), Some("workers"));
        assert_eq!(suggest("zzz", known), None);
    }
}
