//! Python: componentize-py puts the source and CPython into one component.

use super::{Project, ProjectError, Tools, absolute, files};

/// The module that componentize-py runs; its file is what Python's folders are known by.
const MODULE: &str = "module";
const SDK: &[u8] = include_bytes!("../../../guests/sdk/python/bespoke.py");

/// Writes the helpers, which are on the module's path.
pub(super) fn sdk(project: &Project) -> Result<(), ProjectError> {
    files::write(&project.bindings().join("sdk").join("bespoke.py"), SDK)
}

/// Writes the types for editors and tests, and makes the component.
pub(super) fn build(project: &Project, tools: &Tools<'_>) -> Result<Vec<u8>, ProjectError> {
    let dir = absolute(project.dir())?;
    let bindings = absolute(&project.bindings())?;
    let python = || -> Result<_, ProjectError> {
        let mut command = tools.componentize_py()?;
        command.current_dir(&dir).arg("--quiet").arg("-d").arg(project.wit()?).args(["-w", project.world()]);
        Ok(command)
    };
    // It writes into a folder that it makes.
    let types = bindings.join("types");
    if types.exists() {
        std::fs::remove_dir_all(&types).map_err(|source| ProjectError::File { path: types.clone(), source })?;
    }
    tools.run(python()?.arg("bindings").arg(&types), "componentize-py bindings")?;
    let built = bindings.join("python.wasm");
    let mut command = python()?;
    command.args(["componentize", MODULE, "-p"]).arg(&dir).arg("-p").arg(bindings.join("sdk")).arg("-o").arg(&built);
    tools.run(&mut command, "componentize-py")?;
    let bytes = files::read(&built)?;
    std::fs::remove_file(&built).map_err(|source| ProjectError::File { path: built, source })?;
    Ok(bytes)
}
