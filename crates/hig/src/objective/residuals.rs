//! A field that obeys equations: the network is the field, y are the residuals of the equations at
//! points.
//!
//! The rows come in *blocks*: the equation inside a domain, what is given on its boundary, at the start or
//! by measurements. With weights w_k and N_k points each the loss is
//!
//! ```text
//! L = Σ_k w_k · 1/(2·N_k) · Σ (y - ŷ)²
//! ```
//!
//! over the points of each block (Raissi, Perdikaris and Karniadakis 2019, doi 10.1016/j.jcp.2018.10.045,
//! with the ½ of arXiv 2405.15603): half a mean square each, where ŷ is 0 or what is given at a
//! point. A mini-batch is an unbiased sample of it: a point of block k counts w_k·N/N_k, with N points in
//! all blocks, and the batch by its mean.
//!
//! A sample's input is a point x, its state the number of its block, its target ŷ.

use super::equation::{AnyEquation, Equation};
use super::linearized::check_finite_rows;
use super::network_jacobian::by_network_jacobian;
use super::{Jacobian, Linearized, NetworkJacobian, Objective, Saturation, Weights};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::{self, Mat, MatRef, Scratch, Symmetric};
use crate::network::{Activations, Jets, LayerMoments, Network, ParameterView, Passes, Unknown};
use crate::physics::Record;
use crate::timing::part;
use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

type Draw = Box<dyn Fn(usize, &mut Pcg64) -> Mat<f64> + Send + Sync>;
type Target = Box<dyn Fn(&[f64], &mut [f64]) + Send + Sync>;

/// Where the points of a block come from.
enum Source {
    /// Drawn, and what the equation should be there.
    Drawn(Draw, Option<Target>),
    /// These, with what was measured there.
    Rows(Mat<f64>, Mat<f64>),
}

/// Rows of one kind: an equation, and where it holds.
pub struct Block {
    name: &'static str,
    equation: Box<dyn AnyEquation>,
    jets: Jets,
    weight: f64,
    points: usize,
    source: Source,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("name", &self.name)
            .field("jets", &self.jets)
            .field("weight", &self.weight)
            .field("points", &self.points)
            .finish_non_exhaustive()
    }
}

impl Block {
    /// An equation at so many points of every whole set, drawn by a function of their number and a random
    /// stream (count × coordinates). Its weight is 1.
    ///
    /// A block of no points is in no whole set: its samples are given, such as those by which the field is
    /// judged, and count as they are.
    pub fn of(
        name: &'static str,
        equation: impl Equation + 'static,
        points: usize,
        draw: impl Fn(usize, &mut Pcg64) -> Mat<f64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            jets: equation.derivatives(),
            equation: Box::new(equation),
            weight: 1.0,
            points,
            source: Source::Drawn(Box::new(draw), None),
        }
    }

    /// An equation at points (N × coordinates) that are given, with what it should be there (N × residuals), such as
    /// measurements of the field. A whole set has all of them, a smaller one some.
    ///
    /// # Panics
    /// If there is not a row of values for every point, or not a value for every residual.
    pub fn of_rows(
        name: &'static str,
        equation: impl Equation + 'static,
        points: Mat<f64>,
        values: Mat<f64>,
    ) -> Self {
        let shape = (points.nrows(), equation.count());
        assert_eq!(values.shape(), shape, "values of block {name}");
        let count = points.nrows();
        Self {
            source: Source::Rows(points, values),
            ..Self::of(name, equation, count, |_, _| Mat::new())
        }
    }

    /// The same with what the equation's left side should be at a point: writes ŷ.
    ///
    /// # Panics
    /// If the values are [given](Self::of_rows) already.
    #[must_use]
    pub fn with_target(
        mut self,
        target: impl Fn(&[f64], &mut [f64]) + Send + Sync + 'static,
    ) -> Self {
        match &mut self.source {
            Source::Drawn(_, given) => *given = Some(Box::new(target)),
            Source::Rows(..) => panic!("the values of block {} are given", self.name),
        }
        self
    }

    /// The same with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The derivatives that its equation names.
    pub fn derivatives(&self) -> &Jets {
        &self.jets
    }
}

