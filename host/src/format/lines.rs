//! Lines of a file or a stream, with their place, without ever holding more than one of bounded length.
//!
//! A line of CSV may hold line breaks within a cell that begins with a quote. In a file that grows, a last line without its end is not yet a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// The longest line: as long as the largest record of a topic.
pub(super) const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// What is kept of a longer one, for its dead letter.
const KEPT_OF_LONG_LINE_BYTES: usize = 64 * 1024;

/// Bytes before a place in a file by which it is known again.
const TAIL_BYTES: u64 = 1024;

/// What to do with a file that is another one now.
pub(super) const ANEW: &str = "give the feed another name to read all of it";

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where bytes come from.
pub(super) enum Input {
    /// A file, in which one can go back.
    File(BufReader<File>),
    /// A stream, in which one cannot.
    Stream(Box<dyn BufRead + Send>),
}

/// A reader of lines.
pub(super) struct Lines {
    input: Input,
    /// Whether line breaks within quoted cells are part of a line.
    quotes: bool,
    /// Whether the end of the input may move.
    follow: bool,
    /// Bytes of all lines that were handed out.
    offset: u64,
    /// Line breaks in them.
    breaks: u64,
    current: Current,
}

/// The line that is being read, or was handed out last.
#[derive(Default)]
struct Current {
    text: Vec<u8>,
    bytes: u64,
    breaks: u64,
    quoting: Quoting,
    too_long: bool,
    handed_out: bool,
}

/// Where in a row of CSV one is: a quote opens a cell only where the cell begins, as the `csv` crate has it. Else it is text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Quoting {
    /// At the begin of a cell.
    #[default]
    Begin,
    /// In a cell, where quotes are text.
    Text,
    /// In a quoted cell, where line breaks are text.
    Quoted,
    /// Behind a quote in a quoted cell: another one makes it text, anything else ends the quotes.
    Closing,
}

/// A line.
pub(super) enum Line<'a> {
    /// Its text without the line break.
    Text(&'a [u8]),
    /// The beginning of a line that is too long.
    TooLong(&'a [u8]),
}

// === impl Input ===

impl Input {
    /// Goes to a byte of a file.
    pub(super) fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => {
                has_so_many(file.get_ref(), offset)?;
                file.seek(SeekFrom::Start(offset)).map(|_| ())
            }
            Self::Stream(_) => Err(io::Error::other("a stream cannot go on where it stopped; use a file")),
        }
    }

    /// The CRC-32C of the bytes just before a byte of a file. None for a stream.
    pub(super) fn tail(&mut self, offset: u64) -> io::Result<Option<u32>> {
        let Self::File(file) = self else { return Ok(None) };
        // Below the buffer, which stays as it is.
        let file = file.get_mut();
        has_so_many(file, offset)?;
        let at = file.stream_position()?;
        let mut tail = vec![0; offset.min(TAIL_BYTES) as usize];
        file.seek(SeekFrom::Start(offset - tail.len() as u64))?;
        file.read_exact(&mut tail)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Some(crc32c::crc32c(&tail)))
    }
}

fn has_so_many(file: &File, bytes: u64) -> io::Result<()> {
    let len = file.metadata()?.len();
    if len < bytes {
        let what = format!("it has {len} bytes and was read up to byte {bytes} before; was it replaced? {ANEW}");
        return Err(io::Error::other(what));
    }
    Ok(())
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Stream(stream) => stream.read(buffer),
        }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::File(file) => file.fill_buf(),
            Self::Stream(stream) => stream.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Self::File(file) => file.consume(bytes),
            Self::Stream(stream) => stream.consume(bytes),
        }
    }
}

// === impl Lines ===

impl Lines {
    pub(super) fn new(input: Input, quotes: bool, follow: bool) -> Self {
        Self { input, quotes, follow, offset: 0, breaks: 0, current: Current::default() }
    }

    /// Bytes up to the end of the last line, and line breaks in them.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.offset, self.breaks)
    }

    /// The number, from 1, of the first line of the line that was handed out last.
    pub(super) fn number(&self) -> u64 {
        self.breaks + 1 - self.current.breaks
    }

    pub(super) fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Goes on after a line that was handed out before.
    pub(super) fn seek(&mut self, offset: u64, breaks: u64) -> io::Result<()> {
        self.input.seek_to(offset)?;
        (self.offset, self.breaks, self.current) = (offset, breaks, Current::default());
        Ok(())
    }

    /// The next line. None at the end, which in a growing file may be followed by more.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        if self.current.handed_out {
            let mut text = std::mem::take(&mut self.current.text);
            text.clear();
            self.current = Current { text, ..Current::default() };
        }
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if available.is_empty() {
                if self.current.bytes == 0 || self.follow {
                    return Ok(None);
                }
                break;
            }
            let end = self.current.end_in(available, self.quotes);
            let taken = end.unwrap_or(available.len());
            self.current.append(&available[..taken]);
            self.input.consume(taken);
            if end.is_some() {
                break;
            }
        }
        self.current.handed_out = true;
        self.offset += self.current.bytes;
        self.breaks += self.current.breaks;
        let text = self.last();
        Ok(Some(if self.current.too_long { Line::TooLong(text) } else { Line::Text(text) }))
    }

    /// The text of the line that was handed out last.
    pub(super) fn last(&self) -> &[u8] {
        let is_first = self.offset == self.current.bytes;
        let text = &self.current.text[..];
        let text = text.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(text);
        if self.current.too_long {
            return text;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        text.strip_suffix(b"\r").unwrap_or(text)
    }
}

