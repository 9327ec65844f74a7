//! Why a module and a schema do not fit each other.

/// A field that cannot be carried across the boundary. The caller adds the module's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("function `{function}`, field `{field}`: {what}")]
pub struct Mismatch {
    /// The function of the module.
    pub function: &'static str,
    /// The path of the field, outermost name first.
    pub field: String,
    /// What does not fit, with both types, and what to do.
    pub what: String,
}

/// What a plan compiler reports while it descends; the function and the path are put around it on the way up.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub path: Vec<String>,
    pub what: String,
}

impl Misfit {
    pub fn new(what: impl Into<String>) -> Self {
        Self { path: Vec::new(), what: what.into() }
    }

    /// A WIT type that cannot carry an Avro type.
    pub fn types(wit: impl std::fmt::Display, avro: impl std::fmt::Display, use_instead: &str) -> Self {
        Self::new(format!("WIT type `{wit}` cannot carry Avro type `{avro}`; use `{use_instead}`"))
    }

    pub fn within(mut self, name: &str) -> Self {
        self.path.insert(0, name.to_owned());
        self
    }

    pub fn into_mismatch(self, function: &'static str) -> Mismatch {
        let field = if self.path.is_empty() { "(all)".to_owned() } else { self.path.join(".") };
        Mismatch { function, field, what: self.what }
    }
}