/// All blocks, and how they share the points.
#[derive(Debug)]
struct Layout {
    blocks: Vec<Block>,
    /// ŷ of a sample, the most residuals of a block; others have 0 in the rest.
    rows: usize,
}

impl Layout {
    fn points(&self) -> usize {
        self.blocks.iter().map(|block| block.points).sum()
    }

    /// What a point of a block counts.
    fn factor(&self, block: usize) -> f64 {
        let Block { weight, points, .. } = self.blocks[block];
        match points {
            0 => weight,
            points => weight * self.points() as f64 / points as f64,
        }
    }

    /// How many of so many points each block has: its share, the largest remainders rounded up.
    fn counts(&self, total: usize) -> Vec<usize> {
        let all = self.points().max(1) as u128;
        let share = |block: &Block| (block.points as u128 * total as u128) / all;
        let rest = |block: &Block| (block.points as u128 * total as u128) % all;
        let mut counts: Vec<usize> = self.blocks.iter().map(|b| share(b) as usize).collect();
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|k| std::cmp::Reverse(rest(&self.blocks[*k])));
        let missing = total - counts.iter().sum::<usize>();
        order.into_iter().take(missing).for_each(|k| counts[k] += 1);
        counts
    }

    /// Points of one block.
    fn draw_block(&self, block: usize, count: usize, random: &mut Pcg64) -> Dataset {
        let mut targets = Mat::zeros(count, self.rows);
        let (draw, target) = match &self.blocks[block].source {
            Source::Drawn(draw, target) => (draw, target),
            Source::Rows(points, values) => {
                let chosen = chosen_rows(points.nrows(), count, random);
                let given = linalg::gather_rows(values, &chosen);
                let columns = targets.as_mut().subcols_mut(0, given.ncols());
                { columns }.copy_from(&given);
                return Dataset {
                    state: Mat::full(count, 1, block as f64),
                    input: linalg::gather_rows(points, &chosen),
                    target: targets,
                };
            }
        };
        let input = draw(count, random);
        if let Some(write) = target {
            let mut values = vec![0.0; self.rows];
            for s in 0..count {
                let point: Vec<f64> = input.row(s).iter().copied().collect();
                values.fill(0.0);
                write(&point, &mut values);
                for (j, value) in values.iter().enumerate() {
                    targets[(s, j)] = *value;
                }
            }
        }
        Dataset {
            state: Mat::full(count, 1, block as f64),
            input,
            target: targets,
        }
    }

    fn draw(&self, total: usize, random: &mut Pcg64) -> Dataset {
        let counts = self.counts(total).into_iter().enumerate();
        let parts: Vec<Dataset> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(k, count)| self.draw_block(k, count, random))
            .collect();
        let join = |matrix: fn(&Dataset) -> &Mat<f64>| {
            let width = parts.first().map_or(0, |part| matrix(part).ncols());
            let mut joined = Mat::zeros(total, width);
            let mut first = 0;
            for part in parts.iter().map(matrix) {
                let target = joined.as_mut().subrows_mut(first, part.nrows());
                { target }.copy_from(part);
                first += part.nrows();
            }
            joined
        };
        Dataset {
            input: join(|part| &part.input),
            state: join(|part| &part.state),
            target: join(|part| &part.target),
        }
    }
}

/// The residuals of equations that a network, as a field, should obey.
///
/// ```
/// use hig::Problem;
/// use hig::network::{Activation, Initializer, Jets, Network};
/// use hig::objective::{Block, Cuboid, Equation, Field, Given, Residuals};
/// use hig::physics::Real;
/// use hig::step::LevenbergMarquardt;
/// use hig::trainer::{Budget, Order, Training, train};
/// use std::f64::consts::PI;
///
/// /// -u'' = π²·sin πx.
/// struct Poisson;
///
/// impl Equation for Poisson {
///     fn derivatives(&self) -> Jets {
///         Jets::of(1).with_second(0, 0)
///     }
///     fn residuals<T: Real>(&self, x: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
///         residuals[0] = -u.second(0, 0) - PI * PI * (PI * x[0]).sin();
///     }
/// }
///
/// let (inside, ends) = (Cuboid::unit(1), Cuboid::unit(1));
/// let network = Network::mlp(&[1, 10, 1], Activation::Tanh, Initializer::Uniform);
/// let blocks = vec![
///     Block::of("interior", Poisson, 30, move |count, random| inside.inside(count, random)),
///     // What is given where nothing is said is 0.
///     Block::of("boundary", Given { coordinates: 1 }, 6, move |count, random| ends.boundary(count, random)),
/// ];
/// let residuals = Residuals::new(network, blocks)?;
/// let problem = Problem::of_residuals(residuals, 0);
/// let start = problem.initial_parameters(0);
/// let training = Training { batch: 36, order: Order::Fixed, ..Training::default() };
/// let method = LevenbergMarquardt::default();
/// let outcome = train(&problem, &method, start, &training, Budget::updates(100), 0, &mut [])?;
/// assert!(outcome.train_loss < 1e-6);
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug)]
pub struct Residuals {
    /// The field.
    network: Arc<Network>,
    layout: Arc<Layout>,
    /// What the passes of one update leave to those of the next.
    scratch: Scratch,
}

