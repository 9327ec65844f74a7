//! `host build` without the host, for work on this crate: cargo run -p bespoke-project --example build -- DIR OUTPUT

use std::path::{Path, PathBuf};

use bespoke_project::{Project, ProjectError, Tools};

fn main() -> Result<(), ProjectError> {
    let [dir, output] = [1, 2].map(|n| PathBuf::from(std::env::args().nth(n).unwrap_or_else(|| ".".to_owned())));
    let home = std::env::var_os("HOME").unwrap_or_default();
    let say = |line: &str| {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
    };
    let tools = Tools::new(Path::new(&home).join(".cache/bespoke/tools"), false, &say);
    Project::open(&dir, None)?.build(&tools, &output)?;
    Ok(())
}
