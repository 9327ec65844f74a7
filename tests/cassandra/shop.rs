//! A topic of prices, a sink of it into Cassandra, and the table that must come of it.

use std::collections::BTreeMap;
use std::fs;

use bespoke_boundary::wire::{write_bytes, write_long};
use bespoke_record::{Batch, BatchBuilder};

use super::keyspace::Keyspace;
use crate::support::{Ended, Folder, Running, services, top};

/// The topic.
pub const PRICES: &str = "prices";
/// Its dead letters.
pub const LETTERS: &str = "shop.dead-letters";
/// The time of records, unless a test has its own.
pub const TIME_MS: i64 = 1_700_000_000_000;

const SCHEMA: &str = r#"{"type": "record", "name": "Price", "fields": [
    {"name": "id", "type": "string"},
    {"name": "price", "type": "long"},
    {"name": "note", "type": ["null", "string"]},
    {"name": "ttl", "type": ["null", "int"], "default": null}
]}"#;

/// What happens to a product.
#[derive(Clone, Debug)]
pub enum Change {
    /// It has this price, and perhaps a note.
    Set(String, i64, Option<String>),
    /// It is gone.
    Gone(String),
}

/// A folder with a pipeline that fills the table `prices` of a keyspace.
pub struct Shop {
    pub folder: Folder,
    pub keyspace: Keyspace,
    /// Set for every run.
    sets: Vec<String>,
}

pub fn set(id: &str, price: i64, note: Option<&str>) -> Change {
    Change::Set(id.to_owned(), price, note.map(str::to_owned))
}

pub fn gone(id: &str) -> Change {
    Change::Gone(id.to_owned())
}

// === impl Shop ===

impl Shop {
    /// The topic is there, and the table too unless `table` says otherwise. `table` are further keys of its description.
    pub fn new(keyspace: Keyspace, table: &str) -> Self {
        let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
        fs::create_dir(folder.path("own")).expect("a folder");
        fs::write(folder.path("own/price.avsc"), SCHEMA).expect("written");
        fs::write(folder.path("none.jsonl"), "").expect("written");
        let nodes = keyspace.nodes.split(',').map(|node| format!("{node:?}")).collect::<Vec<_>>().join(", ");
        let text = format!(
            r#"
name = "shop"

[log]
path = "log.db"
sync = "normal"
commit_interval_ms = 20

[schemas]
dir = "own"
ids = "log.schemas.json"

[topics]
"{PRICES}" = {{ schema = "price", partitions = 2 }}

[[feed]]
topic = "{PRICES}"
file = "none.jsonl"
key = ["id"]

[[sink]]
name = "sink"
from = "{PRICES}"
table = "prices"

[cassandra]
nodes = [{nodes}]
keyspace = "{}"
consistency = "quorum"

[tables.prices]
store = "cassandra"
partition_key = ["id"]
columns = ["id", "price", "note"]
{table}
"#,
            keyspace.name
        );
        fs::write(folder.path("pipeline.toml"), text).expect("written");
        Self { folder, keyspace, sets: Vec::new() }
    }

    /// The same on Kafka, with topics behind a prefix, and how the client is set up.
    pub fn on_kafka(keyspace: Keyspace, prefix: &str, properties: &str) -> Self {
        let shop = Self::new(keyspace, "");
        let path = shop.folder.path("pipeline.toml");
        let text = fs::read_to_string(&path).expect("readable");
        let log = format!(
            "create_topics = true\n[log]\nkind = \"kafka\"\nbootstrap = \"{}\"\ncommit_interval_ms = 100\nproperties = {{ {properties} }}",
            services::kafka().address()
        );
        let text = text
            .replace("[log]\npath = \"log.db\"\nsync = \"normal\"\ncommit_interval_ms = 20", &log)
            .replace("name = \"shop\"", &format!("name = \"{prefix}shop\""))
            .replace(&format!("\"{PRICES}\""), &format!("\"{prefix}{PRICES}\""))
            .replace(&format!("table = \"{prefix}"), "table = \"");
        fs::write(path, text).expect("written");
        shop.run().must_end(0);
        shop
    }

    /// The same after its first run, so that all is made.
    pub fn opened(keyspace: Keyspace, table: &str) -> Self {
        let shop = Self::new(keyspace, table);
        shop.run().must_end(0);
        shop
    }

    /// Overrides a key for all later runs.
    pub fn set(&mut self, key_and_value: &str) {
        self.sets.push(key_and_value.to_owned());
    }

