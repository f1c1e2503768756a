//! Half-inverse gradients that look for their own exponent, damping, length and momentum.
//!
//! With A = √C·J and r = g/√C (see [`whitened`](crate::objective::whitened)) a candidate is
//!
//! ```text
//! φ = μ·φ' - β·α*·d,   d = V·f(Σ)·Uᵀ·r',   f(σ) = σ·(σ² + λ)^(-(1+κ)/2),   α* = (r'·Ad) / |Ad|²
//! Δθ = η·φ,          r' = r + μ·A·φ'
//! ```
//!
//! where φ' is the φ of the last update (SPRING, arXiv 2401.10190, is κ = 1) and α* minimises the
//! quadratic model of the loss along d, known from the spectrum alone. A is decomposed once; each
//! candidate (κ, λ) costs a backward and a forward pass. Where combinations of the rows of A are decomposed
//! ([`Combinations`]), d is theirs, and α* is that of all rows for one product A·d more.
//!
//! - λ follows the gain ratio, as in Levenberg-Marquardt. After three trials that fail, a fifth of the step
//!   at the first κ is taken whether the loss of the batch falls or not, unless it becomes far worse; then
//!   β is shortened too.
//! - κ stays until new batches show that much has been learned, and then follows trials of neighbours on
//!   the same decomposition ([`Probe`]).
//! - μ, and below it the longest β, follow what new batches say over many updates ([`Kept`],
//!   [`Length`]); where their loss rises far above that of the best parameters kept, training goes back
//!   to these.
//! - Where the first updates keep next to nothing of what the model promises, training begins again with
//!   shorter steps ([`Beginning`]); where a batch has a loss and no gradient, it goes back as well.
//! - An update that a new batch finds to have made things far worse is taken back.
//! - A batch that comes again, as where all samples or points are trained on at once, is all the evidence
//!   there is: κ follows its trials from the start, paths bend ([`Geodesic`]), every step lowers its loss,
//!   and nothing is asked about other parameters.
//! - What is shown to the trainer is the best of the parameters and their averages ([`Iterates`]).

mod beginning;
mod iterates;
mod kept;
mod length;
mod place;

use super::gain_ratio::{Damping, gain_ratio};
use super::geodesic::Geodesic;
use super::line_search::SUFFICIENT_DECREASE;
use super::{Method, Step, Update, finite_gradient};
use crate::diagnostics;
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::matrix::dot;
use crate::objective::{Consumes, Linearized, ParameterView, rayleigh, residual};
use crate::settings::{AT_LEAST_ONE, End, FLAG, FRACTION, GROUP, POSITIVE, Rule, Settings};
use crate::spectral::{Combinations, Decomposition, DecompositionSettings, Request, Rows, Solve};
use beginning::Beginning;
use iterates::Iterates;
use kept::{Kept, Verdict};
use length::Length;
use place::{Place, Probe};
use rayon::prelude::*;

crate::settings! {
    /// Half-inverse gradients with a search for exponent, damping, length and momentum.
    pub struct AdaptiveHalfInverse {
        /// Fraction η of every candidate that is taken; at 1 its length is the one that the quadratic model finds best.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// κ of the first candidate.
        pub exponent: f64 = 0.5, FAMILY;
        /// λ of the first candidate, as a fraction of the largest σ².
        pub damping: f64 = 1e-3, DAMPING;
        /// The least λ, as a fraction of the largest σ².
        pub least_damping: f64 = 1e-11, DAMPING;
        /// μ of the first updates: the part of the last one that every candidate begins with.
        pub momentum: f64 = 0.5, FRACTION;
        /// Dampings tried on one batch before it is left with no update.
        pub trials: usize = 8, AT_LEAST_ONE;
        /// Whether candidates follow the bend of their path (Transtrum and Sethna 2012, arXiv 1201.5885) also
        /// where every update has another batch; where the same one comes again they do.
        pub geodesic: bool = false, FLAG;
        /// How its Jacobian is decomposed.
        pub decomposition: DecompositionSettings = DecompositionSettings { sketch: Combinations::Auto, ..DecompositionSettings::default() }, GROUP;
    }
}

const FAMILY: Rule<f64> = Rule::between(
    End::meaning(0.0, "orthogonalised"),
    End::meaning(1.0, "Gauss-Newton"),
);

const DAMPING: Rule<f64> = Rule::between(End::excluded(0.0), End::included(1.0));

