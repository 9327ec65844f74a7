//! Where a feed's records come from.

use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bespoke_boundary::Schema;

use super::generate::{Generator, GeneratorError, GeneratorOptions, SCHEMA};
use crate::format::reader::{Format, Item, Position, ReadError, ReadOptions, RecordReader, Source as From};
use crate::format::{JsonStyle, write_json};

/// Something that gives records, one after the other.
pub trait Source: Send {
    /// The next record, whose Avro bytes are appended to `datum`.
    ///
    /// # Errors
    /// If nothing more can be read.
    fn next(&mut self, datum: &mut Vec<u8>) -> Result<Next, FeedError>;

    /// Where to go on after what was given so far, as the source reads it.
    ///
    /// # Errors
    /// If it is not there any more.
    fn position(&mut self) -> Result<Vec<u8>, FeedError>;

    /// Where the last record came from, for people.
    fn place(&self) -> String;

    /// The last record, whose bytes are `datum`, as it can be corrected and read again: its line, or else one of JSON.
    fn line(&self, datum: &[u8]) -> Vec<u8>;

    /// Whether it can be opened again where it was.
    fn can_reopen(&self) -> bool {
        true
    }
}

/// Opens a source at a position.
pub type Open = Box<dyn FnMut(Option<&[u8]>) -> Result<Box<dyn Source>, FeedError> + Send>;

/// What a source gave.
#[derive(Debug)]
pub enum Next {
    /// A record.
    Datum,
    /// Something that is no record.
    Rejected {
        /// Its bytes.
        raw: Vec<u8>,
        /// Why it is none.
        reason: String,
        /// Where it stands.
        place: String,
    },
    /// Nothing now, perhaps later.
    Wait,
    /// Nothing any more.
    End,
}

/// A source that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The generator.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    /// The position that the log holds is not one of this kind of source.
    #[error(
        "its position in the log does not fit its source; was the feed changed? give it another name to begin anew"
    )]
    Position,
    /// The log's records of this topic have another schema.
    #[error("the generator makes records of schemas/product.avsc, and the topic's schema is another")]
    Schema,
}

// === files ===

/// A file, read as it is.
struct FileSource {
    reader: RecordReader,
    schema: Arc<Schema>,
    follow: bool,
    name: String,
}

/// Opens a file, or standard input if there is none. Standard input has no positions: it begins where it is.
///
/// # Errors
/// If it cannot be opened, or read on from the position.
pub fn open_file(
    path: Option<&Path>,
    format: Format,
    schema: &Arc<Schema>,
    follow: bool,
    position: Option<&[u8]>,
) -> Result<Box<dyn Source>, FeedError> {
    let options = ReadOptions { follow, ..ReadOptions::default() };
    let Some(path) = path else {
        return Ok(Box::new(Stdin::start(From::Stdin, format, schema.clone())));
    };
    let mut reader = RecordReader::open(From::File(path.to_owned()), format, schema.clone(), options)?;
    if let Some(position) = position {
        reader.seek(serde_json::from_slice(position).map_err(|_| FeedError::Position)?)?;
    }
    let schema = schema.clone();
    Ok(Box::new(FileSource { reader, schema, follow, name: path.display().to_string() }))
}

impl Source for FileSource {
    fn next(&mut self, datum: &mut Vec<u8>) -> Result<Next, FeedError> {
        Ok(match self.reader.next(datum)? {
            Some(item) => next_of(item, &self.name),
            None if self.follow => Next::Wait,
            None => Next::End,
        })
    }

    fn position(&mut self) -> Result<Vec<u8>, FeedError> {
        Ok(serde_json::to_vec(&self.reader.position()?).unwrap_or_default())
    }

    fn place(&self) -> String {
        format!("{}:{}", self.name, self.reader.lines())
    }

    fn line(&self, datum: &[u8]) -> Vec<u8> {
        self.reader.line().map_or_else(|| json_line(&self.schema, datum), <[u8]>::to_vec)
    }
}

/// A record as JSON.
fn json_line(schema: &Schema, datum: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    // Text that is not UTF-8 passes feeds; then there is no other form.
    write_json(schema, datum, JsonStyle::Plain, &mut line).map_or_else(|_| datum.to_vec(), |()| line)
}

fn next_of(item: Item, name: &str) -> Next {
    match item {
        Item::Datum => Next::Datum,
        Item::Rejected { raw, reason, line } => Next::Rejected { raw, reason, place: format!("{name}:{line}") },
    }
}

