//! A new folder for a module: templates with the names of a schema filled in, and a first case.
//!
//! A line of a template may begin with a letter and a bar: `t` is for a processor that has a text to work on, `f` for one
//! that has none, `p` for both; `n` is for an analyzer that has a number, `c` for one that has none, `a` for both.

use std::path::Path;

use heck::{ToLowerCamelCase, ToSnakeCase, ToUpperCamelCase};

use super::{Language, ProjectError, WIT, files};

/// What a new module is made of.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The name of module, world and package, in lower case with hyphens.
    pub name: &'a str,
    /// The language.
    pub language: Language,
    /// Whether it analyzes; else it processes.
    pub is_analyzer: bool,
    /// The WIT package.
    pub wit: &'a str,
    /// The name of the record in it.
    pub record: &'a str,
    /// The field that the module works on, as it is called in WIT: a text for a processor, a number for an analyzer.
    pub field: Option<&'a str>,
    /// The name of the schema's file, and its text.
    pub schema: (&'a str, &'a str),
    /// The first case: files and what they hold.
    pub case: &'a [(&'a str, String)],
}

/// Names that some language keeps for itself, so that a template does not write them as they are.
const KEPT: &[&str] = &[
    "abstract",
    "and",
    "arguments",
    "as",
    "assert",
    "async",
    "auto",
    "await",
    "become",
    "bool",
    "box",
    "break",
    "case",
    "chan",
    "char",
    "class",
    "const",
    "continue",
    "crate",
    "debugger",
    "def",
    "default",
    "defer",
    "del",
    "delete",
    "do",
    "double",
    "dyn",
    "elif",
    "else",
    "enum",
    "eval",
    "except",
    "export",
    "extends",
    "extern",
    "fallthrough",
    "false",
    "final",
    "finally",
    "float",
    "fn",
    "for",
    "from",
    "func",
    "function",
    "gen",
    "global",
    "go",
    "goto",
    "if",
    "impl",
    "import",
    "in",
    "inline",
    "instanceof",
    "int",
    "interface",
    "is",
    "lambda",
    "let",
    "list",
    "long",
    "loop",
    "macro",
    "map",
    "match",
    "mod",
    "move",
    "mut",
    "new",
    "none",
    "nonlocal",
    "not",
    "null",
    "option",
    "or",
    "override",
    "own",
    "package",
    "pass",
    "priv",
    "pub",
    "raise",
    "range",
    "record",
    "ref",
    "register",
    "resource",
    "restrict",
    "result",
    "return",
    "select",
    "self",
    "short",
    "signed",
    "sizeof",
    "static",
    "stream",
    "string",
    "struct",
    "super",
    "switch",
    "this",
    "throw",
    "trait",
    "true",
    "try",
    "tuple",
    "type",
    "typedef",
    "typeof",
    "union",
    "unsafe",
    "unsigned",
    "unsized",
    "use",
    "var",
    "variant",
    "virtual",
    "void",
    "volatile",
    "where",
    "while",
    "with",
    "world",
    "yield",
];

/// Whether a template can write a WIT name as it is, in every language.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    KEPT.binary_search(&name).is_err()
}

/// Makes the folder, which must not be there.
///
/// # Errors
/// If it is there, or cannot be written.
pub fn scaffold(dir: &Path, plan: &Plan<'_>) -> Result<(), ProjectError> {
    if dir.exists() {
        return Err(ProjectError::Exists { path: dir.to_owned() });
    }
    let (source, template) = match plan.language {
        Language::Python => ("module.py", include_str!("../templates/module.py")),
        Language::Javascript => ("module.js", include_str!("../templates/module.ts")),
        Language::Typescript => ("module.ts", include_str!("../templates/module.ts")),
        Language::Go => ("module.go", include_str!("../templates/module.go")),
        Language::C => ("module.c", include_str!("../templates/module.c")),
        Language::Rust => ("src/lib.rs", include_str!("../templates/lib.rs.txt")),
    };
    let mut text = filled(template, plan, source);
    if plan.language == Language::Javascript {
        text = without_types(&text, plan.name);
    }
    let write = |path: &str, text: &str| files::write(&dir.join(path), text.as_bytes());
    write(&format!("{WIT}/{}.wit", plan.name), plan.wit)?;
    write(source, &text)?;
    write("README.md", &filled(include_str!("../templates/README.md"), plan, source))?;
    write(".gitignore", "bindings/\ntarget/\n__pycache__/\n*.wasm\n*.wasm.new\n")?;
    write(plan.schema.0, plan.schema.1)?;
    for (path, text) in extras(plan) {
        write(path, &text)?;
    }
    for (file, text) in plan.case {
        write(&format!("cases/first/{file}"), text)?;
    }
    Ok(())
}

/// What the tools of a language want beside the source.
fn extras(plan: &Plan<'_>) -> Vec<(&'static str, String)> {
    let name = plan.name;
    match plan.language {
        Language::Python => vec![(
            "pyrightconfig.json",
            "{\n  \"extraPaths\": [\"bindings/types\", \"bindings/sdk\"],\n  \"exclude\": [\"bindings\"]\n}\n"
                .to_owned(),
        )],
        Language::Typescript => vec![("tsconfig.json", include_str!("../templates/tsconfig.json").to_owned())],
        Language::Go => vec![("go.mod", format!("module {}\n\ngo 1.24\n", name.to_snake_case()))],
        Language::Rust => {
            vec![("Cargo.toml", include_str!("../templates/Cargo.toml.txt").replace("@name@", name))]
        }
        Language::C => vec![("compile_flags.txt", "-std=c17\n-Wall\n-Wextra\n-iquote\nbindings\n".to_owned())],
        Language::Javascript => Vec::new(),
    }
}

