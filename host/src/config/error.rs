//! What can be wrong with a configuration, and how it is told: all of it at once, each with its place.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::names::{MAX_NAME, MAX_TABLE};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file says things that cannot be.
    #[error("{0}")]
    Invalid(Problems),
}

/// All that is wrong with a file, in the order of the file.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// Where: `pipeline.toml:3:8`, or the `--set` that said it.
    pub place: String,
    /// The path of the key, such as `stage.analyzer.module`. Empty for the file as a whole.
    pub key: String,
    /// What.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Not TOML.
    #[error("{0}")]
    Syntax(String),
    /// A value of another type than its key wants.
    #[error("{0}")]
    Type(String),
    /// A key or a word that does not exist.
    #[error("unknown {what} `{word}`{}", nearest(suggestion.as_deref(), known))]
    Unknown {
        /// What it would be.
        what: &'static str,
        /// What is written.
        word: String,
        /// What was probably meant.
        suggestion: Option<String>,
        /// All that could be written.
        known: Vec<String>,
    },
    /// A key that must be there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A variable of the environment that is not set.
    #[error("the environment has no `{0}`; set it, or give a default: `${{{0}:-default}}`")]
    Variable(String),
    /// A `${` that is not a reference.
    #[error(
        "`${{` without a name and `}}`: write `${{NAME}}`, `${{NAME:-default}}`, or `$${{` for the characters themselves"
    )]
    Reference,
    /// A `--set` without a key and a value.
    #[error("is not `key=value`; for example `--set log.path=data/test.db` or `--set stage.analyzer.workers=2`")]
    Override,
    /// A `--set` that goes through something that is no table.
    #[error("`{0}` has no keys of its own")]
    NoTable(String),
    /// A number out of its range.
    #[error("{value} is {}", if value < min { format!("less than {min}") } else { format!("more than {max}") })]
    Range {
        /// What is written.
        value: f64,
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A name that is not one.
    #[error("`{0}` cannot be a name here: use 1 to {MAX_NAME} of a-z, A-Z, 0-9, dot, underscore and hyphen")]
    Name(String),
    /// A topic name that is not one.
    #[error("`{0}` cannot be the name of a topic: use 1 to 249 of a-z, A-Z, 0-9, dot, underscore and hyphen")]
    TopicName(String),
    /// A table name that is not one.
    #[error(
        "`{0}` cannot be the name of a table: use 1 to {MAX_TABLE} of a-z, A-Z, 0-9 and underscore, a letter first"
    )]
    TableName(String),
    /// A name of a keyspace that is not one.
    #[error(
        "`{0}` cannot be the name of a keyspace: use 1 to {MAX_TABLE} of a-z, A-Z, 0-9 and underscore, a letter first"
    )]
    Keyspace(String),
    /// A name that is taken.
    #[error("`{0}` is the name of another feed, stage or sink; give each its own with `name = …`")]
    Duplicate(String),
    /// A name that would be taken for something of the host.
    #[error("`{name}` begins with `{prefix}`, under which the host keeps positions of its own; choose another name")]
    Reserved {
        /// The name.
        name: String,
        /// Its beginning.
        prefix: &'static str,
    },
    /// A list that has a value twice.
    #[error("`{0}` is listed twice")]
    Twice(String),
    /// A list that must have something.
    #[error("is empty: name at least one field, or leave the key away")]
    Empty,
    /// A topic from which something reads, and which nothing defines.
    #[error(
        "nothing defines topic `{name}`{}",
        suggestion.as_deref().map_or("; list it under [topics] if its records come from elsewhere".to_owned(), maybe)
    )]
    NoTopic {
        /// The topic.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A table that nothing defines.
    #[error("there is no [tables.{name}]{}", suggestion.as_deref().map_or(String::new(), maybe))]
    UnknownTable {
        /// The table.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A cluster that nothing defines.
    #[error("there is no [clusters.{name}]{}", suggestion.as_deref().map_or(String::new(), maybe))]
    UnknownCluster {
        /// The cluster.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A column of a key that is not among the columns.
    #[error("`{0}` is not one of `columns`; add it there")]
    NoColumn(String),
    /// A stage that reads what it writes.
    #[error("the stage reads `{0}` and would read its own records again; write to another topic")]
    Cycle(String),
    /// Two keys of which one is needed, and none or both are there.
    #[error("give exactly one of `{0}` and `{1}`")]
    OneOf(&'static str, &'static str),
    /// A key that means nothing together with another.
    #[error("`{key}` has no meaning here: {why}")]
    Meaningless {
        /// The key.
        key: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A file whose format its name does not tell.
    #[error("the name `{0}` does not tell the format; add `format = \"jsonl\"`, \"csv\" or \"avro\"")]
    Format(String),
    /// A topic without a schema where one is needed.
    #[error("topic `{0}` has no schema, which a feed needs; add `schema = …` to it under [topics]")]
    NoSchema(String),
    /// Two schemas for one topic.
    #[error("topic `{topic}` has schema `{known}` already, and a topic has one")]
    TwoSchemas {
        /// The topic.
        topic: String,
        /// The schema that it has.
        known: String,
    },
    /// A promise that the log cannot keep or need not make.
    #[error("an embedded log is always exactly-once; leave `guarantee` away")]
    Guarantee,
    /// An address that is none. It is not repeated, as it may have a password in it.
    #[error("{0}")]
    Address(&'static str),
    /// Nothing to run.
    #[error("the pipeline has no [[feed]], no [[stage]] and no [[sink]], so there is nothing to run")]
    Nothing,
}

/// ", did you mean …", or the choice if nothing is near.
fn nearest(suggestion: Option<&str>, known: &[String]) -> String {
    match suggestion {
        Some(suggestion) => maybe(suggestion),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
    }
}

fn maybe(suggestion: &str) -> String {
    format!(", did you mean `{suggestion}`?")
}

// === impl Problems ===

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.place, self.fault),
            key => write!(f, "{}: {key}: {}", self.place, self.fault),
        }
    }
}