// === standard input ===

/// Standard input, read by a thread of its own, because a read may wait for ever while records are due.
struct Stdin {
    items: Receiver<Result<Read, ReadError>>,
    ahead: Arc<Ahead>,
    schema: Arc<Schema>,
    /// The line of the last record, if records are lines.
    line: Vec<u8>,
    /// Its number, or that of the record.
    number: u64,
    records: u64,
}

/// What the thread has read: a record and, behind its datum, its line.
struct Read {
    item: Item,
    bytes: Vec<u8>,
    datum_len: usize,
    /// The number of its line, if records are lines.
    number: Option<u64>,
}

/// Records that are read ahead.
const READ_AHEAD: usize = 4096;
/// Bytes that are read ahead, before one more record.
const READ_AHEAD_BYTES: usize = 16 << 20;

/// How much was read ahead.
#[derive(Default)]
struct Ahead {
    held: Mutex<Held>,
    less: Condvar,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    is_over: bool,
}

// === impl Ahead ===

impl Ahead {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many more may be held. False if nobody wants them.
    fn hold(&self, bytes: usize) -> bool {
        let is_full = |held: &mut Held| held.bytes >= READ_AHEAD_BYTES && !held.is_over;
        let mut held = self.less.wait_while(self.held(), is_full).unwrap_or_else(PoisonError::into_inner);
        held.bytes += bytes;
        !held.is_over
    }

    fn give(&self, bytes: usize) {
        self.held().bytes -= bytes;
        self.less.notify_one();
    }
}

// === impl Read ===

impl Read {
    /// Bytes that it takes.
    fn size(&self) -> usize {
        self.bytes.len() + if let Item::Rejected { raw, .. } = &self.item { raw.len() } else { 0 }
    }
}

// === impl Stdin ===

impl Stdin {
    fn start(input: From, format: Format, schema: Arc<Schema>) -> Self {
        let (send, items) = sync_channel(READ_AHEAD);
        let ahead = Arc::new(Ahead::default());
        let (its_ahead, its_schema) = (ahead.clone(), schema.clone());
        // It ends with the input, or with the process.
        std::thread::spawn(move || {
            let mut reader = match RecordReader::open(input, format, its_schema, ReadOptions::default()) {
                Ok(reader) => reader,
                Err(error) => return drop(send.send(Err(error))),
            };
            loop {
                let mut bytes = Vec::new();
                let read = match reader.next(&mut bytes) {
                    Ok(Some(item)) => {
                        let datum_len = bytes.len();
                        let number = reader.line().map(|_| reader.lines());
                        if item == Item::Datum {
                            bytes.extend_from_slice(reader.line().unwrap_or_default());
                        }
                        Ok(Read { item, bytes, datum_len, number })
                    }
                    Ok(None) => break,
                    Err(error) => Err(error),
                };
                let failed = read.is_err();
                let is_wanted = its_ahead.hold(read.as_ref().map_or(0, Read::size));
                if !is_wanted || send.send(read).is_err() || failed {
                    break;
                }
            }
        });
        Self { items, ahead, schema, line: Vec::new(), number: 0, records: 0 }
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        self.ahead.held().is_over = true;
        self.ahead.less.notify_one();
    }
}

