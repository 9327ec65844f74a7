//! What a module's function takes and answers, told by its type alone.
//!
//! `process` answers every record, in order; `analyze` answers any number of rows. Both take a list of records (rows) or
//! a record of lists (columns), and optionally a list of records about the records (`meta`). The shapes of answers are
//! those of [`Answer`]; everything else is refused here, with the reason, when a module is loaded.

use wasmtime::component::types::ComponentFunc;

use crate::shape::{Member, Shape};

/// Which of the two functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// One answer per record.
    Process,
    /// Any number of rows.
    Analyze,
}

/// The type of a `process` or `analyze`, understood.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Which function.
    pub function: Function,
    /// How the records come in.
    pub input: Input,
    /// The fields of the second parameter, if there is one.
    pub meta: Option<Vec<Member>>,
    /// What comes out.
    pub answer: Answer,
    /// Whether the whole answer stands in a `result<_, string>`.
    pub fallible: bool,
}

/// How records are handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `list<R>`: the fields of `R`.
    Rows(Vec<Member>),
    /// A record of lists: the name and the item of each.
    Columns(Vec<Member>),
}

/// What a function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `process`: one item per record. The shape of the item, and what its parts mean.
    Records {
        /// The item of the list.
        item: Shape,
        /// How the record stands in the item.
        wrap: Wrap,
        /// The fields of the record.
        record: Vec<Member>,
    },
    /// `process`: `list<bool>`, false drops the record.
    Filter,
    /// `process`: `list<result<_, string>>`, an err makes the record a dead letter.
    Validate(Shape),
    /// `process`: a record of lists, each as long as the input. `analyze`: each as long as the others.
    Columns(Vec<Member>),
    /// `analyze`: `list<R2>`.
    Rows(Vec<Member>),
    /// `analyze`: a record whose fields are all `list<record>`, one output each.
    Named(Vec<(String, Vec<Member>)>),
}

/// How a record stands in the items that `process` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// `R2`
    Bare,
    /// `option<R2>`: none drops the record.
    Option,
    /// `result<R2, string>`: err makes it a dead letter.
    Result,
    /// `result<option<R2>, string>`
    ResultOption,
}

/// Lists that a function may take: columns and meta together. More would need more instances of wasmtime's generic
/// call, which is compiled once per number.
pub const MAX_LISTS: usize = 33;

/// A function whose type means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("function `{function}`: {what}; {hint}")]
pub struct SignatureError {
    /// `process` or `analyze`.
    pub function: &'static str,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub hint: &'static str,
}

impl Function {
    /// The name of the export.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Analyze => "analyze",
        }
    }
}

impl Answer {
    /// The names of the outputs: one without a name, unless they are named.
    #[must_use]
    pub fn outputs(&self) -> Vec<Option<&str>> {
        match self {
            Self::Named(outputs) => outputs.iter().map(|(name, _)| Some(name.as_str())).collect(),
            _ => vec![None],
        }
    }

    /// The fields that the module answers for an output. None if it answers no fields: a filter or a validator.
    #[must_use]
    pub fn members(&self, output: usize) -> Option<&[Member]> {
        match self {
            Self::Records { record, .. } => Some(record),
            Self::Columns(members) | Self::Rows(members) => Some(members),
            Self::Named(outputs) => outputs.get(output).map(|(_, members)| members.as_slice()),
            Self::Filter | Self::Validate(_) => None,
        }
    }
}

impl Input {
    /// The fields, whether as rows or as columns.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Rows(members) | Self::Columns(members) => members,
        }
    }
}

