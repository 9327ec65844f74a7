//! Records of a file or of standard input, in any format, as datums of a topic's schema.
//!
//! What is wrong with one line harms that line: it is handed out as [`Item::Rejected`], with its bytes. What is wrong with
//! the whole file (a header, a block) is an error. A [`Position`] can be kept, to go on there after a restart. Called by
//! feeds and by the pipe form of `run`.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use bespoke_boundary::resolve::ResolveError;
use bespoke_boundary::{Resolution, Schema};
use serde::{Deserialize, Serialize};

use super::container::{ContainerError, ContainerReader};
use super::csv::Columns;
use super::json::{JsonOptions, parse_json};
use super::lines::{ANEW, Input, Line, Lines, MAX_LINE_BYTES};

/// The format of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON value on each line.
    Jsonl,
    /// Comma-separated values with a header row.
    Csv,
    /// An Avro object container file.
    Avro,
}

/// Where records come from.
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// Anything else.
    Stream(Box<dyn io::BufRead + Send>),
}

/// How records are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// How JSON is read.
    pub json: JsonOptions,
    /// The end of the file is not the end: [`RecordReader::next`] may give more after it gave none. Not for container files.
    pub follow: bool,
}

/// Reads records.
pub struct RecordReader {
    name: String,
    schema: Arc<Schema>,
    json: JsonOptions,
    records: u64,
    form: Form,
}

enum Form {
    JsonLines(Lines),
    /// Without columns as long as a file that grows has no whole header row.
    Csv(Lines, Option<Columns>),
    /// With the resolution from the file's schema to the topic's.
    Avro(Box<ContainerReader<Input>>, Box<Resolution>),
}

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A record, whose datum was appended.
    Datum,
    /// Something that is no record.
    Rejected {
        /// Its bytes, or the first of them if it is too long.
        raw: Vec<u8>,
        /// Why.
        reason: String,
        /// The line, from 1; in a container file the record.
        line: u64,
    },
}

/// Up to where a file has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    /// Bytes of whole lines, or of whole blocks of a container file.
    pub bytes: u64,
    /// Lines in them; in a container file, records of the block that follows.
    pub lines: u64,
    /// Records and rejected lines so far.
    pub records: u64,
    /// CRC-32C of the bytes just before, at most 1 KiB, by which the file is known again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
}

/// A file that cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened or read.
    #[error("cannot read `{name}`: {source}")]
    Io {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is not the one that was read before.
    #[error("`{name}` is not what was read up to byte {bytes} before: was it replaced? {ANEW}")]
    Replaced {
        /// The file.
        name: String,
        /// Where it differs, at the latest.
        bytes: u64,
    },
    /// A CSV file whose header row does not fit.
    #[error("`{name}`: {what}")]
    Header {
        /// The file.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A container file that is none, or is damaged.
    #[error("`{name}`: {source}")]
    Container {
        /// The file.
        name: String,
        /// What is wrong.
        source: ContainerError,
    },
    /// A container file with a schema that the topic's schema cannot read.
    #[error("the records of `{name}` do not fit the topic: {source}")]
    Schema {
        /// The file.
        name: String,
        /// What does not fit.
        source: Box<ResolveError>,
    },
    /// A container file that would be followed.
    #[error("`{0}` is an Avro container file, which cannot be followed while it grows; leave out `follow`")]
    Follow(String),
}

// === impl Format ===

impl Format {
    /// By the ending of a file's name.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.parse().ok()
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "avro" => Ok(Self::Avro),
            _ => Err(format!("`{text}` is not a format: use jsonl, csv or avro")),
        }
    }
}

// === impl RecordReader ===

