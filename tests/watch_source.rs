//! `host run --watch-source`: sources are edited while records flow. One test with a real compiler; where it matters what is
//! built when, a program called `cargo` takes its place, which does what the test needs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Folder, LIMIT, Running, tools, top, until};

const OUT: &str = "out";

/// Counts its calls. While `hold` is there it waits, as a parent that has a child of its own. Its component is a copy of
/// what `built` names.
const CARGO: &str = r#"#!/bin/sh
cd "$HERE"
echo call >> calls
if test -e hold; then
    sh -c 'echo $$ > child.new; mv child.new child; while test -e hold; do sleep 0.02; done' &
    wait
fi
if test -e broken; then cat broken >&2; exit 101; fi
echo "{\"filenames\":[\"$HERE/$(cat built)\"]}"
"#;

/// A folder with a pipeline of one stage, whose feed does not end, and the folder of its module.
fn folder(language: &str, module: &str, keys: &str) -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let text = format!(
        r#"
name = "edited"

[log]
path = "log.db"
sync = "normal"
commit_interval_ms = 20

[schemas]
dir = "schemas"
ids = "log.schemas.json"

[topics]
"in" = {{ schema = "product" }}

[[feed]]
name = "generated"
topic = "in"
key = ["id"]
generate = {{ rate = 200, invalid = 0.0 }}

[[stage]]
name = "shop"
module = "{module}"
from = "in"
to = "{OUT}"
trial_batches = 2
{keys}
"#
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    folder.host(&["new", "shop", "--lang", language, "--schema", "schemas/product.avsc"]).must_end(0);
    folder
}

/// Waits until more records have come out.
#[track_caller]
fn flows(folder: &Folder, running: &mut Running) {
    let before = folder.so_far(OUT);
    until("records come out", LIMIT, || {
        assert!(running.is_running(), "{}", running.said());
        folder.so_far(OUT) > before + 20
    });
}

/// Waits until what comes out has a text.
#[track_caller]
fn comes(folder: &Folder, text: &str) {
    until(text, LIMIT, || folder.values(OUT).last().is_some_and(|value| holds(value, text)));
}