impl Signature {
    /// Reads the type of an exported function.
    ///
    /// # Errors
    /// Parameters or results that the contract does not have.
    pub fn of(function: Function, ty: &ComponentFunc) -> Result<Self, SignatureError> {
        let fail = |what: String, hint| SignatureError { function: function.name(), what, hint };
        let params: Vec<(String, Shape)> = ty.params().map(|(name, ty)| (name.to_owned(), Shape::of(&ty))).collect();
        let results: Vec<Shape> = ty.results().map(|ty| Shape::of(&ty)).collect();
        let (records, meta) = match params.as_slice() {
            [records] => (&records.1, None),
            [records, meta] => (&records.1, Some(&meta.1)),
            _ => return Err(fail(format!("it takes {} parameters", params.len()), TAKES)),
        };
        let input = input(records).ok_or_else(|| fail(format!("it takes `{records}`"), TAKES))?;
        let meta = match meta {
            None => None,
            Some(Shape::List(item)) => match &**item {
                Shape::Record(members) => Some(members.clone()),
                other => return Err(fail(format!("`meta` is a list of `{other}`"), TAKES)),
            },
            Some(other) => return Err(fail(format!("`meta` is `{other}`"), TAKES)),
        };
        let lists = match &input {
            Input::Rows(_) => 1,
            Input::Columns(columns) => columns.len(),
        } + usize::from(meta.is_some());
        if lists > MAX_LISTS {
            return Err(fail(
                format!("it takes {lists} lists"),
                "at most 32 columns are possible; use rows beyond that",
            ));
        }
        let [whole] = results.as_slice() else {
            return Err(fail("it answers nothing".to_owned(), ANSWERS));
        };
        let (inner, fallible) = match whole {
            Shape::Result(Some(ok), Some(err)) if **err == Shape::String => (&**ok, true),
            other => (other, false),
        };
        let answer = match function {
            Function::Process => process_answer(inner),
            Function::Analyze => analyze_answer(inner),
        };
        let answer = answer.ok_or_else(|| fail(format!("it answers `{whole}`"), ANSWERS))?;
        Ok(Self { function, input, meta, answer, fallible })
    }

    /// How many lists the function takes, which decides how it is called.
    pub(crate) fn lists(&self) -> usize {
        let records = match &self.input {
            Input::Rows(_) => 1,
            Input::Columns(columns) => columns.len(),
        };
        records + usize::from(self.meta.is_some())
    }
}

const TAKES: &str = "it must take `list<R>` or a record of lists, and may take `meta: list<M>` after it";
const ANSWERS: &str = "see the table of return shapes in wit/README.md";

fn input(shape: &Shape) -> Option<Input> {
    match shape {
        Shape::List(item) => match &**item {
            Shape::Record(members) => Some(Input::Rows(members.clone())),
            _ => None,
        },
        Shape::Record(_) => columns(shape).map(Input::Columns),
        _ => None,
    }
}

/// The items of a record of lists.
fn columns(shape: &Shape) -> Option<Vec<Member>> {
    let Shape::Record(members) = shape else { return None };
    let column = |member: &Member| match &member.shape {
        Shape::List(item) => Some(Member { name: member.name.clone(), shape: (**item).clone() }),
        _ => None,
    };
    members.iter().map(column).collect()
}

fn process_answer(shape: &Shape) -> Option<Answer> {
    let Shape::List(item) = shape else { return columns(shape).map(Answer::Columns) };
    let found = |wrap, record: &Shape| match record {
        Shape::Record(record) => Some(Answer::Records { item: (**item).clone(), wrap, record: record.clone() }),
        _ => None,
    };
    match &**item {
        Shape::Bool => Some(Answer::Filter),
        Shape::Option(some) => found(Wrap::Option, some),
        Shape::Result(ok, Some(err)) if **err == Shape::String => match ok.as_deref() {
            None => Some(Answer::Validate((**item).clone())),
            Some(Shape::Option(some)) => found(Wrap::ResultOption, some),
            Some(ok) => found(Wrap::Result, ok),
        },
        bare => found(Wrap::Bare, bare),
    }
}

fn analyze_answer(shape: &Shape) -> Option<Answer> {
    if let Shape::List(item) = shape {
        return match &**item {
            Shape::Record(members) => Some(Answer::Rows(members.clone())),
            _ => None,
        };
    }
    let columns = columns(shape)?;
    let named: Option<Vec<_>> = columns
        .iter()
        .map(|column| match &column.shape {
            Shape::Record(members) => Some((column.name.clone(), members.clone())),
            _ => None,
        })
        .collect();
    Some(named.map_or(Answer::Columns(columns), Answer::Named))
}
