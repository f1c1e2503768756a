//! What the tables of a training held at an evaluation, by which one is recognised that has lost rows or
//! was changed since.

use super::super::bounded_file;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The first bytes of a file: how many, and their checksum (CRC-32, IEEE 802.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How many.
    pub bytes: u64,
    /// Their checksum.
    pub sum: u32,
}

impl Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x}", self.bytes, self.sum)
    }
}

impl Mark {
    /// Reads what its text tells.
    pub fn parse(text: &str) -> Option<Self> {
        let (bytes, sum) = text.split_once(' ')?;
        Some(Self {
            bytes: bytes.parse().ok()?,
            sum: u32::from_str_radix(sum, 16).ok()?,
        })
    }
}

/// The marks of several tables, by the names of their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(pub BTreeMap<String, Mark>);

impl Marks {
    /// A line a table.
    pub fn text(&self) -> String {
        let line = |(name, mark): (&String, &Mark)| format!("{name} {mark}\n");
        self.0.iter().map(line).collect()
    }

    /// Reads such lines; none where one is no mark.
    pub fn parse(text: &str) -> Option<Self> {
        let mark = |line: &str| {
            let (name, mark) = line.split_once(' ')?;
            Some((name.to_owned(), Mark::parse(mark)?))
        };
        text.lines().map(mark).collect::<Option<_>>().map(Self)
    }
}

/// Follows tables as they grow.
#[derive(Debug)]
pub struct Ledger {
    tables: Vec<Followed>,
    /// What they held at the last evaluation, and at the one before it.
    noted: [(usize, Marks); 2],
}

#[derive(Debug)]
struct Followed {
    name: String,
    path: PathBuf,
    file: File,
    content: Content,
    synced: u64,
}

/// Bytes that were read one after the other.
#[derive(Debug, Clone, Default)]
struct Content {
    bytes: u64,
    sum: crc32fast::Hasher,
}

impl Content {
    fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes,
            sum: self.sum.clone().finalize(),
        }
    }

    /// Reads to the end of a source, and shows each piece.
    fn on(&mut self, mut source: impl Read, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let piece = &buffer[..count];
            self.sum.update(piece);
            self.bytes += count as u64;
            see(piece);
        }
    }
}

impl Ledger {
    /// Of the tables of these names in a folder, as they stand after an update that was evaluated.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn open(folder: &Path, names: &[&str], update: usize) -> hig::Result<Self> {
        let follow = |name: &&str| {
            let path = folder.join(name);
            let file = bounded_file::open_to_change(&path).map_err(|e| hig::Error::file(&path, e));
            Ok(Followed {
                name: (*name).to_owned(),
                file: file?,
                path,
                content: Content::default(),
                synced: 0,
            })
        };
        let tables = names.iter().map(follow).collect::<hig::Result<_>>()?;
        let noted = [(0, Marks::default()), (0, Marks::default())];
        let mut ledger = Self { tables, noted };
        ledger.note(update)?;
        ledger.noted[1] = ledger.noted[0].clone();
        Ok(ledger)
    }

    /// Notes what was written up to the evaluation after an update.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn note(&mut self, update: usize) -> hig::Result<()> {
        for table in &mut self.tables {
            let read = table.content.on(&mut table.file, |_| ());
            read.map_err(|e| hig::Error::file(&table.path, e))?;
        }
        let marks = self.now();
        self.noted.swap(0, 1);
        self.noted[0] = (update, marks);
        Ok(())
    }

    /// What was noted last.
    pub fn now(&self) -> Marks {
        let marks = self.tables.iter();
        Marks(marks.map(|t| (t.name.clone(), t.content.mark())).collect())
    }

    /// What the tables held at the last evaluation up to an update.
    pub fn at(&self, update: usize) -> &Marks {
        let [(last, now), (_, before)] = &self.noted;
        if *last <= update { now } else { before }
    }

    /// Brings to the disk what was noted, so that a power failure takes nothing of it.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&mut self) -> hig::Result<()> {
        for table in &mut self.tables {
            if table.content.bytes > table.synced {
                let synced = table.file.sync_data();
                synced.map_err(|e| hig::Error::file(&table.path, e))?;
                table.synced = table.content.bytes;
            }
        }
        Ok(())
    }
}

