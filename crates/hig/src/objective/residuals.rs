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

mod blocks;
mod jacobian;
mod pieces;

pub use blocks::Block;

use super::linearized::check_finite_rows;
use super::network_jacobian::by_network_jacobian;
use super::{Jacobian, Linearized, Objective, Saturation, Weights};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::{self, Mat, MatRef, Scratch, Symmetric};
use crate::network::{Activations, LayerMoments, Network, ParameterView, Unknown};
use crate::timing::part;
use blocks::{Layout, Source, chosen_by_size};
use jacobian::{InPieces, Joined};
use pieces::Piece;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::sync::{Arc, Mutex, OnceLock};

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
    /// Memory of values that earlier passes have left.
    spare: Mutex<Vec<Activations>>,
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
            spare: Mutex::default(),
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
            spare: Mutex::default(),
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
        for (k, places) in self.groups(&drawn, 0..drawn.len()) {
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

    /// The halves of all samples.
    fn all_halves(&self, at: &[f64], samples: &Dataset) -> Result<Vec<f64>> {
        Ok(self.halves(&self.all_outputs(at, samples)?, samples))
    }
}

fn mean(halves: &[f64], factors: &[f64]) -> f64 {
    let sum: f64 = halves.iter().zip(factors).map(|(half, f)| f * half).sum();
    sum / halves.len() as f64
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
        let (pieces, y) = self.passed(at, batch)?;
        let b = batch.len();
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
            factors,
            pieces,
            joined: OnceLock::new(),
        }))
    }

    /// w_k/(2·N_k)·Σ (y - ŷ)² over the samples of each block.
    fn blocks(&self, at: &[f64], samples: &Dataset) -> Result<Vec<(&'static str, f64)>> {
        let halves = self.all_halves(at, samples)?;
        let groups = self.groups(samples, 0..samples.len()).into_iter();
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
        let input = samples.input.as_ref();
        Ok(Saturation::of_network(&self.network, at, input))
    }
}

/// Points linearised at θ.
struct Collocated<'a> {
    residuals: &'a Residuals,
    batch: &'a Dataset,
    parameters: &'a [f64],
    pieces: Vec<Piece>,
    joined: OnceLock<Joined>,
    y: Mat<f64>,
    /// What each sample counts.
    factors: Vec<f64>,
    cotangent: Vec<f64>,
    loss: f64,
}

impl Drop for Collocated<'_> {
    fn drop(&mut self) {
        let pieces = std::mem::take(&mut self.pieces).into_iter();
        // The last is taken first by the next pass.
        let values = pieces.map(|piece| piece.activations).rev();
        self.residuals.give_back(values);
    }
}

impl Collocated<'_> {
    /// Its rows are there already, so that nothing can fail.
    fn jacobian(&self) -> Result<InPieces<'_>> {
        let Residuals {
            network, scratch, ..
        } = self.residuals;
        let (pieces, joined) = (&self.pieces, &self.joined);
        Ok(InPieces::new(
            network,
            self.parameters,
            pieces,
            joined,
            scratch,
        ))
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
        let second = self
            .residuals
            .second_along(self.parameters, v, self.batch, &self.pieces);
        Ok(second.map(|second| linalg::stack(second.as_ref())))
    }

    fn samples(&self) -> Option<usize> {
        Some(self.batch.len())
    }

    fn check_finite(&self) -> Result<()> {
        let samples = self.batch.len();
        for piece in &self.pieces {
            let field = piece.activations.output().as_ref();
            if let Some((row, j, value)) = linalg::first_not_finite(field) {
                let count = piece.samples.len();
                let what = match row / count {
                    0 => "output of the network",
                    _ => "derivative of the output of the network",
                };
                let sample = piece.samples.start + row % count;
                return Err(Error::of_sample(what, value, sample, j));
            }
        }
        linalg::check_finite_samples("residual", self.y.as_ref())?;
        check_finite_rows("gradient of the loss in y", &self.cotangent, Some(samples))
    }
}

impl Jacobian for Collocated<'_> {
    by_network_jacobian!();
}
