//! `host new` and `host build` in each language: what is made builds as it is and passes its case, of both kinds, whatever the
//! schema has and is called; and where a tool is missing, the way to it is told.
//!
//! The processor of a product is that of the guides, which `docs.rs` builds. The tools are those of `make guests-all`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Folder, tools, top};

const PRODUCT: &str = "schemas/product.avsc";
/// Types that are called as others are in a new module, or in the bindings of a language, and a text.
pub const NAMED: &str = r#"{"type": "record", "name": "Change", "fields": [
    {"name": "id", "type": "string"}, {"name": "name", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    {"name": "result", "type": {"type": "enum", "name": "Result", "symbols": ["Ok", "Err"]}},
    {"name": "row", "type": ["null", {"type": "record", "name": "Row", "fields": [{"name": "n", "type": "int"}]}]}]}"#;
/// The same, with neither a text nor a number to work on.
pub const BARE: &str = r#"{"type": "record", "name": "Result", "fields": [
    {"name": "done", "type": "boolean"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    {"name": "row", "type": {"type": "record", "name": "Row", "fields": [{"name": "good", "type": "boolean"}]}}]}"#;

/// A kind, and the file of a schema.
type Made = (&'static str, &'static str);
const ANALYZER: Made = ("analyzer", PRODUCT);
const NAMED_PROCESSOR: Made = ("processor", "named.avsc");
const BARE_PROCESSOR: Made = ("processor", "bare.avsc");
const BARE_ANALYZER: Made = ("analyzer", "bare.avsc");

fn folder() -> Folder {
    let folder = Folder::of(&top().join("tests/testing"));
    fs::write(folder.path("named.avsc"), NAMED).expect("written");
    fs::write(folder.path("bare.avsc"), BARE).expect("written");
    folder
}

/// The program, with a cache of compiled modules and tools that are there already. It may take longer than other tests.
fn host(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
    command.args(arguments).current_dir(folder.path(".")).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.env("BESPOKE_TOOLS", tools()).env("NO_COLOR", "1").env_remove("RUST_LOG");
    // Crates that new modules in Rust have in common are compiled once.
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects"));
    command
}

