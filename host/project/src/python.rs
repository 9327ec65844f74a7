//! Python: componentize-py puts the source and CPython into one component.

use std::process::Command;

use super::{Generated, Project, ProjectError, Tools, absolute, files};

mod stubs;

/// The module that componentize-py runs; its file is what Python's folders are known by.
const MODULE: &str = "module";
/// What its own error begins with, the way to which is nobody's business.
const ASSERTION: &str = "\nAssertionError: ";
const SDK: &[u8] = include_bytes!("../../../guests/sdk/python/bespoke.py");

/// In the folder of the bindings: what is imported from `wit_world`.
const TYPES: &str = "types";
/// A file that componentize-py writes beside its types, and nobody needs with ours.
const THEIRS: &str = "poll_loop.py";

/// The helpers, which are on the module's path, and the types for editors and tests.
pub(super) fn bindings(project: &Project) -> Generated {
    let mut generated = vec![("sdk/bespoke.py".to_owned(), SDK.to_vec())];
    let stubs = stubs::of(&project.resolve, project.world).into_iter().flatten();
    generated.extend(stubs.map(|(path, text)| (format!("{TYPES}/{path}"), text.into_bytes())));
    generated
}

/// Removes the types of componentize-py where ours take their place.
pub(super) fn make_room(project: &Project, generated: &Generated) -> Result<(), ProjectError> {
    let has_ours = generated.iter().any(|(path, _)| path.starts_with(TYPES));
    let has_theirs = project.bindings().join(TYPES).join(THEIRS).exists();
    if has_ours && has_theirs { remove_types(project) } else { Ok(()) }
}

/// Has componentize-py write the types that are not written without it.
pub(super) fn other_bindings(project: &Project, tools: &Tools<'_>) -> Result<(), ProjectError> {
    if stubs::of(&project.resolve, project.world).is_some() {
        return Ok(());
    }
    // It writes into a folder that it makes.
    remove_types(project)?;
    let types = absolute(&project.bindings())?.join(TYPES);
    tools.run(python(project, tools)?.arg("bindings").arg(types), "componentize-py bindings").map(drop)
}

/// Makes the component.
pub(super) fn build(project: &Project, tools: &Tools<'_>) -> Result<Vec<u8>, ProjectError> {
    other_bindings(project, tools)?;
    let dir = absolute(project.dir())?;
    let bindings = absolute(&project.bindings())?;
    let built = bindings.join("python.wasm");
    let mut command = python(project, tools)?;
    command.args(["componentize", MODULE, "-p"]).arg(&dir).arg("-p").arg(bindings.join("sdk")).arg("-o").arg(&built);
    tools.run(&mut command, "componentize-py").map_err(readable)?;
    let bytes = files::read(&built)?;
    std::fs::remove_file(&built).map_err(|source| ProjectError::File { path: built, source })?;
    Ok(bytes)
}

/// Leaves of what componentize-py says what Python says of the module, with the files as they are called here.
fn readable(error: ProjectError) -> ProjectError {
    let ProjectError::Failed { tool, output } = error else { return error };
    let said = output.split_once(ASSERTION).map_or(&*output, |(_, said)| said);
    let said = said.split_once("\n\nCaused by:").map_or(said, |(said, _)| said);
    let mut output = said.trim_end().replace("File \"/0/", "File \"");
    if output.contains("ModuleNotFoundError") {
        output.push_str(
            "\npackages that are Python alone are copied into the folder; others, such as numpy, cannot be loaded",
        );
    }
    ProjectError::Failed { tool, output }
}

/// componentize-py for this world, to be told what to do.
fn python(project: &Project, tools: &Tools<'_>) -> Result<Command, ProjectError> {
    let mut command = tools.componentize_py()?;
    let dir = absolute(project.dir())?;
    command.current_dir(dir).arg("--quiet").arg("-d").arg(project.wit()?).args(["-w", project.world()]);
    Ok(command)
}

fn remove_types(project: &Project) -> Result<(), ProjectError> {
    let types = project.bindings().join(TYPES);
    match std::fs::remove_dir_all(&types) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(ProjectError::File { path: types, source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(output: &str) -> String {
        readable(ProjectError::Failed { tool: "componentize-py".to_owned(), output: output.to_owned() }).to_string()
    }

    #[test]
    fn errors_are_those_of_the_module() {
        let before = "Traceback (most recent call last):\n  File \"bin/componentize-py\", line 8, in <module>\n    sys.exit(script())\n";
        let said = format!(
            "{before}AssertionError:   File \"/0/module.py\", line 2\n    def process(self, records)\n                              ^\n\
             SyntaxError: expected ':'\n\n\nCaused by:\n    SyntaxError: expected ':' (module.py, line 2)\n\nStack backtrace:\n"
        );
        let expected = "componentize-py failed\n  File \"module.py\", line 2\n    def process(self, records)\n                              \
                        ^\nSyntaxError: expected ':'";
        assert_eq!(shown(&said), expected);
        let missing = format!("{before}AssertionError: ModuleNotFoundError: No module named 'numpy'");
        assert!(
            shown(&missing)
                .starts_with("componentize-py failed\nModuleNotFoundError: No module named 'numpy'\npackages")
        );
        assert_eq!(shown("no memory"), "componentize-py failed\nno memory");
    }
}
