//! The types of a schema as WIT definitions: each named type once, in the order in which the fields name them.
//!
//! Only the names of fields, enum cases and variant cases matter to the host, which finds them in the schema again. The
//! names of types are for the reader, so they may be changed here until they are free.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use bespoke_boundary::branch_name;
use bespoke_boundary::names;
use bespoke_boundary::schema::{Enum, Kind, Logical, Record, Schema, TypeId};

use super::{FUNCTIONS, WitError};

/// Characters that WIT does not allow even in comments (wit-parser, `ast/lex.rs`), besides control characters.
const FORBIDDEN: [char; 17] = [
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
    '\u{149}', '\u{673}', '\u{f77}', '\u{f79}', '\u{17a3}', '\u{17a4}', '\u{17b4}', '\u{17b5}',
];

/// Names that the bindings of a language, or the template of a new module, give to something else.
const MEANT: [&str; 13] =
    ["cell", "err", "gen", "guest", "module", "none", "ok", "option", "result", "self", "some", "string", "vec"];

/// Writes the definitions of one schema.
pub(super) struct Types<'a> {
    schema: &'a Schema,
    omit: &'a [String],
    omitted: HashSet<&'a str>,
    /// Definitions in order; empty while one is being written.
    definitions: Vec<String>,
    known: HashMap<TypeId, State>,
    taken: HashSet<String>,
    /// The lines of the root's fields, without docs.
    root_fields: Vec<String>,
    longs_as_text: bool,
}

/// What is known of a named type.
enum State {
    /// It is being written: naming it now would be recursion.
    Open,
    /// It is this in WIT; none if it carries nothing.
    Done(Option<String>),
}

/// Where a type stands: what errors name, and what a variant is called after.
#[derive(Clone, Copy)]
struct Place<'p> {
    record: &'p Record,
    field: &'p str,
    record_wit: &'p str,
    field_wit: &'p str,
}

impl Place<'_> {
    fn path(&self) -> String {
        format!("{}.{}", self.record.name.short(), self.field)
    }
}

impl<'a> Types<'a> {
    pub fn new(schema: &'a Schema, omit: &'a [String]) -> Self {
        Self {
            schema,
            omit,
            omitted: HashSet::new(),
            definitions: Vec::new(),
            known: HashMap::new(),
            taken: FUNCTIONS.iter().map(|&name| name.to_owned()).collect(),
            root_fields: Vec::new(),
            longs_as_text: false,
        }
    }

    /// Whether whole numbers of 64 bits that a double may not hold go as text.
    pub fn longs_as_text(self, longs_as_text: bool) -> Self {
        Self { longs_as_text, ..self }
    }

    /// Writes the schema's own record and all that it names. Returns its name.
    pub fn root(&mut self) -> Result<String, WitError> {
        let root = self.schema.root();
        let Kind::Record(record) = self.schema.kind(root) else {
            return Err(WitError::NotARecord(self.schema.describe(root)));
        };
        let name = self.record(root, record)?.ok_or_else(|| WitError::Empty(record.name.full.clone()))?;
        Ok(name)
    }