impl Residuals {
    /// A field and the blocks of rows that it should make 0, or what is given.
    ///
    /// # Errors
    /// No points; a weight that is not above 0; an equation of another number of coordinates than the
    /// network reads; a network through which the derivatives cannot be carried.
    pub fn new(network: Network, blocks: Vec<Block>) -> Result<Self> {
        let rows = blocks.iter().map(|block| block.equation.rows()).max();
        let residuals = Self {
            network: Arc::new(network),
            layout: Arc::new(Layout {
                blocks,
                rows: rows.unwrap_or(0),
            }),
            scratch: Scratch::new(),
        };
        residuals.check()?;
        Ok(residuals)
    }

    /// The same, with the weights of the blocks as they are or [balanced](Self::balanced).
    ///
    /// # Errors
    /// As [`new`](Self::new) or [`balanced`](Self::balanced).
    pub fn weighted(
        network: Network,
        blocks: Vec<Block>,
        weights: Weights,
        seed: u64,
    ) -> Result<Self> {
        match weights {
            Weights::Equal => Self::new(network, blocks),
            Weights::Balanced => Self::balanced(network, blocks, seed),
        }
    }

    /// The same with weights that balance the blocks at the first parameters of a seed: the weight of each is
    /// multiplied so that the trace of its part of JᵀCJ, w_k/N_k·Σ|∂r/∂θ|², is that of the first block (Wang, Yu and
    /// Perdikaris 2022, "When and why PINNs fail to train: a neural tangent kernel perspective", arXiv 2007.14527,
    /// section 6, once and relative to the first block). A mean over 64 points of a block stands for N_k.
    ///
    /// # Errors
    /// As [`new`](Self::new); a block whose rows of J are 0 or not finite there.
    pub fn balanced(network: Network, blocks: Vec<Block>, seed: u64) -> Result<Self> {
        const POINTS: usize = 64;
        let mut residuals = Self::new(network, blocks)?;
        let at = residuals.network.initial_parameters(seed);
        let blocks = 0..residuals.layout.blocks.len();
        let some: Vec<usize> = blocks
            .filter(|k| residuals.layout.blocks[*k].points > 0)
            .collect();
        let traces = some
            .iter()
            .map(|k| {
                let random = &mut random(seed, Purpose::Train);
                let points = residuals.layout.draw_block(*k, POINTS, random);
                let gram = residuals.linearize(&points, &at)?.gram()?.into_lower();
                let trace: f64 = (0..gram.nrows()).map(|i| gram[(i, i)]).sum();
                Ok(residuals.layout.blocks[*k].weight * trace)
            })
            .collect::<Result<Vec<f64>>>()?;
        let layout = Arc::get_mut(&mut residuals.layout).expect("nobody else has it yet");
        for (k, trace) in some.into_iter().zip(&traces) {
            layout.blocks[k].weight *= traces[0] / trace;
        }
        residuals.check()?;
        Ok(residuals)
    }

    /// The field.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A whole set of points, or so many in the same proportions.
    pub fn draw(&self, points: usize, random: &mut Pcg64) -> Dataset {
        self.layout.draw(points, random)
    }

    /// Points of one block.
    ///
    /// # Panics
    /// If there is no block of that name.
    pub fn draw_block(&self, name: &str, points: usize, random: &mut Pcg64) -> Dataset {
        let place = self.layout.blocks.iter().position(|b| b.name == name);
        let block = place.unwrap_or_else(|| panic!("no block is called {name}"));
        self.layout.draw_block(block, points, random)
    }

