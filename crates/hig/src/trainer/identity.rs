//! What a training is: everything that its numbers depend on beside its budget, as a checkpoint tells it.
//!
//! What has a name is compared by it. Samples and parameters are compared by two numbers of each array.
//! A network, a simulator and a loss may be anything, and are compared by what they answer for two
//! samples at the start. Numbers may differ by a little, since processors differ in the last bits.

use super::{Training, consumption};
use crate::error::Result;
use crate::files::SavedState;
use crate::linalg::matrix::stack;
use crate::problem::Problem;
use crate::settings::{Setting, Settings};
use crate::step::Method;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// The note of a checkpoint that tells the name of its training.
pub const TRAINING: &str = "training";
/// What the notes of a checkpoint that tell the parts of an [`Identity`] begin with.
const PART: &str = "whose.";

/// The part that every one has.
const METHOD: &str = "method";

/// Settings of a training that may change where it goes on: the first two have no say in its numbers, of the
/// third the route that it leaves open is compared.
const MAY_CHANGE: [&str; 3] = ["evaluate_every", "returned", "memory_limit"];

/// Relative differences that are none: of samples and parameters, and of what is computed from them.
const SAME_DATA: f64 = 1e-9;
const SAME_ANSWER: f64 = 1e-6;

/// What a training is: method, settings, seed, samples, parameters at the start, network, physics and
/// loss. A checkpoint carries it, so that another training does not go on from there.
///
/// ```
/// use hig::step::Adam;
/// use hig::systems::{System, Toy};
/// use hig::trainer::{Identity, Training};
///
/// let problem = Toy::default().problem(0);
/// let start = problem.initial_parameters(0);
/// let (method, training) = (Adam::default(), Training::default());
/// let one = Identity::of(&problem, &method, &training, &start, 0)?;
/// let faster = Adam { learning_rate: 0.1, ..Adam::default() };
/// let other = Identity::of(&problem, &faster, &training, &start, 0)?;
/// let message = other.difference(&one).unwrap();
/// assert_eq!(message, "learning_rate is 0.001 there and 0.1 here");
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    name: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    name: String,
    rank: Rank,
    told: Told,
}

/// The first rank in which something differs explains what differs in those after it; problem and settings
/// are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Method,
    Problem,
    Settings,
    Data,
    Network,
    Physics,
    Loss,
}

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Words(String),
    Numbers { values: Vec<f64>, tolerance: f64 },
}

impl Identity {
    /// Of the training of a method from parameters at the start (length p). The network, the simulator
    /// and the loss are asked once, for the first and the last training sample.
    ///
    /// # Errors
    /// A simulation that fails.
    pub fn of(
        problem: &Problem,
        method: &dyn Method,
        training: &Training,
        start: &[f64],
        seed: u64,
    ) -> Result<Self> {
        Self::of_chain(problem, method.name(), &[(method, training)], start, seed)
    }

    /// Of the training of several methods one after the other, under a name that tells where each ends.
    ///
    /// # Errors
    /// A simulation that fails.
    pub fn of_chain(
        problem: &Problem,
        name: &str,
        methods: &[(&dyn Method, &Training)],
        start: &[f64],
        seed: u64,
    ) -> Result<Self> {
        let name = name.to_owned();
        let mut identity = Self {
            parts: vec![Part::words(METHOD, Rank::Method, name.clone())],
            name,
        };
        identity.tell_in(Rank::Settings, "seed", seed);
        for (method, training) in methods {
            let prefix = match methods.len() {
                1 => String::new(),
                _ => format!("{}.", method.name()),
            };
            identity.tell_settings_in(Rank::Settings, &prefix, &method.settings());
            let mut settings = training.settings();
            settings.retain(|setting| !MAY_CHANGE.contains(&setting.name));
            identity.tell_settings_in(Rank::Settings, &prefix, &settings);
            let (consumes, ..) = consumption(problem, *method, training);
            let name = format!("{prefix}what an update consumes");
            identity.tell_in(Rank::Settings, &name, consumes);
        }
        identity.tell_problem(problem, start);
        identity.ask(problem, start)?;
        Ok(identity)
    }

