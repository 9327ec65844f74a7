//! The product feed runs on Kafka as it does on the embedded log, and once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::log::Log as _;
use host::log::kafka::Guarantee;
use host::table::TableStore as _;
use host::table::sqlite::SqliteFile;

use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::all_kept;
use crate::support::services;

/// What comes of `feed.jsonl`: see the comments in `examples/products/pipeline.toml`.
const ANALYSES: usize = 1990;
const DEAD_LETTERS: usize = 10;

fn must_end(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_product_feed_runs_on_kafka_once() {
    let brokers = brokers();
    let prefix = prefix();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let example = top.join("examples/products");
    let folder = tempfile::tempdir().unwrap();
    // Names of its own, and the folders of the example.
    let text = fs::read_to_string(example.join("kafka.toml")).unwrap();
    let text = text
        .replace("bespoke.avro.", &prefix)
        .replace("\"products\"", &format!("\"{prefix}products\""))
        .replace("../../schemas", top.join("schemas").to_str().unwrap())
        .replace("feed.jsonl", example.join("feed.jsonl").to_str().unwrap())
        .replace("modules/", &format!("{}/modules/", example.display()));
    let file = folder.path().join("kafka.toml");
    fs::write(&file, text).unwrap();
    let host = |file: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command.args(["run", "--until-end"]).arg(file);
        command.env("BROKERS", brokers).env("REGISTRY", services::registry().address());
        command.env("XDG_CACHE_HOME", folder.path().join("cache"));
        command
    };
    let log = open(brokers, Guarantee::ExactlyOnce, &[]);
    // The second run finds nothing to do.
    for _ in 0..2 {
        must_end(&mut host(&file));
        let count = |topic: &str| all_kept(&log, topic).len();
        assert_eq!(count(&format!("{prefix}product.analysis")), ANALYSES);
        assert_eq!(count(&format!("{prefix}products.dead-letters")), DEAD_LETTERS);
    }
    // Beside Kafka the same rows as in the log.
    let log_file = folder.path().join("log.db");
    let mut run = host(&example.join("pipeline.toml"));
    run.arg("--set").arg(format!("log.path={}", log_file.display()));
    run.arg("--set").arg(format!("schemas.ids={}", folder.path().join("ids.json").display()));
    must_end(&mut run);
    let rows = |file: PathBuf| SqliteFile::new(file).top("product_analysis", usize::MAX).unwrap();
    let beside = rows(folder.path().join(format!("data/{prefix}products.tables.db")));
    assert!(!beside.1.is_empty());
    assert_eq!(beside, rows(log_file));
    let letters = log.topic(&format!("{prefix}products.dead-letters")).unwrap().unwrap();
    assert_eq!(letters.partitions.len(), 1);
}
