//! A case: a folder that says what a module gets and how it is given. What must come of it is [`super::expect`]'s affair.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use bespoke_boundary::Schema;
use bespoke_record::{Batch, BatchBuilder, Entry};
use bytes::Bytes;
use serde::Deserialize;

use super::input::{self, About};
use crate::cli::failure::Usage;
use crate::command::alone::OUTPUT;
use crate::command::{alone, schema_in};
use crate::config::Scalar;
use crate::module::Limits;

/// What a case's records are written to, in either format.
pub(super) const INPUTS: [&str; 2] = ["input.jsonl", "input.avro"];
/// What is known of the records besides their values.
pub(super) const META: &str = "meta.jsonl";
/// What is handed to the module's `configure`.
pub(super) const SETTINGS: &str = "settings.toml";
/// Everything else that can be said of a case.
pub(super) const CASE: &str = "case.toml";
/// How the file of a schema ends.
const SCHEMA: &str = "avsc";

/// When a case happens unless it says so: where the load generator begins, 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;
/// Records of a call unless the case says so, as in a pipeline.
const BATCH_RECORDS: u32 = 1024;
const MB: usize = 1 << 20;

/// A case as it is run.
pub(super) struct Case {
    /// The name of its folder.
    pub name: String,
    pub folder: PathBuf,
    /// The schema of its records.
    pub schema: Arc<Schema>,
    /// What the topic of the records is called.
    pub topic: String,
    pub settings: Vec<(String, String)>,
    pub limits: Limits,
    /// When it begins.
    pub start_ms: i64,
    pub seed: u64,
    /// Schemas of outputs, for those that are not derived.
    pub outputs: BTreeMap<String, Arc<Schema>>,
    /// Where each record of the input is: its partition and offset.
    pub places: Vec<(u32, i64)>,
    /// What each call gets, with the partition. The module is started again between lives, with the state that it had.
    pub lives: Vec<Vec<(u32, Batch)>>,
    /// The partitions of its records; of none without records.
    pub partitions: BTreeSet<u32>,
    /// The state that each partition begins with.
    pub states: BTreeMap<u32, Bytes>,
    pub tolerances: Vec<Tolerance>,
}

/// What `case.toml` says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    schema: Option<PathBuf>,
    output: Option<OutputSchemas>,
    topic: Option<String>,
    time: Option<toml::Value>,
    seed: Option<u64>,
    batch_records: Option<Sizes>,
    #[serde(default)]
    restart_after: Vec<usize>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    tolerance: Vec<Tolerance>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    memory_mb: Option<NonZeroU32>,
    time_ms: Option<NonZeroU32>,
    answer_mb: Option<NonZeroU32>,
}

/// The file of the one output's schema, or files by the names of outputs.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OutputSchemas {
    One(PathBuf),
    Named(BTreeMap<String, PathBuf>),
}

/// Records of each call: the same of all, or one number for each, of which the last one stays.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Sizes {
    All(NonZeroU32),
    Each(Vec<NonZeroU32>),
}

/// How far a number may be from the expected one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tolerance {
    /// The field of the output's records.
    pub field: String,
    /// The difference that is allowed.
    #[serde(default)]
    pub absolute: f64,
    /// The same as a share of the expected number.
    #[serde(default)]
    pub relative: f64,
    /// Why it cannot be exact. Who reads the case wants to know; nothing is made of it.
    #[serde(rename = "reason")]
    pub _reason: String,
}

