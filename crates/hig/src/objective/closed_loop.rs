//! A network inside the simulation: at every time step it sees the state and answers the control.
//!
//! u_k = net(s(x_k); θ), x_{k+1} = F(k, x_k, u_k), y = h(x at some steps), and the loss is one of y. The
//! discrete adjoint carries the rows of ∂y/∂x backwards through both: ∂y/∂u_k = ∂y/∂x_{k+1} · ∂F/∂u, and
//! ∂y/∂x_k = ∂y/∂x_{k+1} · ∂F/∂x + ∂y/∂u_k · ∂net/∂s · ∂s/∂x. A row of J is then a sum over the steps,
//! Σ_k ∂y/∂u_k · ∂net/∂θ at s(x_k): backpropagation through time (Werbos 1990, doi 10.1109/5.58337), for
//! all outputs of a sample at once.

mod tangent;
mod unrolled;

use super::{Linearized, Objective, Reduction, Saturation};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::linalg::{Mat, MatRef, Scratch};
use crate::loss::Loss;
use crate::network::{Activations, Network, ParameterView, Passes, Unknown};
use crate::physics::{self, Simulator, Stepwise, Widths};
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use unrolled::Unrolled;

/// Components of a control up to which a pass for each of them may serve all rows of a sample.
const MOST_SHARED: usize = 64;

/// A network that steers a simulation from inside, and a loss of what is observed of the motion.
///
/// The network is called at every time step. It sees the state x, and after it what
/// [`Dataset::input`] holds for the sample (a target, a parameter; it may have no columns), or what
/// [`seeing`](Self::seeing) says. y is the final state, or what [`observing`](Self::observing) says.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::loss::SquaredError;
/// use hig::network::{Activation, Initializer, Network};
/// use hig::objective::ClosedLoop;
/// use hig::physics::{Equations, Real, RungeKutta4};
/// use hig::step::Spectral;
/// use hig::trainer::{Budget, Training, train};
/// use hig::{Dataset, Problem};
///
/// /// A mass that a force moves.
/// struct Mass;
///
/// impl Equations for Mass {
///     fn state_len(&self) -> usize { 2 }
///     fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
///         rate[0] = x[1];
///         rate[1] = u[0];
///     }
/// }
///
/// // It reads position and velocity and answers the force, forty times a simulation.
/// let network = Network::mlp(&[2, 10, 1], Activation::Tanh, Initializer::Glorot);
/// let physics = RungeKutta4::new(Mass, 40, 0.05);
/// let steered = ClosedLoop::new(network, physics, SquaredError::half());
/// let starts = |phase: f64| Dataset {
///     input: Mat::zeros(64, 0),
///     state: Mat::from_fn(64, 2, |i, j| (phase + 2.4 * i as f64 + j as f64).sin()),
///     target: Mat::zeros(64, 2),
/// };
/// let problem = Problem::of(starts(0.0), starts(0.5), steered);
/// let training = Training { batch: 8, ..Training::default() };
/// let start = problem.initial_parameters(0);
/// let before = problem.objective.loss(&start, &problem.test)?;
/// let budget = Budget::updates(60);
/// let outcome = train(&problem, &Spectral::half_inverse(), start, &training, budget, 0, &mut [])?;
/// assert!(problem.objective.loss(&outcome.parameters, &problem.test)? < 0.2 * before);
/// # Ok::<(), hig::Error>(())
/// ```
pub struct ClosedLoop {
    /// The network u = net(s; θ).
    pub network: Network,
    /// The loss L(y, ŷ) of a sample.
    pub loss: Box<dyn Loss>,
    /// Whether a batch counts by the mean or the sum of its samples' losses.
    pub reduction: Reduction,
    physics: Box<dyn Stepwise>,
    /// s; none where the network sees the state and then the sample's input.
    sight: Option<Box<dyn Simulator>>,
    /// Whether it sees the time behind the two.
    knows_time: bool,
    /// Whether derivatives go backwards through the physics alone.
    stopped: bool,
    /// h; none where y is the observed states themselves.
    observation: Option<Box<dyn Simulator>>,
    /// The numbers of steps after which the state is observed, in rising order.
    observed: Vec<usize>,
    /// Whether the target has weights behind what was observed.
    weighed: bool,
    /// Every step uses the biases of the network.
    biased: Vec<bool>,
    /// Steps whose values inside the network are held at once, where that was said.
    held: Option<usize>,
    scratch: Scratch,
    /// Memory for the values of all steps that one update leaves to the next.
    spare: Mutex<Vec<Activations>>,
}

