//! Standard output and standard error, whose readers may leave before the end, as in
//! `hig list | head`. Work goes on whatever becomes of them: results are in files.

use crate::console::terminal::aside;
use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output is kept for JSON objects.
static RESERVED: AtomicBool = AtomicBool::new(false);

/// Whether standard output is kept for a file.
static FILE: AtomicBool = AtomicBool::new(false);

/// Whether something did not reach standard output, though its reader was there.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether something did not reach standard output, as where it is a file on a full disk.
pub fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Keeps standard output for JSON objects; all other text is dropped.
pub fn reserve() {
    RESERVED.store(true, Ordering::Relaxed);
}

/// Keeps standard output for a file, which [`write_bytes`] writes; all text is dropped.
pub fn reserve_for_file() {
    FILE.store(true, Ordering::Relaxed);
}

/// Whether it is kept for them.
pub fn reserved() -> bool {
    RESERVED.load(Ordering::Relaxed)
}

/// Writes to standard output.
pub fn write(text: Arguments<'_>) {
    if !reserved() && !FILE.load(Ordering::Relaxed) {
        write_bytes(printable(&text.to_string()).as_bytes());
    }
}

/// Writes a JSON object to standard output.
pub fn write_object(text: Arguments<'_>) {
    // One write a line, so that lines of several threads do not mix.
    write_bytes(text.to_string().as_bytes());
}

/// Whether a file that a user names is standard output.
pub fn is_standard(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

/// Writes a file to standard output.
pub fn write_bytes(bytes: &[u8]) {
    written(std::io::stdout().write_all(bytes));
}

/// Notes what became of something that is written to standard output.
pub fn written(result: std::io::Result<()>) {
    let Err(error) = result.and_then(|()| std::io::stdout().flush()) else {
        return;
    };
    if error.kind() != ErrorKind::BrokenPipe && !FAILED.swap(true, Ordering::Relaxed) {
        note!("error: standard output: {error}");
    }
}

/// Text without what steers a terminal, such as escape sequences in the names of a run from elsewhere.
pub fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !"\n\t".contains(c);
    if !text.contains(steers) {
        return text.into();
    }
    let plain = text.chars().map(|c| match steers(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    plain.collect::<String>().into()
}

/// Writes a line to standard error, between the bars.
pub fn write_note(text: Arguments<'_>) {
    let text = format!("{}\n", printable(&text.to_string()));
    aside(|| {
        let _ = std::io::stderr().write_all(text.as_bytes());
    });
}

/// `println!` for a reader that may leave.
macro_rules! say {
    () => { $crate::console::output::write(format_args!("\n")) };
    ($($part:tt)*) => { $crate::console::output::write(format_args!("{}\n", format_args!($($part)*))) };
}
pub(crate) use say;

/// `eprintln!` for a reader that may leave.
macro_rules! note {
    ($($part:tt)*) => { $crate::console::output::write_note(format_args!($($part)*)) };
}
pub(crate) use note;
