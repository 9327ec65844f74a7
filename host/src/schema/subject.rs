//! Which subject of a registry holds the schemas of a topic's values: the three strategies that Confluent's clients have.
//!
//! Source: Confluent Platform documentation, "Subject name strategy".

use bespoke_boundary::Schema;

/// How a subject is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectNames {
    /// `TOPIC-value`.
    #[default]
    Topic,
    /// The full name of the record.
    Record,
    /// `TOPIC-` and the full name of the record.
    TopicRecord,
}

// === impl SubjectNames ===

impl SubjectNames {
    /// The subject for values of this schema in a topic.
    #[must_use]
    pub fn of(self, topic: &str, schema: &Schema) -> String {
        // Confluent's clients call a schema that is no record by the name of its type; no topic here has one.
        let record = || schema.record().map_or_else(String::new, |record| record.name.full.clone());
        match self {
            Self::Topic => value(topic),
            Self::Record => record(),
            Self::TopicRecord => format!("{topic}-{}", record()),
        }
    }

    /// The subject of a topic whose schema is not known. None if it is named after the record.
    #[must_use]
    pub fn of_topic(self, topic: &str) -> Option<String> {
        (self == Self::Topic).then(|| value(topic))
    }
}

fn value(topic: &str) -> String {
    format!("{topic}-value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_strategy_names_as_confluents_clients_do() {
        let schema = r#"{"type":"record","name":"Order","namespace":"shop","fields":[]}"#;
        let schema = Schema::parse(schema).expect("a schema");
        let named = |names: SubjectNames| names.of("orders", &schema);
        assert_eq!(named(SubjectNames::Topic), "orders-value");
        assert_eq!(named(SubjectNames::Record), "shop.Order");
        assert_eq!(named(SubjectNames::TopicRecord), "orders-shop.Order");
        assert_eq!(SubjectNames::Topic.of_topic("orders").as_deref(), Some("orders-value"));
        assert_eq!(SubjectNames::Record.of_topic("orders"), None);
    }
}