/// Runs it to a good end.
#[track_caller]
fn done(folder: &Folder, arguments: &[&str]) -> String {
    let output = host(folder, arguments).output().expect("the program");
    let (printed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{printed}\n{told}", output.status);
    printed.into_owned()
}

/// Makes modules, builds each as it is, and tests it with the case that came with it.
#[track_caller]
fn new_modules_work(language: &str, all: &[Made]) {
    let folder = folder();
    for (kind, schema) in all {
        let name = format!("{kind}-of-{}", schema.trim_start_matches("schemas/").trim_end_matches(".avsc"));
        done(&folder, &["new", &name, "--lang", language, "--kind", kind, "--schema", schema]);
        done(&folder, &["build", "--no-check", &name]);
        let printed = done(&folder, &["test", &name]);
        assert!(printed.contains("case first ... ok"), "{language}, {kind} of {schema}: {printed}");
    }
}

#[test]
fn new_modules_in_c_work() {
    new_modules_work("c", &[ANALYZER, NAMED_PROCESSOR, BARE_PROCESSOR, BARE_ANALYZER]);
}

#[test]
fn new_modules_in_go_work() {
    new_modules_work("go", &[ANALYZER, NAMED_PROCESSOR, BARE_ANALYZER]);
}

#[test]
fn new_modules_in_javascript_work() {
    new_modules_work("javascript", &[("processor", PRODUCT), ANALYZER, BARE_PROCESSOR]);
}

#[test]
fn new_modules_in_typescript_work() {
    new_modules_work("typescript", &[NAMED_PROCESSOR, BARE_ANALYZER]);
}

#[test]
fn new_modules_in_rust_work() {
    new_modules_work("rust", &[ANALYZER, NAMED_PROCESSOR, BARE_ANALYZER]);
}

/// What the guide says that works in a sandbox, in an analyzer: the modules that it names, and one that Python imports by
/// itself when a function is called.
#[test]
fn an_analyzer_in_python_has_what_the_guide_names() {
    const USES: &str = r#"
import _strptime, encodings.cp1252
import bisect, collections, datetime, decimal, heapq, json, math, random, re, statistics


def use():
    numbers = [3.0, 1.0, 2.0]
    assert statistics.mean(numbers) == 2.0 and math.sqrt(4.0) == 2.0
    assert heapq.nsmallest(2, numbers) == [1.0, 2.0] and bisect.bisect([1, 2, 3], 2) == 2
    assert collections.Counter("abca").most_common(1) == [("a", 2)]
    assert json.loads('{"a": [1, null]}') == {"a": [1, None]} and re.sub("[0-9]+", "n", "a12") == "an"
    assert decimal.Decimal("12.30") + 1 == decimal.Decimal("13.30")
    assert datetime.datetime.strptime("2026-01-31", "%Y-%m-%d").month == 1
    assert "ä".encode("cp1252") == b"\xe4"
    assert 0.0 <= random.random() < 1.0
"#;
    let guide = fs::read_to_string(top().join("docs/guides/python.md")).expect("the guide");
    for name in USES.lines().find_map(|line| line.strip_prefix("import bisect, ")).expect("imports").split(", ") {
        assert!(guide.contains(&format!("`{name}`")), "the guide does not name {name}");
    }
    let folder = folder();
    done(&folder, &["new", "uses", "--lang", "python", "--kind", "analyzer", "--schema", PRODUCT]);
    let file = folder.path("uses/module.py");
    let text = fs::read_to_string(&file).expect("the module");
    let text = text.replace("    count += 1\n", "    count += 1\n    use()\n");
    assert!(text.contains("    use()\n"), "{text}");
    fs::write(&file, text + USES).expect("written");
    assert!(guide.contains("import _strptime, encodings.cp1252"), "the guide does not say what has to be imported");
    done(&folder, &["build", "--no-check", "uses"]);
    let printed = done(&folder, &["test", "uses"]);
    assert!(printed.contains("case first ... ok"), "{printed}");
}

#[test]
fn names_that_mean_something_else_are_refused_with_the_reason() {
    let folder = folder();
    for (language, name, why) in [
        ("c", "bespoke", "another file in `bindings/` is called so"),
        ("javascript", "imports", "another file in `bindings/` is called so"),
        ("typescript", "bespoke", "another file in `bindings/` is called so"),
        ("go", "sort", "it means a package of Go's own, or a program"),
        ("go", "main", "it means a package of Go's own, or a program"),
    ] {
        let ended = folder.host(&["new", name, "--lang", language, "--schema", PRODUCT]);
        ended.must_end(64);
        let said = format!(
            "error: no module `{name}`\n  because: `{name}` cannot be the name of a module in {language}: {why}; choose \
             another, such as `{name}-check`\n"
        );
        assert_eq!(ended.stderr, said);
        assert!(!folder.path(name).exists(), "{name} is left behind");
    }
    // It means nothing where no file is called so.
    folder.host(&["new", "imports", "--lang", "c", "--schema", PRODUCT]).must_end(0);
}

/// A header of the world's name takes no place of the system's.
#[test]
fn a_module_in_c_may_be_called_as_a_header_is() {
    let folder = folder();
    done(&folder, &["new", "time", "--lang", "c", "--schema", PRODUCT]);
    let file = folder.path("time/module.c");
    let text = fs::read_to_string(&file).expect("the module");
    fs::write(&file, format!("#include <time.h>\nstruct tm moment;\n{text}")).expect("written");
    done(&folder, &["build", "time"]);
}

/// On a machine that has nothing, and where nothing may be fetched.
#[test]
fn what_is_missing_is_told_with_what_brings_it() {
    let folder = folder();
    let python = "error: python3 is missing: install Python 3.10 or later with its module venv (on Debian and Ubuntu: apt \
                  install python3 python3-venv)\n";
    let node = "error: npm is missing: install Node.js 20 or later with npm (https://nodejs.org; on Debian and Ubuntu: apt \
                install nodejs npm)\n";
    let go = "error: go is missing: install Go 1.24 or later (https://go.dev/dl; on Debian and Ubuntu: apt install golang-go)\n";
    let rust = "error: cargo is missing: install Rust from https://rustup.rs\n";
    let offline = |tool: &str, command: &str| {
        format!("error: {tool} is missing, and `--offline` forbids to fetch it; it is put in place by: {command}\n")
    };
    let venv = |package: &str| {
        let folder = format!("none/{}", package.replace("==", "-"));
        let fetch = "bin/python -m pip install --quiet --disable-pip-version-check";
        offline(package, &format!("python3 -m venv {folder} && {folder}/{fetch} {package} && touch {folder}/.whole"))
    };
    let script = {
        let folder = "none/javascript-componentize-qjs-0.4.5-esbuild-0.28.2";
        let install = "npm install --no-audit --no-fund --no-save --ignore-scripts --silent --prefix";
        offline(
            "componentize-qjs@0.4.5 and esbuild@0.28.2",
            &format!("{install} {folder} componentize-qjs@0.4.5 esbuild@0.28.2 && touch {folder}/.whole"),
        )
    };
    for (language, without_path, without_net) in [
        ("python", python, venv("componentize-py==0.25.1")),
        ("javascript", node, script.clone()),
        ("typescript", node, script),
        ("go", go, go.to_owned()),
        ("c", python, venv("ziglang==0.16.0")),
        ("rust", rust, rust.to_owned()),
    ] {
        let name = format!("in-{language}");
        done(&folder, &["new", &name, "--lang", language, "--schema", PRODUCT]);
        let told = |arguments: &[&str]| {
            let output = host(&folder, arguments).env("PATH", folder.path("bin")).output().expect("the program");
            assert_eq!(output.status.code(), Some(1), "{language}");
            String::from_utf8_lossy(&output.stderr).lines().filter(|line| line.starts_with("error")).collect::<String>()
                + "\n"
        };
        assert_eq!(told(&["build", &name, "--tools", "none"]), without_path);
        fs::remove_dir_all(folder.path("none")).unwrap_or_default();
        assert_eq!(told(&["build", &name, "--tools", "none", "--offline"]), without_net);
        assert!(!folder.path("none").exists(), "{language}: something was fetched");
    }
}
