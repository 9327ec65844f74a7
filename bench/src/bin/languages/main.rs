//! What a language costs: the processor and the analyzer of the product feed in each, through the boundary and back.
//!
//! ```text
//! source ──build──> component ──compile──> module ──start──> instance ──batches──> answers
//! ```
//!
//! Each step is measured as the host does it: `host build`, then the module, its instance, and its calls with batches of records
//! as a stage makes them. Topics are not in the figures. Times are those of the processor, as other programs may want it too;
//! but the time of a start is the median of many.
//!
//! ```text
//! cargo run --release --package bench --bin languages -- [--no-build] [LANGUAGE…]
//! ```

mod build;
mod run;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bench::repository;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// In the order of the table.
const LANGUAGES: [&str; 5] = ["rust", "c", "go", "typescript", "python"];
/// The modules that all of them have, the second of which reads what the first writes.
const MODULES: [&str; 2] = ["processor", "analyzer"];
const NO_BUILD: &str = "--no-build";

fn main() -> Result<()> {
    host::allocator::keep_freed();
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let builds = !typed.iter().any(|word| word == NO_BUILD);
    let wanted: Vec<&String> = typed.iter().filter(|word| *word != NO_BUILD).collect();
    if let Some(other) = wanted.iter().find(|word| !LANGUAGES.contains(&word.as_str())) {
        bail!("`{other}` is none of {}", LANGUAGES.join(", "));
    }
    let mut out = io::stdout().lock();
    if cfg!(debug_assertions) {
        writeln!(out, "built without --release: these figures mean nothing\n")?;
    }
    let records = run::Records::of(&built("rust", MODULES[0]))?;
    let (first, rest) = (
        "| module | language | size, kB | build, CPU s | again, CPU s | compile, CPU s | start, ms ",
        "| memory at start, MiB | at most, MiB | CPU ns/record |",
    );
    writeln!(out, "{first}{rest}\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for module in MODULES {
        for language in LANGUAGES {
            if !wanted.is_empty() && !wanted.iter().any(|word| *word == language) {
                continue;
            }
            let path = built(language, module);
            let size = fs::metadata(&path).with_context(|| missing(&path))?.len();
            let built = if builds { Some(build::measure(language, module)?) } else { None };
            let ran = run::measure(&path, &records, module)?;
            let seconds = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"));
            writeln!(
                out,
                "| {module} | {language} | {} | {} | {} | {:.2} | {:.3} | {:.1} | {:.1} | {:.0} |",
                size.div_ceil(1000),
                seconds(built.as_ref().map(|built| built.first.as_secs_f64())),
                seconds(built.as_ref().map(|built| built.again.as_secs_f64())),
                ran.compile.as_secs_f64(),
                ran.start.as_secs_f64() * 1e3,
                mebibytes(ran.memory_at_start),
                mebibytes(ran.memory),
                ran.ns_per_record,
            )?;
            out.flush()?;
        }
    }
    Ok(())
}

/// Where `make guests-all` leaves a module.
fn built(language: &str, module: &str) -> PathBuf {
    repository().join("guests/built").join(language).join(format!("{module}.wasm"))
}

fn missing(path: &std::path::Path) -> String {
    format!("`{}` is not there: `make guests-all` builds it", path.display())
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