impl Case {
    /// Reads a folder.
    ///
    /// # Errors
    /// What is wrong with one of its files, by the name of the file.
    pub fn read(folder: &Path) -> Result<Self> {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let raw: Raw = parse(&folder.join(CASE))?.unwrap_or_default();
        let settings: BTreeMap<String, Scalar> = parse(&folder.join(SETTINGS))?.unwrap_or_default();
        let within = |path: &PathBuf| folder.join(path);
        let input = input_of(folder)?;
        let schema = match &raw.schema {
            Some(path) => Arc::new(schema_in(&within(path))?),
            None => find_schema(folder, input.as_deref())?,
        };
        let outputs = match raw.output {
            None => BTreeMap::new(),
            Some(OutputSchemas::One(path)) => {
                BTreeMap::from([(OUTPUT.to_owned(), Arc::new(schema_in(&within(&path))?))])
            }
            Some(OutputSchemas::Named(paths)) => {
                let read = |(name, path): (String, PathBuf)| Ok((name, Arc::new(schema_in(&within(&path))?)));
                paths.into_iter().map(read).collect::<Result<_>>()?
            }
        };
        let start_ms = raw.time.as_ref().map(|time| moment(&folder.join(CASE), time)).transpose()?.unwrap_or(START_MS);
        let values = input.as_deref().map(|path| input::values(path, &schema)).transpose()?.unwrap_or_default();
        let abouts = input::abouts(&folder.join(META), values.len(), start_ms)?;
        let mut partitions: BTreeSet<u32> = abouts.iter().map(|about| about.partition).collect();
        if partitions.is_empty() {
            partitions.insert(0);
        }
        let states = states(folder, &partitions)?;
        Ok(Self {
            name,
            schema,
            topic: raw.topic.unwrap_or_else(|| "input".to_owned()),
            settings: settings.into_iter().map(|(name, value)| (name, value.0)).collect(),
            limits: raw.limits.into(),
            start_ms,
            seed: raw.seed.unwrap_or(1),
            outputs,
            places: abouts.iter().map(|about| (about.partition, about.offset)).collect(),
            lives: lives(&values, &abouts, raw.batch_records.as_ref(), &raw.restart_after)?,
            partitions,
            states,
            tolerances: raw.tolerance,
            folder: folder.to_owned(),
        })
    }
}

impl From<RawLimits> for Limits {
    fn from(raw: RawLimits) -> Self {
        let default = Self::default();
        let bytes = |mb: Option<NonZeroU32>, default| mb.map_or(default, |mb| mb.get() as usize * MB);
        Self {
            memory_bytes: bytes(raw.memory_mb, default.memory_bytes),
            time_ms: raw.time_ms.map_or(default.time_ms, |ms| ms.get().into()),
            answer_bytes: bytes(raw.answer_mb, default.answer_bytes),
        }
    }
}

impl Sizes {
    /// Records of a call, counted from 0.
    fn of(&self, call: usize) -> usize {
        let size = match self {
            Self::All(size) => Some(size),
            Self::Each(sizes) => sizes.get(call).or(sizes.last()),
        };
        size.map_or(BATCH_RECORDS, |size| size.get()) as usize
    }
}

/// The folders of all cases, by name.
///
/// # Errors
/// If there is none, or the folder cannot be read.
pub(super) fn folders(cases: &Path) -> Result<Vec<PathBuf>> {
    let is_case = |folder: &Path| INPUTS.iter().chain(&[CASE, SETTINGS]).any(|file| folder.join(file).exists());
    // Who names a case means that one.
    if is_case(cases) {
        return Ok(vec![cases.to_owned()]);
    }
    if !cases.is_dir() {
        let what = format!("there is no folder `{}`", cases.display());
        return Err(Usage::new(what).hint("name the folder of the cases, with --cases DIR").into());
    }
    let entries = std::fs::read_dir(cases).with_context(|| format!("`{}` cannot be read", cases.display()))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.is_dir() && !is_hidden(path));
    found.sort();
    if let Some(other) = found.iter().find(|folder| !is_case(folder)) {
        let what = format!("`{}` is not a case: it has neither {} nor {CASE}", other.display(), INPUTS.join(", "));
        return Err(Usage::new(what).into());
    }
    if found.is_empty() {
        let what = format!("there are no cases in `{}`", cases.display());
        let hint = "make a folder there with an input.jsonl, and `host test --bless` writes what the module answers";
        return Err(Usage::new(what).hint(hint).into());
    }
    Ok(found)
}

/// Whether a name is none that a person gave.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with('.') || name.ends_with('~')
    })
}

/// Whether a file may stand in the folder of a case beside what is expected.
pub(super) fn is_given(name: &str) -> bool {
    let is_text = [SCHEMA, "md"].iter().any(|end| Path::new(name).extension().is_some_and(|e| e == *end));
    is_text || [CASE, SETTINGS, META].contains(&name) || INPUTS.contains(&name) || name.starts_with("state-before.")
}

/// The schema of the nearest folder that has one: that of the case, which need not be there yet, of the cases, of the
/// project.
///
/// # Errors
/// If a folder has several.
pub(super) fn nearest_schema(folder: &Path) -> Result<Option<PathBuf>> {
    let whole = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    let whole = whole.with_context(|| format!("`{}` cannot be read", folder.display()))?;
    for near in whole.ancestors().take(3).filter(|near| near.is_dir()) {
        let entries = std::fs::read_dir(near).with_context(|| format!("`{}` cannot be read", near.display()))?;
        let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.retain(|path| path.extension().is_some_and(|e| e == SCHEMA));
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Some(one.clone())),
            _ => {
                let what = format!("there are several schemas in `{}`", near.display());
                return Err(Usage::new(what).hint(format!("name one with `schema = \"…\"` in {CASE}")).into());
            }
        }
    }
    Ok(None)
}

