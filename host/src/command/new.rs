//! `host new`: a folder with a module in any language that builds as it is, and a first case.

mod sample;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bespoke_boundary::names;
use bespoke_boundary::schema::{Kind, Schema};
use bespoke_project::{Language, Plan, Project, ProjectError, is_plain, scaffold};

use super::schema_in;
use crate::cli::failure::Usage;
use crate::wit::{NewWorld, Options, generate_new};

/// What was typed.
#[derive(clap::Args, Debug, Clone)]
pub struct NewArgs {
    /// The folder to make; the module has the name of its last part
    #[arg(value_name = "NAME")]
    pub dir: PathBuf,
    /// The language: python, javascript, typescript, go, c or rust
    #[arg(long, value_name = "LANGUAGE")]
    pub lang: Language,
    /// The Avro schema of the records that go in
    #[arg(long, value_name = "FILE")]
    pub schema: PathBuf,
    /// What the module is
    #[arg(long, value_enum, default_value_t = ModuleKind::Processor)]
    pub kind: ModuleKind,
    /// Leave a field out, by name or Record.name; again for more
    #[arg(long, value_name = "FIELD")]
    pub omit: Vec<String>,
}

/// The two kinds of modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ModuleKind {
    /// One answer for each record
    Processor,
    /// Any number of rows, and a state
    Analyzer,
}

/// Makes the folder.
///
/// # Errors
/// If it is there, the name cannot be one, or the schema cannot be written in WIT.
pub fn new(args: &NewArgs, out: &mut dyn Write) -> Result<()> {
    let name = args.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_name(name) {
        let what = format!("`{name}` is not the name of a module");
        return Err(Usage::new(what).hint("lower-case words with hyphens between them, such as `price-check`").into());
    }
    let schema = schema_in(&args.schema)?;
    let file = args.schema.file_name().and_then(|name| name.to_str()).unwrap_or("schema.avsc");
    let is_analyzer = args.kind == ModuleKind::Analyzer;
    let is_script = matches!(args.lang, Language::Javascript | Language::Typescript);
    let field = subject(&schema, is_analyzer, is_script, &args.omit);
    let options = Options { omit: args.omit.clone(), longs_as_text: is_script, ..Options::default() };
    let package = generate_new(&schema, &options, NewWorld { name, is_analyzer, field })
        .with_context(|| format!("`{}`", args.schema.display()))?;
    let wit_field = field.and_then(|field| names::wit_name(field).ok());
    let plan = Plan {
        name,
        language: args.lang,
        is_analyzer,
        wit: &package.text,
        record: &package.record,
        field: wit_field.as_deref(),
        schema: (file, schema.json()),
        case: &sample::case(&schema, is_analyzer, field),
    };
    made(&args.dir, &plan).with_context(|| format!("no module `{name}`"))?;
    writeln!(out, "made {}: {} has what to do next", args.dir.display(), args.dir.join("README.md").display())?;
    Ok(())
}

/// Makes the folder, and leaves none behind that cannot be built.
fn made(dir: &Path, plan: &Plan<'_>) -> Result<(), ProjectError> {
    scaffold(dir, plan)?;
    let opened = Project::open(dir, None).and_then(|project| project.write_bindings());
    if opened.is_err() {
        // What went wrong is told; that the rest stays, if it does, is seen.
        let _ = std::fs::remove_dir_all(dir);
    }
    opened
}

/// Whether WIT, and each language after it, can write the name.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    name.split('-').all(is_word) && is_plain(name) && !["module", "types", "wit"].contains(&name)
}

/// The field that the module works on: the first text, or the first number that stands for nothing else.
fn subject<'s>(schema: &'s Schema, is_analyzer: bool, is_script: bool, omit: &[String]) -> Option<&'s str> {
    let record = schema.record()?;
    let is_it = |kind: &Kind| match kind {
        Kind::String => !is_analyzer,
        Kind::Int | Kind::Float | Kind::Double => is_analyzer,
        Kind::Long => is_analyzer && !is_script,
        _ => false,
    };
    let is_left = |name: &str| !omit.iter().any(|omitted| omitted.rsplit('.').next() == Some(name));
    let mut fields = record.fields.iter().filter(|field| {
        let ty = schema.get(field.ty);
        let is_plain_name = names::wit_name(&field.name).is_ok_and(|name| is_plain(&name));
        ty.logical.is_none() && is_it(&ty.kind) && is_plain_name && is_left(&field.name)
    });
    // The first text is most often an id, which nobody trims.
    let first = fields.next()?;
    let is_id = first.name.eq_ignore_ascii_case("id") && !is_analyzer;
    Some(if is_id { fields.next().map_or(&first.name, |second| &second.name) } else { &first.name })
}
