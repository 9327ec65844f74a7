//! The types that editors get for Python are written here and are those of componentize-py, which has its own inside of a
//! module: both are loaded by Python, and what it sees of them is compared.

use std::fs;
use std::path::Path;
use std::process::Command;

use similar_asserts::assert_eq;

use crate::projects::{BARE, NAMED};
use crate::support::{Folder, tools, top};

/// Every type that the contract has, and names that Python or one of the generators could trip over.
const WIT: &str = r#"
package local:names;

interface types {
  /// A record "with quotes".
  record product {
    /// In cents.
    price: s64,
    name: option<string>, small: u8, tall: f32, %from: bool, %list: list<string>, raw: list<u8>,
    tags: list<tuple<string, option<s32>>>, band: price-band, bands: list<option<price-band>>, nested: option<place>,
    value: product-value, http2-url: string, price2024: char, maybe: list<result<_, string>>,
    KEYWORDS
  }
  record place { x: f64, inner: product-value }
  enum price-band { in-stock, budget, none, %from }
  variant product-value { %string(string), long(s64), place(place2), nothing, %from(bool) }
  record place2 { y: f64 }
  record change { amount: s64, when: option<s64> }
  record out { rows: list<change>, others: list<product> }
}

/// What it exports.
world names {
  use types.{product, change, out};
  /// A function "with quotes".
  export process: func(records: list<product>) -> list<result<option<change>, string>>;
  export analyze: func(records: list<product>, %from: s32) -> result<out, string>;
  export configure: func(settings: list<tuple<string, string>>) -> result<_, string>;
  export snapshot: func() -> list<u8>;
  export restore: func(state: string) -> result<_, string>;
}
"#;

/// Keywords of Python, and what only sounds like one.
const KEYWORDS: &str = "and as assert async await break case class continue def del elif else except exec finally for \
    global if in is lambda match nonlocal not or pass print raise return self try while with yield true false none \
    object property super id len dict set tuple max field";

/// What Python sees of the types in a folder.
const SEEN: &str = r#"
import dataclasses, enum, inspect, json, sys, typing
sys.path.insert(0, sys.argv[1])
import componentize_py_types, wit_world
from wit_world.imports import types

def shown(hint):
    origin = typing.get_origin(hint)
    if origin is not None:
        name = {typing.Union: "Union"}.get(origin, getattr(origin, "__name__", str(origin)))
        return f"{name}[{', '.join(map(shown, typing.get_args(hint)))}]"
    return getattr(hint, "__name__", str(hint))

def hints(of):
    return {name: shown(hint) for name, hint in typing.get_type_hints(of).items()}

seen = {}
for name, value in vars(types).items():
    if getattr(value, "__module__", "") == types.__name__ and inspect.isclass(value):
        if issubclass(value, enum.Enum):
            seen[name] = {case.name: case.value for case in value}
        else:
            # Where there are no words, Python writes some.
            words = "" if value.__doc__.startswith(name + "(") else value.__doc__
            seen[name] = [hints(value), dataclasses.is_dataclass(value), words.split()]
    elif typing.get_origin(value) is typing.Union and value is not componentize_py_types.Result:
        seen[name] = shown(value)
for name, value in vars(wit_world.WitWorld).items():
    if inspect.isfunction(value) and not name.startswith("_"):
        seen[name] = [list(inspect.signature(value).parameters), hints(value)]
for name in ["Ok", "Err", "Some"]:
    value = getattr(componentize_py_types, name)
    seen["results." + name] = [[field.name for field in dataclasses.fields(value)], issubclass(value, Exception)]
print(json.dumps(seen, indent=1, sort_keys=True))
"#;

fn seen(folder: &Path, types: &str) -> String {
    let seen = Command::new("python3").args(["-c", SEEN, types]).current_dir(folder).output().expect("python3");
    assert!(seen.status.success(), "{types}: {}", String::from_utf8_lossy(&seen.stderr));
    String::from_utf8(seen.stdout).expect("text")
}

#[test]
fn types_for_python_are_those_of_componentize_py() {
    let folder = Folder::of(&top().join("tests/testing"));
    let dir = folder.path("names");
    fs::create_dir_all(dir.join("wit")).expect("a folder");
    let fields: Vec<_> = KEYWORDS.split_whitespace().map(|word| format!("%{word}: s32")).collect();
    fs::write(dir.join("wit/names.wit"), WIT.replace("KEYWORDS", &fields.join(", "))).expect("written");
    fs::write(dir.join("module.py"), "").expect("written");
    folder.host(&["build", "--bindings", "names"]).must_end(0);

    let program = tools().join("componentize-py-0.25.1/bin/componentize-py");
    assert!(program.exists(), "there is no {}: run `make guests-all`", program.display());
    let mut make = Command::new(program);
    make.args(["-q", "-d", "wit", "-w", "names", "bindings", "theirs"]).current_dir(&dir).env_remove("VIRTUAL_ENV");
    let made = make.output().expect("componentize-py");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(seen(&dir, "theirs"), seen(&dir, "bindings/types"));
}

/// A new module has them before anything is fetched or built, and its source can be loaded with them.
#[test]
fn a_new_module_in_python_has_its_types_at_once() {
    let folder = Folder::of(&top().join("tests/testing"));
    fs::write(folder.path("named.avsc"), NAMED).expect("written");
    fs::write(folder.path("bare.avsc"), BARE).expect("written");
    for (kind, name, schema) in [
        ("processor", "trim", "schemas/product.avsc"),
        ("analyzer", "mean", "schemas/product.avsc"),
        ("processor", "named", "named.avsc"),
        ("processor", "filter", "bare.avsc"),
        ("analyzer", "count", "bare.avsc"),
    ] {
        let new = ["new", name, "--lang", "python", "--kind", kind, "--schema", schema];
        folder.host(&new).must_end(0);
        let loaded = Command::new("python3")
            .args(["-c", "import module; module.WitWorld()"])
            .env("PYTHONPATH", "bindings/types:bindings/sdk")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(folder.path(name))
            .output()
            .expect("python3");
        assert!(loaded.status.success(), "{name}: {}", String::from_utf8_lossy(&loaded.stderr));
    }
}