fn find_schema(folder: &Path, input: Option<&Path>) -> Result<Arc<Schema>> {
    if let Some(path) = nearest_schema(folder)? {
        return Ok(Arc::new(schema_in(&path)?));
    }
    match input.map(input::own_schema).transpose()?.flatten() {
        Some(schema) => Ok(schema),
        None => {
            let what = format!("the schema of case `{}` is not known", folder.display());
            let hint =
                format!("put its .avsc into the folder of the project, or name it with `schema = \"…\"` in {CASE}");
            Err(Usage::new(what).hint(hint).into())
        }
    }
}

fn input_of(folder: &Path) -> Result<Option<PathBuf>> {
    let mut found: Vec<PathBuf> = INPUTS.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect();
    if found.len() > 1 {
        let what = format!("case `{}` has both {}; take one away", folder.display(), INPUTS.join(" and "));
        return Err(Usage::new(what).into());
    }
    Ok(found.pop())
}

/// Reads a file of TOML, if it is there.
fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("`{}` cannot be read", path.display())),
    };
    toml::from_str(&text).map(Some).map_err(|e| Usage::new(format!("`{}`: {e}", path.display())).into())
}

fn moment(path: &Path, value: &toml::Value) -> Result<i64> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let wrong = |_| Usage::new(format!("`{}`: `time` must be like 2026-01-31T12:00:00Z, not `{text}`", path.display()));
    Ok(text.parse::<jiff::Timestamp>().map_err(wrong)?.as_millisecond())
}

/// The name of the file with the state of a partition.
pub(super) fn state_file(when: &str, partition: u32, partitions: &BTreeSet<u32>) -> String {
    if partitions.len() > 1 { format!("state-{when}.{partition}.bin") } else { format!("state-{when}.bin") }
}

fn states(folder: &Path, partitions: &BTreeSet<u32>) -> Result<BTreeMap<u32, Bytes>> {
    let mut states = BTreeMap::new();
    for partition in partitions {
        let path = folder.join(state_file("before", *partition, partitions));
        if path.exists() {
            let state = std::fs::read(&path).with_context(|| format!("`{}` cannot be read", path.display()))?;
            states.insert(*partition, state.into());
        }
    }
    Ok(states)
}

/// Cuts the records into calls, and the calls into lives.
fn lives(
    values: &[Option<Vec<u8>>],
    abouts: &[About],
    sizes: Option<&Sizes>,
    restart_after: &[usize],
) -> Result<Vec<Vec<(u32, Batch)>>> {
    let default = Sizes::Each(Vec::new());
    let sizes = sizes.unwrap_or(&default);
    let (mut lives, mut calls, mut call) = (Vec::new(), Vec::new(), 0);
    let mut first = 0;
    while first < values.len() {
        let partition = abouts[first].partition;
        let most = values.len().min(first + sizes.of(call));
        let is_end = |at: &usize| abouts[*at].partition != partition || restart_after.contains(at);
        let end = (first + 1..most).find(is_end).unwrap_or(most);
        calls.push((partition, batch(&values[first..end], &abouts[first..end])?));
        (first, call) = (end, call + 1);
        if restart_after.contains(&end) {
            lives.push(std::mem::take(&mut calls));
        }
    }
    lives.push(calls);
    Ok(lives)
}

fn batch(values: &[Option<Vec<u8>>], abouts: &[About]) -> Result<Batch> {
    let mut builder = BatchBuilder::new();
    for (value, about) in values.iter().zip(abouts) {
        let framed = value.as_ref().map(|datum| [&alone::prefix()[..], datum].concat());
        let headers = about.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        builder.push(about.key.as_deref(), framed.as_deref(), headers, about.timestamp_ms)?;
    }
    let batch = builder.finish();
    let placed = batch.entries().iter().zip(abouts).map(|(entry, about)| Entry { offset: about.offset, ..*entry });
    let batch = Batch::from_parts(batch.arena().clone(), placed.collect(), batch.header_spans().to_vec());
    batch.map_err(|_| anyhow::anyhow!("no batch of {} records; this is a bug of the host", values.len()))
}