/// A simulated batch.
#[derive(Debug, Clone)]
pub struct Motion {
    /// The states at the start and after each step (steps + 1, samples × state each).
    pub states: Vec<Mat<f64>>,
    /// The controls during each step (samples × control each).
    pub controls: Vec<Mat<f64>>,
}

impl ClosedLoop {
    /// The network sees the state and then the sample's input, y is the final state, and a batch counts
    /// by the mean of its samples' losses.
    ///
    /// # Panics
    /// Physics without steps.
    pub fn new(
        network: Network,
        physics: impl Stepwise + 'static,
        loss: impl Loss + 'static,
    ) -> Self {
        let steps = physics.steps();
        assert!(steps > 0, "the physics takes at least one step");
        Self {
            network,
            loss: Box::new(loss),
            reduction: Reduction::Mean,
            physics: Box::new(physics),
            sight: None,
            knows_time: false,
            stopped: false,
            observation: None,
            observed: vec![steps],
            weighed: false,
            biased: vec![true; steps],
            held: None,
            scratch: Scratch::new(),
            spare: Mutex::default(),
        }
    }

    /// The same where the network sees the time behind the state and the sample's input.
    #[must_use]
    pub fn knowing_time(mut self) -> Self {
        self.knows_time = true;
        self
    }

    /// The same with derivatives that go backwards through the physics alone, as if what the network sees
    /// did not depend on its answers before (the gradient stopping of Schnell and Thuerey 2024,
    /// arXiv 2405.02041): a remedy against networks that make derivatives explode, to compare with. J and
    /// the gradient are then no derivatives of y and the loss, but vanish where y meets its target.
    #[must_use]
    pub fn stopping_gradients(mut self) -> Self {
        self.stopped = true;
        self
    }

    /// The same where the network sees s: a function whose control is the state x, and whose state is the
    /// sample's input with the time behind it. A [`SampleFunction`](crate::physics::SampleFunction) in
    /// [`Differentiated`](crate::physics::Differentiated) is one.
    #[must_use]
    pub fn seeing(mut self, sight: impl Simulator + 'static) -> Self {
        self.sight = Some(Box::new(sight));
        self
    }

    /// The same with y of the states after each of the given numbers of steps, side by side.
    ///
    /// # Errors
    /// Numbers that do not rise, or that are 0 or more than the steps of the physics.
    pub fn after(mut self, steps: Vec<usize>) -> Result<Self> {
        physics::check_observed(&steps, self.physics.steps())?;
        self.observed = steps;
        Ok(self)
    }

    /// The same with y = h(observed states): a function whose control is the observed states side by
    /// side, and whose state is that at the start.
    #[must_use]
    pub fn observing(mut self, observation: impl Simulator + 'static) -> Self {
        self.observation = Some(Box::new(observation));
        self
    }

    /// The same with a weight for each observation of each sample: the target holds what was observed, and
    /// behind it the weights, 1/σ² for one with a noise of standard deviation σ and 0 for one that is
    /// missing. y and the observations are then multiplied by the roots of the weights, so that a loss
    /// ½ Σ (y - ŷ)² is ½ Σ w·(h - ĥ)² and every method sees the same weights in J.
    #[must_use]
    pub fn weighing(mut self) -> Self {
        self.weighed = true;
        self
    }

    /// The same with the losses of a batch summed instead of averaged.
    #[must_use]
    pub fn summed(mut self) -> Self {
        self.reduction = Reduction::Sum;
        self
    }

