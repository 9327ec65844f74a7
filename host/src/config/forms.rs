//! Values of a `pipeline.toml` that may be written in more than one way.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Unexpected, Visitor};
use toml::Spanned;

use crate::swap::Watch;

/// One address or several.
#[derive(Debug)]
pub struct Addresses(pub Vec<Spanned<String>>);

/// Text, or a number or truth value that is taken as its text.
#[derive(Clone, Debug)]
pub struct Scalar(pub String);

/// How a module's file is watched: `true`, `false` or `"poll"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watching(pub Watch);

/// How often something is kept: everywhere, or in each of some places.
#[derive(Debug)]
pub enum Factors {
    /// So often.
    Everywhere(i64),
    /// By place.
    In(BTreeMap<String, i64>),
}

// === impl Addresses ===

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressesVisitor;
        impl<'de> Visitor<'de> for AddressesVisitor {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address in quotes, or a list of such")
            }

            fn visit_str<E>(self, address: &str) -> Result<Addresses, E> {
                // The place is that of the value as a whole, which who reads it knows.
                Ok(Addresses(vec![Spanned::new(0..0, address.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Addresses(items))
            }
        }
        deserializer.deserialize_any(AddressesVisitor)
    }
}

// === impl Scalar ===

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                // `{:?}` keeps the point of 3.0, so that the module sees what the author wrote.
                Ok(Scalar(format!("{value:?}")))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

// === impl Watching ===

impl<'de> Deserialize<'de> for Watching {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WatchingVisitor;
        impl Visitor<'_> for WatchingVisitor {
            type Value = Watching;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"poll\"")
            }

            fn visit_bool<E>(self, watches: bool) -> Result<Watching, E> {
                Ok(Watching(if watches { Watch::Notified } else { Watch::Off }))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Watching, E> {
                let is_poll = text == "poll";
                is_poll.then_some(Watching(Watch::Poll)).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(WatchingVisitor)
    }
}

// === impl Factors ===

impl<'de> Deserialize<'de> for Factors {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FactorsVisitor;
        impl<'de> Visitor<'de> for FactorsVisitor {
            type Value = Factors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a number for each data centre: { dc1 = 3 }")
            }

            fn visit_i64<E>(self, factor: i64) -> Result<Factors, E> {
                Ok(Factors::Everywhere(factor))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Factors, A::Error> {
                let mut factors = BTreeMap::new();
                while let Some((place, factor)) = map.next_entry()? {
                    factors.insert(place, factor);
                }
                Ok(Factors::In(factors))
            }
        }
        deserializer.deserialize_any(FactorsVisitor)
    }
}
