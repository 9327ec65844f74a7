//! `host wit`: the text of a WIT package for an Avro schema.
//!
//! The package holds the schema's types in one interface and two worlds, `processor` and `analyzer`. It is a start that
//! its reader edits: whatever text leaves here, any bindings generator takes it as it is, and the host accepts a module
//! that implements it. What WIT cannot hold is an error that names the field and the cure, or a comment where the field
//! would be. Called by the command line only; nothing of this runs when a module is loaded.

mod types;

#[cfg(test)]
mod tests;

use bespoke_boundary::names::{self, Unnameable};
use bespoke_boundary::schema::Schema;

use types::Types;

/// What the user may choose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The package's name, `namespace:name` with an optional `@version`; `local:` and the record's name if absent.
    pub package: Option<String>,
    /// Fields to leave out: `field` of the schema's own record, or `Record.field` (short or full name) of any.
    pub omit: Vec<String>,
    /// Have whole numbers of 64 bits go as text, for a language that holds them as doubles; but not times in milli- or
    /// microseconds, which are exact there.
    pub longs_as_text: bool,
}

/// The one world of a new module.
#[derive(Clone, Copy, Debug)]
pub struct NewWorld<'a> {
    /// Its name, which is that of the package too.
    pub name: &'a str,
    /// Whether it analyzes; else it processes.
    pub is_analyzer: bool,
    /// The field that it works on, as the schema calls it: a text that is changed, or a number of which the mean is kept.
    pub field: Option<&'a str>,
}

/// The text of a package, and the name of the record in it.
#[derive(Clone, Debug)]
pub struct NewPackage {
    /// The text.
    pub text: String,
    /// The record's name in WIT.
    pub record: String,
}

/// A schema that WIT cannot hold as it is.
#[derive(Debug, thiserror::Error)]
pub enum WitError {
    /// The schema is not a record.
    #[error("the schema is {0}, but a module takes records; put it in a field of a record")]
    NotARecord(String),
    /// No field is left.
    #[error("record `{0}` has no field that WIT can hold; a module needs at least one")]
    Empty(String),
    /// A type holds itself.
    #[error(
        "field `{field}` leads back to record `{record}`, and WIT has no recursive types; \
         leave the field out with `--omit {field}`, a module then does without it"
    )]
    Recursive {
        /// `Record.field`.
        field: String,
        /// The record that it leads back to.
        record: String,
    },
    /// A field or a union's branch whose name WIT cannot hold.
    #[error(
        "field `{field}`: {source}; leave the field out with `--omit {field}`, or rename `{name}` in the reader schema, with \
         its old name as an alias", name = .source.name
    )]
    Unnameable {
        /// `Record.field`.
        field: String,
        /// Why.
        source: Unnameable,
    },
    /// Two fields of a record, or two branches of a union, with the same name in WIT.
    #[error(
        "{place}: `{first}` and `{second}` are both `{wit}` in WIT; rename one in the reader schema, with its old name as \
         an alias, or leave them out with `{omit}`"
    )]
    Collision {
        /// The record, or the field with the union.
        place: String,
        /// A name.
        first: String,
        /// Another.
        second: String,
        /// The name of both.
        wit: String,
        /// What leaves both out.
        omit: String,
    },
    /// A field to be left out that is not there.
    #[error("there is no field `{0}` to leave out; write `field`, or `Record.field` for a field of a nested record")]
    NothingToOmit(String),
    /// A package name that WIT does not allow.
    #[error(
        "`{0}` is not the name of a package; write `namespace:name`, in lower case with hyphens, or `namespace:name@1.0.0`"
    )]
    Package(String),
}

/// The functions of the worlds. A type with such a name would clash with them in some languages.
const FUNCTIONS: [&str; 5] = ["process", "analyze", "configure", "snapshot", "restore"];

/// The text of the package.
///
/// # Errors
/// What [`WitError`] tells.
pub fn generate(schema: &Schema, options: &Options) -> Result<String, WitError> {
    let record = schema.record().ok_or_else(|| WitError::NotARecord(schema.describe(schema.root())))?;
    let mut types = Types::new(schema, &options.omit);
    let name = types.root()?;
    let change = types.free_name("change");
    let row = types.free_name("row");
    let input = names::escape(&name);
    let package = match &options.package {
        Some(package) => checked_package(package)?,
        None => format!("local:{input}"),
    };
    let full_name = &record.name.full;
    let fields = types.first_field_only();
    let interface = types.finish()?;
    Ok(format!(
        "\
/// Made from the Avro schema `{full_name}`.
///
/// Edit it: only the fields that stand here are decoded and enter the module, so delete those that it does not read. The
/// others keep their names and types.
package {package};

interface types {{
{interface}
  /// For `process`: what the module changes, and what it adds under new names. All other fields of the input pass
  /// through untouched.
  record {change} {{
{fields}  }}

  /// For `analyze`: a row of the output, with any fields.
  record {row} {{
{fields}  }}
}}

/// A module that answers every record.
world processor {{
  use types.{{{input}, {change}}};

  /// One answer for each record, in order: a change, none to drop the record, or the reason why it is a dead letter.
  /// Simpler answers are accepted too: `list<{change}>`, `list<option<{change}>>`, `list<result<{change}, string>>`, or,
  /// for a filter, `list<bool>`.
  export process: func(records: list<{input}>) -> list<result<option<{change}>, string>>;

  // Called once, before any record, with the settings of the pipeline:
  // export configure: func(settings: list<tuple<string, string>>) -> result<_, string>;
}}

/// A module that turns records into any number of rows.
world analyzer {{
  use types.{{{input}, {row}}};

  /// Any number of rows. For more than one output answer a record of lists, one for each: a topic has the name of its
  /// field.
  export analyze: func(records: list<{input}>) -> list<{row}>;

  // Called once, before any record, with the settings of the pipeline:
  // export configure: func(settings: list<tuple<string, string>>) -> result<_, string>;

  // For a module that remembers: the host keeps these bytes with the position in the topic.
  // export snapshot: func() -> list<u8>;
  // export restore: func(state: list<u8>) -> result<_, string>;
}}
"
    ))
}