    /// The same where a linearised batch holds the values inside the network of at most so many steps at once. Of
    /// the others it keeps a state in each stretch of that length, from which derivatives compute them once more
    /// (checkpoints of a trajectory, Griewank 1992, doi 10.1080/10556789208805505): memory of a long simulation
    /// for one more pass through it. J is then formed, as sums over the stretches. Where nothing is said, that is
    /// so for batches with more than 2²⁷ such numbers (1 GiB).
    ///
    /// # Panics
    /// No steps.
    #[must_use]
    pub fn holding(mut self, steps: usize) -> Self {
        assert!(steps > 0, "it holds at least one step");
        self.held = Some(steps);
        self
    }

    /// How samples move under a network with these parameters.
    ///
    /// # Errors
    /// A simulation that fails.
    pub fn motion(&self, parameters: &[f64], samples: &Dataset) -> Result<Motion> {
        let mut states = vec![samples.state.clone()];
        let mut controls = Vec::with_capacity(self.physics.steps());
        for k in 0..self.physics.steps() {
            let x = states[k].as_ref();
            let u = self.control(k, parameters, x, samples.input.as_ref())?;
            let next = self.physics.advance(k, x, u.as_ref())?;
            controls.push(u);
            states.push(next);
        }
        Ok(Motion { states, controls })
    }

    /// What the network answers at a step.
    fn control(
        &self,
        step: usize,
        parameters: &[f64],
        state: MatRef<'_, f64>,
        input: MatRef<'_, f64>,
    ) -> Result<Mat<f64>> {
        let seen = match &self.sight {
            None => self.beside_state(step, state, input),
            Some(sight) => sight.simulate(self.place(step, input).as_ref(), state)?,
        };
        let mut control = Mat::zeros(seen.nrows(), self.network.outputs());
        self.scratch.with_another(|scratch| {
            let control = control.as_mut();
            self.network
                .predict_into(parameters, seen.as_ref(), control, scratch);
        });
        Ok(control)
    }

    /// The state, the input and the time, as far as the network knows it.
    fn beside_state(
        &self,
        step: usize,
        state: MatRef<'_, f64>,
        input: MatRef<'_, f64>,
    ) -> Mat<f64> {
        match self.knows_time {
            true => beside(state, self.place(step, input).as_ref()),
            false => beside(state, input),
        }
    }

    /// What the sight reads beside the state: the input, and the time.
    fn place(&self, step: usize, input: MatRef<'_, f64>) -> Mat<f64> {
        let time = Mat::full(input.nrows(), 1, self.physics.time(step));
        beside(input, time.as_ref())
    }

    /// The places of y's states that are observed within the first steps, each with the number of steps
    /// after which it is: where all come later, the first of them is the last state that there is. A function
    /// of the observed states takes that one for all that come later.
    fn observed_within(&self, steps: usize) -> Vec<(usize, usize)> {
        let places = self.observed.iter().copied().enumerate();
        let none = self.observed[0] > steps;
        let within = |(place, step): &(usize, usize)| {
            self.observation.is_some() || *step <= steps || (none && *place == 0)
        };
        let until = |(place, step): (usize, usize)| (place, step.min(steps));
        places.filter(within).map(until).collect()
    }

    /// y of some samples over the first steps, and nothing kept of the motion but what is observed.
    fn observe(
        &self,
        steps: usize,
        parameters: &[f64],
        start: MatRef<'_, f64>,
        input: MatRef<'_, f64>,
    ) -> Result<Mat<f64>> {
        let mut state = start.to_owned();
        let (observed, d) = (self.observed_within(steps), self.physics.state_len());
        let mut seen = Mat::zeros(start.nrows(), self.observed_len());
        for k in 0..steps {
            let u = self.control(k, parameters, state.as_ref(), input)?;
            state = self.physics.advance(k, state.as_ref(), u.as_ref())?;
            for (place, _) in observed.iter().filter(|(_, step)| *step == k + 1) {
                let columns = seen.as_mut().subcols_mut(place * d, d);
                { columns }.copy_from(&state);
            }
        }
        match &self.observation {
            None => Ok(seen),
            Some(observation) => observation.simulate(start, seen.as_ref()),
        }
    }