impl RecordReader {
    /// Opens a source and reads its header, if the format has one.
    ///
    /// # Errors
    /// If it cannot be read, or not as records of the schema.
    pub fn open(source: Source, format: Format, schema: Arc<Schema>, options: ReadOptions) -> Result<Self, ReadError> {
        let (name, input) = match source {
            Source::File(path) => {
                let name = path.display().to_string();
                let is = std::fs::metadata(&path).and_then(|is| match (is.is_file(), is.is_dir()) {
                    (true, _) => Ok(()),
                    (_, true) => Err(io::Error::from(io::ErrorKind::IsADirectory)),
                    _ => Err(io::Error::other(
                        "it is a pipe or a device, in which one cannot go back; give it as standard input, `-`",
                    )),
                });
                let file = is.and_then(|()| File::open(&path));
                let file = file.map_err(|source| ReadError::Io { name: name.clone(), source })?;
                (name, Input::File(BufReader::with_capacity(256 * 1024, file)))
            }
            Source::Stdin => (
                "standard input".to_owned(),
                Input::Stream(Box::new(BufReader::with_capacity(256 * 1024, io::stdin()))),
            ),
            Source::Stream(stream) => ("stream".to_owned(), Input::Stream(stream)),
        };
        let form = match format {
            Format::Jsonl => Form::JsonLines(Lines::new(input, false, options.follow)),
            Format::Csv => {
                let mut lines = Lines::new(input, true, options.follow);
                let columns = read_header(&name, &mut lines, &schema, options.follow)?;
                Form::Csv(lines, columns)
            }
            Format::Avro if options.follow => return Err(ReadError::Follow(name)),
            Format::Avro => {
                let container = ContainerReader::new(input)
                    .map_err(|source| ReadError::Container { name: name.clone(), source })?;
                let resolution = Resolution::plan(container.schema(), &schema)
                    .map_err(|e| ReadError::Schema { name: name.clone(), source: Box::new(e) })?;
                Form::Avro(Box::new(container), Box::new(resolution))
            }
        };
        Ok(Self { name, schema, json: options.json, records: 0, form })
    }

    /// The next record, whose datum is appended to `out`, or the next line that is none. None at the end.
    ///
    /// # Errors
    /// If nothing more can be read.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Item>, ReadError> {
        let item = match &mut self.form {
            Form::JsonLines(lines) => next_line(&self.name, lines, |line| {
                parse_json(&self.schema, line, self.json, out).map_err(|e| e.to_string())
            })?,
            Form::Csv(lines, columns) => {
                if columns.is_none() {
                    *columns = read_header(&self.name, lines, &self.schema, true)?;
                }
                match columns {
                    Some(columns) => next_line(&self.name, lines, |line| columns.encode(line, &self.schema, out))?,
                    None => None,
                }
            }
            Form::Avro(container, resolution) => {
                let datum = container
                    .next_datum()
                    .map_err(|source| ReadError::Container { name: self.name.clone(), source })?;
                let line = self.records + 1;
                datum.map(|datum| match resolution.apply(datum, out) {
                    Ok(()) => Item::Datum,
                    Err(e) => Item::Rejected { raw: datum.to_vec(), reason: e.to_string(), line },
                })
            }
        };
        self.records += u64::from(item.is_some());
        Ok(item)
    }

    /// Up to where it has been read.
    ///
    /// # Errors
    /// If the file cannot be read, or has become shorter than that.
    pub fn position(&mut self) -> Result<Position, ReadError> {
        let (bytes, lines) = self.place();
        let tail = self.tail(bytes)?;
        Ok(Position { bytes, lines, records: self.records, tail })
    }

    /// The line that the last record was. None in a container file, whose records are no lines.
    #[must_use]
    pub fn line(&self) -> Option<&[u8]> {
        match &self.form {
            Form::JsonLines(lines) | Form::Csv(lines, _) => Some(lines.last()),
            Form::Avro(..) => None,
        }
    }

    /// Lines so far; in a container file, records of a block.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.place().1
    }

    fn place(&self) -> (u64, u64) {
        match &self.form {
            Form::JsonLines(lines) | Form::Csv(lines, _) => lines.position(),
            Form::Avro(container, _) => container.position(),
        }
    }

    fn tail(&mut self, bytes: u64) -> Result<Option<u32>, ReadError> {
        let input = match &mut self.form {
            Form::JsonLines(lines) | Form::Csv(lines, _) => lines.input(),
            Form::Avro(container, _) => container.input(),
        };
        input.tail(bytes).map_err(|source| ReadError::Io { name: self.name.clone(), source })
    }

    /// Goes on where the same file was read up to before.
    ///
    /// # Errors
    /// If the file is another one than it was then, as far as that can be seen, or is a stream.
    pub fn seek(&mut self, position: Position) -> Result<(), ReadError> {
        let Position { bytes, lines: count, records, tail } = position;
        if records == 0 {
            return Ok(());
        }
        if tail.is_some() && self.tail(bytes)? != tail {
            return Err(ReadError::Replaced { name: self.name.clone(), bytes });
        }
        let name = &self.name;
        match &mut self.form {
            // It had a header then.
            Form::Csv(_, None) => return Err(ReadError::Replaced { name: name.clone(), bytes }),
            Form::JsonLines(lines) | Form::Csv(lines, _) => {
                lines.seek(bytes, count).map_err(|source| ReadError::Io { name: name.clone(), source })?
            }
            Form::Avro(container, _) => container
                .resume(bytes, count, |input| input.seek_to(bytes))
                .map_err(|source| ReadError::Container { name: name.clone(), source })?,
        }
        self.records = records;
        Ok(())
    }
}

