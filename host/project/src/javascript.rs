//! JavaScript and TypeScript: bundled by esbuild, put on QuickJS by componentize-qjs. TypeScript is checked by its compiler.

use std::process::Command;

use heck::ToLowerCamelCase;
use wit_bindgen_core::wit_parser::WorldItem;

use super::{Generated, Language, Project, ProjectError, Tools, absolute, files};

mod types;

const SDK: &[u8] = include_bytes!("../../../guests/sdk/javascript/bespoke.js");
const SDK_TYPES: &[u8] = include_bytes!("../../../guests/sdk/javascript/bespoke.d.ts");
/// The language that QuickJS runs.
const ES: &str = "es2023";

/// The types of the world as QuickJS really gives them, and the helpers.
pub(super) fn bindings(project: &Project) -> Generated {
    let types = types::of(&project.resolve, project.world);
    vec![
        (format!("{}.d.ts", project.world()), types.world.into_bytes()),
        ("imports.d.ts".to_owned(), types.imports.into_bytes()),
        ("bespoke.js".to_owned(), SDK.to_vec()),
        ("bespoke.d.ts".to_owned(), SDK_TYPES.to_vec()),
    ]
}

/// Checks, bundles, and makes the component.
pub(super) fn build(project: &Project, tools: &Tools<'_>) -> Result<Vec<u8>, ProjectError> {
    let dir = absolute(project.dir())?;
    let bindings = absolute(&project.bindings())?;
    let (mut bundle, mut make) = tools.javascript()?;
    if project.language() == Language::Typescript {
        let mut check = Command::new(tools.typescript()?);
        check.current_dir(&dir).arg("--noEmit");
        if !dir.join("tsconfig.json").is_file() {
            check.args([
                "--strict",
                "--target",
                ES,
                "--lib",
                ES,
                "--module",
                "esnext",
                "--moduleResolution",
                "bundler",
            ]);
            check.args([project.language().mark(), "bindings/imports.d.ts"]);
        }
        tools.run(&mut check, "tsc")?;
    }
    let bundled = bindings.join("bundled.js");
    bundle
        .current_dir(&dir)
        .args([project.language().mark(), "--bundle", "--format=esm", "--log-level=warning"])
        .arg(format!("--target={ES}"))
        .arg(format!("--outfile={}", bundled.display()))
        .args(namespaces(project).iter().map(|namespace| format!("--external:{namespace}:*")));
    tools.run(&mut bundle, "esbuild")?;
    must_export(project, &String::from_utf8_lossy(&files::read(&bundled)?))?;
    let component = bindings.join("component.wasm");
    make.current_dir(&bindings)
        // Without it the component is an asynchronous one, which the engine refuses.
        .arg("--sync")
        .arg("--wit")
        .arg(project.wit()?)
        .args(["-n", project.world(), "--js"])
        .arg(&bundled)
        .arg("-o")
        .arg(&component);
    tools.run(&mut make, "componentize-qjs")?;
    files::read(&component)
}

/// Refuses a module without a function of its world, which would trap at the first call and no earlier.
fn must_export(project: &Project, bundled: &str) -> Result<(), ProjectError> {
    let exported = exports_of(bundled);
    let world = &project.resolve.worlds[project.world];
    let wanted = world.exports.values().filter_map(|item| match item {
        WorldItem::Function(function) => Some(function.name.to_lower_camel_case()),
        _ => None,
    });
    let missing: Vec<_> = wanted.filter(|name| !exported.contains(&&**name)).map(|name| format!("`{name}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (mark, missing) = (project.language().mark(), missing.join(" and "));
    let output = format!("`{mark}` exports no {missing}, as its WIT says: `export const name = …`");
    Err(ProjectError::Failed { tool: "componentize-qjs".to_owned(), output })
}

/// The names that a bundle of esbuild exports, which stand at its end: `export {`, and one a line, as itself or as another.
fn exports_of(bundled: &str) -> Vec<&str> {
    let Some((_, names)) = bundled.rsplit_once("export {\n") else { return Vec::new() };
    let names = names.lines().map(|line| line.trim().trim_end_matches(','));
    names.take_while(|name| !name.starts_with('}')).filter_map(|name| name.rsplit(' ').next()).collect()
}

/// The namespaces of the interfaces that the world imports: such imports are not files.
fn namespaces(project: &Project) -> Vec<String> {
    let resolve = &project.resolve;
    let imported = resolve.worlds[project.world].imports.values().filter_map(|item| match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].package,
        _ => None,
    });
    let mut namespaces: Vec<_> = imported.map(|id| resolve.packages[id].name.namespace.clone()).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_found_at_the_end_of_a_bundle() {
        let bundled = "var a = \"export {\\n\";\nexport {\n  process,\n  own as snapshot\n};\n";
        assert_eq!(exports_of(bundled), ["process", "snapshot"]);
        assert_eq!(exports_of("var a = 1;\n"), [] as [&str; 0]);
    }
}