fn holds(value: &[u8], text: &str) -> bool {
    value.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn an_edit_goes_live_and_a_broken_one_is_told() {
    let folder = folder("c", "shop/shop.wasm", "");
    let tools = tools();
    // There is none yet: the first is built at the start.
    let mut running =
        folder.start_with(&["run", "--watch-source"], &[("BESPOKE_TOOLS", tools.to_str().expect("a path"))]);
    running.await_said("built shop/shop.wasm (");
    flows(&folder, &mut running);
    let file = folder.path("shop/module.c");
    let source = fs::read_to_string(&file).expect("the source");
    let edited = |name: &str| {
        let copied = "(const char *)text.ptr, text.len)";
        assert!(source.contains(copied), "{source}");
        source.replace(copied, &format!("\"{name}\", {})", name.len()))
    };

    fs::write(&file, "half a thought\n").expect("written");
    running.await_said("shop: module.c changed, building");
    running.await_said("shop does not build, the module that runs goes on\n    zig cc failed\n");
    running.await_said("module.c:1:1: error:");
    flows(&folder, &mut running);

    fs::write(&file, edited("first-edit")).expect("written");
    comes(&folder, "first-edit");
    assert!(running.said().contains("swapped stage=\"shop\""), "{}", running.said());

    // As editors do it: another file takes the place, and what they leave beside it is no source.
    fs::write(folder.path("shop/.module.c.swp"), "x").expect("written");
    fs::write(folder.path("shop/module.c.tmp"), edited("second-edit")).expect("written");
    fs::rename(folder.path("shop/module.c.tmp"), &file).expect("renamed");
    comes(&folder, "second-edit");
    running.interrupt();
    running.end().must_end(0);
}

/// A folder whose cargo is ours, the variables with which it is found, and three components.
fn with_cargo(module: &str, keys: &str) -> (Folder, [(&'static str, OsString); 2]) {
    let folder = folder("rust", module, keys);
    let here = folder.path(".").canonicalize().expect("a folder");
    fs::create_dir(here.join("bin")).expect("a folder");
    fs::write(here.join("bin/cargo"), CARGO).expect("written");
    fs::set_permissions(here.join("bin/cargo"), fs::Permissions::from_mode(0o755)).expect("a program");
    let bytes = fs::read(here.join("modules/processor.wasm")).expect("the module");
    for version in 1..=3 {
        // A custom section at its end makes another module of it.
        fs::write(here.join(format!("v{version}.wasm")), [&bytes[..], &[0, 2, 1, version]].concat()).expect("written");
    }
    put(&here.join("built"), "v1.wasm");
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([here.join("bin")].into_iter().chain(std::env::split_paths(&others)));
    (folder, [("HERE", here.into()), ("PATH", path.expect("a search path"))])
}

fn start(folder: &Folder, arguments: &[&str], environment: &[(&str, OsString)]) -> Running {
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.to_str().expect("text"))).collect();
    folder.start_with(arguments, &environment)
}

/// Writes a file in one go.
fn put(path: &Path, text: &str) {
    // No source, while it is written.
    let new = path.with_file_name(".put");
    fs::write(&new, text).expect("written");
    fs::rename(&new, path).expect("renamed");
}

fn calls(folder: &Folder) -> usize {
    fs::read_to_string(folder.path("calls")).unwrap_or_default().lines().count()
}

/// The process that the tool has started.
fn child(folder: &Folder) -> String {
    until("the tool has a child", LIMIT, || folder.path("child").exists());
    fs::read_to_string(folder.path("child")).expect("a number").trim().to_owned()
}

/// Waits until a process is gone, or only its end is left to be heard of.
#[track_caller]
fn ends(process: &str) {
    until("the child of the tool ends", LIMIT, || {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    });
}

#[test]
fn what_changes_while_a_build_runs_leads_to_one_more() {
    // The module stands elsewhere, and the stage says where its source is.
    let (folder, environment) = with_cargo("modules/shop.wasm", "source = \"shop\"");
    let mut running = start(&folder, &["run", "--watch-source"], &environment);
    flows(&folder, &mut running);
    assert_eq!(calls(&folder), 1);
    let edit = |text: &str| put(&folder.path("shop/src/lib.rs"), text);

    fs::write(folder.path("hold"), "").expect("written");
    edit("// second");
    child(&folder);
    for text in ["// third", "// fourth", "// fifth"] {
        edit(text);
    }
    put(&folder.path("built"), "v2.wasm");
    fs::remove_file(folder.path("hold")).expect("removed");
    running.await_said("swapped stage=\"shop\"");
    running.await_said("`modules/shop.wasm` is the same as before, so there is nothing to swap");
    // Had there been others, they would be counted now.
    put(&folder.path("built"), "v3.wasm");
    edit("// sixth");
    until("v3 is in place", LIMIT, || {
        fs::read(folder.path("modules/shop.wasm")).ok() == fs::read(folder.path("v3.wasm")).ok()
    });
    assert_eq!(calls(&folder), 4, "{}", running.said());
    running.interrupt();
    running.end().must_end(0);
}

#[test]
fn a_stop_ends_a_build_with_all_that_it_has_started() {
    let (folder, environment) = with_cargo("shop/shop.wasm", "");
    // While it is built for the first time.
    fs::write(folder.path("hold"), "").expect("written");
    let running = start(&folder, &["run", "--watch-source"], &environment);
    let process = child(&folder);
    running.interrupt();
    running.end().must_end(0);
    ends(&process);
    assert!(!folder.path("shop/shop.wasm").exists());

    // While the pipeline runs.
    fs::remove_file(folder.path("hold")).expect("removed");
    fs::remove_file(folder.path("child")).expect("removed");
    let mut running = start(&folder, &["run", "--watch-source"], &environment);
    flows(&folder, &mut running);
    fs::write(folder.path("hold"), "").expect("written");
    put(&folder.path("shop/src/lib.rs"), "// edited");
    let process = child(&folder);
    running.signal("TERM");
    running.end().must_end(0);
    ends(&process);
}

#[test]
fn a_source_that_is_broken_at_the_start_is_told() {
    let (folder, environment) = with_cargo("shop/shop.wasm", "");
    put(&folder.path("broken"), "error[E0000]: no\n  --> src/lib.rs:1:1");
    let ended = start(&folder, &["run", "--watch-source", "--until-end"], &environment).end();
    ended.must_end(1);
    let said = "error: cargo failed\n       error[E0000]: no\n         --> src/lib.rs:1:1";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);

    // With a module of before that one runs.
    fs::copy(folder.path("v1.wasm"), folder.path("shop/shop.wasm")).expect("copied");
    let mut running = start(&folder, &["run", "--watch-source"], &environment);
    running
        .await_said("shop does not build, so `shop/shop.wasm` runs as it was\n    cargo failed\n    error[E0000]: no");
    flows(&folder, &mut running);
    put(&folder.path("built"), "v2.wasm");
    fs::remove_file(folder.path("broken")).expect("removed");
    put(&folder.path("shop/src/lib.rs"), "// mended");
    running.await_said("swapped stage=\"shop\"");
    running.interrupt();
    running.end().must_end(0);
}