impl AdaptiveHalfInverse {
    /// Where the search begins.
    fn first(&self) -> Place {
        Place {
            exponent: self.exponent,
            damping: self.damping.max(self.least_damping),
            reach: 1.0,
        }
    }
}

impl Method for AdaptiveHalfInverse {
    fn name(&self) -> &'static str {
        "adaptive-hig"
    }

    fn about(&self) -> &'static str {
        "half-inverse gradients with a search for exponent, damping, length and momentum"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, rows: usize, columns: usize, memory: usize) -> Consumes {
        let request = self.decomposition.request(memory);
        request.consumes(&self.first().filter(1.0), rows, columns)
    }

    fn sketch(&self) -> Combinations {
        self.decomposition.sketch
    }

    fn start_within(&self, memory: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Searching {
            settings: self.clone(),
            request: self.decomposition.request(memory),
            place: self.first(),
            probe: Probe::new(),
            length: Length::new(self.momentum),
            largest: None,
            last: None,
            iterates: None,
            beginning: None,
            kept: None,
            left: None,
            stuck: false,
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// All rows of a batch of which combinations are decomposed. These tell a direction, and not how far it may be
/// followed: what is best for them fits them alone, and disturbs what they do not see.
struct AllRows<'a> {
    at: &'a dyn Linearized,
    /// √C.
    roots: Vec<f64>,
    /// r'.
    residual: Vec<f64>,
}

impl<'a> AllRows<'a> {
    fn new(at: &'a dyn Linearized) -> Result<Self> {
        let (roots, residual) = residual(at)?;
        Ok(Self {
            at,
            roots,
            residual,
        })
    }

    /// A·v.
    fn image(&self, v: &[f64]) -> Result<Vec<f64>> {
        let mut image = self.at.tangent(v)?;
        image.iter_mut().zip(&self.roots).for_each(|(i, r)| *i *= r);
        Ok(image)
    }

    /// α* of a direction d, and the decrease of the model by it; 0 where it leads up.
    fn line_minimum(&self, direction: &[f64]) -> Result<(f64, f64)> {
        let image = self.image(direction)?;
        let slope = dot(&self.residual, &image);
        let length = slope / dot(&image, &image);
        Ok(match slope > 0.0 && length.is_finite() {
            true => (length, 0.5 * length * slope),
            false => (0.0, 0.0),
        })
    }
}

/// The decrease of the model by a step of this image, which the residual becomes what is left after.
fn mended(residual: &mut [f64], image: &[f64]) -> f64 {
    let decrease = -dot(residual, image) - 0.5 * dot(image, image);
    for (r, i) in residual.iter_mut().zip(image) {
        *r += i;
    }
    decrease
}

/// The part of the last update that a candidate begins with, μ·φ'.
struct Drift {
    step: Vec<f64>,
    /// The decrease of the model by it.
    decrease: f64,
}

impl Drift {
    /// The residuals become what is left of them.
    fn new(
        rows: &mut Rows<'_>,
        all: Option<&mut AllRows<'_>>,
        last: &[f64],
        momentum: f64,
    ) -> Result<Self> {
        let step = scaled_by(momentum, last);
        let decrease = match all {
            None => {
                let image = rows.jacobian().jvp(&step)?;
                mended(&mut rows.residual, &image)
            }
            Some(all) => {
                let image = all.image(&step)?;
                let decrease = mended(&mut all.residual, &image);
                let combined = rows.of_all(image);
                mended(&mut rows.residual, &combined);
                decrease
            }
        };
        Ok(Self { step, decrease })
    }
}

/// What the candidates of a batch have in common.
struct Scene<'a> {
    at: &'a dyn Linearized,
    rows: &'a Rows<'a>,
    parts: &'a Decomposition<'a>,
    /// Where `rows` are combinations of them.
    all: Option<&'a AllRows<'a>>,
    drift: Option<&'a Drift>,
    rate: f64,
    /// Whether it is the batch of the last update.
    again: bool,
    /// Whether paths bend.
    geodesic: bool,
}

/// A candidate that was tried.
struct Candidate {
    place: Place,
    /// φ.
    whole: Vec<f64>,
    /// α*.
    length: f64,
    /// 2|a|/|v| of its path.
    bend: f64,
    loss: f64,
    /// The decrease of the loss over that of the model; none where it does not fall enough.
    gain: Option<f64>,
}