impl Source for Stdin {
    fn next(&mut self, datum: &mut Vec<u8>) -> Result<Next, FeedError> {
        match self.items.try_recv() {
            Ok(Ok(read)) => {
                self.ahead.give(read.size());
                self.records += 1;
                self.number = read.number.unwrap_or(self.records);
                let (record, line) = read.bytes.split_at(read.datum_len);
                datum.extend_from_slice(record);
                self.line.clear();
                self.line.extend_from_slice(line);
                Ok(next_of(read.item, "standard input"))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(TryRecvError::Empty) => Ok(Next::Wait),
            Err(TryRecvError::Disconnected) => Ok(Next::End),
        }
    }

    fn position(&mut self) -> Result<Vec<u8>, FeedError> {
        let position = Position { records: self.records, ..Position::default() };
        Ok(serde_json::to_vec(&position).unwrap_or_default())
    }

    fn place(&self) -> String {
        format!("standard input:{}", self.number)
    }

    fn line(&self, datum: &[u8]) -> Vec<u8> {
        if self.line.is_empty() { json_line(&self.schema, datum) } else { self.line.clone() }
    }

    fn can_reopen(&self) -> bool {
        false
    }
}

// === the generator ===

/// The load generator, at most so many records a second.
pub struct GeneratorSource {
    generator: Generator,
    rate: Option<u32>,
    since: Instant,
    made: u64,
}

/// Starts the generator behind what it has made already.
///
/// # Errors
/// Options that make no sense.
pub fn open_generator(
    options: &GeneratorOptions,
    rate: Option<u32>,
    position: Option<&[u8]>,
) -> Result<GeneratorSource, FeedError> {
    let mut generator = Generator::new(options)?;
    if let Some(position) = position {
        generator.seek(serde_json::from_slice(position).map_err(|_| FeedError::Position)?);
    }
    Ok(GeneratorSource { generator, rate, since: Instant::now(), made: 0 })
}

impl Source for GeneratorSource {
    fn next(&mut self, datum: &mut Vec<u8>) -> Result<Next, FeedError> {
        if let Some(rate) = self.rate
            && self.made as f64 >= self.since.elapsed().as_secs_f64() * f64::from(rate)
        {
            return Ok(Next::Wait);
        }
        self.made += 1;
        Ok(if self.generator.next_avro(datum) { Next::Datum } else { Next::End })
    }

    fn position(&mut self) -> Result<Vec<u8>, FeedError> {
        Ok(self.generator.position().to_string().into_bytes())
    }

    fn place(&self) -> String {
        format!("generator:{}", self.generator.position())
    }

    fn line(&self, datum: &[u8]) -> Vec<u8> {
        // Only of a record that is none, which those that are made never are by themselves.
        Schema::parse(SCHEMA).map_or_else(|_| datum.to_vec(), |schema| json_line(&schema, datum))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LINE_BYTES: usize = 1 << 20;
    const LINES: usize = 64;

    fn schema() -> Arc<Schema> {
        let json = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
        Arc::new(Schema::parse(json).expect("legal"))
    }

    /// A stream that tells how much of it was read.
    struct Told {
        lines: io::Cursor<Vec<u8>>,
        read: Arc<AtomicUsize>,
    }

    impl io::Read for Told {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.lines.read(buffer)?;
            self.read.fetch_add(read, Ordering::SeqCst);
            Ok(read)
        }
    }

    #[test]
    fn what_is_read_ahead_is_bounded_in_bytes() {
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(LINE_BYTES));
        let read = Arc::new(AtomicUsize::new(0));
        let told = Told { lines: io::Cursor::new(line.repeat(LINES).into_bytes()), read: read.clone() };
        let stream = From::Stream(Box::new(BufReader::new(told)));
        let mut stdin = Stdin::start(stream, Format::Jsonl, schema());
        // A record and its line are held, and the thread has one more in hand.
        let most = READ_AHEAD_BYTES / 2 + 3 * LINE_BYTES;
        while read.load(Ordering::SeqCst) < READ_AHEAD_BYTES / 2 {
            std::thread::yield_now();
        }
        let mut taken = 0;
        loop {
            let mut datum = Vec::new();
            match stdin.next(&mut datum).expect("readable") {
                Next::Datum => taken += 1,
                Next::Wait => std::thread::yield_now(),
                Next::End => break,
                Next::Rejected { reason, .. } => panic!("{reason}"),
            }
            let ahead = read.load(Ordering::SeqCst).saturating_sub(taken * line.len());
            assert!(ahead <= most, "{ahead} bytes are read ahead");
            assert!(datum.is_empty() || stdin.line(&datum) == line.trim_end().as_bytes());
        }
        assert_eq!(taken, LINES);
    }

    #[test]
    fn a_record_of_a_container_file_is_a_line_of_json() {
        let file = tempfile::NamedTempFile::with_suffix(".avro").expect("a file");
        let mut writer = crate::format::container::ContainerWriter::new(
            file.reopen().expect("open"),
            &schema(),
            apache_avro::Codec::Null,
        )
        .expect("written");
        writer.append(b"\x02x").expect("written");
        writer.finish().expect("written");
        let mut source = open_file(Some(file.path()), Format::Avro, &schema(), false, None).expect("readable");
        let mut datum = Vec::new();
        assert!(matches!(source.next(&mut datum), Ok(Next::Datum)));
        assert_eq!(source.line(&datum), b"{\"a\":\"x\"}");
    }
}
