//! Where commands print to. What goes wrong there is told with its name: a full disk is no use to know of without the file.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;

/// A writer whose errors name what is written.
pub(super) struct Out<W> {
    name: String,
    writer: W,
}

/// Standard output.
pub(super) fn stdout() -> BufWriter<Out<Stdout>> {
    BufWriter::new(Out { name: "standard output".to_owned(), writer: io::stdout() })
}

/// A new file.
///
/// # Errors
/// If it cannot be made.
pub(super) fn file(path: &Path) -> io::Result<BufWriter<Out<File>>> {
    let name = format!("`{}`", path.display());
    let writer = File::create(path).map_err(|error| named(&name, &error))?;
    Ok(BufWriter::new(Out { name, writer }))
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).map_err(|error| named(&self.name, &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(|error| named(&self.name, &error))
    }
}

/// Of the same kind, by which a reader that has gone away is known.
fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {name}: {error}"))
}