impl Scene<'_> {
    /// A place, whatever the loss there.
    fn candidate(&self, place: Place) -> Result<Candidate> {
        let filter = place.filter(self.parts.largest());
        let mut whole = self.parts.direction(&filter)?;
        let (full, decrease) = match self.all {
            None => self.parts.line_minimum(&filter),
            Some(all) => all.line_minimum(&whole)?,
        };
        let length = place.reach * full;
        whole.iter_mut().for_each(|d| *d *= -length);
        let mut decrease = place.reach * decrease * (2.0 - place.reach);
        if let Some(drift) = self.drift {
            whole.iter_mut().zip(&drift.step).for_each(|(w, d)| *w += d);
            decrease += drift.decrease;
        }
        let path = match self.geodesic {
            true => {
                let solve = Solve::filtered(self.parts, &filter);
                Geodesic::of(self.at, self.rows, &solve, full, whole)?
            }
            false => Geodesic::straight(whole),
        };
        let (bend, whole) = (path.ratio(), path.change(1.0));
        let loss = self.at.loss_after(&scaled_by(self.rate, &whole))?;
        let promised = decrease * self.rate * (2.0 - self.rate).max(SUFFICIENT_DECREASE);
        Ok(Candidate {
            place,
            whole,
            length,
            bend,
            loss,
            gain: gain_ratio(self.at.loss() - loss, promised, SUFFICIENT_DECREASE),
        })
    }
}

struct Searching {
    settings: AdaptiveHalfInverse,
    request: Request,
    place: Place,
    probe: Probe,
    length: Length,
    /// The largest singular value of the last batch.
    largest: Option<f64>,
    /// φ of the last update.
    last: Option<Vec<f64>>,
    iterates: Option<Iterates>,
    beginning: Option<Beginning>,
    /// What new batches found best.
    kept: Option<Kept>,
    /// The loss that the last batch was left with.
    left: Option<f64>,
    /// Whether it had a loss and no gradient, as where the network is saturated to the last digit.
    stuck: bool,
}

/// The relative difference up to which a loss is the one that the last batch was left with.
const SAME: f64 = 1e-6;

/// The last of the trials (from 0) that differ in λ alone.
const JUDGED: usize = 2;

/// Factor of β after it: where the batch has one direction only, λ shortens nothing, since α* makes up
/// for it.
const SHORTENING: f64 = 0.25;

/// After it as well a step is taken that its batch is not asked about: where sensitivities are large,
/// as behind long simulations, the loss rises and falls within a fraction of every step, λ would grow
/// until one direction is left, and what many batches agree on would not be followed. This is the part
/// of the model's best length that is taken, and the rise of the loss that is not.
const UNJUDGED: f64 = 0.2;
const WORST: f64 = 4.0;

/// The loss of a new batch, as a multiple of that of the last ones, at which the last update is
/// doubted; and of that without it, at which the update is taken back.
const DOUBT: f64 = 8.0;
const WORSE: f64 = 4.0;

/// Factor of λ after an update that was taken back.
const DISTRUST: f64 = 64.0;

impl Searching {
    /// The step that is taken whether the loss of its batch falls or not.
    fn unjudged(&self, scene: &Scene<'_>) -> Result<Candidate> {
        let first = self.settings.first();
        scene.candidate(Place {
            exponent: first.exponent,
            damping: self.place.damping.min(first.damping),
            reach: self.length.part() * UNJUDGED,
        })
    }

    /// The best candidate, with the number tried; leaves λ where the next batch begins.
    fn search(&mut self, scene: &Scene<'_>) -> Result<(Option<Candidate>, usize)> {
        let least = self.settings.least_damping;
        // A larger κ lowers the loss of its batch at once, and where little is learned yet it is paid for
        // over hundreds of updates.
        let learned = scene.again || self.length.has_learned();
        let neighbour = learned.then(|| self.probe.neighbour(&self.place));
        let mut damping = Damping::new(self.place.damping, (least, 1.0));
        let (mut reach, mut tried) = (self.length.part(), 0);
        for trial in 0..self.settings.trials {
            let places: Vec<Place> = [self.place].into_iter().chain(neighbour).collect();
            tried += places.len();
            let found: Vec<Candidate> = places
                .into_par_iter()
                .map(|place| {
                    scene.candidate(Place {
                        damping: damping.now(),
                        reach,
                        ..place
                    })
                })
                .collect::<Result<_>>()?;
            let lower = |a: (Candidate, f64), b: (Candidate, f64)| match b.0.loss < a.0.loss {
                true => b,
                false => a,
            };
            let fallen = found
                .into_iter()
                .filter_map(|f| f.gain.map(|gain| (f, gain)));
            if let Some((best, gain)) = fallen.reduce(lower) {
                if neighbour.is_some() {
                    self.probe.hear(best.place.exponent != self.place.exponent);
                }
                self.place = Place {
                    damping: damping.accept(gain),
                    reach: 1.0,
                    ..best.place
                };
                return Ok((Some(best), tried));
            }
            if trial == JUDGED && !scene.again {
                tried += 1;
                let unjudged = self.unjudged(scene)?;
                if unjudged.loss <= WORST * scene.at.loss() {
                    self.place.damping = unjudged.place.damping;
                    return Ok((Some(unjudged), tried));
                }
            }
            damping.refuse();
            if trial >= JUDGED {
                reach *= SHORTENING;
            }
        }
        // What failed may have been the momentum, which the next batch goes without.
        if scene.drift.is_none() {
            self.place.damping = damping.now();
        }
        Ok((None, tried))
    }

