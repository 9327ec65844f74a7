//! The Avro schema as the plans read it: a flat table of types with every name resolved.
//!
//! apache-avro parses and is the authority on names, defaults, canonical form and compatibility. This module only turns
//! its tree with `Ref`s into a graph in which a type is an index, so that recursive schemas need no special case.

use std::collections::HashMap;
use std::fmt;

use apache_avro::schema::{InnerDecimalSchema, Name, Schema as Authority, UuidSchema};

/// An Avro schema, parsed and with all names resolved.
pub struct Schema {
    types: Vec<Type>,
    root: TypeId,
    json: String,
    authority: Authority,
}

/// A type of one [`Schema`]; meaningless in another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TypeId(u32);

/// One type: how it is encoded, and what its value stands for.
#[derive(Clone, Debug)]
pub struct Type {
    /// The encoding.
    pub kind: Kind,
    /// The meaning, where the schema gives one that Avro defines.
    pub logical: Option<Logical>,
}

/// How a value is encoded (Avro 1.12 specification, "Binary Encoding").
#[derive(Clone, Debug)]
pub enum Kind {
    /// No bytes.
    Null,
    /// One byte, 0 or 1.
    Boolean,
    /// Zig-zag varint of at most 32 bits.
    Int,
    /// Zig-zag varint of at most 64 bits.
    Long,
    /// 4 bytes, IEEE 754, little-endian.
    Float,
    /// 8 bytes, IEEE 754, little-endian.
    Double,
    /// A long and that many bytes.
    Bytes,
    /// A long and that many bytes of UTF-8.
    String,
    /// As many bytes as its size.
    Fixed(Fixed),
    /// The int index of a symbol.
    Enum(Enum),
    /// Blocks of items.
    Array(TypeId),
    /// Blocks of pairs of a string and a value.
    Map(TypeId),
    /// The long index of a branch, then its value.
    Union(Vec<TypeId>),
    /// The fields, one after the other.
    Record(Record),
}

/// A `fixed`.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The full name and the aliases' full names.
    pub name: Names,
    /// Bytes of a value.
    pub size: usize,
}

/// An `enum`.
#[derive(Clone, Debug)]
pub struct Enum {
    /// The full name and the aliases' full names.
    pub name: Names,
    /// The symbols, in the order of their indices.
    pub symbols: Vec<String>,
    /// The symbol to which a reader turns those that it does not know.
    pub default: Option<String>,
    /// The author's words.
    pub doc: Option<String>,
}

/// A `record`.
#[derive(Clone, Debug)]
pub struct Record {
    /// The full name and the aliases' full names.
    pub name: Names,
    /// The fields, in the order of their encoding.
    pub fields: Vec<Field>,
    /// The author's words.
    pub doc: Option<String>,
}

/// A field of a [`Record`].
#[derive(Clone, Debug)]
pub struct Field {
    /// The name.
    pub name: String,
    /// Other names that a writer may use for it.
    pub aliases: Vec<String>,
    /// The type.
    pub ty: TypeId,
    /// The default, in the JSON form of the specification.
    pub default: Option<serde_json::Value>,
    /// The author's words.
    pub doc: Option<String>,
}

/// The names under which a named type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Namespace and name, joined by a dot.
    pub full: String,
    /// Full names of the aliases.
    pub aliases: Vec<String>,
}

impl Names {
    /// The name without its namespace.
    #[must_use]
    pub fn short(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }
}

