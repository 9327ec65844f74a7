//! The types of a world for Python, as componentize-py has them inside of a module, so that they are there for editors and for
//! tests in plain Python before any tool is fetched.
//!
//! Written are the worlds that the contract has: functions to export, and types to import. For what else a world may have
//! (imported functions, resources, types of its own, names that Python keeps for itself) there is [`None`], and the build has
//! componentize-py write its own.

use std::fmt::Write;

use heck::{ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};
use wit_bindgen_core::wit_parser::{
    Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner, WorldId, WorldItem,
};

/// `Ok`, `Err` and `Result`, as a module imports them.
const RESULTS: &str = include_str!("../../templates/results.py");
const HEAD: &str = "# Written by `host build` from the WIT. Changes are lost.\nfrom __future__ import annotations\n\n";
const TYPING: &str = "from typing import List, Optional, Protocol, Tuple, Union\n\n";
const RESULT: &str = "from componentize_py_types import Err, Ok, Result, Some\n";
/// Names of classes that would hide what is imported.
const TAKEN: [&str; 12] =
    ["List", "Optional", "Protocol", "Tuple", "Union", "Enum", "Err", "Ok", "Result", "Some", "None", "WitWorld"];
/// Names of fields that would hide the types behind them.
const HIDING: [&str; 6] = ["str", "int", "float", "bool", "bytes", "dataclass"];
/// What Python keeps for itself, and componentize-py writes with `_` behind it.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// The files, by their paths. None for a world of another kind.
pub(super) fn of(resolve: &Resolve, world: WorldId) -> Option<Vec<(String, String)>> {
    let mut files = vec![
        ("componentize_py_types.py".to_owned(), RESULTS.to_owned()),
        ("wit_world/imports/__init__.py".to_owned(), String::new()),
    ];
    let mut modules: Vec<String> = Vec::new();
    for item in resolve.worlds[world].imports.values() {
        match item {
            WorldItem::Interface { id, .. } => {
                let name = module_of(resolve, *id)?;
                if !resolve.interfaces[*id].functions.is_empty() || modules.contains(&name) {
                    return None;
                }
                files.push((format!("wit_world/imports/{name}.py"), interface(resolve, *id)?));
                modules.push(name);
            }
            // What is used of an interface, and nothing of its own.
            WorldItem::Type { id, .. } => {
                owner(resolve, *id)?;
            }
            WorldItem::Function(_) => return None,
        }
    }
    files.push(("wit_world/__init__.py".to_owned(), world_text(resolve, world, &modules)?));
    Some(files)
}

fn interface(resolve: &Resolve, id: InterfaceId) -> Option<String> {
    let mut text = format!("{HEAD}from dataclasses import dataclass\nfrom enum import Enum\n{TYPING}{RESULT}");
    let mut ids: Vec<TypeId> = resolve.interfaces[id].types.values().copied().collect();
    // What others are made of comes before them.
    ids.sort_by_key(|id| id.index());
    for ty in ids {
        definition(resolve, id, ty, &mut text)?;
    }
    Some(text)
}

fn world_text(resolve: &Resolve, world: WorldId, modules: &[String]) -> Option<String> {
    let mut text = format!("{HEAD}{TYPING}{RESULT}");
    for module in modules {
        let _ = writeln!(text, "from .imports import {module}");
    }
    text.push_str("\n\nclass WitWorld(Protocol):\n");
    docs(resolve.worlds[world].docs.contents.as_deref().or(Some("What the module exports.")), "    ", &mut text);
    for item in resolve.worlds[world].exports.values() {
        let WorldItem::Function(function) = item else { return None };
        text.push_str(&signature(resolve, function)?);
    }
    Some(text)
}

/// A named type of an interface.
fn definition(resolve: &Resolve, within: InterfaceId, id: TypeId, text: &mut String) -> Option<()> {
    let ty = &resolve.types[id];
    let name = class_of(ty)?;
    let words = ty.docs.contents.as_deref();
    match &ty.kind {
        TypeDefKind::Record(record) => {
            let _ = writeln!(text, "\n\n@dataclass\nclass {name}:");
            docs(words, "    ", text);
            for field in &record.fields {
                let of = name_of(resolve, field.ty, Some(within))?;
                let _ = writeln!(text, "    {}: {of}", attribute(&field.name)?);
                docs(field.docs.contents.as_deref(), "    ", text);
            }
        }
        TypeDefKind::Enum(cases) => {
            let _ = writeln!(text, "\n\nclass {name}(Enum):");
            docs(words, "    ", text);
            for (number, case) in cases.cases.iter().enumerate() {
                let _ = writeln!(text, "    {} = {number}", case.name.to_shouty_snake_case());
            }
        }
        TypeDefKind::Variant(variant) => {
            let mut cases = Vec::new();
            for case in &variant.cases {
                let class = format!("{name}_{}", case.name.to_upper_camel_case());
                let _ = writeln!(text, "\n\n@dataclass\nclass {class}:");
                docs(case.docs.contents.as_deref(), "    ", text);
                match case.ty {
                    Some(ty) => {
                        let _ = writeln!(text, "    value: {}", name_of(resolve, ty, Some(within))?);
                    }
                    None => text.push_str("    pass\n"),
                }
                cases.push(class);
            }
            let _ = writeln!(text, "\n\n{name} = Union[{}]", cases.join(", "));
            docs(words, "", text);
        }
        // What an interface uses of another.
        TypeDefKind::Type(Type::Id(other)) => {
            let from = owner(resolve, *other).filter(|from| *from != within)?;
            let module = module_of(resolve, from)?;
            let _ = writeln!(text, "\n\nfrom .{module} import {} as {name}", class_of(&resolve.types[*other])?);
        }
        _ => return None,
    }
    Some(())
}

