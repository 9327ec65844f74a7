//! C: bindings by wit-bindgen, compiled by zig's C compiler, which carries WASI's libc.

use std::path::PathBuf;

use super::{Generated, Project, ProjectError, Tools, absolute, component, files};

const SDK: &[u8] = include_bytes!("../../../guests/sdk/c/bespoke.h");

/// `NAME.h`, `NAME.c`, the object file with the world, and the helpers.
pub(super) fn bindings(project: &Project) -> Result<Generated, ProjectError> {
    let files = project.generate(wit_bindgen_c::Opts::default().build())?;
    let mut generated: Generated = files.iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    generated.push(("bespoke.h".to_owned(), SDK.to_vec()));
    Ok(generated)
}

/// Compiles every C file of the folder with the bindings.
pub(super) fn build(project: &Project, tools: &Tools<'_>, generated: &Generated) -> Result<Vec<u8>, ProjectError> {
    let dir = absolute(project.dir())?;
    let core = absolute(&project.bindings())?.join("core.wasm");
    let mut command = tools.zig()?;
    command
        .current_dir(&dir)
        .args(["cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-std=c17", "-O2", "-s", "-Wall", "-Wextra"])
        // Only what is included in quotes, or is nowhere else: a world may be called as a header of the system is.
        .args(["-iquote", super::BINDINGS, "-idirafter", super::BINDINGS, "-o"])
        .arg(&core)
        .args(sources(project, generated)?);
    tools
        .run(&mut command, "zig cc")
        .map_err(|error| error.with_note("undefined symbol: exports_", "no `.c` file has this function of the WIT"))?;
    component::of(&files::read(&core)?)
}

/// The author's files, and of those in the folder of the bindings the generated ones: others are of a world that was built
/// before, or was called otherwise.
fn sources(project: &Project, generated: &Generated) -> Result<Vec<PathBuf>, ProjectError> {
    let mut sources = Vec::new();
    let failed = |source| ProjectError::File { path: project.dir().to_owned(), source };
    for entry in std::fs::read_dir(project.dir()).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        // What editors keep beside a file that is open begins with a dot.
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && path.extension().is_some_and(|e| e == "c") {
            sources.push(absolute(&path)?);
        }
    }
    for (name, _) in generated.iter().filter(|(name, _)| name.ends_with(".c") || name.ends_with(".o")) {
        sources.push(absolute(&project.bindings().join(name))?);
    }
    sources.sort();
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_bindings_of_a_world_that_is_gone_are_not_compiled() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        let put = |path: &str, text: &str| files::write(&dir.join(path), text.as_bytes()).expect("written");
        put("module.c", "");
        put(".module.c", "");
        put("wit/m.wit", "package local:m; world old { export process: func(); }");
        Project::open(dir, None).expect("a project").write_bindings().expect("written");
        put("wit/m.wit", "package local:m; world new { export process: func(); }");
        let project = Project::open(dir, None).expect("a project");
        let generated = project.written().expect("written");
        assert!(dir.join("bindings/old.c").exists() && dir.join("bindings/new.h").exists());
        let sources = sources(&project, &generated).expect("readable");
        let here = fs::canonicalize(dir).expect("a folder");
        let names: Vec<_> = sources.iter().map(|path| path.strip_prefix(&here).expect("inside")).collect();
        assert_eq!(names, ["bindings/new.c", "bindings/new_component_type.o", "module.c"].map(Path::new));
    }
}