    /// What draws new points for every update, in the same proportions.
    pub fn sampler(&self) -> impl Fn(usize, &mut Pcg64) -> Dataset + Send + Sync + use<> {
        let layout = Arc::clone(&self.layout);
        move |count, random| layout.draw(count, random)
    }

    /// The same, where each is chosen among so many candidates on the average, with a probability in proportion
    /// to 1 + |r|/(mean of |r| in its block) for the residuals r there are (Wu, Zhu, Tan, Kartha and Lu 2023, arXiv
    /// 2207.10289, equation 2 with k = c = 1): points gather where the equation is met worst, such as at a front.
    /// They do not count less there.
    pub fn adaptive_sampler(
        &self,
        candidates: usize,
    ) -> impl Fn(&[f64], usize, &mut Pcg64) -> Dataset + Send + Sync + use<> {
        let own = Self {
            network: Arc::clone(&self.network),
            layout: Arc::clone(&self.layout),
            scratch: Scratch::new(),
        };
        move |at, count, random| match candidates {
            0 | 1 => own.draw(count, random),
            _ => own.draw_by_residual(at, count, count.saturating_mul(candidates), random),
        }
    }

    /// So many points of more candidates, by their residuals.
    fn draw_by_residual(
        &self,
        at: &[f64],
        count: usize,
        candidates: usize,
        random: &mut Pcg64,
    ) -> Dataset {
        let drawn = self.draw(candidates, random);
        let counts = self.layout.counts(count);
        let Ok(halves) = self.all_halves(at, &drawn) else {
            // What failed is told where the batch is linearised.
            return drawn.select(&(0..count).collect::<Vec<_>>());
        };
        let mut chosen = Vec::with_capacity(count);
        for (k, places) in self.groups(&drawn) {
            if let Source::Rows(..) = self.layout.blocks[k].source {
                chosen.extend(places.into_iter().take(counts[k]));
                continue;
            }
            let sizes: Vec<f64> = places.iter().map(|s| halves[*s].sqrt()).collect();
            let found = chosen_by_size(&sizes, counts[k], random.random());
            chosen.extend(found.into_iter().map(|i| places[i]));
        }
        drawn.select(&chosen)
    }

    /// Number of points in a whole set.
    pub fn points(&self) -> usize {
        self.layout.points()
    }

    /// The blocks that are among samples, with the places of their samples.
    fn groups(&self, samples: &Dataset) -> Vec<(usize, Vec<usize>)> {
        let mut places = vec![Vec::new(); self.layout.blocks.len()];
        for s in 0..samples.len() {
            places[samples.state[(s, 0)] as usize].push(s);
        }
        let some = places.into_iter().enumerate();
        some.filter(|(_, places)| !places.is_empty()).collect()
    }

    /// The derivatives that some blocks name.
    fn jets(&self, blocks: impl Iterator<Item = usize>) -> Jets {
        let start = Jets::of(self.network.inputs());
        blocks.fold(start, |all, k| all.joined(&self.layout.blocks[k].jets))
    }

    /// The field at samples, with the derivatives that their blocks name.
    fn pass(&self, at: &[f64], samples: &Dataset) -> Passed {
        let groups = self.groups(samples);
        let jets = Arc::new(self.jets(groups.iter().map(|(k, _)| *k)));
        let mut activations = Activations::default();
        let points = samples.input.as_ref();
        self.scratch.with_another(|scratch| {
            let values = &mut activations;
            self.network
                .forward_jets_into(at, points, &jets, values, scratch);
        });
        Passed {
            groups,
            jets,
            activations,
        }
    }

