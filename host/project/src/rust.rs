//! Rust: cargo does it all; the component is where cargo puts it.

use std::path::PathBuf;
use std::process::Command;

use super::{Generated, Project, ProjectError, Tools, files, tools};

const SDK: &[u8] = include_bytes!("../../../guests/sdk/rust/bespoke.rs");
const TARGET: &str = "wasm32-wasip2";
const CURE: &str = "install Rust from https://rustup.rs";

/// The helpers, which a module has in it if it says so. The types are those of a macro.
pub(super) fn bindings() -> Generated {
    vec![("bespoke.rs".to_owned(), SDK.to_vec())]
}

/// Has cargo build the package, and finds the component.
pub(super) fn build(project: &Project, tools: &Tools<'_>) -> Result<Vec<u8>, ProjectError> {
    let mut command = Command::new("cargo");
    command
        .current_dir(project.dir())
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .arg("--quiet");
    let messages = tools::run_own(tools, &mut command, "cargo", CURE).map_err(with_target)?;
    let built = messages.lines().rev().find_map(component_of).ok_or_else(|| ProjectError::Failed {
        tool: "cargo".to_owned(),
        output: "it made no component; does Cargo.toml say `crate-type = [\"cdylib\"]`?".to_owned(),
    })?;
    files::read(&built)
}

/// The component that one of cargo's messages tells of.
fn component_of(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let names = message.get("filenames")?.as_array()?;
    names.iter().filter_map(|name| name.as_str()).find(|name| name.ends_with(".wasm")).map(PathBuf::from)
}

/// rustc says that it does not find `core` where the target is missing.
fn with_target(error: ProjectError) -> ProjectError {
    match &error {
        ProjectError::Failed { output, .. } if output.contains("E0463") && output.contains(TARGET) => {
            ProjectError::Missing {
                program: "the target wasm32-wasip2",
                cure: "install it with `rustup target add wasm32-wasip2`",
            }
        }
        _ => error,
    }
}

#[cfg(test)]
#[path = "../../../guests/sdk/rust/bespoke.rs"]
mod helpers;
