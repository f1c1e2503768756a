//! What can go wrong, with the numbers and the mend.

use std::path::{Path, PathBuf};

/// How a sample is called whose place in the data is not known.
const BATCH: &str = "sample of the batch";

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every error of the library. Each message names the field, the value and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a value outside its range.
    #[error("{field} = {value} is not possible: it must be {expected}")]
    Setting {
        /// Name of the setting, as in `--set`.
        field: String,
        /// The value given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A name that nothing is registered under.
    #[error("unknown {kind} `{name}`{}; known: {}", suggestion(.name, .known), .known.join(", "))]
    Unknown {
        /// What the name was meant to name: system, method, setting, …
        kind: String,
        /// The name given.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// An array has the wrong shape.
    #[error("{what} has shape {found}, expected {expected}")]
    Shape {
        /// The array.
        what: String,
        /// Its shape.
        found: String,
        /// The shape that would be right.
        expected: String,
    },
    /// A layer does not fit into its network.
    #[error("layer {place} ({layer}) is given width {found}, but {expected}")]
    Layer {
        /// Its place in the chain, from 0, joins and nonlinearities counted.
        place: usize,
        /// The layer.
        layer: String,
        /// Width of the value that it is given.
        found: usize,
        /// What would be right.
        expected: String,
    },
    /// An array holds NaN or an infinity.
    #[error("{what} is {value} at row {row}, column {column}: every number must be finite")]
    NonFinite {
        /// The array.
        what: String,
        /// The offending number.
        value: f64,
        /// Row of the first offending entry, from 0.
        row: usize,
        /// Column of the first offending entry, from 0.
        column: usize,
    },
    /// A number that belongs to a sample is NaN or an infinity.
    #[error("{what} is {value} for {place}: every number must be finite")]
    NonFiniteOfSample {
        /// What the number is of.
        what: String,
        /// The offending number.
        value: f64,
        /// Whose it is.
        place: Box<SamplePlace>,
    },
    /// A file could not be read or written, or does not hold what it should.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why, and what would be right.
        reason: String,
    },
    /// The error of a simulator or an observer that is not of this library.
    #[error("{0}")]
    External(Box<dyn std::error::Error + Send + Sync>),
    /// A matrix could not be decomposed.
    #[error("the {matrix} ({size} x {size}) could not be decomposed: {reason}")]
    Decomposition {
        /// Which matrix.
        matrix: &'static str,
        /// Its size.
        size: usize,
        /// What happened and what to try.
        reason: String,
    },
    /// The work would need more memory than the limit set.
    #[error(
        "{what} needs {needed:.2} GiB, more than memory_limit = {limit} GiB: use a smaller batch (now {batch}) or raise memory_limit"
    )]
    Memory {
        /// The array that is too large.
        what: String,
        /// Gibibytes needed.
        needed: f64,
        /// Gibibytes allowed.
        limit: f64,
        /// Batch size.
        batch: usize,
    },
}

/// The place of a number that belongs to a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplePlace {
    /// What the sample is counted in: "sample of the batch", "training sample", ….
    pub whose: &'static str,
    /// The sample, from 0.
    pub sample: usize,
    /// The component of what the number is of, from 0; none for a number of the whole sample.
    pub component: Option<usize>,
    /// For a derivative, the component of the control, from 0.
    pub control: Option<usize>,
    /// What the network reads of the sample; empty where it is not known.
    pub input: Vec<f64>,
}

impl std::fmt::Display for SamplePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 6;
        write!(f, "{} {}", self.whose, self.sample)?;
        if let Some(component) = self.component {
            write!(f, ", component {component}")?;
        }
        if let Some(control) = self.control {
            write!(f, ", control {control}")?;
        }
        if self.input.is_empty() {
            return Ok(());
        }
        let shown: Vec<String> = self
            .input
            .iter()
            .take(SHOWN)
            .map(|v| format!("{v:?}"))
            .collect();
        let more = if self.input.len() > SHOWN {
            ", …"
        } else {
            ""
        };
        write!(f, " (input [{}{more}])", shown.join(", "))
    }
}

impl Error {
    /// A number of a sample of the batch at hand that is not finite.
    pub fn of_sample(
        what: impl Into<String>,
        value: f64,
        sample: usize,
        component: impl Into<Option<usize>>,
    ) -> Self {
        let place = SamplePlace {
            whose: BATCH,
            sample,
            component: component.into(),
            control: None,
            input: Vec::new(),
        };
        Self::NonFiniteOfSample {
            what: what.into(),
            value,
            place: Box::new(place),
        }
    }

    /// The same with a component of the control, for a derivative.
    pub fn by_control(mut self, component: usize) -> Self {
        if let Self::NonFiniteOfSample { place, .. } = &mut self {
            place.control = Some(component);
        }
        self
    }

    /// The same, with the sample of a batch told by its number in the data (none where it was drawn for
    /// this batch) and by what the network reads of it.
    pub(crate) fn told_by(
        mut self,
        whose: &'static str,
        number: impl Fn(usize) -> Option<usize>,
        input: impl Fn(usize) -> Vec<f64>,
    ) -> Self {
        if let Self::NonFiniteOfSample { place, .. } = &mut self
            && place.whose == BATCH
        {
            place.input = input(place.sample);
            if let Some(number) = number(place.sample) {
                place.sample = number;
                place.whose = whose;
            }
        }
        self
    }

    /// A setting out of range.
    pub fn setting(field: &str, value: impl ToString, expected: impl ToString) -> Self {
        Self::Setting {
            field: field.into(),
            value: value.to_string(),
            expected: expected.to_string(),
        }
    }

    /// An error that is not of this library, such as that of a simulation that cannot be done.
    pub fn external(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::External(error.into())
    }

    /// An error of a simulator with what it was asked before its words.
    pub(crate) fn asked(self, what: &str) -> Self {
        match self {
            Self::External(error) => Self::External(format!("{what}: {error}").into()),
            error => error,
        }
    }

    /// A name that does not exist; the message suggests the nearest of `known`.
    pub fn unknown<S: AsRef<str>>(
        kind: &str,
        name: &str,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::Unknown {
            kind: kind.into(),
            name: name.into(),
            known: known.into_iter().map(|s| s.as_ref().to_owned()).collect(),
        }
    }

    /// The same, with the array named more closely: "input" becomes "test input".
    pub(crate) fn of(mut self, whose: &str) -> Self {
        if let Self::Shape { what, .. } | Self::NonFinite { what, .. } = &mut self {
            *what = format!("{whose} {what}");
        }
        self
    }

    /// A file problem.
    pub fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

fn suggestion(name: &str, known: &[String]) -> String {
    // A name that is longer than any match by more than a mistake is not compared: it may be a file.
    let near = |candidate: &&String| name.len() <= 4 * (1 + candidate.len());
    known
        .iter()
        .filter(near)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .map(|(_, candidate)| format!(" (did you mean `{candidate}`?)"))
        .unwrap_or_default()
}