    /// y (samples × rows) of what has passed; `visit` hears the rows of every block too, where it asks for
    /// them.
    fn evaluate(
        &self,
        samples: &Dataset,
        passed: &Passed,
        mut visit: Option<&mut Visit<'_>>,
    ) -> Result<Mat<f64>> {
        let (b, outputs) = (samples.len(), self.network.outputs());
        let field = passed.activations.output();
        let mut y = Mat::zeros(b, self.layout.rows);
        for (k, places) in &passed.groups {
            let block = &self.layout.blocks[*k];
            let components = passed.components_of(&block.jets);
            let points = linalg::gather_rows(&samples.input, places);
            let jets = jets_at(field, b, &components, places);
            let (points, jets) = (points.as_ref(), jets.as_ref());
            let mut store = |found: &Mat<f64>| {
                for j in 0..found.ncols() {
                    for (value, place) in found.col_as_slice(j).iter().zip(places) {
                        y[(*place, j)] = *value;
                    }
                }
            };
            match &mut visit {
                None => store(&block.equation.evaluate(points, jets, outputs)?),
                Some(visit) => {
                    let record = block.equation.record(points, jets, outputs)?;
                    store(record.y());
                    visit(places, &components, record.as_ref())?;
                }
            }
        }
        Ok(y)
    }

    /// ½·Σ (y - ŷ)² of every sample.
    fn halves(&self, y: &Mat<f64>, samples: &Dataset) -> Vec<f64> {
        let half = |s: usize| {
            let squares = (0..y.ncols()).map(|j| (y[(s, j)] - samples.target[(s, j)]).powi(2));
            0.5 * squares.sum::<f64>()
        };
        (0..samples.len()).map(half).collect()
    }

    /// What every sample counts.
    fn factors(&self, samples: &Dataset) -> Vec<f64> {
        let blocks = 0..self.layout.blocks.len();
        let of_blocks: Vec<f64> = blocks.map(|k| self.layout.factor(k)).collect();
        let factor = |s: usize| of_blocks[samples.state[(s, 0)] as usize];
        (0..samples.len()).map(factor).collect()
    }

    /// The halves of all samples, in pieces of bounded size.
    fn all_halves(&self, at: &[f64], samples: &Dataset) -> Result<Vec<f64>> {
        Ok(self.halves(&self.all_outputs(at, samples)?, samples))
    }

    /// y of all samples, in pieces of bounded size that do not depend on the number of threads.
    fn all_outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        const PIECE: usize = 256;
        let pieces: Vec<Mat<f64>> = (0..samples.len().div_ceil(PIECE))
            .into_par_iter()
            .map(|piece| {
                let last = samples.len().min((piece + 1) * PIECE);
                let places: Vec<usize> = (piece * PIECE..last).collect();
                let piece = samples.select(&places);
                self.evaluate(&piece, &self.pass(at, &piece), None)
            })
            .collect::<Result<_>>()?;
        let mut y = Mat::zeros(samples.len(), self.layout.rows);
        for (i, piece) in pieces.iter().enumerate() {
            let rows = y.as_mut().subrows_mut(i * PIECE, piece.nrows());
            { rows }.copy_from(piece);
        }
        Ok(y)
    }
}

/// Some components of the jets (C·b × outputs) of some of b samples: samples × components, the outputs in each.
fn jets_at(field: &Mat<f64>, b: usize, components: &[usize], places: &[usize]) -> Mat<f64> {
    let outputs = field.ncols();
    let mut jets = Mat::zeros(places.len(), components.len() * outputs);
    for (i, c) in components.iter().enumerate() {
        for o in 0..outputs {
            let from = &field.col_as_slice(o)[c * b..][..b];
            let to = jets.col_as_slice_mut(i * outputs + o);
            for (to, place) in to.iter_mut().zip(places) {
                *to = from[*place];
            }
        }
    }
    jets
}