    /// The update from the parameters that are trained.
    fn advance(&mut self, at: &dyn Linearized, again: bool, rate: f64) -> Result<Update> {
        let gradient = finite_gradient(at)?;
        if gradient.iter().all(|g| *g == 0.0) {
            self.stuck = at.loss() > 0.0;
            return Ok(Update::still(gradient.len()));
        }
        let mut rows = self.request.whitened_rows(at)?;
        let mut all = rows.are_sketched().then(|| AllRows::new(at)).transpose()?;
        let scale = || rayleigh(&gradient, &rows.residual).sqrt();
        let largest = self.largest.unwrap_or_else(scale);
        let momentum = self.length.momentum();
        let drift = self
            .last
            .take()
            .filter(|_| momentum > 0.0)
            .map(|last| Drift::new(&mut rows, all.as_mut(), &last, momentum))
            .transpose()?;
        let filter = self.place.filter(largest);
        let parts = self
            .request
            .decompose(rows.jacobian(), &rows.residual, &filter)?;
        let spectrum = parts.singular_values();
        self.largest = spectrum.first().copied();
        let scene = Scene {
            at,
            rows: &rows,
            parts: &parts,
            all: all.as_ref(),
            drift: drift.as_ref(),
            rate,
            again,
            geodesic: again || self.settings.geodesic,
        };
        let (found, tried) = self.search(&scene)?;
        let place = found.as_ref().map_or(self.place, |found| found.place);
        let freedom = place.freedom(spectrum);
        self.length.hear_freedom(freedom, rows.residual.len());
        let largest = spectrum.first().copied().unwrap_or(0.0);
        let participation = parts.participation(&place.filter(largest));
        let mut told = vec![
            diagnostics::KAPPA.of(place.exponent),
            diagnostics::CUTOFF.of(place.damping.sqrt()),
            diagnostics::MOMENTUM.of(drift.map_or(0.0, |_| momentum)),
            diagnostics::STEP_LENGTH.of(found.as_ref().map_or(0.0, |f| rate * f.length)),
            diagnostics::GAIN_RATIO.of(found.as_ref().and_then(|f| f.gain).unwrap_or(0.0)),
            diagnostics::CANDIDATES.of(tried as f64),
            diagnostics::RANK.of(freedom),
            diagnostics::PARTICIPATION.of(participation),
            diagnostics::ACCELERATION.of(found.as_ref().map_or(0.0, |f| f.bend)),
        ];
        told.extend(rows.diagnostics());
        let spectrum = parts.into_singular_values();
        if let Some(beginning) = &mut self.beginning {
            beginning.hear(found.as_ref().and_then(|f| f.gain).unwrap_or(0.0));
        }
        self.left = Some(found.as_ref().map_or(at.loss(), |found| found.loss));
        self.last = found.map(|found| found.whole);
        let delta = match &self.last {
            Some(whole) => scaled_by(rate, whole),
            None => vec![0.0; gradient.len()],
        };
        Ok(Update {
            delta,
            diagnostics: told,
            spectrum,
        })
    }

    /// Takes the last update back where a new batch finds it to have made things far worse.
    fn doubt(&mut self, at: &dyn Linearized, iterates: &mut Iterates) -> Result<bool> {
        let trusted = at.mean_loss() <= DOUBT * self.length.level()
            || at.loss() <= WORSE * at.loss_at(&iterates.before)?;
        if !trusted {
            iterates.revert();
            self.length.cut();
            self.last = None;
            self.place.damping = (self.place.damping * DISTRUST).min(1.0);
        }
        Ok(!trusted)
    }