    /// Keeps a name from being that of a type.
    pub fn reserve_name(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// A name that no type has, taken from now on.
    pub fn free_name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{wanted}{number}");
            number += 1;
        }
        name
    }

    /// The fields of the root as an example: the first one, and the others commented out.
    pub fn first_field_only(&self) -> String {
        let line = |(i, line): (usize, &String)| format!("    {}{line}\n", if i == 0 { "" } else { "// " });
        self.root_fields.iter().enumerate().map(line).collect()
    }

    /// All definitions.
    pub fn finish(self) -> Result<String, WitError> {
        match self.omit.iter().find(|name| !self.omitted.contains(name.as_str())) {
            Some(name) => Err(WitError::NothingToOmit(name.clone())),
            None => {
                let definitions: Vec<_> = self.definitions.into_iter().filter(|d| !d.is_empty()).collect();
                Ok(definitions.join("\n"))
            }
        }
    }

    /// The WIT type that carries an Avro type; none if there is nothing to carry, as for null.
    fn carry(&mut self, ty: TypeId, place: Place<'_>) -> Result<Option<String>, WitError> {
        Ok(match self.schema.kind(ty) {
            Kind::Null => None,
            Kind::Boolean => Some("bool".to_owned()),
            Kind::Int => Some("s32".to_owned()),
            Kind::Long if self.longs_as_text && !self.fits_double(ty) => Some("string".to_owned()),
            Kind::Long => Some("s64".to_owned()),
            Kind::Float => Some("f32".to_owned()),
            Kind::Double => Some("f64".to_owned()),
            Kind::Bytes | Kind::Fixed(_) => Some("list<u8>".to_owned()),
            Kind::String => Some("string".to_owned()),
            Kind::Array(item) => self.carry(*item, place)?.map(|item| format!("list<{item}>")),
            Kind::Map(value) => self.carry(*value, place)?.map(|value| format!("list<tuple<string, {value}>>")),
            Kind::Union(branches) => self.union(branches, place)?,
            Kind::Enum(e) => Some(self.enumeration(ty, e)),
            Kind::Record(record) => match self.known.get(&ty) {
                Some(State::Open) => {
                    return Err(WitError::Recursive { field: place.path(), record: record.name.short().to_owned() });
                }
                Some(State::Done(name)) => name.as_deref().map(|name| names::escape(name).into_owned()),
                None => self.record(ty, record)?.map(|name| names::escape(&name).into_owned()),
            },
        })
    }

    /// Whether a long is a time of which those that people mean are below 2^53. Nanoseconds since 1970 were beyond it in April
    /// of that year.
    fn fits_double(&self, ty: TypeId) -> bool {
        use Logical::{LocalTimestampMicros, LocalTimestampMillis, TimeMicros, TimestampMicros, TimestampMillis};
        let times = [TimeMicros, TimestampMillis, TimestampMicros, LocalTimestampMillis, LocalTimestampMicros];
        self.schema.get(ty).logical.is_some_and(|logical| times.contains(&logical))
    }

    fn record(&mut self, ty: TypeId, record: &Record) -> Result<Option<String>, WitError> {
        let name = self.type_name(&record.name.full, "record");
        let slot = self.reserve(ty);
        let mut body = Body::default();
        for field in &record.fields {
            if self.is_omitted(ty, record, &field.name) {
                let _ = writeln!(body.text, "    // {}: left out", field.name);
                continue;
            }
            let path = |field: &str| format!("{}.{field}", record.name.short());
            let unnameable = |source| WitError::Unnameable { field: path(&field.name), source };
            let wit = names::wit_name(&field.name).map_err(unnameable)?;
            // Fields that are left out count too: the host looks the name up among all.
            names::find(&wit, record.fields.iter().map(|f| f.name.as_str())).map_err(|both| WitError::Collision {
                place: format!("record `{}`", record.name.full),
                omit: format!("--omit {} --omit {}", path(&both.first), path(&both.second)),
                first: both.first,
                second: both.second,
                wit: wit.clone(),
            })?;
            let place = Place { record, field: &field.name, record_wit: &name, field_wit: &wit };
            let Some(carried) = self.carry(field.ty, place)? else {
                let _ = writeln!(
                    body.text,
                    "    // {}: {}, which carries nothing",
                    field.name,
                    self.schema.describe(field.ty)
                );
                continue;
            };
            let line = format!("{}: {carried},", names::escape(&wit));
            comment(&mut body.text, "    ", field.doc.as_deref());
            comment(&mut body.text, "    ", self.note(field.ty).as_deref());
            let _ = writeln!(body.text, "    {line}");
            body.lines.push(line);
        }
        if body.lines.is_empty() {
            self.known.insert(ty, State::Done(None));
            return Ok(None);
        }
        let definition = &mut self.definitions[slot];
        comment(definition, "  ", record.doc.as_deref());
        let _ = write!(definition, "  record {} {{\n{}  }}\n", names::escape(&name), body.text);
        if ty == self.schema.root() {
            self.root_fields = body.lines;
        }
        self.known.insert(ty, State::Done(Some(name.clone())));
        Ok(Some(name))
    }

    /// An enum, or a string where its symbols have no names in WIT or the same.
    fn enumeration(&mut self, ty: TypeId, e: &Enum) -> String {
        if let Some(State::Done(Some(name))) = self.known.get(&ty) {
            return names::escape(name).into_owned();
        }
        let Some(cases) = cases(e) else { return "string".to_owned() };
        let name = self.type_name(&e.name.full, "enum");
        let slot = self.reserve(ty);
        let definition = &mut self.definitions[slot];
        comment(definition, "  ", e.doc.as_deref());
        let _ = writeln!(definition, "  enum {} {{", names::escape(&name));
        for case in cases {
            let _ = writeln!(definition, "    {},", names::escape(&case));
        }
        definition.push_str("  }\n");
        let escaped = names::escape(&name).into_owned();
        self.known.insert(ty, State::Done(Some(name)));
        escaped
    }

    fn union(&mut self, branches: &[TypeId], place: Place<'_>) -> Result<Option<String>, WitError> {
        let values: Vec<_> = branches.iter().filter(|b| !matches!(self.schema.kind(**b), Kind::Null)).collect();
        let value = match values.as_slice() {
            [] => None,
            [one] => self.carry(**one, place)?,
            _ => self.variant(&values, place)?,
        };
        let optional = values.len() < branches.len();
        Ok(value.map(|value| if optional { format!("option<{value}>") } else { value }))
    }

    fn variant(&mut self, branches: &[&TypeId], place: Place<'_>) -> Result<Option<String>, WitError> {
        // The slot comes first, so that the variant stands before the records of its cases.
        let name = self.free_name(&format!("{}-{}", place.record_wit, place.field_wit));
        let slot = self.definitions.len();
        self.definitions.push(String::new());
        let mut text = format!("  /// The value of `{}`.\n  variant {} {{\n", place.path(), names::escape(&name));
        let mut cases: HashMap<String, String> = HashMap::new();
        for branch in branches {
            let avro = branch_name(self.schema, **branch);
            let wit = names::wit_name(&avro).map_err(|source| WitError::Unnameable { field: place.path(), source })?;
            // Where one branch carries nothing, the host has no case for it, so the field is left out as a whole.
            let Some(carried) = self.carry(**branch, place)? else { return Ok(None) };
            let _ = writeln!(text, "    {}({carried}),", names::escape(&wit));
            if let Some(first) = cases.insert(wit.clone(), avro.clone()) {
                let (place, omit) = (format!("field `{}`", place.path()), format!("--omit {}", place.path()));
                return Err(WitError::Collision { place, first, second: avro, wit, omit });
            }
        }
        text.push_str("  }\n");
        self.definitions[slot] = text;
        Ok(Some(names::escape(&name).into_owned()))
    }

    fn reserve(&mut self, ty: TypeId) -> usize {
        self.known.insert(ty, State::Open);
        self.definitions.push(String::new());
        self.definitions.len() - 1
    }

    /// The short name by the rule, else the full name, else either with a number; `kind` if neither can be written.
    fn type_name(&mut self, full: &str, kind: &str) -> String {
        let short = full.rsplit('.').next().unwrap_or(full);
        let short = names::wit_name(short).ok();
        let short = short.map(|name| if MEANT.contains(&&*name) { format!("{name}-{kind}") } else { name });
        let qualified = names::wit_name(&full.replace('.', "_")).ok();
        for name in [&short, &qualified].into_iter().flatten() {
            if self.taken.insert(name.clone()) {
                return name.clone();
            }
        }
        let base = short.or(qualified).unwrap_or_else(|| kind.to_owned());
        self.free_name(&base)
    }

    fn is_omitted(&mut self, ty: TypeId, record: &Record, field: &str) -> bool {
        let mut omitted = false;
        for name in self.omit {
            let of = name.rsplit_once('.');
            let is_it = match of {
                None => ty == self.schema.root() && name == field,
                Some((of, last)) => last == field && (of == record.name.full || of == record.name.short()),
            };
            if is_it {
                self.omitted.insert(name);
                omitted = true;
            }
        }
        omitted
    }

    /// What the Avro type says beyond the WIT type.
    fn note(&self, ty: TypeId) -> Option<String> {
        self.says_more(ty).then(|| format!("Avro: {}.", self.details(ty)))
    }

    fn says_more(&self, ty: TypeId) -> bool {
        match self.schema.kind(ty) {
            Kind::Fixed(_) => true,
            Kind::Enum(e) => cases(e).is_none(),
            Kind::Array(inner) | Kind::Map(inner) => self.says_more(*inner),
            Kind::Union(branches) => branches.iter().any(|b| self.says_more(*b)),
            _ => self.schema.get(ty).logical.is_some(),
        }
    }

    /// The type, and the symbols of an enum that goes as text.
    fn details(&self, ty: TypeId) -> String {
        let described = self.schema.describe(ty);
        let values: Vec<_> = match self.schema.kind(ty) {
            Kind::Union(branches) => branches.clone(),
            _ => vec![ty],
        };
        let text_enum = values.iter().find_map(|v| match self.schema.kind(*v) {
            Kind::Enum(e) if cases(e).is_none() => Some(e),
            _ => None,
        });
        match text_enum {
            Some(e) => {
                format!("{described}, as text, since WIT cannot tell its symbols apart: {}", e.symbols.join(", "))
            }
            None => described,
        }
    }
}

/// A record's body while it is written: all of it, and the lines of its fields alone.
#[derive(Default)]
struct Body {
    text: String,
    lines: Vec<String>,
}

/// The cases of an enum, if each symbol has a name of its own in WIT.
fn cases(e: &Enum) -> Option<Vec<String>> {
    let cases: Option<Vec<_>> = e.symbols.iter().map(|symbol| names::wit_name(symbol).ok()).collect();
    let distinct: HashSet<_> = cases.iter().flatten().collect();
    (distinct.len() == e.symbols.len()).then_some(cases)?
}

/// Someone's words as a doc comment. They may hold anything.
fn comment(out: &mut String, indent: &str, words: Option<&str>) {
    for line in words.unwrap_or_default().lines() {
        let line = line.replace(|c: char| c.is_control() || FORBIDDEN.contains(&c), " ");
        let _ = writeln!(out, "{}", format!("{indent}/// {}", line.trim()).trim_end());
    }
}
