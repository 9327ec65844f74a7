//! The types of a world for TypeScript, as QuickJS gives and takes them.
//!
//! Other tools describe another engine: there an `s64` is a bigint and a list of numbers a typed array. Here it is a number
//! and an array; only `list<u8>` is a `Uint8Array`, and none is null.

use std::fmt::Write;

use heck::{ToLowerCamelCase, ToUpperCamelCase};
use wit_bindgen_core::wit_parser::{
    Case, Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId, WorldId, WorldItem,
};

/// What WIT's `result` is called, unless a type of the WIT is called so.
const RESULT: &str = "Result";

/// What is written about, and what has a name there.
#[derive(Clone, Copy)]
struct Scope<'a> {
    resolve: &'a Resolve,
    /// The name of a `result`, if it has one.
    result: Option<&'static str>,
}

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
    let names = interfaces.iter().flat_map(|id| resolve.interfaces[*id].types.keys());
    let mut names = names.map(|name| name.to_upper_camel_case());
    let result = if names.any(|name| name == RESULT) { None } else { Some(RESULT) };
    Types {
        world: world_types(Scope { resolve, result }, world, &interfaces),
        imports: modules(Scope { resolve, result: None }, &interfaces),
    }
}

fn interface(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}

fn world_types(scope: Scope<'_>, world: WorldId, interfaces: &[InterfaceId]) -> String {
    let mut text = String::from("// Written by `host build` from the WIT. Changes are lost.\n");
    let mut known = Vec::new();
    for (name, id) in interfaces.iter().flat_map(|id| &scope.resolve.interfaces[*id].types) {
        // What an interface uses of another is there already.
        if !known.contains(name) {
            definition(scope, "", *id, &mut text);
            known.push(name.clone());
        }
    }
    let world = &scope.resolve.worlds[world];
    if let Some(name) = scope.result {
        text.push_str("\n/** An answer where the WIT says `result`. */\n");
        let _ = writeln!(text, "export type {name}<T, E> = {}", either("T", "E"));
    }
    text.push('\n');
    docs(world.docs.contents.as_deref().or(Some("What the module exports.")), "", &mut text);
    let _ = writeln!(text, "export interface {} {{", format!("{}-module", world.name).to_upper_camel_case());
    for item in world.exports.values() {
        if let WorldItem::Function(function) = item {
            docs(function.docs.contents.as_deref(), "  ", &mut text);
            let _ = writeln!(text, "  {}", signature(scope, function));
        }
    }
    text.push_str("}\n");
    text
}

fn modules(scope: Scope<'_>, interfaces: &[InterfaceId]) -> String {
    let mut text = String::from("// Written by `host build` from the WIT. Changes are lost.\n");
    for id in interfaces {
        let interface = &scope.resolve.interfaces[*id];
        let Some(name) = scope.resolve.id_of(*id).filter(|_| !interface.functions.is_empty()) else { continue };
        let _ = writeln!(text, "\ndeclare module '{name}' {{");
        for id in interface.types.values() {
            definition(scope, "  ", *id, &mut text);
        }
        for function in interface.functions.values() {
            docs(function.docs.contents.as_deref(), "  ", &mut text);
            let _ = writeln!(text, "  export function {}", signature(scope, function));
        }
        text.push_str("}\n");
    }
    text
}

/// A named type.
fn definition(scope: Scope<'_>, indent: &str, id: TypeId, text: &mut String) {
    let ty = &scope.resolve.types[id];
    let name = ty.name.as_deref().unwrap_or_default().to_upper_camel_case();
    text.push('\n');
    docs(ty.docs.contents.as_deref(), indent, text);
    let TypeDefKind::Record(record) = &ty.kind else {
        let _ = writeln!(text, "{indent}export type {name} = {}", structure(scope, ty));
        return;
    };
    let _ = writeln!(text, "{indent}export interface {name} {{");
    for field in &record.fields {
        docs(field.docs.contents.as_deref(), &format!("{indent}  "), text);
        let _ = writeln!(text, "{indent}  {}: {}", field.name.to_lower_camel_case(), name_of(scope, field.ty));
    }
    let _ = writeln!(text, "{indent}}}");
}

