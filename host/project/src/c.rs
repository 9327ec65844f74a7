//! C: bindings by wit-bindgen, compiled by zig's C compiler, which carries WASI's libc.

use std::path::PathBuf;

use super::{Project, ProjectError, Tools, absolute, component, files};

const SDK: &[u8] = include_bytes!("../../../guests/sdk/c/bespoke.h");

/// Writes `NAME.h`, `NAME.c`, the object file with the world, and the helpers.
pub(super) fn bindings(project: &Project) -> Result<(), ProjectError> {
    for (name, bytes) in project.generate(wit_bindgen_c::Opts::default().build())?.iter() {
        files::write(&project.bindings().join(name), bytes)?;
    }
    files::write(&project.bindings().join("bespoke.h"), SDK)
}

/// Compiles every C file of the folder with the bindings.
pub(super) fn build(project: &Project, tools: &Tools<'_>) -> Result<Vec<u8>, ProjectError> {
    let dir = absolute(project.dir())?;
    let core = absolute(&project.bindings())?.join("core.wasm");
    let mut command = tools.zig()?;
    command
        .current_dir(&dir)
        .args(["cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-std=c17", "-O2", "-s", "-Wall", "-Wextra"])
        .args(["-I", super::BINDINGS, "-o"])
        .arg(&core)
        .args(sources(project)?);
    tools
        .run(&mut command, "zig cc")
        .map_err(|error| error.with_note("undefined symbol: exports_", "no `.c` file has this function of the WIT"))?;
    component::of(&files::read(&core)?)
}

/// The author's files and the generated ones.
fn sources(project: &Project) -> Result<Vec<PathBuf>, ProjectError> {
    let mut sources = Vec::new();
    for (folder, extensions) in [(project.dir().to_owned(), &["c"][..]), (project.bindings(), &["c", "o"])] {
        let failed = |source| ProjectError::File { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // What editors keep beside a file that is open.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if path.extension().is_some_and(|e| extensions.iter().any(|extension| e == *extension)) {
                sources.push(absolute(&path)?);
            }
        }
    }
    sources.sort();
    Ok(sources)
}