/// `count` of so many rows: all in their order and again from the first where more are asked for, or else some,
/// each once.
fn chosen_rows(rows: usize, count: usize, random: &mut Pcg64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..rows).collect();
    if count >= rows {
        return (0..count).map(|i| i % rows.max(1)).collect();
    }
    for i in 0..count {
        all.swap(i, random.random_range(i..rows));
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

/// `count` places, each at most once, with probabilities in proportion to 1 + size/(mean size): those at which
/// the sum of the probabilities passes `start`, `start` + 1, … for a start in [0, 1).
fn chosen_by_size(sizes: &[f64], count: usize, start: f64) -> Vec<usize> {
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    let weight = |size: &f64| match (size / mean).is_finite() {
        true => 1.0 + size / mean,
        false => 1.0,
    };
    let mut weights: Vec<f64> = sizes.iter().map(weight).collect();
    // None is more than certain: what is above is shared by the others.
    for _ in 0..8 {
        let sum: f64 = weights.iter().sum();
        let scale = count as f64 / sum;
        weights.iter_mut().for_each(|w| *w = (*w * scale).min(1.0));
    }
    let mut chosen = Vec::with_capacity(count);
    let mut sum = start;
    for (place, weight) in weights.iter().enumerate() {
        // The last ones are taken where rounding, or what was above, has left too few.
        let left = weights.len() - place;
        sum += weight;
        if chosen.len() < count && (sum >= 1.0 || left <= count - chosen.len()) {
            chosen.push(place);
            sum = (sum - 1.0).max(0.0);
        }
    }
    chosen
}

fn mean(halves: &[f64], factors: &[f64]) -> f64 {
    let sum: f64 = halves.iter().zip(factors).map(|(half, f)| f * half).sum();
    sum / halves.len() as f64
}

/// Samples that have passed through the network.
struct Passed {
    groups: Vec<(usize, Vec<usize>)>,
    jets: Arc<Jets>,
    activations: Activations,
}

impl Passed {
    /// Where the components of a block's jets stand.
    fn components_of(&self, jets: &Jets) -> Vec<usize> {
        let place = |component| self.jets.place(component);
        let components = jets.components().iter();
        components
            .map(|c| place(*c).expect("all blocks are joined"))
            .collect()
    }
}

impl Objective for Residuals {
    fn tells_layer_moments(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<ParameterView> {
        self.network.views()
    }

    fn initial(&self, seed: u64) -> Vec<f64> {
        self.network.initial_parameters(seed)
    }

    fn unknowns(&self) -> Vec<(Unknown, Option<usize>)> {
        self.network.unknowns()
    }

    fn rows(&self, samples: usize) -> usize {
        samples * self.layout.rows
    }

    fn pass_numbers(&self, samples: usize) -> usize {
        let components = self.jets(0..self.layout.blocks.len()).count();
        self.rows(samples) * components * self.network.total_width()
    }

    fn check(&self) -> Result<()> {
        if self.layout.points() == 0 {
            return Err(Error::setting("points", 0, "at least 1 in some block"));
        }
        for block in &self.layout.blocks {
            if !(block.weight > 0.0 && block.weight.is_finite()) {
                let name = format!("weight of block {}", block.name);
                return Err(Error::setting(
                    &name,
                    block.weight,
                    "a finite number above 0",
                ));
            }
            self.network
                .check_jets(&block.jets)
                .map_err(|error| error.of(block.name))?;
        }
        Ok(())
    }

    fn check_samples(&self, samples: &Dataset) -> Result<()> {
        samples.check(self.network.inputs(), 1, self.layout.rows)?;
        let blocks = self.layout.blocks.len();
        let known = |number: f64| number >= 0.0 && number < blocks as f64 && number.fract() == 0.0;
        match (0..samples.len()).find(|s| !known(samples.state[(*s, 0)])) {
            None => Ok(()),
            Some(s) => Err(Error::Shape {
                what: format!("state of sample {s}"),
                found: format!("{}", samples.state[(s, 0)]),
                expected: format!("the number of a block, 0 to {}", blocks - 1),
            }),
        }
    }

    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        self.all_outputs(at, samples)
    }

    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64> {
        let halves = self.all_halves(at, samples)?;
        Ok(mean(&halves, &self.factors(samples)))
    }

    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        let _part = part!(FORWARD);
        let passed = self.pass(at, batch);
        let (b, outputs) = (batch.len(), self.network.outputs());
        let all = passed.jets.count() * b;
        let mut rows = Mat::zeros(self.layout.rows * all, outputs);
        let mut write = |places: &[usize], components: &[usize], record: &dyn Record| {
            let found = record.rows()?;
            let count = places.len();
            for residual in 0..found.nrows() / count {
                for (i, c) in components.iter().enumerate() {
                    for o in 0..outputs {
                        let from =
                            &found.col_as_slice(i * outputs + o)[residual * count..][..count];
                        let to = &mut rows.col_as_slice_mut(o)[residual * all + c * b..][..b];
                        for (value, place) in from.iter().zip(places) {
                            to[*place] = *value;
                        }
                    }
                }
            }
            Ok(())
        };
        let y = self.evaluate(batch, &passed, Some(&mut write))?;
        let factors = self.factors(batch);
        let cotangent = Mat::from_fn(b, y.ncols(), |s, j| {
            factors[s] / b as f64 * (y[(s, j)] - batch.target[(s, j)])
        });
        Ok(Box::new(Collocated {
            residuals: self,
            batch,
            parameters: at,
            loss: mean(&self.halves(&y, batch), &factors),
            cotangent: linalg::stack(cotangent.as_ref()),
            y,
            rows,
            factors,
            passed,
        }))
    }

    /// w_k/(2·N_k)·Σ (y - ŷ)² over the samples of each block.
    fn blocks(&self, at: &[f64], samples: &Dataset) -> Result<Vec<(&'static str, f64)>> {
        let halves = self.all_halves(at, samples)?;
        let groups = self.groups(samples).into_iter();
        Ok(groups
            .map(|(k, places)| {
                let Block { name, weight, .. } = self.layout.blocks[k];
                let sum: f64 = places.iter().map(|s| halves[*s]).sum();
                (name, weight * sum / places.len() as f64)
            })
            .collect())
    }

    fn weights(&self) -> Vec<(&'static str, f64)> {
        let blocks = self.layout.blocks.iter().filter(|b| b.points > 0);
        blocks.map(|b| (b.name, b.weight)).collect()
    }

    fn saturation(&self, at: &[f64], samples: &Dataset) -> Result<Option<Saturation>> {
        let values = self.network.forward(at, samples.input.as_ref());
        let values = self.network.activated(&values);
        Ok(Saturation::of(
            values.map(|(a, outputs)| (a, outputs.as_ref())),
        ))
    }
}

