//! Two clusters by name in one pipeline file: it runs on that of its log, and commands name either.

use std::fs;

use super::secured::Secured;
use crate::contract::kafka::{brokers, prefix};
use crate::support::{Folder, top};

#[test]
fn a_pipeline_runs_on_one_cluster_and_commands_name_any() {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let (name, (secured, properties)) = (format!("{}named", prefix()), Secured::get().sasl());
    let (raw, out) = (format!("{name}.raw"), format!("{name}.out"));
    let text = format!(
        r#"
name = "{name}"
create_topics = true

[log]
kind = "kafka"
cluster = "open"

[clusters.open]
bootstrap = "{}"

[clusters.guarded]
bootstrap = "{secured}"

[clusters.guarded.properties]
{properties}

[schemas]
ids = "ids.json"

[topics]
"{raw}" = {{ schema = "product" }}

[[stage]]
name = "processor"
module = "modules/processor.wasm"
from = "{raw}"
to = "{out}"
"#,
        brokers()
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    let feed = ["feed", "generate", "--to", &raw, "--count"];
    folder.host(&[&feed[..], &["5"]].concat()).must_end(0);
    folder.host(&[&feed[..], &["7", "--cluster", "guarded"]].concat()).must_end(0);
    let on = |cluster: &str, topic: &str| {
        let read = folder.host(&["topics", "read", topic, "--until-end", "--cluster", cluster]);
        read.must_end(0).stdout.lines().count()
    };
    assert_eq!([on("open", &raw), on("guarded", &raw)], [5, 7]);

    folder.host(&["run", "--until-end"]).must_end(0);
    assert_eq!(on("open", &out), 5);
    let list = folder.host(&["topics", "list", "--cluster", "guarded"]);
    assert!(list.must_end(0).stdout.contains(&raw), "{}", list.stdout);
    folder.host(&["run", "--until-end", "--set", "log.cluster=guarded"]).must_end(0);
    assert_eq!([on("open", &out), on("guarded", &out)], [5, 7]);

    let wrong = folder.host(&["topics", "list", "--cluster", "guard"]);
    assert!(wrong.must_end(64).stderr.contains("it has guarded, open"), "{}", wrong.stderr);
}