    /// Adds something by name that the numbers of the training depend on, such as a name of its loss.
    pub fn tell(&mut self, name: &str, value: impl ToString) {
        self.tell_in(Rank::Problem, name, value);
    }

    fn tell_in(&mut self, rank: Rank, name: &str, value: impl ToString) {
        self.parts.retain(|part| part.name != name);
        self.parts.push(Part::words(name, rank, value.to_string()));
    }

    /// Adds settings of the problem, with something in front of their names.
    pub fn tell_settings(&mut self, prefix: &str, settings: &[Setting]) {
        self.tell_settings_in(Rank::Problem, prefix, settings);
    }

    fn tell_settings_in(&mut self, rank: Rank, prefix: &str, settings: &[Setting]) {
        for setting in settings {
            self.tell_in(rank, &format!("{prefix}{}", setting.name), &setting.value);
        }
    }

    fn tell_problem(&mut self, problem: &Problem, start: &[f64]) {
        let arrays = problem.parameters().into_iter().map(|view| {
            let extents: Vec<String> = view.shape.iter().map(usize::to_string).collect();
            format!("{} ({})", view.name, extents.join(" x "))
        });
        self.tell_in(
            Rank::Settings,
            "parameters",
            arrays.collect::<Vec<_>>().join(", "),
        );
        for (whose, data) in [("training", &problem.train), ("test", &problem.test)] {
            let name = format!("number of {whose} samples");
            self.tell_in(Rank::Settings, &name, data.len());
            for (what, matrix) in [
                ("input", &data.input),
                ("state", &data.state),
                ("target", &data.target),
            ] {
                let name = format!("{whose} samples ({what})");
                self.measure(
                    &name,
                    Rank::Data,
                    digest(&stack(matrix.as_ref())),
                    SAME_DATA,
                );
            }
        }
        let name = "parameters at the start";
        self.measure(name, Rank::Data, digest(start), SAME_DATA);
    }

    fn ask(&mut self, problem: &Problem, start: &[f64]) -> Result<()> {
        let last = problem.train.len().saturating_sub(1);
        let probe = match last {
            0 => problem.train.clone(),
            _ => problem.train.select(&[0, last]),
        };
        let at = problem.objective.linearize(&probe, start)?;
        if let Some(parts) = at.through_physics() {
            let answers = [
                ("network", Rank::Network, parts.control()),
                ("simulator", Rank::Physics, parts.y()),
            ];
            for (name, rank, answer) in answers {
                self.measure(name, rank, digest(&stack(answer.as_ref())), SAME_ANSWER);
            }
        }
        let [size, mixed] = digest(at.cotangent());
        let answer = [at.loss(), size, mixed];
        self.measure("loss", Rank::Loss, answer, SAME_ANSWER);
        Ok(())
    }

    fn measure(
        &mut self,
        name: &str,
        rank: Rank,
        values: impl IntoIterator<Item = f64>,
        tolerance: f64,
    ) {
        let values = values.into_iter().collect();
        self.parts.push(Part {
            // What was told under the same name, such as that of the loss, is another thing.
            name: match rank {
                Rank::Data => name.into(),
                _ => format!("answer of the {name}"),
            },
            rank,
            told: Told::Numbers { values, tolerance },
        });
    }

    /// The notes by which a checkpoint tells it.
    pub(super) fn notes(&self) -> Vec<(String, String)> {
        let parts = self.parts.iter();
        let parts = parts.map(|part| (format!("{PART}{}", part.name), part.told.text()));
        let name = (TRAINING.to_owned(), self.name.clone());
        std::iter::once(name).chain(parts).collect()
    }

    /// Whether a checkpoint belongs to this training.
    ///
    /// # Errors
    /// It does not; the reason in words, by name.
    pub fn accepts(&self, checkpoint: &SavedState) -> Result<(), String> {
        let there = |name: &str| checkpoint.text(&format!("{PART}{name}")).map(str::to_owned);
        if there(METHOD).is_none() {
            return Err(
                "it does not tell which training it belongs to, as one of another version of hig"
                    .into(),
            );
        }
        match self.compare(there) {
            None => Ok(()),
            Some(difference) => Err(format!("it belongs to another training: {difference}")),
        }
    }

