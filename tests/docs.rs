//! What the documentation says to type works: the commands of the README's quick start and of pages, run as they stand there by
//! a shell, one block after the other, with the built host, in a copy of what they name.
//!
//! A block is fenced and tagged `sh`. Each starts at the top of the copy, as a reader would. Those of the section on Kafka run
//! on the services of the tests, whose ports are others.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{services, tools};

/// What the commands use, from the top of the repository.
const USED: [&str; 2] = ["examples/products", "schemas"];
const OPENS: &str = "```sh";
const CLOSES: &str = "```";
/// Needs more than the quick start does.
const ON_KAFKA: &str = "## On Kafka";
/// What `make services` starts: all brokers, one, the registry, Cassandra.
const USUAL: [&str; 4] = [
    "localhost:9092,localhost:9093,localhost:9094",
    "localhost:9092",
    "http://localhost:8081/apis/ccompat/v7",
    "localhost:9042",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect("a readable file")
}

/// The blocks that are tagged `sh`, each with the line on which it begins.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == OPENS {
            let block: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != CLOSES).collect();
            blocks.push((number + 1, block.join("\n")));
        }
    }
    blocks
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a readable folder") {
        let from = entry.expect("an entry").path();
        let name = from.file_name().expect("a name");
        // What an earlier run of the example has left is not part of it.
        if from.is_dir() && name != "data" {
            copy(&from, &to.join(name));
        } else if from.is_file() {
            fs::copy(&from, to.join(name)).expect("a copied file");
        }
    }
}

/// Runs a block with the built host first in the search path.
fn run(block: &str, folder: &Path) -> Output {
    let host = Path::new(env!("CARGO_BIN_EXE_host")).parent().expect("a folder").to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([host].into_iter().chain(env::split_paths(&others))).expect("a search path");
    Command::new("sh")
        .args(["-eu", "-c", block])
        .current_dir(folder)
        .env("PATH", path)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        // Tools for modules are fetched once, not by every test.
        .env("BESPOKE_TOOLS", tools())
        .output()
        .expect("a shell")
}

/// The blocks of the quick start and those on Kafka.
fn blocks_of_readme() -> [Vec<(usize, String)>; 2] {
    let text = read("README.md");
    let begin = text.lines().position(|line| line == ON_KAFKA).expect("a section on Kafka");
    let (before, after) = blocks(&text).into_iter().partition(|(line, _)| *line < begin);
    [before, after]
}

/// A copy of what the commands use.
fn copied() -> tempfile::TempDir {
    let modules = repository().join("examples/products/modules/processor.wasm");
    assert!(modules.exists(), "build the modules first: make guests");
    let folder = tempfile::tempdir().expect("a folder");
    for used in USED {
        copy(&repository().join(used), &folder.path().join(used));
    }
    folder
}

#[test]
fn every_command_on_kafka_works() {
    let [_, blocks] = blocks_of_readme();
    assert!(blocks.len() >= 2, "the section has {} blocks of commands", blocks.len());
    let folder = copied();
    let [all, one, registry, cassandra] = USUAL;
    let here = |text: &str| {
        let text = text.replace(registry, services::registry().address());
        let text = text.replace(cassandra, services::cassandra().address());
        text.replace(all, services::kafka().address()).replace(one, services::kafka().address())
    };
    for file in ["kafka.toml", "cassandra.toml"] {
        let file = folder.path().join("examples/products").join(file);
        fs::write(&file, here(&fs::read_to_string(&file).expect("the example"))).expect("written");
    }
    for (line, block) in blocks {
        let output = run(&here(&block), folder.path());
        let (told, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "README.md:{line}: {}\n{block}\n{told}", output.status);
        if block.contains("topics describe") {
            let is_well = printed.contains("products.analyzer") && !printed.contains('!');
            assert!(is_well, "README.md:{line}: something is wrong\n{printed}");
        }
        if block.contains("topics read") {
            assert!(printed.contains("sku-"), "README.md:{line}: there are no alerts\n{printed}\n{told}");
        }
        if block.contains("table show") {
            assert!(
                printed.contains("mean") || printed.contains("sku-"),
                "README.md:{line}: there is no table\n{printed}\n{told}"
            );
        }
        if block.contains("feed generate") {
            assert!(printed.contains("10000 records written"), "README.md:{line}: not fed\n{printed}\n{told}");
        }
    }
}

