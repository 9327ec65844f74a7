//! Where the module and its cases are, from what was typed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cli::failure::Usage;
use crate::command::source::warn_if_stale;

/// The folder of cases in a project.
const CASES: &str = "cases";
/// Where modules are built, from the folder of a project. `host build` leaves them in the first.
const BUILT: [&str; 2] = ["", "target/wasm32-wasip2/release"];
/// How a module's file ends.
const MODULE: &str = "wasm";

/// A module and its cases.
pub(super) struct Project {
    /// What is wrong if there is none: who captures records needs no module.
    module: Result<PathBuf, (String, String)>,
    pub cases: PathBuf,
}

impl Project {
    /// A project by its folder or its module.
    ///
    /// # Errors
    /// If what was typed cannot be.
    pub fn find(target: Option<&Path>, module: Option<&Path>, cases: Option<&Path>) -> Result<Self> {
        let (folder, module) = match (target, module) {
            (Some(target), Some(_)) if target.is_file() => {
                let what = format!("`{}` is a module already, and --module names another", target.display());
                return Err(Usage::new(what).into());
            }
            (Some(target), None) if target.is_file() => (None, Ok(target.to_owned())),
            (Some(target), _) if !target.is_dir() => {
                let what = format!("there is no `{}`: name a module, or the folder of its project", target.display());
                return Err(Usage::new(what).into());
            }
            (folder, module) => {
                let folder = folder.unwrap_or(Path::new("."));
                let found = module.map_or_else(|| built(folder), |module| Ok(module.to_owned()));
                if let (None, Ok(found)) = (module, &found) {
                    warn_if_stale(folder, found);
                }
                (Some(folder), found)
            }
        };
        let cases = match (cases, folder, &module) {
            (Some(cases), ..) => cases.to_owned(),
            (None, Some(folder), _) => folder.join(CASES),
            (None, None, Ok(module)) => beside(module)?,
            (None, None, Err(_)) => PathBuf::from(CASES),
        };
        Ok(Self { module, cases })
    }

    /// The module.
    ///
    /// # Errors
    /// If there is none.
    pub fn module(&self) -> Result<&Path> {
        let module = self.module.as_ref().map_err(|(what, hint)| Usage::new(what.clone()).hint(hint.clone()))?;
        Ok(module)
    }
}

/// The one module of a folder.
fn built(folder: &Path) -> Result<PathBuf, (String, String)> {
    for place in BUILT.map(|place| folder.join(place)) {
        let entries = std::fs::read_dir(&place).into_iter().flatten();
        let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.retain(|path| path.extension().is_some_and(|e| e == MODULE));
        found.sort();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one.clone()),
            [first, ..] => {
                let what = format!("there are several modules in `{}`", place.display());
                return Err((what, format!("name one, such as `host test --module {}`", first.display())));
            }
        }
    }
    let what = format!("there is no module in `{}`", folder.display());
    Err((what, "build it first, or name it: `host test --module FILE`".to_owned()))
}

/// The cases of the project that a module is in.
fn beside(module: &Path) -> Result<PathBuf> {
    let whole = module.canonicalize().unwrap_or_else(|_| module.to_owned());
    let found = whole.ancestors().skip(1).map(|folder| folder.join(CASES)).find(|cases| cases.is_dir());
    found.ok_or_else(|| {
        let what = format!("there is no folder `{CASES}` beside `{}`", module.display());
        Usage::new(what).hint("name it: `host test MODULE --cases DIR`").into()
    })
}
