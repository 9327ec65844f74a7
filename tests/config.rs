//! What a pipeline file means, and what is said about one that means nothing.
//!
//! A case is a folder in `tests/config`: `pipeline.toml` and either `expected.txt` (the pipeline as it was understood) or
//! `error.txt` (all that was said). `set.txt` holds `--set` overrides, one a line. With `BESPOKE_BLESS=1` in the
//! environment the answers are written anew, to be read before they are committed.

use std::fs;
use std::path::Path;

use host::config::Pipeline;

/// The only variables that the cases see.
const ENVIRONMENT: [(&str, &str); 2] = [("DATA", "elsewhere"), ("EMPTY", "")];

fn case(dir: &Path) {
    let text = fs::read_to_string(dir.join("pipeline.toml")).expect("a pipeline.toml");
    let overrides: Vec<String> =
        fs::read_to_string(dir.join("set.txt")).unwrap_or_default().lines().map(str::to_owned).collect();
    let env = |name: &str| ENVIRONMENT.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    let (file, answer) = match Pipeline::parse(&text, "pipeline.toml", Path::new("here"), &overrides, &env) {
        Ok(pipeline) => ("expected.txt", format!("{pipeline:#?}\n")),
        Err(error) => ("error.txt", format!("{error}\n")),
    };
    if std::env::var_os("BESPOKE_BLESS").is_some() {
        fs::write(dir.join(file), &answer).expect("the folder is writable");
    }
    let expected = fs::read_to_string(dir.join(file)).unwrap_or_else(|_| panic!("{dir:?} has no {file}:\n{answer}"));
    similar_asserts::assert_eq!(expected, answer, "{:?}", dir);
}

fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn every_case_is_understood_as_it_says() {
    let mut cases: Vec<_> = fs::read_dir(top().join("tests/config"))
        .expect("the folder of cases")
        .map(|entry| entry.expect("readable").path())
        .collect();
    cases.sort();
    assert!(cases.len() > 5, "cases are missing");
    cases.iter().for_each(|dir| case(dir));
}

#[test]
fn every_example_is_a_legal_pipeline() {
    for entry in fs::read_dir(top().join("examples")).expect("examples") {
        let file = entry.expect("readable").path().join("pipeline.toml");
        if let Err(error) = Pipeline::load(&file, &[]) {
            panic!("{error}");
        }
    }
}

/// The heading under which `docs/configuration.md` describes a type of `config/raw.rs`.
const HEADINGS: [(&str, &str); 15] = [
    ("Pipeline", "## The file"),
    ("Log", "## [log]"),
    ("Cluster", "## [clusters.NAME]"),
    ("Schemas", "## [schemas]"),
    ("Topic", "## [topics]"),
    ("Feed", "## [[feed]]"),
    ("Generate", "### feed.generate"),
    ("Stage", "## [[stage]]"),
    ("Limits", "### stage.limits"),
    ("Budget", "### stage.budget"),
    ("Output", "### stage.to"),
    ("Sink", "## [[sink]]"),
    ("Cassandra", "## [cassandra]"),
    ("Table", "## [tables.NAME]"),
    ("DeadLetters", "## [dead_letters]"),
];

#[test]
fn the_page_on_configuration_has_every_key_and_no_other() {
    let raw = fs::read_to_string(top().join("host/src/config/raw.rs")).expect("the types");
    let page = fs::read_to_string(top().join("docs/configuration.md")).expect("the page");
    let mut types = 0;
    for block in raw.split("\npub struct ").skip(1) {
        let (first, rest) = block.split_once('\n').expect("a block");
        let Some(name) = first.strip_suffix(" {") else { continue };
        let fields: Vec<&str> = rest
            .lines()
            .take_while(|line| *line != "}")
            .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
            .map(|(field, _)| field)
            .collect();
        let heading = HEADINGS.iter().find(|(ty, _)| *ty == name).unwrap_or_else(|| panic!("no heading for {name}")).1;
        let section = page.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n#").next().expect("a first part");
        let keys: Vec<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key).collect();
        assert_eq!(fields, keys, "under {heading}");
        types += 1;
    }
    assert_eq!(types, HEADINGS.len());
}