/// People with docker get the same.
#[test]
fn the_composition_is_what_make_services_starts() {
    let composition = read("compose.yaml");
    for (service, image) in [("kafka", "apache/kafka"), ("registry", "apicurio/apicurio-registry")] {
        let versions = read(&format!("tests/services/{service}/pom.xml"));
        let tag = composition.split_once(&format!("image: {image}:")).expect("an image").1;
        let version = tag.split_whitespace().next().expect("a version");
        assert!(versions.contains(&format!("<version>{version}</version>")), "{service} is not {version}");
    }
    for port in [9092, 9093, 9094, 8081] {
        assert!(composition.contains(&format!("ports: [\"{port}:")), "{port}");
    }
    USUAL.iter().for_each(|address| assert!(composition.contains(address), "{address}"));
    // What is stopped keeps its data: schemas as long as the records that name them.
    let (_, kept) = composition.split_once("\nvolumes:\n").expect("volumes");
    let kept: Vec<&str> = kept.lines().filter_map(|line| line.trim().strip_suffix(':')).collect();
    assert_eq!(kept, ["cassandra", "kafka-1", "kafka-2", "kafka-3", "registry"]);
    let (_, registry) = composition.split_once("  registry:\n").expect("a registry");
    let (registry, _) = registry.split_once("\n\n").expect("more");
    let (_, mounted) = registry.split_once("volumes: [\"registry:").expect("a volume");
    let folder = mounted.split('"').next().expect("its place");
    let properties = read("tests/services/registry/application.properties");
    for line in
        properties.lines().filter(|line| line.starts_with("apicurio.c") || line.starts_with("apicurio.datasource.url"))
    {
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        // As environment variables of MicroProfile Config are called.
        let name = name.to_ascii_uppercase().replace(['.', '-'], "_");
        let value = value.replace("$dir/data", folder);
        let is_set =
            [format!("{name}: {value}"), format!("{name}: \"{value}\"")].iter().any(|set| registry.contains(set));
        assert!(is_set, "{name} is not {value}");
    }
}

#[test]
fn every_command_of_the_quick_start_works() {
    let [blocks, _] = blocks_of_readme();
    assert!(blocks.len() >= 5, "the README has {} blocks of commands", blocks.len());
    let folder = copied();
    for (line, block) in blocks {
        let output = run(&block, folder.path());
        let (told, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "README.md:{line}: {}\n{block}\n{told}", output.status);
        if block.contains("--module") {
            assert!(printed.contains("\"price_band\""), "README.md:{line}: the module answered nothing\n{told}");
        }
        if block.contains("table show") {
            assert!(printed.contains("sku-"), "README.md:{line}: the table is empty\n{printed}\n{told}");
        }
    }
    assert!(
        fs::read_to_string(folder.path().join("product.wit")).expect("what was written").contains("world processor")
    );
}