#[test]
fn a_folder_stands_for_its_module() {
    let (folder, environment) = with_cargo("shop/shop.wasm", "");
    let refused = |arguments: &[&str], said: &str| {
        let ended = folder.host(&[&["run"], arguments].concat());
        ended.must_end(64);
        assert_eq!(ended.stderr.trim_end(), said, "{arguments:?}");
    };
    let nowhere = "error: `modules/processor.wasm` does not stand in the folder that it is built from\n\
                   hint: name that folder: --module DIR --watch-source";
    refused(&["--module", "modules/processor.wasm", "--schema", "schemas/product.avsc", "--watch-source"], nowhere);
    fs::rename(folder.path("pipeline.toml"), folder.path("other.toml")).expect("renamed");
    let unbuilt = "error: `shop/shop.wasm` is not built yet\n\
                   hint: `host build shop` does it, or --watch-source, on every change";
    refused(&["--module", "shop", "--schema", "schemas/product.avsc"], unbuilt);

    // As a pipe, with the schema beside the source; the build reads nothing of what is meant for the module.
    let mut running = start(&folder, &["run", "--module", "shop", "--watch-source"], &environment);
    running.tell(
        "{\"id\":\"a\",\"name\":\"n\",\"category\":\"c\",\"price\":9,\"quantity\":1,\"updated\":1,\"in_stock\":true}\n",
    );
    let ended = running.end();
    ended.must_end(0);
    assert!(ended.stdout.contains("\"price_band\""), "{}\n{}", ended.stdout, ended.stderr);
    // Whoever does not have it built is told of what was saved since.
    let stale = "the source of `shop/shop.wasm` was changed since it was built; `host build shop` builds it anew";
    let run_once = || folder.host_given(&["run", "--module", "shop"], "").must_end(0).stderr.clone();
    assert!(!run_once().contains(stale));
    put(&folder.path("shop/src/lib.rs"), "// saved");
    assert!(run_once().contains(stale));

    // And as the stage of a pipeline.
    let mut running = start(&folder, &["run", "--module", "shop", "other.toml", "--watch-source"], &environment);
    running.await_said("feeds=0 stages=1 sinks=0");
    put(&folder.path("built"), "v2.wasm");
    put(&folder.path("shop/src/lib.rs"), "// edited");
    running.await_said("swapped stage=\"shop\"");
    running.interrupt();
    running.end().must_end(0);

    let text = fs::read_to_string(folder.path("other.toml")).expect("the pipeline");
    fs::write(folder.path("other.toml"), text.replace("shop/shop.wasm", "modules/processor.wasm")).expect("written");
    let none = "error: --watch-source finds no source: no module stands in the folder that it is built from\n\
                hint: say where it is: `source = \"DIR\"` in [[stage]]";
    refused(&["other.toml", "--watch-source"], none);
}