/// What a value stands for (Avro 1.12 specification, "Logical Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logical {
    /// Big-endian two's complement unscaled number, in bytes or fixed.
    Decimal {
        /// Digits in all.
        precision: usize,
        /// Digits after the point.
        scale: usize,
    },
    /// A decimal that carries its own scale, in bytes.
    BigDecimal,
    /// A UUID, as text or as 16 bytes.
    Uuid,
    /// Days since 1970-01-01.
    Date,
    /// Milliseconds since midnight.
    TimeMillis,
    /// Microseconds since midnight.
    TimeMicros,
    /// Milliseconds since the epoch, UTC.
    TimestampMillis,
    /// Microseconds since the epoch, UTC.
    TimestampMicros,
    /// Nanoseconds since the epoch, UTC.
    TimestampNanos,
    /// Milliseconds since the epoch in a time zone that the schema does not tell.
    LocalTimestampMillis,
    /// Microseconds since the epoch in a time zone that the schema does not tell.
    LocalTimestampMicros,
    /// Nanoseconds since the epoch in a time zone that the schema does not tell.
    LocalTimestampNanos,
    /// Months, days and milliseconds, three little-endian u32.
    Duration,
}

/// A schema that is not one.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// apache-avro refused it.
    #[error("not an Avro schema: {0}")]
    Parse(#[source] Box<apache_avro::Error>),
    /// A name that nothing defines.
    #[error("the schema names `{0}`, which it does not define")]
    Unknown(String),
}

// === impl Schema ===

impl Schema {
    /// Parses the JSON form.
    ///
    /// # Errors
    /// What apache-avro refuses, and names that are not defined.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        let authority = Authority::parse_str(json).map_err(|e| SchemaError::Parse(Box::new(e)))?;
        let mut builder = Builder { types: Vec::new(), named: HashMap::new() };
        let root = builder.convert(&authority, None)?;
        let types = builder.types.into_iter().flatten().collect();
        Ok(Self { types, root, json: json.to_owned(), authority })
    }

    /// The type of a whole datum.
    #[must_use]
    pub fn root(&self) -> TypeId {
        self.root
    }

    /// The type behind an index.
    #[must_use]
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// The encoding of the type behind an index.
    #[must_use]
    pub fn kind(&self, id: TypeId) -> &Kind {
        &self.get(id).kind
    }

    /// The record that a whole datum is, if it is one.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self.kind(self.root) {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }

    /// The text that was parsed.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The same schema as apache-avro holds it.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The type as a person writes it: `[null, string]`, `array<long>`, `timestamp-millis (long)`.
    #[must_use]
    pub fn describe(&self, id: TypeId) -> String {
        let ty = self.get(id);
        let kind = match &ty.kind {
            Kind::Null => "null".to_owned(),
            Kind::Boolean => "boolean".to_owned(),
            Kind::Int => "int".to_owned(),
            Kind::Long => "long".to_owned(),
            Kind::Float => "float".to_owned(),
            Kind::Double => "double".to_owned(),
            Kind::Bytes => "bytes".to_owned(),
            Kind::String => "string".to_owned(),
            Kind::Fixed(fixed) => format!("fixed {}({})", fixed.name.short(), fixed.size),
            Kind::Enum(e) => format!("enum {}", e.name.short()),
            Kind::Record(r) => format!("record {}", r.name.short()),
            Kind::Array(item) => format!("array<{}>", self.describe(*item)),
            Kind::Map(value) => format!("map<{}>", self.describe(*value)),
            Kind::Union(branches) => {
                let branches: Vec<_> = branches.iter().map(|b| self.describe(*b)).collect();
                format!("[{}]", branches.join(", "))
            }
        };
        match ty.logical {
            Some(logical) => format!("{logical} ({kind})"),
            None => kind,
        }
    }

    /// The branch that holds values, if the type is a union of null and exactly one other: (index of null, other).
    #[must_use]
    pub fn nullable(&self, id: TypeId) -> Option<(usize, TypeId)> {
        let Kind::Union(branches) = self.kind(id) else { return None };
        let null = branches.iter().position(|b| matches!(self.kind(*b), Kind::Null))?;
        (branches.len() == 2).then(|| (null, branches[1 - null]))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.json).finish()
    }
}

