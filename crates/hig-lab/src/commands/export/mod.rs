//! `hig export`: the curves of several runs as one long table, for pandas, polars and others.

mod arrow;
mod point;

use crate::console::output;
use crate::error::Refused;
use crate::run_folder::{Run, read_all};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum, ValueHint};
use hig::files::WholeFile;
use point::{NAMES, Point, points};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

/// Options of `hig export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// Folders of runs, or folders of such folders.
    #[arg(value_name = "RUN", required = true, value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// Form of the table.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,
    /// The file that is written; one that is there is replaced, and - is standard output [default: -].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

/// Form of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// Arrow IPC file, also known as Feather version 2.
    Arrow,
}

/// Runs the command.
pub fn export(options: &ExportOptions) -> Result<()> {
    let Some(out) = options.out.as_ref().filter(|out| !output::is_standard(out)) else {
        if options.format == Format::Arrow && io::stdout().is_terminal() {
            return Err(Refused::because(
                "--format arrow: its bytes are not for a terminal; name a file with --out",
            ));
        }
        let runs = read_all(&options.runs)?;
        let mut stdout = BufWriter::new(Patient {
            to: io::stdout().lock(),
            terminal: io::stdout().is_terminal(),
        });
        write(&runs, options.format, &mut stdout)?;
        return Ok(stdout.flush()?);
    };
    if out.is_dir() {
        return Err(Refused::because(format_args!(
            "--out {}: it is a folder, expected a file",
            out.display()
        )));
    }
    let file = WholeFile::create(out)
        .map_err(|e| Refused::because(format_args!("--out {}: {e}", out.display())))?;
    let runs = read_all(&options.runs)?;
    write_file(&runs, options.format, file).with_context(|| format!("{}", out.display()))?;
    output::say!("{}", out.display());
    Ok(())
}

/// Takes everything, also after its reader has left, as in `hig export … | head`. Nothing in it steers a
/// terminal.
struct Patient<W> {
    to: W,
    terminal: bool,
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let steers = |byte: &u8| byte.is_ascii_control() && !b"\n\r\t".contains(byte);
        let plain = |byte: &u8| if steers(byte) { b'?' } else { *byte };
        let written = match self.terminal {
            true => self.to.write(&bytes.iter().map(plain).collect::<Vec<_>>()),
            false => self.to.write(bytes),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.to.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

fn write_file(runs: &[Run], format: Format, file: WholeFile) -> Result<()> {
    let mut file = BufWriter::new(file);
    write(runs, format, &mut file)?;
    Ok(file.into_inner()?.finish()?)
}

fn write(runs: &[Run], format: Format, to: &mut dyn Write) -> Result<()> {
    match format {
        Format::Csv => write_csv(runs, to),
        Format::Arrow => arrow::write(runs, to),
    }
}

fn write_csv(runs: &[Run], to: &mut dyn Write) -> Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(NAMES)?;
    let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:e}"));
    points(runs, |point: Point<'_>| {
        writer.write_record([
            point.run,
            point.method,
            &point.update.to_string(),
            &number(point.epoch),
            &number(point.seconds),
            point.quantity,
            &format!("{:e}", point.value),
        ])?;
        Ok(())
    })?;
    Ok(writer.flush()?)
}
