//! Go: bindings by wit-bindgen, compiled by the Go compiler for WASI preview 1, then made a component.
//!
//! The generator writes for a program of its own and for a runtime package that is fetched. Here the author's package is
//! the root of the Go module, what is generated stands in `bindings/`, and the runtime is ours (`guests/sdk/go`), so that
//! nothing is fetched: the generated import paths are rewritten.

use std::process::Command;

use super::{Project, ProjectError, Tools, absolute, component, files, tools};

/// Our own runtime, as the generated code calls it, and the helpers: paths in `bindings/`.
const SDK: [(&str, &str); 4] = [
    ("wit/wit.go", include_str!("../../../guests/sdk/go/wit/wit.go")),
    ("runtime/runtime.go", include_str!("../../../guests/sdk/go/runtime/runtime.go")),
    ("runtime/realloc.go", include_str!("../../../guests/sdk/go/runtime/realloc.go")),
    ("bespoke/bespoke.go", include_str!("../../../guests/sdk/go/bespoke/bespoke.go")),
];
const CURE: &str = "install Go 1.24 or later (https://go.dev/dl; on Debian and Ubuntu: apt install golang-go)";

/// Writes the packages that the author's one uses, and the program around it.
pub(super) fn bindings(project: &Project) -> Result<(), ProjectError> {
    let options =
        wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, quiet: true, ..wit_bindgen_go::Opts::default() };
    let module = module_path(project)?;
    let bindings = project.bindings();
    for (name, bytes) in project.generate(options.build())?.iter() {
        let path = match name {
            "go.mod" => continue,
            "wit_exports.go" => "component/main.go",
            name => name,
        };
        let text = placed(&String::from_utf8_lossy(bytes), &module);
        files::write(&bindings.join(path), text.as_bytes())?;
    }
    for (path, text) in SDK {
        files::write(&bindings.join(path), text.as_bytes())?;
    }
    Ok(())
}

/// Compiles, and makes the component.
pub(super) fn build(project: &Project, tools: &Tools<'_>) -> Result<Vec<u8>, ProjectError> {
    let core = absolute(&project.bindings())?.join("core.wasm");
    let mut command = Command::new("go");
    command
        .current_dir(project.dir())
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o"])
        .arg(&core)
        .arg("./bindings/component");
    tools::run_own(tools, &mut command, "go", CURE)
        .map_err(|error| error.with_note("undefined: export_wit_world.", "the package lacks a function of its WIT"))?;
    let mut code = files::read(&core)?;
    project.embed(&mut code)?;
    component::of(&code)
}

/// Generated code with the import paths that it has here, and with our `Pinner` in place of Go's, which does more than it
/// has to: it takes longer than all the rest of an answer.
fn placed(text: &str, module: &str) -> String {
    let runtime = format!("witRuntime \"{module}/bindings/runtime\"");
    let mut text = text
        .replace("\"wit_component/export_wit_world\"", &format!("export_wit_world \"{module}\""))
        .replace("\"wit_component/", &format!("\"{module}/bindings/"))
        .replace("\"go.bytecodealliance.org/pkg/wit/types\"", &format!("\"{module}/bindings/wit\""))
        .replace("witRuntime \"go.bytecodealliance.org/pkg/wit/runtime\"", &runtime);
    if text.contains("runtime.Pinner") {
        text = text.replace("runtime.Pinner", "witRuntime.Pinner");
        let has_ours = text.contains(&runtime);
        let is_used = text.replace("witRuntime.", "").contains("runtime.");
        let lines = text.lines().map(|line| match line.trim() {
            "\"runtime\"" if !is_used && has_ours => String::new(),
            "\"runtime\"" if !is_used => runtime.clone(),
            "\"runtime\"" if !has_ours => format!("{line}\n{runtime}"),
            _ => line.to_owned(),
        });
        text = lines.collect::<Vec<_>>().join("\n") + "\n";
    }
    text
}

/// What `go.mod` calls the module.
fn module_path(project: &Project) -> Result<String, ProjectError> {
    let path = project.dir().join("go.mod");
    let text = files::read(&path)?;
    let text = String::from_utf8_lossy(&text);
    let name = text.lines().find_map(|line| line.trim().strip_prefix("module "));
    let name = name.map(|name| name.trim().trim_matches('"').to_owned());
    name.ok_or_else(|| ProjectError::Failed {
        tool: "go".to_owned(),
        output: format!("`{}` names no module", path.display()),
    })
}