impl fmt::Display for Logical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision}, {scale})"),
            Self::BigDecimal => "big-decimal",
            Self::Uuid => "uuid",
            Self::Date => "date",
            Self::TimeMillis => "time-millis",
            Self::TimeMicros => "time-micros",
            Self::TimestampMillis => "timestamp-millis",
            Self::TimestampMicros => "timestamp-micros",
            Self::TimestampNanos => "timestamp-nanos",
            Self::LocalTimestampMillis => "local-timestamp-millis",
            Self::LocalTimestampMicros => "local-timestamp-micros",
            Self::LocalTimestampNanos => "local-timestamp-nanos",
            Self::Duration => "duration",
        })
    }
}

// === impl Builder ===

/// A type is `None` while its own parts are being converted, which is when a recursive name may point at it.
struct Builder {
    types: Vec<Option<Type>>,
    named: HashMap<String, TypeId>,
}

impl Builder {
    fn convert(&mut self, schema: &Authority, space: Option<&str>) -> Result<TypeId, SchemaError> {
        use Logical as L;
        Ok(match schema {
            Authority::Null => self.plain(Kind::Null, None),
            Authority::Boolean => self.plain(Kind::Boolean, None),
            Authority::Int => self.plain(Kind::Int, None),
            Authority::Long => self.plain(Kind::Long, None),
            Authority::Float => self.plain(Kind::Float, None),
            Authority::Double => self.plain(Kind::Double, None),
            Authority::Bytes => self.plain(Kind::Bytes, None),
            Authority::String => self.plain(Kind::String, None),
            Authority::BigDecimal => self.plain(Kind::Bytes, Some(L::BigDecimal)),
            Authority::Date => self.plain(Kind::Int, Some(L::Date)),
            Authority::TimeMillis => self.plain(Kind::Int, Some(L::TimeMillis)),
            Authority::TimeMicros => self.plain(Kind::Long, Some(L::TimeMicros)),
            Authority::TimestampMillis => self.plain(Kind::Long, Some(L::TimestampMillis)),
            Authority::TimestampMicros => self.plain(Kind::Long, Some(L::TimestampMicros)),
            Authority::TimestampNanos => self.plain(Kind::Long, Some(L::TimestampNanos)),
            Authority::LocalTimestampMillis => self.plain(Kind::Long, Some(L::LocalTimestampMillis)),
            Authority::LocalTimestampMicros => self.plain(Kind::Long, Some(L::LocalTimestampMicros)),
            Authority::LocalTimestampNanos => self.plain(Kind::Long, Some(L::LocalTimestampNanos)),
            Authority::Uuid(UuidSchema::String) => self.plain(Kind::String, Some(L::Uuid)),
            Authority::Uuid(UuidSchema::Bytes) => self.plain(Kind::Bytes, Some(L::Uuid)),
            Authority::Uuid(UuidSchema::Fixed(fixed)) => self.fixed(fixed, space, Some(L::Uuid)),
            Authority::Duration(fixed) => self.fixed(fixed, space, Some(L::Duration)),
            Authority::Fixed(fixed) => self.fixed(fixed, space, None),
            Authority::Decimal(decimal) => {
                let logical = Some(L::Decimal { precision: decimal.precision, scale: decimal.scale });
                match &decimal.inner {
                    InnerDecimalSchema::Bytes => self.plain(Kind::Bytes, logical),
                    InnerDecimalSchema::Fixed(fixed) => self.fixed(fixed, space, logical),
                }
            }
            Authority::Array(array) => {
                let item = self.convert(&array.items, space)?;
                self.plain(Kind::Array(item), None)
            }
            Authority::Map(map) => {
                let value = self.convert(&map.types, space)?;
                self.plain(Kind::Map(value), None)
            }
            Authority::Union(union) => {
                let branches = union.variants().iter().map(|b| self.convert(b, space)).collect::<Result<_, _>>()?;
                self.plain(Kind::Union(branches), None)
            }
            Authority::Enum(e) => {
                let name = names(&e.name, e.aliases.as_deref(), space);
                let id = self.reserve(&name.full);
                let kind = Kind::Enum(Enum {
                    name,
                    symbols: e.symbols.clone(),
                    default: e.default.clone(),
                    doc: e.doc.clone(),
                });
                self.fill(id, kind, None)
            }
            Authority::Record(record) => {
                let name = names(&record.name, record.aliases.as_deref(), space);
                let id = self.reserve(&name.full);
                let inner = name.full.rsplit_once('.').map(|(space, _)| space.to_owned());
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    fields.push(Field {
                        name: field.name.clone(),
                        aliases: field.aliases.clone(),
                        ty: self.convert(&field.schema, inner.as_deref())?,
                        default: field.default.clone(),
                        doc: field.doc.clone(),
                    });
                }
                self.fill(id, Kind::Record(Record { name, fields, doc: record.doc.clone() }), None)
            }
            Authority::Ref { name } => {
                let full = name.fullname(space);
                *self.named.get(&full).ok_or(SchemaError::Unknown(full))?
            }
        })
    }

    fn plain(&mut self, kind: Kind, logical: Option<Logical>) -> TypeId {
        let id = TypeId(self.types.len() as u32);
        self.types.push(Some(Type { kind, logical }));
        id
    }

    fn fixed(
        &mut self,
        fixed: &apache_avro::schema::FixedSchema,
        space: Option<&str>,
        logical: Option<Logical>,
    ) -> TypeId {
        let name = names(&fixed.name, fixed.aliases.as_deref(), space);
        let id = self.reserve(&name.full);
        self.fill(id, Kind::Fixed(Fixed { name, size: fixed.size }), logical)
    }

    fn reserve(&mut self, full: &str) -> TypeId {
        let id = TypeId(self.types.len() as u32);
        self.types.push(None);
        self.named.insert(full.to_owned(), id);
        id
    }

    fn fill(&mut self, id: TypeId, kind: Kind, logical: Option<Logical>) -> TypeId {
        self.types[id.0 as usize] = Some(Type { kind, logical });
        id
    }
}

