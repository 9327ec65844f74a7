//! Avro object container files (specification 1.12, "Object Container Files"): a header with the schema, then blocks.
//!
//! Records are handed out and taken as the bytes that they are; apache-avro brings the codecs. A file may be anything:
//! nothing is allocated by a length that it tells, and each record is checked before it is handed out.

use std::io::{self, BufRead, Read, Write};
use std::str::FromStr;
use std::sync::Arc;

use apache_avro::Codec;
use bespoke_boundary::resolve::{Skip, min_size};
use bespoke_boundary::wire::{MAX_EMPTY_ITEMS, write_bytes, write_long};
use bespoke_boundary::{Cursor, Schema, SchemaError};

const MAGIC: [u8; 4] = *b"Obj\x01";

/// Bytes of the header, in which the schema stands.
const MAX_HEADER_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of a block as it stands in the file.
const MAX_BLOCK_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of records after which a block is written.
const BLOCK_BYTES: usize = 64 * 1024;

/// A container file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// There is nothing in it.
    #[error("the file is empty, and an Avro container file begins with its schema")]
    Empty,
    /// It does not start like one.
    #[error("it is no Avro container file: it does not start with `Obj` and 1")]
    Magic,
    /// A compression that is not built in.
    #[error("its blocks are compressed with `{0}`; this host reads null, deflate, snappy and zstandard")]
    Codec(String),
    /// Its schema is none.
    #[error("its schema is not one: {0}")]
    Schema(#[from] SchemaError),
    /// Something is wrong in it.
    #[error("it is damaged at byte {at}: {what}")]
    Damaged {
        /// Where the part that is wrong starts.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// It cannot be read or written.
    #[error("at byte {at}: {source}")]
    Io {
        /// Where.
        at: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the records of a file.
pub struct ContainerReader<R> {
    input: Counted<R>,
    schema: Arc<Schema>,
    skip: Skip,
    min_size: usize,
    codec: Codec,
    sync: [u8; 16],
    block: Block,
}

/// The block whose records are being handed out.
#[derive(Default)]
struct Block {
    /// Where it starts in the file.
    start: u64,
    records: Vec<u8>,
    at: usize,
    handed_out: u64,
    left: u64,
}

/// Writes a file.
pub struct ContainerWriter<W: Write> {
    output: W,
    codec: Codec,
    sync: [u8; 16],
    block: Vec<u8>,
    count: i64,
}

// === impl ContainerReader ===

impl<R: BufRead> ContainerReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it is no container file, or one that cannot be read.
    pub fn new(input: R) -> Result<Self, ContainerError> {
        let mut input = Counted { input, at: 0 };
        if input.is_at_end()? {
            return Err(ContainerError::Empty);
        }
        let mut magic = [0; 4];
        input.fill(&mut magic).map_err(|_| ContainerError::Magic)?;
        if magic != MAGIC {
            return Err(ContainerError::Magic);
        }
        let (mut schema, mut codec) = (None, Codec::Null);
        while let Some(entries) = input.block_head()? {
            for _ in 0..entries {
                let start = input.at;
                let (key, value) = (input.bytes(MAX_HEADER_BYTES)?, input.bytes(MAX_HEADER_BYTES)?);
                let text = String::from_utf8(value);
                match (key.as_slice(), text) {
                    (b"avro.schema", Ok(text)) => schema = Some(Schema::parse(&text)?),
                    (b"avro.codec", Ok(text)) => {
                        codec = Codec::from_str(&text).map_err(|_| ContainerError::Codec(text))?
                    }
                    (b"avro.schema" | b"avro.codec", Err(_)) => return Err(damaged(start, "its header is not UTF-8")),
                    _ => {}
                }
                if input.at > MAX_HEADER_BYTES as u64 {
                    return Err(damaged(start, "its header is too long"));
                }
            }
        }
        let mut sync = [0; 16];
        input.fill(&mut sync)?;
        let schema = schema.ok_or_else(|| damaged(4, "its header has no schema"))?;
        let (skip, min_size) = (Skip::compile(&schema, schema.root()), min_size(&schema, schema.root()));
        let block = Block { start: input.at, ..Block::default() };
        Ok(Self { input, schema: Arc::new(schema), skip, min_size, codec, sync, block })
    }

    /// The schema with which the records were written.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Where the current block starts, and how many of its records were handed out.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        (self.block.start, self.block.handed_out)
    }

    pub(super) fn input(&mut self) -> &mut R {
        &mut self.input.input
    }

    /// The next record's datum.
    ///
    /// # Errors
    /// If the file is damaged from here on.
    pub fn next_datum(&mut self) -> Result<Option<&[u8]>, ContainerError> {
        while self.block.left == 0 {
            if !self.next_block()? {
                return Ok(None);
            }
        }
        let block = &mut self.block;
        let mut cursor = Cursor::new(&block.records[block.at..]);
        self.skip
            .check(&mut cursor)
            .map_err(|e| damaged(block.start, &format!("record {} of the block: {e}", block.handed_out + 1)))?;
        let (start, end) = (block.at, block.at + cursor.at());
        if block.left == 1 && end < block.records.len() {
            return Err(damaged(block.start, "the block has more bytes than records"));
        }
        block.at = end;
        block.left -= 1;
        block.handed_out += 1;
        Ok(Some(&block.records[start..end]))
    }

    fn next_block(&mut self) -> Result<bool, ContainerError> {
        let start = self.input.at;
        self.block = Block { start, ..Block::default() };
        if self.input.is_at_end()? {
            return Ok(false);
        }
        let count = self.input.long()?;
        let count = u64::try_from(count).map_err(|_| damaged(start, "the block has fewer than no records"))?;
        let mut records = self.input.bytes(MAX_BLOCK_BYTES)?;
        let mut sync = [0; 16];
        self.input.fill(&mut sync)?;
        if sync != self.sync {
            return Err(damaged(start, "the block does not end with the file's sync marker"));
        }
        self.codec.decompress(&mut records).map_err(|e| damaged(start, &e.to_string()))?;
        let most = records.len().checked_div(self.min_size).unwrap_or(MAX_EMPTY_ITEMS);
        if count > most as u64 {
            return Err(damaged(start, &format!("the block cannot hold {count} records")));
        }
        self.block = Block { start, records, left: count, ..Block::default() };
        Ok(true)
    }

    /// Goes on in a block, whose start the input has been brought to.
    ///
    /// # Errors
    /// If there is no such block with so many records.
    pub(super) fn resume(
        &mut self,
        start: u64,
        handed_out: u64,
        seek: impl FnOnce(&mut R) -> io::Result<()>,
    ) -> Result<(), ContainerError> {
        seek(&mut self.input.input).map_err(|source| ContainerError::Io { at: start, source })?;
        self.input.at = start;
        self.block = Block { start, ..Block::default() };
        while self.block.handed_out < handed_out {
            if self.block.start != start || self.next_datum()?.is_none() {
                return Err(damaged(
                    start,
                    "the block has fewer records than were read before; was the file replaced?",
                ));
            }
        }
        Ok(())
    }
}

// === impl ContainerWriter ===

impl<W: Write> ContainerWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(mut output: W, schema: &Schema, codec: Codec) -> io::Result<Self> {
        let sync: [u8; 16] = rand::random();
        let mut header = MAGIC.to_vec();
        write_long(&mut header, 2);
        write_bytes(&mut header, b"avro.schema");
        write_bytes(&mut header, schema.json().as_bytes());
        write_bytes(&mut header, b"avro.codec");
        write_bytes(&mut header, <&str>::from(codec).as_bytes());
        header.push(0);
        header.extend_from_slice(&sync);
        output.write_all(&header)?;
        Ok(Self { output, codec, sync, block: Vec::new(), count: 0 })
    }

    /// Adds a datum of the schema. It is not checked.
    ///
    /// # Errors
    /// If the block that it completes cannot be written.
    pub fn append(&mut self, datum: &[u8]) -> io::Result<()> {
        self.block.extend_from_slice(datum);
        self.count += 1;
        if self.block.len() >= BLOCK_BYTES || self.count as usize >= MAX_EMPTY_ITEMS { self.flush() } else { Ok(()) }
    }

    /// Writes what was added so far.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.count > 0 {
            self.codec.compress(&mut self.block).map_err(io::Error::other)?;
            let mut head = Vec::new();
            write_long(&mut head, self.count);
            write_long(&mut head, self.block.len() as i64);
            self.output.write_all(&head)?;
            self.output.write_all(&self.block)?;
            self.output.write_all(&self.sync)?;
            self.block.clear();
            self.count = 0;
        }
        self.output.flush()
    }

    /// Writes the last block.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.output)
    }
}