/// What is done with the record of one block's equation: its samples, the components of the jets that it names, the record.
type Visit<'a> = dyn FnMut(&[usize], &[usize], &dyn Record) -> Result<()> + 'a;

/// Points linearised at θ.
struct Collocated<'a> {
    residuals: &'a Residuals,
    batch: &'a Dataset,
    parameters: &'a [f64],
    passed: Passed,
    y: Mat<f64>,
    /// ∂y/∂(jets of the field).
    rows: Mat<f64>,
    /// What each sample counts.
    factors: Vec<f64>,
    cotangent: Vec<f64>,
    loss: f64,
}

impl Collocated<'_> {
    fn passes(&self) -> Passes<'_> {
        self.passed.jets.passes()
    }

    /// Its rows are there already, so that nothing can fail.
    fn jacobian(&self) -> Result<NetworkJacobian<'_>> {
        let network = &self.residuals.network;
        let (rows, values) = (Cow::Borrowed(&self.rows), &self.passed.activations);
        let jacobian = NetworkJacobian::new(network, self.parameters, values, rows);
        let jacobian = jacobian.of_passes(self.passes());
        Ok(jacobian.with_scratch(&self.residuals.scratch))
    }
}

impl Linearized for Collocated<'_> {
    fn layer_moments(&self, probes: MatRef<'_, f64>) -> Result<Option<Vec<LayerMoments>>> {
        Ok(Some(self.jacobian()?.layer_moments(probes)))
    }

    fn parameters(&self) -> &[f64] {
        self.parameters
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn mean_loss(&self) -> f64 {
        self.loss
    }

    fn cotangent(&self) -> &[f64] {
        &self.cotangent
    }

    fn curvature(&self) -> Result<Vec<f64>> {
        let b = self.batch.len() as f64;
        let of_samples: Vec<f64> = self.factors.iter().map(|factor| factor / b).collect();
        Ok(of_samples.repeat(self.y.ncols()))
    }

    fn gradient(&self) -> Result<Vec<f64>> {
        let _part = part!(DIRECTION);
        self.vjp(&self.cotangent)
    }

    fn loss_at(&self, parameters: &[f64]) -> Result<f64> {
        let _part = part!(FORWARD);
        self.residuals.loss(parameters, self.batch)
    }

    fn outputs(&self) -> Vec<f64> {
        linalg::stack(self.y.as_ref())
    }

    fn outputs_at(&self, parameters: &[f64]) -> Result<Vec<f64>> {
        let _part = part!(FORWARD);
        let y = Objective::outputs(self.residuals, parameters, self.batch)?;
        Ok(linalg::stack(y.as_ref()))
    }

    fn loss_and_outputs_at(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let _part = part!(FORWARD);
        let y = self.residuals.all_outputs(at, self.batch)?;
        let halves = self.residuals.halves(&y, self.batch);
        Ok((mean(&halves, &self.factors), linalg::stack(y.as_ref())))
    }

    fn moved<'s>(&'s self, parameters: &'s [f64]) -> Result<Box<dyn Linearized + 's>> {
        self.residuals.linearize(self.batch, parameters)
    }

    fn second_along(&self, v: &[f64]) -> Result<Option<Vec<f64>>> {
        let _part = part!(FORWARD);
        let Residuals {
            network,
            layout,
            scratch,
        } = self.residuals;
        let (values, b) = (&self.passed.activations, self.batch.len());
        let curve =
            scratch.with_another(|own| network.second_along(self.parameters, values, v, own));
        let Some((velocity, acceleration)) = curve else {
            return Ok(None);
        };
        let mut second = Mat::zeros(b, layout.rows);
        for (k, places) in &self.passed.groups {
            let block = &layout.blocks[*k];
            let components = self.passed.components_of(&block.jets);
            let points = linalg::gather_rows(&self.batch.input, places);
            let [jets, velocity, acceleration] = [values.output(), &velocity, &acceleration]
                .map(|field| jets_at(field, b, &components, places));
            let jets = [jets.as_ref(), velocity.as_ref(), acceleration.as_ref()];
            let (points, outputs) = (points.as_ref(), network.outputs());
            let found = block.equation.second_along(points, jets, outputs);
            for j in 0..found.ncols() {
                for (value, place) in found.col_as_slice(j).iter().zip(places) {
                    second[(*place, j)] = *value;
                }
            }
        }
        Ok(Some(linalg::stack(second.as_ref())))
    }

    fn samples(&self) -> Option<usize> {
        Some(self.batch.len())
    }

    fn check_finite(&self) -> Result<()> {
        let samples = self.batch.len();
        let field = self.passed.activations.output().as_ref();
        if let Some((row, j, value)) = linalg::first_not_finite(field) {
            let what = match row / samples {
                0 => "output of the network",
                _ => "derivative of the output of the network",
            };
            return Err(Error::of_sample(what, value, row % samples, j));
        }
        linalg::check_finite_samples("residual", self.y.as_ref())?;
        check_finite_rows("gradient of the loss in y", &self.cotangent, Some(samples))
    }
}

