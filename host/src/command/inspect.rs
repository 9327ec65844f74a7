//! `host inspect`: what a module is, what it takes and answers, and how a schema would reach it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use bespoke_boundary::{Answer, Input, Member, Plan, Schema, Signature, names, output_schema, wit_type};

use super::{sandbox, schema_in};
use crate::module::{Limits, Module};

/// What was typed.
#[derive(clap::Args, Debug, Clone)]
pub struct InspectArgs {
    /// The module
    pub module: PathBuf,
    /// An Avro schema of the records that it would get
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
}

/// Writes what there is to know.
///
/// # Errors
/// If the file is no module, or does not fit the schema.
pub fn inspect(args: &InspectArgs, out: &mut dyn Write) -> Result<()> {
    let module = Module::load(&sandbox()?, &args.module, Limits::default())?;
    let signature = module.signature();
    writeln!(out, "module     {}", module.name())?;
    writeln!(out, "digest     {}", module.digest())?;
    writeln!(out, "size       {} bytes", module.size_bytes())?;
    writeln!(out, "function   {}", describe(signature))?;
    writeln!(out, "configure  {}", if module.has_configure() { "yes" } else { "no" })?;
    writeln!(out, "state      {}", if module.is_stateful() { "snapshot and restore" } else { "none" })?;
    let imports = module.imports().join(", ");
    writeln!(out, "imports    {}", if imports.is_empty() { "nothing" } else { &imports })?;
    let schema = args.schema.as_deref().map(schema_in).transpose()?;
    writeln!(out, "\ntakes")?;
    for member in signature.input.members() {
        writeln!(out, "  {}", field(member, schema.as_ref()))?;
    }
    if let Some(meta) = &signature.meta {
        let fields: Vec<_> = meta.iter().map(|m| format!("{}: {}", m.name, m.shape)).collect();
        writeln!(out, "  meta {{ {} }}", fields.join(", "))?;
    }
    for (i, name) in signature.answer.outputs().iter().enumerate() {
        writeln!(out, "\nanswers{}", name.map(|n| format!(" {n}")).unwrap_or_default())?;
        for member in signature.answer.members(i).unwrap_or_default() {
            writeln!(out, "  {}: {}", member.name, member.shape)?;
        }
        if let Some(schema) = &schema {
            let derived = output_schema(signature, i, schema, name.unwrap_or("output"))
                .with_context(|| format!("module `{}`", module.name()))?;
            writeln!(out, "  as Avro: {derived}")?;
        }
    }
    if let Some(schema) = &schema {
        Plan::check_input(signature, schema).with_context(|| format!("module `{}`", module.name()))?;
    }
    Ok(())
}

/// What its function takes and answers, in a line.
pub(super) fn describe(signature: &Signature) -> String {
    let takes = match signature.input {
        Input::Rows(_) => "rows",
        Input::Columns(_) => "columns",
    };
    let answers = match &signature.answer {
        Answer::Records { .. } => "an answer for each record",
        Answer::Filter => "whether each record passes",
        Answer::Validate(_) => "whether each record is valid",
        Answer::Columns(_) => "columns",
        Answer::Rows(_) => "rows",
        Answer::Named(_) => "named outputs",
    };
    let fallible = if signature.fallible { ", or an error for the whole batch" } else { "" };
    format!("{}: {takes} in, {answers} out{fallible}", signature.function.name())
}

/// A field that the module takes, and the Avro field that fills it.
fn field(member: &Member, schema: Option<&Schema>) -> String {
    let plain = format!("{}: {}", member.name, member.shape);
    let Some((schema, record)) = schema.and_then(|s| Some((s, s.record()?))) else { return plain };
    match names::find(&member.name, record.fields.iter().map(|f| f.name.as_str())) {
        Ok(Some(i)) => {
            let found = &record.fields[i];
            let (avro, wit) = (schema.describe(found.ty), wit_type(schema, found.ty));
            format!("{plain} <- {}: {avro} (its WIT type is {wit})", found.name)
        }
        Ok(None) => format!("{plain} <- no field of {}", record.name.full),
        Err(ambiguous) => format!("{plain} <- {ambiguous}"),
    }
}