/// What is wrong with those tables of these names in a folder that were to hold this and no more, each with
/// its name.
pub fn check(folder: &Path, names: &[&str], marks: &Marks) -> Vec<(String, String)> {
    let wrong = |(name, mark): (&String, &Mark)| {
        let path = folder.join(name);
        if !names.contains(&name.as_str()) || path.is_symlink() {
            return None;
        }
        let found = match bounded_file::open(&path) {
            Ok(file) => compare(file, mark, true).map(|found| found.wrong),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some("is missing".to_owned())),
            // Whoever reads it tells why it cannot be.
            Err(_) => Ok(None),
        };
        let wrong = found.unwrap_or_else(|e| Some(format!("cannot be read ({e})")));
        wrong.map(|wrong| (name.clone(), wrong))
    };
    marks.0.iter().filter_map(wrong).collect()
}

/// Makes the tables of these names in a folder end where the marks do; without any they are removed. Other
/// files stay as they are. What is wrong with a table is told, and it ends with the last whole line of what
/// is left of it.
///
/// # Errors
/// A table cannot be read, shortened or removed.
pub fn cut(folder: &Path, names: &[&str], marks: Option<&Marks>) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for name in names {
        let path = folder.join(name);
        let mark = marks.map(|marks| marks.0.get(*name));
        let wrong = match mark {
            Some(Some(mark)) => cut_table(&path, mark),
            _ => remove(&path).map(|()| None),
        };
        let wrong = wrong.with_context(|| path.display().to_string())?;
        told.extend(wrong.map(|wrong| format!("{}: {wrong}", path.display())));
    }
    Ok(told)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn cut_table(path: &Path, mark: &Mark) -> io::Result<Option<String>> {
    let mut file = match bounded_file::open_to_change(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Some("it is missing; all of its rows are lost".into()));
        }
        Err(error) => return Err(error),
    };
    let found = compare(&mut file, mark, false)?;
    file.set_len(found.kept)?;
    let Some(wrong) = found.wrong else {
        return Ok(None);
    };
    let rest = match (found.kept < mark.bytes, last_update(&mut file, found.kept)?) {
        (false, _) => "its rows are kept as they are".to_owned(),
        (true, Some(update)) => format!("its rows after update {update} are lost"),
        (true, None) => "all of its rows are lost".to_owned(),
    };
    Ok(Some(format!("it {wrong}; {rest}")))
}

/// What a comparison with a mark found.
struct Found {
    wrong: Option<String>,
    /// The bytes of the mark, or up to the end of the last whole line where there are fewer.
    kept: u64,
}

/// Compares a file with its mark; where the mark is of `all` of it, more bytes are wrong too.
fn compare(mut file: impl Read + Seek, mark: &Mark, all: bool) -> io::Result<Found> {
    let (mut read, mut seen, mut whole) = (Content::default(), 0, 0);
    read.on((&mut file).take(mark.bytes), |piece| {
        if let Some(end) = piece.iter().rposition(|byte| *byte == b'\n') {
            whole = seen + end as u64 + 1;
        }
        seen += piece.len() as u64;
    })?;
    let length = file.seek(SeekFrom::End(0))?;
    let expected = mark.bytes;
    let (wrong, kept) = if seen < expected {
        let wrong = format!("has {seen} bytes, expected {expected}: its end is lost");
        (Some(wrong), whole)
    } else if read.mark() != *mark {
        let wrong = "is damaged: its checksum is not the one that was noted";
        (Some(wrong.to_owned()), expected)
    } else if all && length > expected {
        let wrong = format!("has {length} bytes, expected {expected}: something was added");
        (Some(wrong), expected)
    } else {
        (None, expected)
    };
    Ok(Found { wrong, kept })
}