/// The columns of the header row. None if `follow`, and it is not there yet.
fn read_header(name: &str, lines: &mut Lines, schema: &Schema, follow: bool) -> Result<Option<Columns>, ReadError> {
    let failed = |what: &str| ReadError::Header { name: name.to_owned(), what: what.to_owned() };
    match lines.next().map_err(|source| ReadError::Io { name: name.to_owned(), source })? {
        Some(Line::Text(header)) => Columns::parse(header, schema).map(Some).map_err(|what| failed(&what)),
        Some(Line::TooLong(_)) => Err(failed("the header row is too long")),
        None if follow => Ok(None),
        None => Err(failed("the file is empty; its first row must name the fields")),
    }
}

/// Blank lines are nothing.
fn next_line(
    name: &str,
    lines: &mut Lines,
    mut encode: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Option<Item>, ReadError> {
    loop {
        let (raw, reason) = match lines.next() {
            Ok(None) => return Ok(None),
            Ok(Some(Line::Text(line))) if line.trim_ascii().is_empty() => continue,
            Ok(Some(Line::Text(line))) => match encode(line) {
                Ok(()) => return Ok(Some(Item::Datum)),
                Err(reason) => (line.to_vec(), reason),
            },
            Ok(Some(Line::TooLong(start))) => {
                (start.to_vec(), format!("the line is longer than {MAX_LINE_BYTES} bytes; its beginning is kept"))
            }
            Err(source) => return Err(ReadError::Io { name: name.to_owned(), source }),
        };
        return Ok(Some(Item::Rejected { raw, reason, line: lines.number() }));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::format::ContainerWriter;

    fn schema(ty: &str) -> Arc<Schema> {
        let json = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":"{ty}"}}]}}"#);
        Arc::new(Schema::parse(&json).expect("legal"))
    }

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content).expect("writable");
        file
    }

    fn open(file: &tempfile::NamedTempFile, format: Format) -> RecordReader {
        let source = Source::File(file.path().to_owned());
        RecordReader::open(source, format, schema("int"), ReadOptions::default()).expect("readable")
    }

    /// Datums as their one byte, rejected lines as their negative number.
    fn rest(reader: &mut RecordReader) -> Vec<i64> {
        let mut seen = Vec::new();
        let mut out = Vec::new();
        while let Some(item) = reader.next(&mut out).expect("readable") {
            seen.push(match item {
                Item::Datum => i64::from(out.pop().expect("a byte")) / 2,
                Item::Rejected { line, .. } => -(line as i64),
            });
            assert!(out.is_empty());
        }
        seen
    }

    fn container() -> Vec<u8> {
        let mut writer = ContainerWriter::new(Vec::new(), &schema("int"), apache_avro::Codec::Null).expect("memory");
        for i in 1..=6 {
            writer.append(&[i * 2]).expect("memory");
            if i % 2 == 0 {
                writer.flush().expect("memory");
            }
        }
        writer.finish().expect("memory")
    }

    #[test]
    fn a_bad_line_harms_only_itself() {
        let jsonl = file(b"{\"a\":1}\n\n{\"a\":\n{\"a\":\"x\"}\n{\"b\":1}\n{\"a\":2}");
        assert_eq!(rest(&mut open(&jsonl, Format::Jsonl)), [1, -3, -4, -5, 2]);
        let csv = file(b"a\n1\nx\n\"1\n2\"\n1,2\n2\n");
        assert_eq!(rest(&mut open(&csv, Format::Csv)), [1, -3, -4, -6, 2]);
        let quotes = file(b"a\n1\"\n2\n3\"\n4\n1\r2\n\"5\n6\n");
        assert_eq!(rest(&mut open(&quotes, Format::Csv)), [-2, 2, -4, 4, -6, -7]);
    }

    #[test]
    fn reading_goes_on_from_every_position() {
        let jsonl = file(b"{\"a\":1}\n{\"a\":2}\n\nbad\n{\"a\":3}\n");
        let csv = file(b"a\n1\n2\nbad\n3\n");
        let avro = file(&container());
        for (file, format) in [(&jsonl, Format::Jsonl), (&csv, Format::Csv), (&avro, Format::Avro)] {
            let whole = rest(&mut open(file, format));
            for read in 0..=whole.len() {
                let mut reader = open(file, format);
                for _ in 0..read {
                    reader.next(&mut Vec::new()).expect("readable");
                }
                let kept = serde_json::to_string(&reader.position().expect("readable")).expect("JSON");
                let mut again = open(file, format);
                again.seek(serde_json::from_str(&kept).expect("a position")).expect("there");
                assert_eq!(rest(&mut again), whole[read..], "{format:?} after {read}");
                assert_eq!(again.position().expect("readable").records, whole.len() as u64);
            }
        }
    }

    #[test]
    fn another_file_in_its_place_is_not_read_in_the_middle() {
        let before = file(b"{\"a\":1}\n{\"a\":2}\n");
        let mut reader = open(&before, Format::Jsonl);
        reader.next(&mut Vec::new()).expect("readable");
        let kept = reader.position().expect("readable");
        assert_eq!(rest(&mut reader), [2], "a look back does not move the reader");
        for (content, goes_on) in [
            (&b"{\"a\":1}\n{\"a\":7}\n{\"a\":8}\n"[..], true),
            (b"{\"a\":5}\n{\"a\":2}\n", false),
            (b"{\"a\":1}", false),
        ] {
            let now = file(content);
            let sought = open(&now, Format::Jsonl).seek(kept);
            let said = sought.as_ref().err().map(ToString::to_string);
            assert_eq!(sought.is_ok(), goes_on, "{said:?}");
            assert!(said.is_none_or(|said| said.contains("was it replaced?") && said.contains("another name")));
        }
        let other = file(&container());
        let mut first = open(&other, Format::Avro);
        rest(&mut first);
        let kept = first.position().expect("readable");
        // As long and with the same records, but another sync marker.
        assert!(open(&file(&container()), Format::Avro).seek(kept).is_err_and(|e| e.to_string().contains("replaced")));
    }

    #[test]
    fn container_files_are_read_as_the_topics_schema() {
        let avro = file(&container());
        let open = |ty| {
            let source = Source::File(avro.path().to_owned());
            RecordReader::open(source, Format::Avro, schema(ty), ReadOptions::default())
        };
        let mut out = Vec::new();
        assert_eq!(open("double").expect("promoted").next(&mut out).expect("readable"), Some(Item::Datum));
        assert_eq!(out, 1f64.to_le_bytes());
        let refused = open("string").err().expect("int is no string").to_string();
        assert!(refused.contains("R.a"), "{refused}");
    }

    #[test]
    fn files_that_cannot_be_read_are_errors_with_their_name() {
        let open = |path: &Path, format| {
            let source = Source::File(path.to_owned());
            RecordReader::open(source, format, schema("int"), ReadOptions::default()).err().map(|e| e.to_string())
        };
        let missing = open(Path::new("/nowhere/feed.jsonl"), Format::Jsonl).expect("an error");
        assert!(missing.contains("/nowhere/feed.jsonl"), "{missing}");
        assert!(open(Path::new("/"), Format::Jsonl).is_some());
        let empty = file(b"");
        assert!(open(empty.path(), Format::Csv).is_some_and(|e| e.contains("empty")));
        assert!(open(empty.path(), Format::Avro).is_some_and(|e| e.contains("empty")));
        assert!(open(empty.path(), Format::Jsonl).is_none());
    }

    #[test]
    fn a_stream_is_read_but_does_not_go_back() {
        let stream = || Source::Stream(Box::new(io::Cursor::new(b"{\"a\":1}\n".to_vec())));
        let mut reader =
            RecordReader::open(stream(), Format::Jsonl, schema("int"), ReadOptions::default()).expect("readable");
        reader.seek(Position::default()).expect("the start");
        assert_eq!(rest(&mut reader), [1]);
        let end = reader.position().expect("a stream has one");
        assert!(reader.seek(end).is_err());
    }
}