impl Jacobian for Collocated<'_> {
    by_network_jacobian!();
}

#[cfg(test)]
mod tests {
    use super::chosen_by_size;

    #[test]
    fn points_are_chosen_in_proportion_to_one_and_their_size() {
        // Probabilities in the ratio 1 + 1/2 to 1 + 3/2 where half are three times as large.
        let sizes: Vec<f64> = (0..400).map(|i| [2.0, 6.0][i % 2]).collect();
        let mut found = [0.0; 2];
        for start in 0..100 {
            let chosen = chosen_by_size(&sizes, 80, f64::from(start) / 100.0);
            assert_eq!(chosen.len(), 80);
            assert!(chosen.is_sorted_by(|a, b| a < b));
            chosen.iter().for_each(|i| found[i % 2] += 1.0);
        }
        let ratio: f64 = found[1] / found[0];
        assert!((ratio / (2.5 / 1.5) - 1.0).abs() < 0.02, "{ratio}");
    }

    #[test]
    fn as_many_are_chosen_as_are_asked_for() {
        let mut sizes = vec![0.0; 50];
        let cases = |sizes: &[f64]| {
            for count in [0, 1, 7, 49, 50] {
                let chosen = chosen_by_size(sizes, count, 0.3);
                assert_eq!(chosen.len(), count, "{sizes:?}");
                assert!(chosen.is_sorted_by(|a, b| a < b));
            }
        };
        cases(&sizes);
        sizes[3] = 1e300;
        cases(&sizes);
        assert!(chosen_by_size(&sizes, 7, 0.3).contains(&3));
        sizes[4] = f64::NAN;
        cases(&sizes);
        assert!(chosen_by_size(&[], 0, 0.5).is_empty());
    }
}