    fn arguments(&self, run: &[&'static str]) -> Vec<&str> {
        let sets = self.sets.iter().flat_map(|set| ["--set", set.as_str()]);
        run.iter().copied().chain(["pipeline.toml"]).chain(sets).collect()
    }

    /// Runs until every record is in the table.
    pub fn run(&self) -> Ended {
        self.start().end()
    }

    /// The same with variables of the environment.
    pub fn run_with(&self, environment: &[(&str, &str)]) -> Ended {
        self.folder.start_with(&self.arguments(&["run", "--until-end"]), environment).end()
    }

    /// Begins to run until every record is in the table.
    pub fn start(&self) -> Running {
        self.folder.start(&self.arguments(&["run", "--until-end"]))
    }

    /// Begins to run until it is interrupted.
    pub fn start_for_ever(&self) -> Running {
        self.folder.start(&self.arguments(&["run"]))
    }

    /// Appends changes that all happen at one time.
    pub fn append(&self, changes: &[Change]) {
        self.append_at(changes, |_| TIME_MS);
    }

    /// Appends changes, each at its time.
    pub fn append_at(&self, changes: &[Change], time_ms: impl Fn(usize) -> i64) {
        self.folder.append(PRICES, &batch(changes, time_ms));
    }

    /// The table: id, note, price.
    pub fn table(&self) -> Vec<String> {
        self.keyspace.rows("SELECT id, price, note FROM {ks}.prices")
    }

    /// The same with the write timestamp of each price.
    pub fn stamped(&self) -> Vec<String> {
        self.keyspace.rows("SELECT id, price, note, writetime(price) AS stamp FROM {ks}.prices")
    }

    /// When each row was written last, by CQL.
    pub fn stamps(&self) -> Vec<String> {
        self.keyspace.rows("SELECT id, writetime(price) AS stamp FROM {ks}.prices")
    }

    /// The same as it must come of the topic, whose records are all of one time.
    pub fn stamps_of_topic(&self) -> Vec<String> {
        let mut next = BTreeMap::new();
        let mut stamps = BTreeMap::new();
        self.folder.each(PRICES, |partition, record| {
            let id = String::from_utf8(record.key().expect("a key").to_vec()).expect("text");
            let stamp = next.entry(partition).or_insert(TIME_MS * 1_000);
            match record.value() {
                Some(_) => stamps.insert(id, *stamp),
                None => stamps.remove(&id),
            };
            *stamp += 1;
        });
        let mut stamps: Vec<String> = stamps.into_iter().map(|(id, stamp)| format!("'{id}' | {stamp}")).collect();
        stamps.sort();
        stamps
    }
}

/// Changes as records of the topic: the schema is the first that was given an id.
pub fn batch(changes: &[Change], time_ms: impl Fn(usize) -> i64) -> Batch {
    let mut builder = BatchBuilder::new();
    for (index, change) in changes.iter().enumerate() {
        let (id, value) = match change {
            Change::Gone(id) => (id, None),
            Change::Set(id, price, note) => (id, Some(value(id, *price, note.as_deref(), None))),
        };
        builder.push(Some(id.as_bytes()), value.as_deref(), [], time_ms(index)).expect("room");
    }
    builder.finish()
}

/// A record of the schema behind its id.
pub fn value(id: &str, price: i64, note: Option<&str>, ttl: Option<i64>) -> Vec<u8> {
    let mut value = vec![0, 0, 0, 0, 1];
    write_bytes(&mut value, id.as_bytes());
    write_long(&mut value, price);
    match note {
        None => write_long(&mut value, 0),
        Some(note) => {
            write_long(&mut value, 1);
            write_bytes(&mut value, note.as_bytes());
        }
    }
    match ttl {
        None => write_long(&mut value, 0),
        Some(ttl) => {
            write_long(&mut value, 1);
            write_long(&mut value, ttl);
        }
    }
    value
}

/// The table that changes lead to: a note that is not told stays as it was.
pub fn model(changes: &[Change]) -> Vec<String> {
    let mut rows: BTreeMap<&str, (i64, Option<&str>)> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Gone(id) => _ = rows.remove(id.as_str()),
            Change::Set(id, price, note) => {
                let row = rows.entry(id).or_default();
                *row = (*price, note.as_deref().or(row.1));
            }
        }
    }
    let text = |(id, (price, note)): (&str, (i64, Option<&str>))| {
        format!("'{id}' | {} | {price}", note.map_or_else(|| "-".to_owned(), |note| format!("'{note}'")))
    };
    let mut rows: Vec<String> = rows.into_iter().map(text).collect();
    rows.sort();
    rows
}

/// Changes of some products in no order, the same for the same seed.
pub fn random(seed: u64, count: usize, products: u64) -> Vec<Change> {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let change = |number: usize| {
        let id = format!("p{}", random.next_u64() % products);
        match random.next_u64() % 10 {
            0 => Change::Gone(id),
            // Values that do not grow, so that the greater one is not the later one.
            1..=4 => Change::Set(id, (random.next_u64() % 1000) as i64, None),
            _ => Change::Set(id, (random.next_u64() % 1000) as i64, Some(format!("n{}", number % 7))),
        }
    };
    (0..count).map(change).collect()
}
