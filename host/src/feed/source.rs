//! Where a feed's records come from.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Instant;

use bespoke_boundary::Schema;

use super::generate::{Generator, GeneratorError, GeneratorOptions};
use crate::format::reader::{Format, Item, Position, ReadError, ReadOptions, RecordReader, Source as From};

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
        return Ok(Box::new(Stdin::start(format, schema.clone())));
    };
    let mut reader = RecordReader::open(From::File(path.to_owned()), format, schema.clone(), options)?;
    if let Some(position) = position {
        reader.seek(serde_json::from_slice(position).map_err(|_| FeedError::Position)?)?;
    }
    Ok(Box::new(FileSource { reader, follow, name: path.display().to_string() }))
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
    items: Receiver<Result<(Item, Vec<u8>), ReadError>>,
    records: u64,
}

/// Records that are read ahead.
const READ_AHEAD: usize = 4096;

impl Stdin {
    fn start(format: Format, schema: Arc<Schema>) -> Self {
        let (send, items) = sync_channel(READ_AHEAD);
        // It ends with the input, or with the process.
        std::thread::spawn(move || {
            let mut reader = match RecordReader::open(From::Stdin, format, schema, ReadOptions::default()) {
                Ok(reader) => reader,
                Err(error) => return drop(send.send(Err(error))),
            };
            loop {
                let mut datum = Vec::new();
                let item = match reader.next(&mut datum) {
                    Ok(Some(item)) => Ok((item, datum)),
                    Ok(None) => break,
                    Err(error) => Err(error),
                };
                let failed = item.is_err();
                if send.send(item).is_err() || failed {
                    break;
                }
            }
        });
        Self { items, records: 0 }
    }
}

impl Source for Stdin {
    fn next(&mut self, datum: &mut Vec<u8>) -> Result<Next, FeedError> {
        match self.items.try_recv() {
            Ok(Ok((item, bytes))) => {
                self.records += 1;
                datum.extend_from_slice(&bytes);
                Ok(next_of(item, "standard input"))
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
        format!("standard input:{}", self.records)
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
}