    /// What y is compared with.
    fn target_of<'a>(&self, samples: &'a Dataset) -> Target<'a> {
        let target = &samples.target;
        if !self.weighed {
            return Target {
                values: Cow::Borrowed(target),
                roots: None,
            };
        }
        let (observed, weights) = target.as_ref().split_at_col(target.ncols() / 2);
        let roots = Mat::from_fn(weights.nrows(), weights.ncols(), |i, j| {
            weights[(i, j)].sqrt()
        });
        Target {
            values: Cow::Owned(times(observed, &roots)),
            roots: Some(roots),
        }
    }

    /// The mean loss of any number of samples over the first steps.
    fn mean_loss(
        &self,
        steps: usize,
        at: &[f64],
        samples: &Dataset,
        target: &Target<'_>,
    ) -> Result<f64> {
        let y = self.observe_all(steps, at, samples, target)?;
        let losses = self.loss.values(y.as_ref(), target.values());
        Ok(Reduction::Mean.loss(&losses))
    }

    /// y of any number of samples, in pieces that do not depend on the number of threads.
    fn observe_all(
        &self,
        steps: usize,
        parameters: &[f64],
        samples: &Dataset,
        target: &Target<'_>,
    ) -> Result<Mat<f64>> {
        let size = self.physics.chunk().clamp(1, samples.len().max(1));
        let pieces = (0..samples.len().div_ceil(size)).into_par_iter();
        let pieces: Vec<Mat<f64>> = pieces
            .map(|piece| {
                let first = piece * size;
                let count = size.min(samples.len() - first);
                let rows = |matrix: &Mat<f64>| matrix.as_ref().subrows(first, count).to_owned();
                let (state, input) = (rows(&samples.state), rows(&samples.input));
                self.observe(steps, parameters, state.as_ref(), input.as_ref())
            })
            .collect::<Result<_>>()?;
        let mut y = Mat::zeros(samples.len(), self.outputs_len());
        for (piece, part) in pieces.iter().enumerate() {
            let rows = y.as_mut().subrows_mut(piece * size, part.nrows());
            { rows }.copy_from(part);
        }
        Ok(self.weighed_y(steps, y, target))
    }

    /// y as the loss compares it, from what the first steps give: where nothing was observed yet it is the target.
    fn weighed_y(&self, steps: usize, y: Mat<f64>, target: &Target<'_>) -> Mat<f64> {
        let mut y = target.weigh(y);
        if self.observation.is_some() || steps == self.physics.steps() {
            return y;
        }
        let (within, d) = (self.observed_within(steps), self.physics.state_len());
        for place in 0..self.observed.len() {
            if !within.iter().any(|(seen, _)| *seen == place) {
                let wanted = target.values().subcols(place * d, d);
                y.as_mut().subcols_mut(place * d, d).copy_from(wanted);
            }
        }
        y
    }

    /// dim(y).
    fn outputs_len(&self) -> usize {
        match &self.observation {
            None => self.observed_len(),
            Some(observation) => observation.widths().output,
        }
    }

    /// Length of the observed states side by side.
    fn observed_len(&self) -> usize {
        self.observed.len() * self.physics.state_len()
    }

    /// Width of the sample's input, as the network's has it.
    fn input_len(&self) -> Option<usize> {
        match &self.sight {
            None => {
                let known = self.physics.state_len() + usize::from(self.knows_time);
                self.network.inputs().checked_sub(known)
            }
            Some(sight) => sight.widths().state.checked_sub(1),
        }
    }

    /// The passes of so many steps.
    fn passes(&self, steps: usize) -> Passes<'_> {
        Passes::new(&self.biased[..steps])
    }

    /// Numbers of a step of a sample that its derivative needs.
    fn numbers_of_step(&self) -> usize {
        let (d, c) = (self.physics.state_len(), self.physics.control_len());
        let sight = match &self.sight {
            Some(sight) if !sight.has_products() => d + 1,
            _ => 1,
        };
        let shared = if c <= MOST_SHARED { c } else { 0 };
        self.network.total_width() + d + (sight + shared) * self.network.inputs()
    }

    /// Whether one pass backwards for each component of the control serves so many rows of a sample: where these are
    /// more, and what the passes leave is not.
    fn shares(&self, rows: usize) -> bool {
        let c = self.physics.control_len();
        c == 1 || (c <= MOST_SHARED && 2 * c <= rows)
    }

    /// Steps whose values are held at once.
    fn held(&self, samples: usize, steps: usize) -> usize {
        const HELD: usize = 1 << 27;
        let fitting = HELD / (samples * self.numbers_of_step()).max(1);
        let held = self.held.unwrap_or(if fitting >= steps {
            steps
        } else {
            // States at the ends of stretches are held as well.
            fitting.min(steps.isqrt().max(1)).max(1)
        });
        held.clamp(1, steps)
    }

    /// Whether J of so many rows, over steps that are held at once, is formed: where K takes its columns anyway.
    fn forms(&self, samples: usize, rows: usize, steps: usize) -> bool {
        // Numbers of it (8 MiB): one that fits into no cache cost burgers-control a fifth of an update.
        const FORMED: usize = 1 << 20;
        let numbers = rows.saturating_mul(self.network.parameter_count());
        numbers <= FORMED && self.network.condenses_columns(rows, samples, steps)
    }

    fn spare_values(&self) -> Activations {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    /// Leaves the memory of values to later ones.
    fn leave_values(&self, values: Activations) {
        // A batch, and the same moved elsewhere.
        const KEPT: usize = 2;
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < KEPT {
            spare.push(values);
        }
    }
}