    /// In what another training (there) differs from this one (here); none where it is the same.
    pub fn difference(&self, there: &Self) -> Option<String> {
        self.compare(|name| {
            let mut parts = there.parts.iter();
            let part = parts.find(|part| part.name == name);
            part.map(|part| part.told.text())
        })
    }

    fn compare(&self, there: impl Fn(&str) -> Option<String>) -> Option<String> {
        /// More would say no more.
        const MOST: usize = 4;
        let differences = |part: &&Part| {
            let text = there(&part.name);
            !text.is_some_and(|text| part.told.is_same(&text))
        };
        let mut differing: Vec<&Part> = self.parts.iter().filter(differences).collect();
        differing.sort_by_key(|part| part.rank);
        let last = match differing.first()?.rank {
            Rank::Problem => Rank::Settings,
            rank => rank,
        };
        let first = differing.into_iter().filter(|part| part.rank <= last);
        let first: Vec<String> = first
            .map(|part| part.difference(there(&part.name).as_deref()))
            .collect();
        let more = first.len().saturating_sub(MOST);
        let mut words = first[..first.len() - more].join("; ");
        if more > 0 {
            words += &format!("; and {more} more");
        }
        Some(words)
    }
}

impl Part {
    fn words(name: &str, rank: Rank, words: String) -> Self {
        Self {
            name: name.into(),
            rank,
            told: Told::Words(words),
        }
    }

    /// The difference in words.
    fn difference(&self, there: Option<&str>) -> String {
        let name = &self.name;
        let Some(there) = there else {
            return format!("{name} is not told there");
        };
        let answer = "for the first and the last training sample";
        match (&self.told, self.rank) {
            (Told::Words(here), _) => {
                format!("{name} is {} there and {} here", short(there), short(here))
            }
            (_, Rank::Network) => {
                format!(
                    "the network answers otherwise {answer}: another activation or other layers"
                )
            }
            (_, Rank::Physics) => {
                format!(
                    "the simulator answers otherwise {answer}: another one, or other settings of it"
                )
            }
            (Told::Numbers { values, .. }, Rank::Loss) => {
                let loss = numbers(there).and_then(|values| values.first().copied());
                let (there, here) = (loss.unwrap_or(f64::NAN), values[0]);
                format!(
                    "the loss {answer} is {there:.3e} there and {here:.3e} here: another loss, or other \
                     weights in it"
                )
            }
            _ => format!("{name} are others"),
        }
    }
}

impl Told {
    fn text(&self) -> String {
        match self {
            Self::Words(words) => words.clone(),
            Self::Numbers { values, .. } => {
                let values: Vec<String> = values.iter().map(|v| format!("{v:e}")).collect();
                values.join(" ")
            }
        }
    }

    fn is_same(&self, there: &str) -> bool {
        match self {
            Self::Words(words) => words == there,
            Self::Numbers { values, tolerance } => numbers(there).is_some_and(|there| {
                there.len() == values.len()
                    && there
                        .iter()
                        .zip(values)
                        .all(|(a, b)| near(*a, *b, *tolerance))
            }),
        }
    }
}

/// Numbers that are not finite are near themselves.
fn near(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * a.abs().max(b.abs())
}

fn numbers(text: &str) -> Option<Vec<f64>> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.parse().ok()).collect()
}

/// The largest magnitude, and a sum with random weights that know every place, moved so far from 0 that
/// rounding is small beside it whatever cancels.
fn digest(values: &[f64]) -> [f64; 2] {
    let size = values
        .iter()
        .fold(0.0, |size: f64, v| match size.is_nan() || v.is_nan() {
            true => f64::NAN,
            false => size.max(v.abs()),
        });
    if size == 0.0 || !size.is_finite() {
        return [size, 0.0];
    }
    let mut random = Pcg64::seed_from_u64(0);
    let terms = values.iter().map(|value| {
        let weight: f64 = random.random();
        value / size * if weight < 0.5 { weight - 1.0 } else { weight }
    });
    let sum: f64 = terms.sum();
    [size, 8.0 * (values.len() as f64).sqrt() + sum]
}

/// A text of which the beginning is enough to tell.
fn short(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
