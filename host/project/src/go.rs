//! Go: bindings by wit-bindgen, compiled by the Go compiler for WASI preview 1, then made a component.
//!
//! The generator writes for a program of its own and for a runtime package that is fetched. Here the author's package is
//! the root of the Go module, what is generated stands in `bindings/`, and the runtime is ours (`guests/sdk/go`), so that
//! nothing is fetched: the generated import paths are rewritten.

use std::process::Command;

use super::{Generated, Language, Project, ProjectError, Tools, absolute, component, files, tools};

/// Our own runtime, as the generated code calls it, and the helpers: paths in `bindings/`.
const SDK: [(&str, &str); 4] = [
    ("wit/wit.go", include_str!("../../../guests/sdk/go/wit/wit.go")),
    ("runtime/runtime.go", include_str!("../../../guests/sdk/go/runtime/runtime.go")),
    ("runtime/realloc.go", include_str!("../../../guests/sdk/go/runtime/realloc.go")),
    ("bespoke/bespoke.go", include_str!("../../../guests/sdk/go/bespoke/bespoke.go")),
];
/// Module paths by which Go finds something else: the packages of its library whose names are one word, and what the `go`
/// command means by other words.
const KEPT: [&str; 47] = [
    "all", "bufio", "builtin", "bytes", "cmd", "cmp", "context", "crypto", "embed", "encoding", "errors", "expvar",
    "flag", "fmt", "hash", "html", "image", "io", "iter", "log", "main", "maps", "math", "mime", "net", "os", "path",
    "plugin", "reflect", "regexp", "runtime", "slices", "sort", "std", "strconv", "strings", "structs", "sync",
    "syscall", "testing", "time", "tool", "unicode", "unique", "unsafe", "weak", "work",
];
const CURE: &str = "install Go 1.24 or later (https://go.dev/dl; on Debian and Ubuntu: apt install golang-go)";

/// The packages that the author's one uses, and the program around it.
pub(super) fn bindings(project: &Project) -> Result<Generated, ProjectError> {
    let options =
        wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, quiet: true, ..wit_bindgen_go::Opts::default() };
    let module = module_path(project)?;
    let mut generated = Generated::new();
    for (name, bytes) in project.generate(options.build())?.iter() {
        let path = match name {
            "go.mod" => continue,
            "wit_exports.go" => "component/main.go",
            name => name,
        };
        let text = placed(&String::from_utf8_lossy(bytes), &module);
        generated.push((path.to_owned(), text.into_bytes()));
    }
    generated.extend(SDK.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())));
    Ok(generated)
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
    let name = name.ok_or_else(|| ProjectError::Failed {
        tool: "go".to_owned(),
        output: format!("`{}` names no module", path.display()),
    })?;
    if KEPT.contains(&&*name) {
        let why = "it means a package of Go's own, or a program";
        return Err(ProjectError::Taken { name, language: Language::Go.name(), why });
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packages_that_go_has_itself_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| files::write(&folder.path().join(path), text.as_bytes()).expect("written");
        put("wit/m.wit", "package local:m; world m { export process: func(); }");
        let written = |name: &str| {
            put("go.mod", &format!("module {name}\n\ngo 1.24\n"));
            Project::open(folder.path(), None).expect("a project").write_bindings()
        };
        for name in ["main", "sort", "time"] {
            let error = written(name).expect_err("a name that is taken").to_string();
            assert!(error.starts_with(&format!("`{name}` cannot be the name of a module in go: ")), "{error}");
        }
        for name in ["price_check", "text", "example.com/sort"] {
            written(name).expect("a name like others");
        }
    }
}