/// The text of a package for a new module.
///
/// # Errors
/// What [`WitError`] tells.
pub fn generate_new(schema: &Schema, options: &Options, world: NewWorld<'_>) -> Result<NewPackage, WitError> {
    let schema_name = &schema.record().ok_or_else(|| WitError::NotARecord(schema.describe(schema.root())))?.name.full;
    let NewWorld { name, is_analyzer, field } = world;
    let package = checked_package(&format!("local:{name}"))?;
    let mut types = Types::new(schema, &options.omit).longs_as_text(options.longs_as_text);
    let field = field.and_then(|field| names::wit_name(field).ok());
    // The templates write the answer's name as it is, so a type of the schema with that name gets another.
    let answer = match (is_analyzer, &field) {
        (true, _) => Some("row"),
        (false, Some(_)) => Some("change"),
        (false, None) => None,
    };
    answer.into_iter().for_each(|name| types.reserve_name(name));
    let record = types.root()?;
    let input = names::escape(&record).into_owned();
    let interface = types.finish()?;
    let (answer, uses, functions) = match (is_analyzer, &field) {
        (false, Some(field)) => (
            format!(
                "\n  /// What the module changes, and what it adds under new names. All other fields pass through untouched.\n  \
                 record change {{\n    {}: string,\n  }}\n",
                names::escape(field)
            ),
            format!("{input}, change"),
            format!(
                "  /// One answer for each record, in order: a change, none to drop the record, or the reason why it is a dead \
                 letter.\n  export process: func(records: list<{input}>) -> list<result<option<change>, string>>;\n"
            ),
        ),
        (false, None) => (
            String::new(),
            input.clone(),
            format!(
                "  /// Whether each record passes, in order.\n  export process: func(records: list<{input}>) -> list<bool>;\n"
            ),
        ),
        (true, field) => (
            format!(
                "\n  /// A row of the output.\n  record row {{\n    /// Records so far, this one included.\n    count: s64,\n{}  }}\n",
                if field.is_some() { "    /// The mean of their numbers.\n    mean: f64,\n" } else { "" }
            ),
            format!("{input}, row"),
            format!(
                "  /// Any number of rows.\n  export analyze: func(records: list<{input}>) -> list<row>;\n\n  \
                 /// What the host keeps with the position in the topic, and gives back where the module goes on.\n  \
                 export snapshot: func() -> string;\n  export restore: func(state: string) -> result<_, string>;\n"
            ),
        ),
    };
    let world = names::escape(name);
    let text = format!(
        "\
/// Made from the Avro schema `{schema_name}`.
///
/// Edit it: only the fields that stand here are decoded and enter the module, so delete those that it does not read. The
/// others keep their names and types.
package {package};

interface types {{
{interface}{answer}}}

world {world} {{
  use types.{{{uses}}};

{functions}
  // Called once, before any record, with the settings of the pipeline:
  // export configure: func(settings: list<tuple<string, string>>) -> result<_, string>;
}}
"
    );
    Ok(NewPackage { text, record })
}

/// The package's name as it stands in the text: keywords escaped.
fn checked_package(package: &str) -> Result<String, WitError> {
    let bad = || WitError::Package(package.to_owned());
    let (id, version) = package.split_once('@').map_or((package, None), |(id, version)| (id, Some(version)));
    let (namespace, name) = id.split_once(':').ok_or_else(bad)?;
    let is_id = |id: &str| {
        id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.split('-').all(|word| {
                word.starts_with(|c: char| c.is_ascii_lowercase())
                    && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            })
    };
    let is_number = |n: &str| {
        !n.is_empty() && n.len() < 10 && n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'))
    };
    let is_version = |version: &str| version.split('.').count() == 3 && version.split('.').all(is_number);
    if !is_id(namespace) || !is_id(name) || !version.is_none_or(is_version) {
        return Err(bad());
    }
    let version = version.map(|v| format!("@{v}")).unwrap_or_default();
    Ok(format!("{}:{}{version}", names::escape(namespace), names::escape(name)))
}