fn signature(scope: Scope<'_>, function: &Function) -> String {
    let parameters: Vec<_> = function
        .params
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name.to_lower_camel_case(), name_of(scope, parameter.ty)))
        .collect();
    // The whole answer being an error is thrown.
    let answer = match function.result {
        None => "void".to_owned(),
        Some(ty) => match result_of(scope, ty) {
            Some(ok) => ok.map_or_else(|| "void".to_owned(), |ok| name_of(scope, ok)),
            None => name_of(scope, ty),
        },
    };
    format!("{}({}): {answer}", function.name.to_lower_camel_case(), parameters.join(", "))
}

/// What a `result` has when it is ok; none if the type is no result.
fn result_of(scope: Scope<'_>, ty: Type) -> Option<Option<Type>> {
    let Type::Id(id) = ty else { return None };
    match &scope.resolve.types[id].kind {
        TypeDefKind::Result(result) => Some(result.ok),
        TypeDefKind::Type(inner) => result_of(scope, *inner),
        _ => None,
    }
}

/// The two ways in which something ended.
fn either(ok: &str, err: &str) -> String {
    format!("{{ tag: 'ok'; val: {ok} }} | {{ tag: 'err'; val: {err} }}")
}

/// A type where it is used.
fn name_of(scope: Scope<'_>, ty: Type) -> String {
    match ty {
        Type::Bool => "boolean".to_owned(),
        Type::String | Type::Char => "string".to_owned(),
        Type::Id(id) => {
            let ty = &scope.resolve.types[id];
            ty.name.as_deref().map_or_else(|| structure(scope, ty), |name| name.to_upper_camel_case())
        }
        _ => "number".to_owned(),
    }
}

/// What a type consists of.
fn structure(scope: Scope<'_>, ty: &TypeDef) -> String {
    let or_none = |ty: Option<Type>| ty.map_or_else(|| "void".to_owned(), |ty| name_of(scope, ty));
    match &ty.kind {
        TypeDefKind::List(Type::U8) => "Uint8Array".to_owned(),
        TypeDefKind::List(item) => {
            let item = name_of(scope, *item);
            if item.contains(" | ") { format!("({item})[]") } else { format!("{item}[]") }
        }
        TypeDefKind::Option(inner) => format!("{} | null", name_of(scope, *inner)),
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<_> = tuple.types.iter().map(|ty| name_of(scope, *ty)).collect();
            format!("[{}]", parts.join(", "))
        }
        TypeDefKind::Result(result) => {
            let (ok, err) = (or_none(result.ok), or_none(result.err));
            scope.result.map_or_else(|| either(&ok, &err), |name| format!("{name}<{ok}, {err}>"))
        }
        TypeDefKind::Enum(cases) => {
            let cases: Vec<_> = cases.cases.iter().map(|case| format!("'{}'", case.name)).collect();
            cases.join(" | ")
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &Case| match case.ty {
                Some(ty) => format!("{{ tag: '{}'; val: {} }}", case.name, name_of(scope, ty)),
                None => format!("{{ tag: '{}' }}", case.name),
            };
            variant.cases.iter().map(case).collect::<Vec<_>>().join(" | ")
        }
        TypeDefKind::Type(inner) => name_of(scope, *inner),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(types: &str) -> Types {
        let text = format!(
            "package local:m; interface types {{ {types} }} world m {{ import types; \
             export process: func() -> list<result<string, s32>>; }}"
        );
        let mut resolve = Resolve::default();
        let package = resolve.push_str("m.wit", &text).expect("a package");
        let world = resolve.select_world(&[package], None).expect("a world");
        of(&resolve, world)
    }

    #[test]
    fn a_result_has_a_name_that_no_type_has() {
        let text = written("record item { n: s32 }").world;
        assert!(text.contains("export type Result<T, E> = { tag: 'ok'; val: T } | { tag: 'err'; val: E }\n"), "{text}");
        assert!(text.contains("  process(): Result<string, number>[]\n"), "{text}");
        let text = written("record %result { n: s32 }").world;
        assert_eq!(text.matches("Result").count(), 1, "{text}");
        assert!(text.contains("export interface Result {\n  n: number\n}\n"), "{text}");
        let written_out = "  process(): ({ tag: 'ok'; val: string } | { tag: 'err'; val: number })[]\n";
        assert!(text.contains(written_out), "{text}");
    }
}