/// Bytes with their place in the file.
struct Counted<R> {
    input: R,
    at: u64,
}

// === impl Counted ===

impl<R: BufRead> Counted<R> {
    fn is_at_end(&mut self) -> Result<bool, ContainerError> {
        let end = self.input.fill_buf().map(<[u8]>::is_empty);
        end.map_err(|source| ContainerError::Io { at: self.at, source })
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ContainerError> {
        match self.input.read_exact(buffer) {
            Ok(()) => {
                self.at += buffer.len() as u64;
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(damaged(self.at, "the file ends here")),
            Err(source) => Err(ContainerError::Io { at: self.at, source }),
        }
    }

    fn long(&mut self) -> Result<i64, ContainerError> {
        let (start, mut bytes, mut len) = (self.at, [0; 10], 0);
        loop {
            self.fill(&mut bytes[len..=len])?;
            len += 1;
            if bytes[len - 1] < 0x80 || len == bytes.len() {
                break;
            }
        }
        Cursor::new(&bytes[..len]).long().map_err(|e| damaged(start, &e.to_string()))
    }

    /// A length and that many bytes; memory grows with what is really there.
    fn bytes(&mut self, limit: usize) -> Result<Vec<u8>, ContainerError> {
        let start = self.at;
        let len = self.long()?;
        let len = usize::try_from(len).ok().filter(|l| *l <= limit);
        let len = len.ok_or_else(|| damaged(start, "a length that cannot be right"))?;
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(len as u64).read_to_end(&mut bytes);
        read.map_err(|source| ContainerError::Io { at: self.at, source })?;
        if bytes.len() < len {
            return Err(damaged(start, "the file ends within a block"));
        }
        self.at += len as u64;
        Ok(bytes)
    }

    /// The count of a block of the header's map.
    fn block_head(&mut self) -> Result<Option<u64>, ContainerError> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok(Some(count.unsigned_abs()).filter(|c| *c > 0))
    }
}

fn damaged(at: u64, what: &str) -> ContainerError {
    ContainerError::Damaged { at, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value;

    use super::*;

    const SCHEMA: &str =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#;

    fn datum(i: i64) -> Vec<u8> {
        let mut datum = Vec::new();
        write_long(&mut datum, i);
        write_bytes(&mut datum, b"text");
        datum
    }

    fn written(codec: Codec, records: i64) -> Vec<u8> {
        let mut writer =
            ContainerWriter::new(Vec::new(), &Schema::parse(SCHEMA).expect("legal"), codec).expect("memory");
        for i in 0..records {
            writer.append(&datum(i)).expect("memory");
        }
        writer.finish().expect("memory")
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ContainerError> {
        let mut reader = ContainerReader::new(bytes)?;
        let mut records = Vec::new();
        while let Some(record) = reader.next_datum()? {
            records.push(record.to_vec());
        }
        Ok(records)
    }

    fn codecs() -> [Codec; 4] {
        [Codec::Null, Codec::Deflate(Default::default()), Codec::Snappy, Codec::Zstandard(Default::default())]
    }

    #[test]
    fn other_tools_read_what_is_written() {
        for codec in codecs() {
            let bytes = written(codec, 20_000);
            let values: Vec<_> =
                apache_avro::Reader::new(&bytes[..]).expect("a container").map(|v| v.expect("a record")).collect();
            assert_eq!(values.len(), 20_000);
            let record =
                |i| Value::Record(vec![("a".into(), Value::Long(i)), ("b".into(), Value::String("text".into()))]);
            assert_eq!((&values[0], &values[19_999]), (&record(0), &record(19_999)));
            assert_eq!(read(&bytes).expect("readable"), (0..20_000).map(datum).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_other_tools_write_is_read() {
        let schema = apache_avro::Schema::parse_str(SCHEMA).expect("legal");
        for codec in codecs() {
            let mut writer = apache_avro::Writer::with_codec(&schema, Vec::new(), codec).expect("a writer");
            writer.add_user_metadata("who".into(), "someone").expect("metadata");
            for i in 0..3 {
                let record =
                    Value::Record(vec![("a".into(), Value::Long(i)), ("b".into(), Value::String("text".into()))]);
                writer.append_value(record).expect("a record");
            }
            let bytes = writer.into_inner().expect("memory");
            assert_eq!(read(&bytes).expect("readable"), (0..3).map(datum).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_with_its_place() {
        let bytes = written(Codec::Null, 50);
        let header = bytes.len() - 16 - 50 * datum(0).len() - 4;
        for cut in 1..bytes.len() {
            match read(&bytes[..cut]) {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(records) => assert!(records.is_empty() && cut <= header + 16, "cut at {cut}"),
            }
            let mut changed = bytes.clone();
            changed[cut] ^= 0x41;
            let _ = read(&changed);
        }
        let mut changed = bytes.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert!(read(&changed).is_err_and(|e| e.to_string().contains("sync marker")));
        assert!(read(b"{\"a\":1}").is_err_and(|e| e.to_string().contains("no Avro container")));
    }

    #[test]
    fn hostile_counts_do_not_loop_or_allocate() {
        let schema = Schema::parse(r#""null""#).expect("legal");
        let mut bytes =
            ContainerWriter::new(Vec::new(), &schema, Codec::Null).expect("memory").finish().expect("memory");
        let sync = bytes[bytes.len() - 16..].to_vec();
        write_long(&mut bytes, 1 << 60);
        bytes.push(0);
        bytes.extend(sync);
        assert!(read(&bytes).is_err_and(|e| e.to_string().contains("cannot hold")));
    }
}