/// What the page of a language says makes a module that answers, and that is there again without being built.
fn guide_works(page: &str) {
    let folder = copied();
    let blocks = blocks(&read(&format!("docs/guides/{page}.md")));
    let mut answered = false;
    for (line, block) in blocks {
        let output = run(&block, folder.path());
        let (told, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{page}.md:{line}: {}\n{block}\n{printed}\n{told}", output.status);
        if block.contains("host feed generate --count 5") {
            assert_eq!(printed.matches("\"sku-").count(), 5, "{page}.md:{line}: {printed}\n{told}");
            answered = true;
            let again = run("host build --no-check --offline price-check", folder.path());
            assert!(String::from_utf8_lossy(&again.stdout).contains("is up to date"), "{again:?}");
        }
        if block.contains("unittest") {
            assert!(told.contains("Ran 1 test"), "{page}.md:{line}: {printed}\n{told}");
        }
    }
    assert!(answered, "no command of {page} has a module answer");
}

#[test]
fn the_commands_for_editing_work() {
    let folder = copied();
    let blocks = blocks(&read("docs/guides/README.md"));
    assert!(!blocks.is_empty(), "the page has no commands");
    for (line, block) in blocks {
        let output = run(&block, folder.path());
        let (told, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "README.md:{line}: {}\n{block}\n{told}", output.status);
        let is_built = told.contains("built price-check/price-check.wasm");
        assert!(is_built && printed.matches("\"sku-").count() == 30, "README.md:{line}: {printed}\n{told}");
    }
}

#[test]
fn the_guide_of_python_works() {
    guide_works("python");
}

#[test]
fn the_guide_of_javascript_works() {
    guide_works("javascript");
}

#[test]
fn the_guide_of_go_works() {
    guide_works("go");
}

#[test]
fn the_guide_of_c_works() {
    guide_works("c");
}

#[test]
fn the_guide_of_rust_works() {
    guide_works("rust");
}

#[test]
fn every_command_of_the_page_on_tests_works() {
    let blocks = blocks(&read("docs/testing.md"));
    assert!(blocks.len() >= 4, "the page has {} blocks of commands", blocks.len());
    let folder = copied();
    for used in ["guests/built/c", "tests/conformance/analyzer"] {
        assert!(repository().join(used).exists(), "there is no {used}: run `make guests-all`");
        copy(&repository().join(used), &folder.path().join(used));
    }
    let mut all = String::new();
    for (line, block) in blocks {
        let output = run(&block, folder.path());
        let (told, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "docs/testing.md:{line}: {}\n{block}\n{told}{printed}", output.status);
        all += &printed;
    }
    for said in [
        "case prices ... written",
        "case prices ... ok",
        "\"rejected\"",
        "100 records of",
        "case newest ... ok",
        "analyzer.wasm: ",
    ] {
        assert!(all.contains(said), "nothing says {said:?}\n{all}");
    }
}

#[test]
fn every_command_of_the_guide_to_swaps_works() {
    let blocks = blocks(&read("docs/swap.md"));
    assert!(blocks.len() >= 5, "the guide has {} blocks of commands", blocks.len());
    let folder = copied();
    for (line, block) in blocks {
        let output = run(&block, folder.path());
        let (told, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "docs/swap.md:{line}: {}\n{block}\n{told}", output.status);
        let words: &[&str] = match &block {
            block if block.contains("modules who") => {
                &["made by stage processor", "handled by stage processor", "was live"]
            }
            block if block.contains("compare") => &["different  nothing"],
            block if block.contains("rollback") => &["is to run"],
            _ => &[],
        };
        words.iter().for_each(|word| assert!(printed.contains(word), "docs/swap.md:{line}: no `{word}`\n{printed}"));
    }
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("bench/README.md"), PathBuf::from("wit/README.md")];
    for folder in ["docs", "docs/decisions", "docs/guides"] {
        let entries = fs::read_dir(repository().join(folder)).expect("a readable folder");
        let paths = entries.map(|entry| Path::new(folder).join(entry.expect("an entry").file_name()));
        pages.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    let mut broken = Vec::new();
    for page in pages {
        let text = fs::read_to_string(repository().join(&page)).expect("a readable page");
        // What stands between backticks is code: there, brackets are no links.
        let prose = text.split('`').step_by(2).collect::<String>();
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or(target);
            let inside = !target.contains("://") && !file.is_empty();
            if inside && !repository().join(&page).with_file_name(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn only_blocks_of_commands_are_run() {
    let text = "text\n```sh\na\nb\n```\n```toml\nc\n```\n    d\n```sh\ne\n```\n";
    assert_eq!(blocks(text), [(2, "a\nb".to_owned()), (10, "e".to_owned())]);
}