/// The update of the last line of the first bytes of a table.
fn last_update(file: &mut File, bytes: u64) -> io::Result<Option<usize>> {
    const LINE: u64 = 1 << 16;
    file.seek(SeekFrom::Start(bytes.saturating_sub(LINE)))?;
    let mut end = Vec::new();
    file.take(LINE.min(bytes)).read_to_end(&mut end)?;
    let mut lines = end.split(|byte| *byte == b'\n').rev().skip(1);
    let cell = lines
        .next()
        .and_then(|line| line.split(|byte| *byte == b',').next());
    Ok(cell.and_then(|cell| str::from_utf8(cell).ok()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const TEXT: &str = "update,x\n0,1\n3,2\n3,\"two\nlines\"\n7,4\n";

    fn mark(text: &str) -> Mark {
        Mark {
            bytes: text.len() as u64,
            sum: crc32fast::hash(text.as_bytes()),
        }
    }

    fn marks(text: &str) -> Marks {
        Marks(BTreeMap::from([("a.csv".to_owned(), mark(text))]))
    }

    /// What is left of a table, and what is told.
    fn after(text: &str, marked: &str) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("other.csv"), "9,").unwrap();
        let told = cut(folder.path(), &["a.csv"], Some(&marks(marked))).unwrap();
        let other = fs::read_to_string(folder.path().join("other.csv")).unwrap();
        assert_eq!(other, "9,");
        (fs::read_to_string(&path).unwrap(), told.join("\n"))
    }

    #[test]
    fn tables_end_where_the_training_goes_on() {
        for marked in [TEXT, &TEXT[..9], &TEXT[..TEXT.len() - 4], ""] {
            let (left, told) = after(&format!("{TEXT}9,"), marked);
            assert_eq!((left.as_str(), told.as_str()), (marked, ""));
        }
    }

    #[test]
    fn what_is_lost_or_changed_is_told() {
        let (left, told) = after(&TEXT[..15], TEXT);
        assert_eq!(left, "update,x\n0,1\n");
        assert!(told.ends_with("its rows after update 0 are lost"), "{told}");
        assert!(
            told.contains("a.csv: it has 15 bytes, expected 35"),
            "{told}"
        );
        for short in ["", "upd", "update,x\n"] {
            let (_, told) = after(short, TEXT);
            assert!(told.ends_with("all of its rows are lost"), "{told}");
        }
        let flipped = TEXT.replace("3,2", "3,3");
        let (left, told) = after(&flipped, TEXT);
        assert_eq!(left, flipped);
        assert!(told.contains("its checksum is not"), "{told}");
    }

    #[test]
    fn a_table_that_is_missing_is_told_and_without_marks_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let told = cut(folder.path(), &["a.csv"], Some(&marks(TEXT))).unwrap();
        assert!(told[0].ends_with("a.csv: it is missing; all of its rows are lost"));
        fs::write(folder.path().join("a.csv"), TEXT).unwrap();
        assert!(cut(folder.path(), &["a.csv"], None).unwrap().is_empty());
        assert!(!folder.path().join("a.csv").exists());
    }

    #[test]
    fn a_ledger_knows_the_last_two_evaluations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut written = String::new();
        let mut write = |more: &str| {
            written += more;
            fs::write(&path, &written).unwrap();
            marks(&written)
        };
        let begun = write("update,x\n");
        let mut ledger = Ledger::open(folder.path(), &["a.csv"], 0).unwrap();
        assert_eq!(*ledger.at(0), begun);
        let first = write("0,1\n");
        ledger.note(0).unwrap();
        assert_eq!(*ledger.at(5), first);
        let second = write("6,1\n");
        ledger.note(6).unwrap();
        ledger.sync().unwrap();
        assert_eq!((ledger.at(5), ledger.at(6)), (&first, &second));
        assert_eq!(ledger.now(), second);
        assert_eq!(Marks::parse(&second.text()), Some(second.clone()));
        assert!(check(folder.path(), &["a.csv"], &second).is_empty());
        for (text, expected) in [
            ("update,x\n0,1\n7,1\n", "checksum"),
            ("update,x\n0,1\n", "expected 17"),
            ("update,x\n0,1\n6,1\n8,1\n", "something was added"),
        ] {
            fs::write(&path, text).unwrap();
            let wrong = check(folder.path(), &["a.csv"], &second);
            assert!(wrong[0].1.contains(expected), "{wrong:?}");
        }
        assert_eq!(Marks::parse("a.csv 3"), None);
    }
}