fn names(name: &Name, aliases: Option<&[apache_avro::schema::Alias]>, space: Option<&str>) -> Names {
    let full = name.fullname(space);
    let own_space = full.rsplit_once('.').map(|(space, _)| space.to_owned());
    let aliases = aliases.unwrap_or_default().iter().map(|a| a.fullname(own_space.as_deref())).collect();
    Names { full, aliases }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_through_recursion_and_namespaces() {
        let schema = Schema::parse(
            r#"{"type":"record","name":"Node","namespace":"a.b","aliases":["Old"],"fields":[
                {"name":"next","type":["null","Node"],"default":null},
                {"name":"id","type":{"type":"fixed","name":"c.Id","size":4}},
                {"name":"other","type":"c.Id"}]}"#,
        )
        .expect("a legal schema");
        let record = schema.record().expect("a record");
        assert_eq!(record.name, Names { full: "a.b.Node".into(), aliases: vec!["a.b.Old".into()] });
        let (null, node) = schema.nullable(record.fields[0].ty).expect("nullable");
        assert_eq!((null, node), (0, schema.root()));
        assert_eq!(record.fields[1].ty, record.fields[2].ty);
        assert_eq!(schema.describe(record.fields[0].ty), "[null, record Node]");
    }

    #[test]
    fn logical_types_keep_their_encoding() {
        let schema = Schema::parse(r#"{"type":"long","logicalType":"timestamp-micros"}"#).expect("legal");
        assert!(matches!(schema.kind(schema.root()), Kind::Long));
        assert_eq!(schema.describe(schema.root()), "timestamp-micros (long)");
    }

    #[test]
    fn garbage_is_an_error() {
        let refused = |json: &str| Schema::parse(json).expect_err(json).to_string();
        let missing = r#"{"type":"record","name":"R","fields":[{"name":"x","type":"Missing"}]}"#;
        assert!(refused("{").starts_with("not an Avro schema: "), "{}", refused("{"));
        assert!(refused(missing).contains("Missing"), "{}", refused(missing));
    }
}