/// A template with what the plan says.
fn filled(template: &str, plan: &Plan<'_>, source: &str) -> String {
    let kept = match (plan.is_analyzer, plan.field.is_some()) {
        (false, true) => ["t|", "p|"],
        (false, false) => ["f|", "p|"],
        (true, true) => ["n|", "a|"],
        (true, false) => ["c|", "a|"],
    };
    let lines = template.lines().filter_map(|line| match line.get(..2) {
        Some(mark) if mark.ends_with('|') && mark.starts_with(|c: char| c.is_ascii_lowercase()) => {
            kept.contains(&mark).then(|| &line[2..])
        }
        _ => Some(line),
    });
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let field = plan.field.unwrap_or_default();
    let record = plan.record.to_upper_camel_case();
    let mut names = vec![
        ("name", plan.name.to_owned()),
        ("snake", plan.name.to_snake_case()),
        ("source", source.to_owned()),
        ("schema", plan.schema.0.to_owned()),
        ("Record", record.clone()),
        ("Record_go", record.clone()),
        ("Record_rs", record),
        ("record_c", plan.record.to_snake_case()),
    ];
    for kind in ["text", "number"] {
        names.push((kind, field.to_snake_case()));
    }
    let mut text = text;
    for (name, value) in names {
        text = text.replace(&format!("@{name}@"), &value);
    }
    for kind in ["text", "number"] {
        for (language, value) in [
            ("py", field.to_snake_case()),
            ("js", field.to_lower_camel_case()),
            ("go", field.to_upper_camel_case()),
            ("c", field.to_snake_case()),
            ("rs", field.to_snake_case()),
        ] {
            text = text.replace(&format!("@{kind}_{language}@"), &value);
        }
    }
    text
}

/// The template of TypeScript as JavaScript: its types become comments that editors read.
fn without_types(text: &str, name: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("import type") {
            continue;
        }
        let mut line = line.to_owned();
        for function in ["process", "analyze", "snapshot", "restore"] {
            if line.starts_with(&format!("export const {function} = ")) {
                let module = format!("{name}-module").to_upper_camel_case();
                out.push_str(&format!("/** @type {{import('./bindings/{name}').{module}['{function}']}} */\n"));
            }
        }
        for (open, close) in [("(records: ", "[])"), ("(record: ", ")"), ("(state: ", ")")] {
            if let Some(at) = line.find(open)
                && let Some(end) = line[at..].find(close)
            {
                let parameter = open.trim_start_matches('(').trim_end_matches(": ");
                if line.starts_with("const ") {
                    let ty = &line[at + open.len()..at + end];
                    out.push_str(&format!("/** @param {{import('./bindings/{name}').{ty}}} {parameter} */\n"));
                }
                line.replace_range(at..at + end + close.len(), &format!("({parameter})"));
            }
        }
        // What a function answers.
        if let Some(at) = line.find("): ")
            && let Some(end) = line[at..].find(" =>")
        {
            line.replace_range(at + 1..at + end, "");
        }
        // The imports that are gone leave no gap.
        if !(line.is_empty() && out.ends_with("\n\n")) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(language: Language, is_analyzer: bool, field: Option<&'static str>) -> Plan<'static> {
        let (wit, case) = ("package local:x;", &[]);
        Plan { name: "my-shop", language, is_analyzer, wit, record: "product", field, schema: ("p.avsc", "{}"), case }
    }

    #[test]
    fn kept_names_can_be_searched() {
        assert!(KEPT.is_sorted());
        assert!(!is_plain("type") && is_plain("price"));
    }

    #[test]
    fn templates_are_filled_whole() {
        for language in Language::ALL {
            for (is_analyzer, field) in
                [(false, Some("unit-price")), (false, None), (true, Some("unit-price")), (true, None)]
            {
                let folder = tempfile::tempdir().expect("a folder");
                let dir = folder.path().join("new");
                scaffold(&dir, &plan(language, is_analyzer, field)).expect("a new folder");
                let source = if language == Language::Rust { "src/lib.rs" } else { language.mark() };
                let source = if language == Language::Go { "module.go" } else { source };
                let text = std::fs::read_to_string(dir.join(source)).expect("the source");
                assert!(!text.contains('@') || language == Language::Javascript, "{text}");
                assert!(!text.lines().any(|line| line.get(1..2) == Some("|")), "{text}");
                assert!(matches!(Language::of(&dir), Ok(found) if found == language));
                assert!(matches!(scaffold(&dir, &plan(language, false, None)), Err(ProjectError::Exists { .. })));
            }
        }
    }

    #[test]
    fn javascript_has_no_types_left() {
        let text = "import type { A } from 'x'\nexport const process = (records: A[]): Result<B | null, string>[] => records.map(f)\nconst f = (record: A): B => record\n";
        let expected = "/** @type {import('./bindings/x').XModule['process']} */\nexport const process = (records) => records.map(f)\n/** @param {import('./bindings/x').A} record */\nconst f = (record) => record\n";
        assert_eq!(without_types(text, "x"), expected);
    }
}