    /// Asks a new batch what it says of the trend; answers where to go on from, where that is not here.
    fn consult(
        &mut self,
        given: &dyn Linearized,
        iterates: &mut Iterates,
    ) -> Result<Option<Vec<f64>>> {
        let shown = given.parameters();
        let beginning = self.beginning.get_or_insert_with(|| Beginning::new(shown));
        let stuck = std::mem::take(&mut self.stuck);
        if stuck {
            beginning.give_up();
        }
        let back = match beginning.begin_again() {
            Some(start) => {
                self.place = self.settings.first();
                self.probe = Probe::new();
                self.length = Length::gradual(self.settings.momentum);
                self.kept = None;
                start
            }
            None => {
                let kept = self.kept.get_or_insert_with(|| Kept::new(shown));
                let verdict = match stuck && kept.parameters != shown {
                    true => kept.give_up(),
                    false => kept.hear(shown, given.loss(), given.loss_at(&kept.parameters)?),
                };
                self.length.learn(verdict);
                if verdict != Verdict::Rise {
                    return Ok(None);
                }
                kept.parameters.clone()
            }
        };
        self.last = None;
        *iterates = Iterates::new(&back);
        Ok(Some(back))
    }
}

fn scaled_by(factor: f64, vector: &[f64]) -> Vec<f64> {
    vector.iter().map(|v| factor * v).collect()
}

impl Step for Searching {
    fn begin(&mut self, seed: u64, _: &[ParameterView]) {
        self.request.begin(seed);
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.request.exchange(state);
        state.part("place", |state| self.place.exchange(state));
        state.part("probe", |state| self.probe.exchange(state));
        state.part("length", |state| self.length.exchange(state));
        state.optional_number("largest", &mut self.largest);
        state.optional_over_parameters("last", &mut self.last);
        let fresh = || Iterates::new(&[]);
        let part = |state: &mut Exchange<'_>, iterates: &mut Iterates| iterates.exchange(state);
        state.optional("iterates", &mut self.iterates, fresh, part);
        let fresh = || Beginning::new(&[]);
        let part = |state: &mut Exchange<'_>, beginning: &mut Beginning| beginning.exchange(state);
        state.optional("beginning", &mut self.beginning, fresh, part);
        let fresh = || Kept::new(&[]);
        let part = |state: &mut Exchange<'_>, kept: &mut Kept| kept.exchange(state);
        state.optional("kept", &mut self.kept, fresh, part);
        state.optional_number("left", &mut self.left);
        state.flag("stuck", &mut self.stuck);
    }

    fn takes_back(&self) -> bool {
        let iterates = self.iterates.as_ref();
        iterates.is_some_and(Iterates::can_go_back)
    }

    fn step(&mut self, given: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let parameters = given.parameters();
        let mut iterates = match self.iterates.take() {
            Some(iterates) if iterates.lead_to(parameters) => iterates,
            _ => {
                self.last = None;
                self.kept = None;
                self.beginning = None;
                Iterates::new(parameters)
            }
        };
        let trained = (!iterates.shows_current()).then(|| iterates.current.clone());
        let own = trained.as_ref().map(|from| given.moved(from)).transpose()?;
        let at = own.as_deref().unwrap_or(given);
        let reverted = self
            .doubt(at, &mut iterates)?
            .then(|| iterates.current.clone());
        let earlier = reverted
            .as_ref()
            .map(|from| given.moved(from))
            .transpose()?;
        let at = earlier.as_deref().unwrap_or(at);
        let left = self.left.take();
        let again = left.is_some_and(|left| (at.loss() - left).abs() <= SAME * left);
        let from = match again {
            true => None,
            false => self.consult(given, &mut iterates)?,
        };
        let back = from.as_ref().map(|from| given.moved(from)).transpose()?;
        let at = back.as_deref().unwrap_or(at);
        if !at.loss().is_finite() {
            // This batch has nothing to learn from; the next one judges where this goes back to.
            let delta = iterates.go_back(parameters);
            self.iterates = Some(iterates);
            return Ok(Update {
                delta,
                ..Update::default()
            });
        }
        self.length.hear(at.mean_loss());
        if !again {
            iterates.judge(at.loss(), given.loss(), |parameters| at.loss_at(parameters))?;
        }
        let Update {
            delta,
            diagnostics: mut told,
            spectrum,
        } = self.advance(at, again, learning_rate)?;
        let delta = iterates.advance(&delta, parameters);
        told.push(diagnostics::AVERAGED.of(iterates.span()));
        self.iterates = Some(iterates);
        Ok(Update {
            delta,
            diagnostics: told,
            spectrum,
        })
    }
}
