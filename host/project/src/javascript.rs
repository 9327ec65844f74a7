//! JavaScript and TypeScript: bundled by esbuild, put on QuickJS by componentize-qjs. TypeScript is checked by its compiler.

use std::process::Command;

use wit_bindgen_core::wit_parser::WorldItem;

use super::{Language, Project, ProjectError, Tools, absolute, files};

mod types;

const SDK: &[u8] = include_bytes!("../../../guests/sdk/javascript/bespoke.js");
const SDK_TYPES: &[u8] = include_bytes!("../../../guests/sdk/javascript/bespoke.d.ts");
/// The language that QuickJS runs.
const ES: &str = "es2023";

/// Writes the types of the world as QuickJS really gives them, and the helpers.
pub(super) fn bindings(project: &Project) -> Result<(), ProjectError> {
    let types = types::of(&project.resolve, project.world);
    let bindings = project.bindings();
    files::write(&bindings.join(format!("{}.d.ts", project.world())), types.world.as_bytes())?;
    files::write(&bindings.join("imports.d.ts"), types.imports.as_bytes())?;
    files::write(&bindings.join("bespoke.js"), SDK)?;
    files::write(&bindings.join("bespoke.d.ts"), SDK_TYPES)
}

/// Checks, bundles, and makes the component.
pub(super) fn build(project: &Project, tools: &Tools<'_>) -> Result<Vec<u8>, ProjectError> {
    let dir = absolute(project.dir())?;
    let bindings = absolute(&project.bindings())?;
    let programs = tools.javascript()?;
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
    let mut bundle = Command::new(programs.join("esbuild"));
    bundle
        .current_dir(&dir)
        .args([project.language().mark(), "--bundle", "--format=esm", "--log-level=warning"])
        .arg(format!("--target={ES}"))
        .arg(format!("--outfile={}", bundled.display()))
        .args(namespaces(project).iter().map(|namespace| format!("--external:{namespace}:*")));
    tools.run(&mut bundle, "esbuild")?;
    let component = bindings.join("component.wasm");
    let mut make = Command::new(programs.join("componentize-qjs"));
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