fn signature(resolve: &Resolve, function: &Function) -> Option<String> {
    let mut parameters = vec!["self".to_owned()];
    for parameter in &function.params {
        let of = name_of(resolve, parameter.ty, None)?;
        parameters.push(format!("{}: {of}", attribute(&parameter.name)?));
    }
    let (answer, raises) = match function.result.map(|ty| (ty, result_of(resolve, ty))) {
        None => ("None".to_owned(), None),
        Some((_, Some((ok, err)))) => (or_none(resolve, ok, None)?, Some(or_none(resolve, err, None)?)),
        Some((ty, None)) => (name_of(resolve, ty, None)?, None),
    };
    let mut text = String::new();
    let _ = writeln!(text, "\n    def {}({}) -> {answer}:", attribute(&function.name)?, parameters.join(", "));
    let words = function.docs.contents.as_deref().map(str::trim_end);
    let raised = raises.map(|err| format!("Raises: `Err({err})`, and then the whole call has failed."));
    let words: Vec<_> = words.into_iter().chain(raised.as_deref()).collect();
    let words = words.join("\n\n");
    docs((!words.is_empty()).then_some(&words), "        ", &mut text);
    text.push_str("        raise NotImplementedError\n");
    Some(text)
}

/// What a whole `result` holds; none if the type is another.
fn result_of(resolve: &Resolve, ty: Type) -> Option<(Option<Type>, Option<Type>)> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[id].kind {
        TypeDefKind::Result(result) => Some((result.ok, result.err)),
        TypeDefKind::Type(inner) => result_of(resolve, *inner),
        _ => None,
    }
}

/// A type where it is used: in the file of an interface, or in that of the world.
fn name_of(resolve: &Resolve, ty: Type, within: Option<InterfaceId>) -> Option<String> {
    Some(match ty {
        Type::Bool => "bool".to_owned(),
        Type::String | Type::Char => "str".to_owned(),
        Type::F32 | Type::F64 => "float".to_owned(),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::S8 | Type::S16 | Type::S32 | Type::S64 => "int".to_owned(),
        Type::ErrorContext => return None,
        Type::Id(id) => {
            let ty = &resolve.types[id];
            if ty.name.is_none() {
                return structure(resolve, ty, within);
            }
            // In the world it is called as where it is from.
            let (class, from) = (class_of(origin(resolve, id))?, owner(resolve, id)?);
            match within {
                Some(_) => class_of(ty)?,
                None => format!("{}.{class}", module_of(resolve, from)?),
            }
        }
    })
}

/// A type without a name.
fn structure(resolve: &Resolve, ty: &TypeDef, within: Option<InterfaceId>) -> Option<String> {
    let of = |ty: Type| name_of(resolve, ty, within);
    Some(match &ty.kind {
        TypeDefKind::List(Type::U8) => "bytes".to_owned(),
        TypeDefKind::List(item) => format!("List[{}]", of(*item)?),
        TypeDefKind::Option(inner) => {
            let inner = of(*inner)?;
            if inner.starts_with("Optional[") {
                return None;
            }
            format!("Optional[{inner}]")
        }
        TypeDefKind::Tuple(tuple) => {
            let parts: Option<Vec<_>> = tuple.types.iter().map(|ty| of(*ty)).collect();
            format!("Tuple[{}]", parts?.join(", "))
        }
        TypeDefKind::Result(result) => {
            let (ok, err) = (or_none(resolve, result.ok, within)?, or_none(resolve, result.err, within)?);
            format!("Result[{ok}, {err}]")
        }
        _ => return None,
    })
}

fn or_none(resolve: &Resolve, ty: Option<Type>, within: Option<InterfaceId>) -> Option<String> {
    ty.map_or_else(|| Some("None".to_owned()), |ty| name_of(resolve, ty, within))
}

/// The type that a name stands for, wherever it was defined.
fn origin(resolve: &Resolve, id: TypeId) -> &TypeDef {
    match resolve.types[id].kind {
        TypeDefKind::Type(Type::Id(other)) => origin(resolve, other),
        _ => &resolve.types[id],
    }
}

/// The interface in which a type was defined.
fn owner(resolve: &Resolve, id: TypeId) -> Option<InterfaceId> {
    match origin(resolve, id).owner {
        TypeOwner::Interface(id) => Some(id),
        _ => None,
    }
}

/// The file of an interface.
fn module_of(resolve: &Resolve, id: InterfaceId) -> Option<String> {
    attribute(resolve.interfaces[id].name.as_deref()?)
}

fn class_of(ty: &TypeDef) -> Option<String> {
    let name = ty.name.as_deref()?.to_upper_camel_case();
    (!TAKEN.contains(&&*name)).then_some(name)
}

/// A field, a parameter or a function.
fn attribute(name: &str) -> Option<String> {
    let name = name.to_snake_case();
    if HIDING.contains(&&*name) {
        return None;
    }
    Some(if KEYWORDS.contains(&&*name) { format!("{name}_") } else { name })
}

/// Someone's words as a docstring.
fn docs(words: Option<&str>, indent: &str, text: &mut String) {
    let words = words.unwrap_or_default().replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
    let lines: Vec<_> = words.trim().lines().map(str::trim_end).collect();
    match lines.as_slice() {
        [] => {}
        [one] if !one.ends_with('"') => {
            let _ = writeln!(text, "{indent}\"\"\"{one}\"\"\"");
        }
        several => {
            let _ = writeln!(text, "{indent}\"\"\"");
            for line in several {
                let _ = writeln!(text, "{}", format!("{indent}{line}").trim_end());
            }
            let _ = writeln!(text, "{indent}\"\"\"");
        }
    }
}
