//! The types of a world for TypeScript, as QuickJS gives and takes them.
//!
//! Other tools describe another engine: there an `s64` is a bigint and a list of numbers a typed array. Here it is a number
//! and an array; only `list<u8>` is a `Uint8Array`, and none is null.

use std::fmt::Write;

use heck::{ToLowerCamelCase, ToUpperCamelCase};
use wit_bindgen_core::wit_parser::{
    Case, Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId, WorldId, WorldItem,
};

/// The texts of two files.
pub(super) struct Types {
    /// `NAME.d.ts`: the types, and what the module has to export.
    pub world: String,
    /// `imports.d.ts`: the interfaces with functions that the world imports, as modules.
    pub imports: String,
}

/// Writes them for a world.
pub(super) fn of(resolve: &Resolve, world: WorldId) -> Types {
    let interfaces: Vec<InterfaceId> = resolve.worlds[world].imports.values().filter_map(interface).collect();
    Types { world: world_types(resolve, world, &interfaces), imports: modules(resolve, &interfaces) }
}

fn interface(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}

fn world_types(resolve: &Resolve, world: WorldId, interfaces: &[InterfaceId]) -> String {
    let mut text = String::from("// Written by `host build` from the WIT. Changes are lost.\n");
    let mut known = Vec::new();
    for (name, id) in interfaces.iter().flat_map(|id| &resolve.interfaces[*id].types) {
        // What an interface uses of another is there already.
        if !known.contains(name) {
            definition(resolve, "", *id, &mut text);
            known.push(name.clone());
        }
    }
    let world = &resolve.worlds[world];
    text.push_str("\n/** An answer where the WIT says `result`. */\n");
    text.push_str("export type Result<T, E> = { tag: 'ok'; val: T } | { tag: 'err'; val: E }\n\n");
    docs(world.docs.contents.as_deref().or(Some("What the module exports.")), "", &mut text);
    let _ = writeln!(text, "export interface {} {{", format!("{}-module", world.name).to_upper_camel_case());
    for item in world.exports.values() {
        if let WorldItem::Function(function) = item {
            docs(function.docs.contents.as_deref(), "  ", &mut text);
            let _ = writeln!(text, "  {}", signature(resolve, function));
        }
    }
    text.push_str("}\n");
    text
}

fn modules(resolve: &Resolve, interfaces: &[InterfaceId]) -> String {
    let mut text = String::from("// Written by `host build` from the WIT. Changes are lost.\n");
    for id in interfaces {
        let interface = &resolve.interfaces[*id];
        let Some(name) = resolve.id_of(*id).filter(|_| !interface.functions.is_empty()) else { continue };
        let _ = writeln!(text, "\ndeclare module '{name}' {{");
        for id in interface.types.values() {
            definition(resolve, "  ", *id, &mut text);
        }
        for function in interface.functions.values() {
            docs(function.docs.contents.as_deref(), "  ", &mut text);
            let _ = writeln!(text, "  export function {}", signature(resolve, function));
        }
        text.push_str("}\n");
    }
    text
}

/// A named type.
fn definition(resolve: &Resolve, indent: &str, id: TypeId, text: &mut String) {
    let ty = &resolve.types[id];
    let name = ty.name.as_deref().unwrap_or_default().to_upper_camel_case();
    text.push('\n');
    docs(ty.docs.contents.as_deref(), indent, text);
    let TypeDefKind::Record(record) = &ty.kind else {
        let _ = writeln!(text, "{indent}export type {name} = {}", structure(resolve, ty));
        return;
    };
    let _ = writeln!(text, "{indent}export interface {name} {{");
    for field in &record.fields {
        docs(field.docs.contents.as_deref(), &format!("{indent}  "), text);
        let _ = writeln!(text, "{indent}  {}: {}", field.name.to_lower_camel_case(), name_of(resolve, field.ty));
    }
    let _ = writeln!(text, "{indent}}}");
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<_> = function
        .params
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name.to_lower_camel_case(), name_of(resolve, parameter.ty)))
        .collect();
    // The whole answer being an error is thrown.
    let answer = match function.result {
        None => "void".to_owned(),
        Some(ty) => match result_of(resolve, ty) {
            Some(ok) => ok.map_or_else(|| "void".to_owned(), |ok| name_of(resolve, ok)),
            None => name_of(resolve, ty),
        },
    };
    format!("{}({}): {answer}", function.name.to_lower_camel_case(), parameters.join(", "))
}

/// What a `result` has when it is ok; none if the type is no result.
fn result_of(resolve: &Resolve, ty: Type) -> Option<Option<Type>> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[id].kind {
        TypeDefKind::Result(result) => Some(result.ok),
        TypeDefKind::Type(inner) => result_of(resolve, *inner),
        _ => None,
    }
}

/// A type where it is used.
fn name_of(resolve: &Resolve, ty: Type) -> String {
    match ty {
        Type::Bool => "boolean".to_owned(),
        Type::String | Type::Char => "string".to_owned(),
        Type::Id(id) => {
            let ty = &resolve.types[id];
            ty.name.as_deref().map_or_else(|| structure(resolve, ty), |name| name.to_upper_camel_case())
        }
        _ => "number".to_owned(),
    }
}

/// What a type consists of.
fn structure(resolve: &Resolve, ty: &TypeDef) -> String {
    let or_none = |ty: Option<Type>| ty.map_or_else(|| "void".to_owned(), |ty| name_of(resolve, ty));
    match &ty.kind {
        TypeDefKind::List(Type::U8) => "Uint8Array".to_owned(),
        TypeDefKind::List(item) => {
            let item = name_of(resolve, *item);
            if item.contains(" | ") { format!("({item})[]") } else { format!("{item}[]") }
        }
        TypeDefKind::Option(inner) => format!("{} | null", name_of(resolve, *inner)),
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<_> = tuple.types.iter().map(|ty| name_of(resolve, *ty)).collect();
            format!("[{}]", parts.join(", "))
        }
        TypeDefKind::Result(result) => format!("Result<{}, {}>", or_none(result.ok), or_none(result.err)),
        TypeDefKind::Enum(cases) => {
            let cases: Vec<_> = cases.cases.iter().map(|case| format!("'{}'", case.name)).collect();
            cases.join(" | ")
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &Case| match case.ty {
                Some(ty) => format!("{{ tag: '{}'; val: {} }}", case.name, name_of(resolve, ty)),
                None => format!("{{ tag: '{}' }}", case.name),
            };
            variant.cases.iter().map(case).collect::<Vec<_>>().join(" | ")
        }
        TypeDefKind::Type(inner) => name_of(resolve, *inner),
        // The contract has no other.
        _ => "unknown".to_owned(),
    }
}

fn docs(words: Option<&str>, indent: &str, text: &mut String) {
    let lines: Vec<_> = words.unwrap_or_default().lines().map(|line| line.trim().replace("*/", "* /")).collect();
    match lines.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(text, "{indent}/** {one} */");
        }
        several => {
            let _ = writeln!(text, "{indent}/**");
            for line in several {
                let _ = writeln!(text, "{}", format!("{indent} * {line}").trim_end());
            }
            let _ = writeln!(text, "{indent} */");
        }
    }
}