/// What was observed of samples.
struct Target<'a> {
    /// What the loss compares y with.
    values: Cow<'a, Mat<f64>>,
    /// The roots of the weights, by which it is multiplied as y must be, where there are some.
    roots: Option<Mat<f64>>,
}

impl Target<'_> {
    fn values(&self) -> MatRef<'_, f64> {
        self.values.as_ref().as_ref()
    }

    /// y from what the motion gives.
    fn weigh(&self, y: Mat<f64>) -> Mat<f64> {
        match &self.roots {
            Some(roots) => times(y.as_ref(), roots),
            None => y,
        }
    }
}

/// Products of single entries.
fn times(batch: MatRef<'_, f64>, factors: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(batch.nrows(), batch.ncols(), |i, j| {
        batch[(i, j)] * factors[(i, j)]
    })
}

/// Two batches side by side.
fn beside(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut both = Mat::zeros(left.nrows(), left.ncols() + right.ncols());
    both.as_mut().subcols_mut(0, left.ncols()).copy_from(left);
    let rest = both.as_mut().subcols_mut(left.ncols(), right.ncols());
    { rest }.copy_from(right);
    both
}

impl Objective for ClosedLoop {
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
        samples * self.outputs_len()
    }

    /// The states and the values inside the network at all steps, and for all steps of each row of J
    /// what comes back to the network and goes through it.
    fn pass_numbers(&self, samples: usize) -> usize {
        let (steps, rows) = (self.physics.steps(), self.rows(samples));
        let held = self.held(samples, steps);
        let of_row = self.network.total_width() + self.physics.control_len();
        let of_stretch = held * (samples * self.numbers_of_step() + rows * of_row);
        let jacobian = rows.saturating_mul(self.network.parameter_count());
        match steps.div_ceil(held) {
            1 if self.forms(samples, rows, steps) => of_stretch + jacobian,
            1 => of_stretch,
            // The states at their ends, and J.
            stretches => of_stretch + stretches * samples * self.physics.state_len() + jacobian,
        }
    }

    fn steps(&self) -> Option<usize> {
        Some(self.physics.steps())
    }

    fn motion(&self, at: &[f64], samples: &Dataset) -> Result<Option<Motion>> {
        Self::motion(self, at, samples).map(Some)
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.network)
    }

    fn check(&self) -> Result<()> {
        let (d, c) = (self.physics.state_len(), self.physics.control_len());
        let fits = |what: &str, found: usize, expected: usize, meaning: &str| {
            if found == expected {
                return Ok(());
            }
            Err(Error::Shape {
                what: what.into(),
                found: format!("width {found}"),
                expected: format!("width {expected} ({meaning})"),
            })
        };
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        fits("network output", outputs, c, "the control of a step")?;
        match &self.sight {
            Some(sight) => {
                let Widths {
                    state,
                    control,
                    output,
                } = sight.widths();
                fits("network input", inputs, output, "what it sees")?;
                fits("what the network sees of", control, d, "the state")?;
                let least = state.max(1);
                fits(
                    "beside the state the network sees",
                    state,
                    least,
                    "the time",
                )?;
            }
            None if self.knows_time && inputs < d + 1 => {
                fits("network input", inputs, d + 1, "the state and the time")?;
            }
            None if inputs < d => {
                fits("network input", inputs, d, "the state")?;
            }
            None => {}
        }
        if let Some(observation) = &self.observation {
            let Widths { state, control, .. } = observation.widths();
            fits(
                "observation",
                control,
                self.observed_len(),
                "observed states",
            )?;
            fits(
                "state of the observation",
                state,
                d,
                "the state at the start",
            )?;
        }
        self.loss.check(self.outputs_len())
    }

    fn check_samples(&self, samples: &Dataset) -> Result<()> {
        let inputs = self.input_len().unwrap_or_default();
        let outputs = self.outputs_len();
        let targets = if self.weighed { 2 * outputs } else { outputs };
        samples.check(inputs, self.physics.state_len(), targets)?;
        let below = |j: &usize| samples.target.col(*j).iter().any(|weight| *weight < 0.0);
        match (outputs..targets).find(below) {
            Some(j) => {
                let field = format!("weight of observation {}", j - outputs);
                Err(Error::setting(&field, "negative", "at least 0"))
            }
            None => Ok(()),
        }
    }

    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        self.observe_all(self.physics.steps(), at, samples, &self.target_of(samples))
    }

    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64> {
        self.mean_loss(self.physics.steps(), at, samples, &self.target_of(samples))
    }

    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        self.linearize_within(self.physics.steps(), batch, at)
    }

    /// States that are observed later count nothing; where all are, the last one stands for the first of them.
    fn linearize_within<'a>(
        &'a self,
        steps: usize,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        let steps = steps.clamp(1, self.physics.steps());
        Ok(Box::new(Unrolled::new(self, steps, batch, at)?))
    }

    fn sensitivities(&self, at: &[f64], samples: &Dataset) -> Result<Option<Vec<f64>>> {
        const PROBES: usize = 8;
        if self.stopped || self.physics.steps() < 2 || samples.is_empty() {
            return Ok(None);
        }
        let steps = self.physics.steps();
        let (unrolled, count) = (Unrolled::new(self, steps, samples, at)?, samples.len());
        let probes = PROBES.min(unrolled.y.ncols());
        // Signs of rows of a Hadamard matrix, which are orthogonal.
        let sign = |i: usize, j: usize| f64::from((i & j).count_ones() % 2 * 2) - 1.0;
        let size = 1.0 / (probes as f64).sqrt();
        let signs = Mat::from_fn(probes * count, unrolled.y.ncols(), |row, j| {
            size * sign(row / count, j)
        });
        let mut norms = vec![0.0_f64; steps - 1];
        let seed = unrolled.of_observed(signs)?;
        let see = |k: usize, cotangents: &Mat<f64>| {
            for s in 0..count {
                let of_sample = (0..probes).map(|i| cotangents.row(i * count + s));
                let squares: f64 = of_sample.map(|row| row.squared_norm_l2()).sum();
                norms[k - 1] = norms[k - 1].max(squares.sqrt());
            }
        };
        unrolled.adjoint_seen(seed.as_ref(), see)?;
        Ok(Some(norms))
    }

    /// Of the tanh and sine neurons, at all steps or at those that are held together.
    fn saturation(&self, at: &[f64], samples: &Dataset) -> Result<Option<Saturation>> {
        let unrolled = Unrolled::new(self, self.physics.steps(), samples, at)?;
        let values = self.network.activated(&unrolled.last.activations);
        Ok(Saturation::of(
            values.map(|(a, outputs)| (a, outputs.as_ref())),
        ))
    }
}
