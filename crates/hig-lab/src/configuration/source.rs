//! A configuration file as text, and refusals that point into it.

use crate::error::Refused;
use crate::run_folder::bounded_file;
use anyhow::Result;
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file and what it holds.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads a file, which must be UTF-8 and no larger than a configuration is.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = bounded_file::read_named(path, bounded_file::TEXT);
        let bytes = bytes.map_err(|e| Refused::because(hig::Error::file(path, e)))?;
        Self::new(path, bytes)
    }

    /// The bytes of a file, which must be UTF-8.
    pub fn new(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let path = path.to_owned();
        String::from_utf8(bytes)
            .map(|text| Self {
                path: path.clone(),
                text,
            })
            .map_err(|error| {
                // All before the first bad byte is kept as it is, so that the place is the same.
                let place = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Self { path, text }.refuse(place..place, "not UTF-8, as a TOML file must be")
            })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folder that paths in the file start from.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// A place as it is written, shortened to what an error message can take.
    pub fn quote(&self, span: Range<usize>) -> String {
        const LONGEST: usize = 40;
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(LONGEST).collect();
        if short.len() < text.len() {
            short + "…"
        } else {
            short
        }
    }

    /// A refusal with file, line and column of a place, and the place underlined.
    pub fn refuse(&self, span: Range<usize>, message: impl Display) -> anyhow::Error {
        Refused::because(format_args!("{message}\n{}", self.excerpt(span)))
    }

    fn excerpt(&self, span: Range<usize>) -> String {
        let text = &self.text;
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let line_end = line_start + line.len();
        let end = text.floor_char_boundary(span.end.min(line_end)).max(start);

        let number = text[..line_start].matches('\n').count() + 1;
        let before = &text[line_start..start];
        let column = before.chars().count() + 1;
        // Tabs stay, for the carets to stand under their place; a terminal must not obey the rest.
        let shown: String = line
            .chars()
            .map(|c| match c {
                '\t' => c,
                c if c.is_control() => char::REPLACEMENT_CHARACTER,
                c => c,
            })
            .collect();
        let indent: String = before
            .chars()
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        let carets = "^".repeat(text[start..end].chars().count().max(1));
        let gutter = " ".repeat(number.to_string().len());
        let path = self.path.display();
        format!(
            "{gutter}--> {path}:{number}:{column}\n\
             {gutter} |\n\
             {number} | {shown}\n\
             {gutter} | {indent}{carets}"
        )
    }
}