// === impl Quoting ===

impl Quoting {
    /// Behind one more byte.
    pub(super) fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Begin, b'"') | (Self::Closing, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Closing,
            (Self::Quoted, _) => Self::Quoted,
            (_, b',' | b'\n') => Self::Begin,
            _ => Self::Text,
        }
    }
}

// === impl Current ===

impl Current {
    /// Where in the next bytes the line ends, its break included.
    fn end_in(&mut self, bytes: &[u8], quotes: bool) -> Option<usize> {
        if !quotes || self.too_long {
            let end = bytes.iter().position(|b| *b == b'\n')? + 1;
            self.breaks += 1;
            return Some(end);
        }
        for (i, byte) in bytes.iter().enumerate() {
            // The mark is no part of the first cell; where files were put together there are several.
            if BYTE_ORDER_MARK.get(self.bytes as usize + i) == Some(byte) {
                continue;
            }
            self.quoting = self.quoting.after(*byte);
            if *byte == b'\n' {
                self.breaks += 1;
                if self.quoting != Quoting::Quoted {
                    return Some(i + 1);
                }
            }
        }
        None
    }

    /// Once it is too long, only its beginning is kept, and the next line break ends it: a quote that is never closed
    /// must not swallow the rest of the file.
    fn append(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.too_long {
            return;
        }
        if self.text.len() + bytes.len() > MAX_LINE_BYTES {
            self.too_long = true;
            self.text.truncate(KEPT_OF_LONG_LINE_BYTES);
            self.text.shrink_to_fit();
        } else {
            self.text.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: Vec<u8>, quotes: bool) -> Lines {
        Lines::new(Input::Stream(Box::new(BufReader::with_capacity(7, io::Cursor::new(bytes)))), quotes, false)
    }

    fn all(mut lines: Lines) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(line) = lines.next().expect("readable") {
            let text = match line {
                Line::Text(text) => text.to_vec(),
                Line::TooLong(start) => [b"too long: ", &start[..4]].concat(),
            };
            out.push((lines.number(), text));
        }
        out
    }

    #[test]
    fn lines_come_without_their_breaks_and_with_their_numbers() {
        let text = b"\xef\xbb\xbffirst\r\n\nthird line\nlast".to_vec();
        let expected = [(1, "first"), (2, ""), (3, "third line"), (4, "last")];
        assert_eq!(all(lines(text, false)), expected.map(|(n, t)| (n, t.as_bytes().to_vec())));
        assert!(all(lines(Vec::new(), false)).is_empty());
    }

    #[test]
    fn quoted_breaks_are_part_of_the_line() {
        let text = b"a,\"b\nc \"\"d\"\"\n\"\ne,f\n".to_vec();
        let expected = [(1, "a,\"b\nc \"\"d\"\"\n\""), (4, "e,f")];
        assert_eq!(all(lines(text, true)), expected.map(|(n, t)| (n, t.as_bytes().to_vec())));
    }

    #[test]
    fn a_quote_within_a_cell_is_text() {
        let text = b"1,5\" pipe\n2,\"a\"b\"\n\xef\xbb\xbf\"3\n\",\n".to_vec();
        let expected = [&b"1,5\" pipe"[..], b"2,\"a\"b\"", b"\xef\xbb\xbf\"3\n\","];
        let read: Vec<_> = all(lines(text, true)).into_iter().map(|(_, text)| text).collect();
        assert_eq!(read, expected);
        let marked = b"\xef\xbb\xbf\"a\nb\",c\n1,2\n".to_vec();
        assert_eq!(all(lines(marked, true)), [(1, b"\"a\nb\",c".to_vec()), (3, b"1,2".to_vec())]);
    }

    #[test]
    fn a_line_that_is_too_long_harms_no_other() {
        let text = [&vec![b'x'; MAX_LINE_BYTES + 1][..], b"\nnext\n"].concat();
        assert_eq!(all(lines(text, false)), [(1, b"too long: xxxx".to_vec()), (2, b"next".to_vec())]);
        let open_quote = [&b"\"open"[..], &[b'x'; 99], b"\n"].concat().repeat(MAX_LINE_BYTES / 100 + 2);
        let read = all(lines([open_quote, b"a,b\n".to_vec()].concat(), true));
        assert_eq!(read.last().map(|(_, text)| text.as_slice()), Some(&b"a,b"[..]));
    }

    #[test]
    fn a_growing_file_gives_whole_lines_only() {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let open = || Input::File(BufReader::new(File::open(file.path()).expect("readable")));
        let mut lines = Lines::new(open(), false, true);
        let mut again = Lines::new(open(), false, true);
        file.write_all(b"one\ntw").expect("writable");
        assert!(matches!(lines.next(), Ok(Some(Line::Text(b"one")))));
        assert!(matches!(lines.next(), Ok(None)));
        assert_eq!(lines.position(), (4, 1));
        file.write_all(b"o\n").expect("writable");
        assert!(matches!(lines.next(), Ok(Some(Line::Text(b"two")))));
        again.seek(4, 1).expect("there");
        assert!(matches!(again.next(), Ok(Some(Line::Text(b"two")))));
        assert_eq!(again.number(), 2);
        assert!(again.seek(100, 9).is_err_and(|e| e.to_string().contains("replaced")));
    }
}
