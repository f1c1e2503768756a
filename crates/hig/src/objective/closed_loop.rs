//! A network inside the simulation: at every time step it sees the state and answers the control.
//!
//! u_k = net(s(x_k); θ), x_{k+1} = F(k, x_k, u_k), y = h(x at some steps), and the loss is one of y. The
//! discrete adjoint carries the rows of ∂y/∂x backwards through both: ∂y/∂u_k = ∂y/∂x_{k+1} · ∂F/∂u, and
//! ∂y/∂x_k = ∂y/∂x_{k+1} · ∂F/∂x + ∂y/∂u_k · ∂net/∂s · ∂s/∂x. A row of J is then a sum over the steps,
//! Σ_k ∂y/∂u_k · ∂net/∂θ at s(x_k): backpropagation through time (Werbos 1990, doi 10.1109/5.58337), for
//! all outputs of a sample at once.

use super::linearized::check_finite_losses;
use super::network_jacobian::by_network_jacobian;
use super::{
    ExplicitJacobian, Jacobian, Linearized, NetworkJacobian, Objective, Reduction, Saturation,
    Sketch,
};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::linalg::{self, Mat, MatRef, Scratch, Symmetric};
use crate::loss::Loss;
use crate::network::{Activations, LayerMoments, Network, ParameterView, Passes, Unknown};
use crate::physics::{self, Record, Simulator, Stepwise, Widths};
use crate::timing::part;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

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
        const PIECE: usize = 64;
        let pieces = (0..samples.len().div_ceil(PIECE)).into_par_iter();
        let pieces: Vec<Mat<f64>> = pieces
            .map(|piece| {
                let first = piece * PIECE;
                let count = PIECE.min(samples.len() - first);
                let rows = |matrix: &Mat<f64>| matrix.as_ref().subrows(first, count).to_owned();
                let (state, input) = (rows(&samples.state), rows(&samples.input));
                self.observe(steps, parameters, state.as_ref(), input.as_ref())
            })
            .collect::<Result<_>>()?;
        let mut y = Mat::zeros(samples.len(), self.outputs_len());
        for (piece, part) in pieces.iter().enumerate() {
            let rows = y.as_mut().subrows_mut(piece * PIECE, part.nrows());
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
        let sight = if self.sight.is_some() { d + 1 } else { 1 };
        self.network.total_width() + d + (sight + c) * self.network.inputs()
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

    /// Moves samples through some steps and keeps what their derivatives need.
    fn stretch(
        &self,
        steps: Range<usize>,
        start: Mat<f64>,
        input: MatRef<'_, f64>,
        parameters: &[f64],
    ) -> Result<Stretch> {
        let (mut activations, mut values) = (self.spare_values(), Activations::default());
        let (mut states, mut sights) = (vec![start], Vec::new());
        let passes = self.passes(steps.len());
        for (pass, k) in steps.clone().enumerate() {
            let x = states[pass].as_ref();
            let seen = match &self.sight {
                None => self.beside_state(k, x, input),
                Some(sight) => {
                    let record = sight.record(self.place(k, input).as_ref(), x)?;
                    let seen = record.y().clone();
                    sights.push(record);
                    seen
                }
            };
            self.scratch.with_another(|scratch| {
                let network = &self.network;
                network.forward_into(parameters, seen.as_ref(), &mut values, scratch);
            });
            activations.set_pass(pass, passes, &values);
            let next = self.physics.advance(k, x, values.output().as_ref())?;
            states.push(next);
        }
        Ok(Stretch {
            steps,
            activations,
            states,
            sights,
            input_rows: OnceLock::new(),
        })
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
        match steps.div_ceil(held) {
            1 => of_stretch,
            // The states at their ends, and J.
            stretches => {
                let ends = stretches * samples * self.physics.state_len();
                of_stretch + ends + rows * self.network.parameter_count()
            }
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
        unrolled.adjoint_seen(seed.as_ref(), see, |_, _| Ok(()))?;
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

/// Some time steps of a batch, with what the adjoint needs of them.
struct Stretch {
    steps: Range<usize>,
    /// Values inside the network, of all of these steps.
    activations: Activations,
    /// The state before each of them, and the last one.
    states: Vec<Mat<f64>>,
    /// What the network saw at each step, where that is a function.
    sights: Vec<Box<dyn Record>>,
    /// ∂u/∂s of the network at all of these steps: row `component · (steps·samples) + step · samples + sample`.
    input_rows: OnceLock<Mat<f64>>,
}

impl Stretch {
    /// The controls during a step, which is counted from the first of these.
    fn control(&self, pass: usize) -> MatRef<'_, f64> {
        let samples = self.states[0].nrows();
        let output = self.activations.output().as_ref();
        output.subrows(pass * samples, samples)
    }
}

/// A batch simulated over its first steps with the network in the loop, with what the adjoint needs of them.
struct Unrolled<'a> {
    parts: &'a ClosedLoop,
    batch: &'a Dataset,
    /// The number of steps.
    steps: usize,
    target: Target<'a>,
    parameters: &'a [f64],
    /// The states where the stretches before the last begin.
    starts: Vec<Mat<f64>>,
    /// The steps of one of them.
    held: usize,
    /// The last stretch: all steps, where these are held at once.
    last: Stretch,
    /// y, where it is a function of the observed states.
    observation: Option<Box<dyn Record>>,
    y: Mat<f64>,
    cotangent: Vec<f64>,
    mean_loss: f64,
    loss: f64,
    /// ∂y/∂u at all steps, as [`NetworkJacobian`] reads them.
    rows: OnceLock<Mat<f64>>,
    /// J, where the steps are not held at once.
    formed: OnceLock<ExplicitJacobian>,
    /// Sample, control and value of the first number of a product with the derivative of the motion that
    /// was not finite.
    spoilt: OnceLock<(usize, usize, f64)>,
}

impl<'a> Unrolled<'a> {
    fn new(
        parts: &'a ClosedLoop,
        steps: usize,
        batch: &'a Dataset,
        parameters: &'a [f64],
    ) -> Result<Self> {
        let _part = part!(FORWARD);
        let (d, input) = (parts.physics.state_len(), batch.input.as_ref());
        let observed = parts.observed_within(steps);
        let mut seen = Mat::zeros(batch.len(), parts.observed_len());
        let held = parts.held(batch.len(), steps);
        let (mut starts, mut first) = (Vec::new(), 0);
        let mut start = batch.state.clone();
        let last = loop {
            let end = (first + held).min(steps);
            let stretch = parts.stretch(first..end, start.clone(), input, parameters)?;
            for (place, step) in &observed {
                if (first + 1..=end).contains(step) {
                    let columns = seen.as_mut().subcols_mut(place * d, d);
                    { columns }.copy_from(&stretch.states[step - first]);
                }
            }
            if end == steps {
                break stretch;
            }
            starts.push(start);
            start = stretch.states[held].clone();
            parts.leave_values(stretch.activations);
            first = end;
        };
        let observation = match &parts.observation {
            Some(observation) => Some(observation.record(batch.state.as_ref(), seen.as_ref())?),
            None => None,
        };
        let y = observation
            .as_ref()
            .map_or(seen, |record| record.y().clone());
        let target = parts.target_of(batch);
        let y = parts.weighed_y(steps, y, &target);
        let losses = parts.loss.values(y.as_ref(), target.values());
        let cotangents = parts.loss.cotangents(y.as_ref(), target.values());
        Ok(Self {
            parts,
            batch,
            steps,
            target,
            parameters,
            starts,
            held,
            last,
            observation,
            cotangent: parts.reduction.rows(&cotangents),
            y,
            mean_loss: Reduction::Mean.loss(&losses),
            loss: parts.reduction.loss(&losses),
            rows: OnceLock::new(),
            formed: OnceLock::new(),
            spoilt: OnceLock::new(),
        })
    }

    /// Rows of cotangents of the observed states (k·samples × observed) from rows of those of y.
    fn of_observed(&self, mut rows: Mat<f64>) -> Result<Mat<f64>> {
        let samples = self.batch.len();
        if let Some(roots) = &self.target.roots {
            for j in 0..rows.ncols() {
                let column = rows.col_as_slice_mut(j).iter_mut().enumerate();
                column.for_each(|(row, w)| *w *= roots[(row % samples, j)]);
            }
        }
        match &self.observation {
            Some(record) => record.vjps(rows.as_ref()),
            None => Ok(rows),
        }
    }

    /// Calls `visit` for all stretches from the last to the first; those that are not held are computed once more.
    fn each_stretch(&self, mut visit: impl FnMut(&Stretch) -> Result<()>) -> Result<()> {
        visit(&self.last)?;
        for (place, start) in self.starts.iter().enumerate().rev() {
            let steps = place * self.held..(place + 1) * self.held;
            let input = self.batch.input.as_ref();
            let stretch = (self.parts).stretch(steps, start.clone(), input, self.parameters)?;
            visit(&stretch)?;
            self.parts.leave_values(stretch.activations);
        }
        Ok(())
    }

    /// Carries rows of cotangents of the observed states (k·samples × observed) back through time: `take` is
    /// handed each stretch, from the last to the first, with those of the controls at its steps, row
    /// `component · (steps·samples) + step · samples + sample`.
    fn adjoint(
        &self,
        seed: MatRef<'_, f64>,
        take: impl FnMut(&Stretch, Mat<f64>) -> Result<()>,
    ) -> Result<()> {
        self.adjoint_seen(seed, |_, _| {}, take)
    }

    /// The same, where `see` is told the number of each step but the first with the cotangents of the state
    /// before it.
    fn adjoint_seen(
        &self,
        seed: MatRef<'_, f64>,
        mut see: impl FnMut(usize, &Mat<f64>),
        mut take: impl FnMut(&Stretch, Mat<f64>) -> Result<()>,
    ) -> Result<()> {
        let (physics, samples) = (&*self.parts.physics, self.batch.len());
        let (d, c) = (physics.state_len(), physics.control_len());
        let count = seed.nrows() / samples.max(1);
        let observed = self.parts.observed_within(self.steps);
        let mut carried = Mat::<f64>::zeros(seed.nrows(), d);
        self.each_stretch(|stretch| {
            let length = stretch.steps.len();
            let mut rows = Mat::zeros(count * length * samples, c);
            for (pass, k) in stretch.steps.clone().enumerate().rev() {
                for (place, _) in observed.iter().filter(|(_, step)| *step == k + 1) {
                    carried += seed.subcols(place * d, d);
                }
                let at = (stretch.states[pass].as_ref(), stretch.control(pass));
                let (mut before, during) = physics.pull_back(k, at, carried.as_ref())?;
                for i in 0..count {
                    let from = during.as_ref().subrows(i * samples, samples);
                    let to = rows
                        .as_mut()
                        .subrows_mut((i * length + pass) * samples, samples);
                    { to }.copy_from(from);
                }
                if k > 0 {
                    if !self.parts.stopped {
                        self.add_through_network(stretch, pass, during.as_ref(), &mut before)?;
                    }
                    see(k, &before);
                }
                carried = before;
            }
            take(stretch, rows)
        })
    }

    /// Adds to rows of cotangents of the state at a step of a stretch what comes through the network from those
    /// of the control.
    fn add_through_network(
        &self,
        stretch: &Stretch,
        pass: usize,
        control: MatRef<'_, f64>,
        state: &mut Mat<f64>,
    ) -> Result<()> {
        let samples = self.batch.len();
        let count = control.nrows() / samples.max(1);
        // One pass for each component of the control serves all rows.
        let seen = if control.ncols() <= count {
            self.through_input_rows(stretch, pass, control)
        } else {
            let passes = self.parts.passes(stretch.steps.len());
            let values = stretch.activations.of_pass(pass, passes);
            let network = &self.parts.network;
            let carry = |scratch: &mut Scratch| {
                network.input_rows(self.parameters, &values, control, scratch)
            };
            self.parts.scratch.with_another(carry)
        };
        let Some(sight) = stretch.sights.get(pass) else {
            let d = state.ncols();
            *state += seen.as_ref().subcols(0, d);
            return Ok(());
        };
        let by_products = self.parts.sight.as_ref().is_some_and(|s| s.has_products());
        if by_products {
            *state += sight.vjps(seen.as_ref())?;
            return Ok(());
        }
        let rows = sight.rows()?;
        for i in 0..count {
            let part = seen.as_ref().subrows(i * samples, samples);
            let through = physics::rows_transposed_times(&rows, part);
            let mut target = state.as_mut().subrows_mut(i * samples, samples);
            target += through;
        }
        Ok(())
    }

    /// Rows at the input of the network from those at its output, by its derivative in the input.
    fn through_input_rows(
        &self,
        stretch: &Stretch,
        pass: usize,
        control: MatRef<'_, f64>,
    ) -> Mat<f64> {
        let (samples, steps) = (self.batch.len(), stretch.steps.len());
        let derivative = stretch.input_rows.get_or_init(|| {
            let (all, c) = (steps * samples, control.ncols());
            let units = Mat::from_fn(c * all, c, |row, j| f64::from(row / all == j));
            self.parts.scratch.with_another(|scratch| {
                let (network, at) = (&self.parts.network, &stretch.activations);
                network.input_rows(self.parameters, at, units.as_ref(), scratch)
            })
        });
        let mut seen = Mat::zeros(control.nrows(), derivative.ncols());
        for i in 0..seen.ncols() {
            let target = seen.col_as_slice_mut(i);
            for j in 0..control.ncols() {
                let first = (j * steps + pass) * samples;
                let slopes = &derivative.col_as_slice(i)[first..first + samples];
                let factors = linalg::column(control, j).chunks_exact(samples);
                for (target, factors) in target.chunks_exact_mut(samples).zip(factors) {
                    for (t, (f, s)) in target.iter_mut().zip(factors.iter().zip(slopes)) {
                        *t += f * s;
                    }
                }
            }
        }
        seen
    }

    /// Whether all steps are held at once.
    fn is_held(&self) -> bool {
        self.starts.is_empty()
    }

    /// Cotangents of the observed states for every component of y.
    fn units(&self) -> Result<Mat<f64>> {
        let (samples, width) = (self.batch.len(), self.y.ncols());
        let unit = |row, j| f64::from(row / samples == j);
        match &self.observation {
            Some(record) if self.target.roots.is_none() => record.rows(),
            _ => self.of_observed(Mat::from_fn(samples * width, width, unit)),
        }
    }

    /// The rows of cotangents of the controls at all steps, where these are held at once.
    fn rows_of(&self, seed: &Mat<f64>) -> Result<Mat<f64>> {
        let mut all = Mat::new();
        self.adjoint(seed.as_ref(), |_, rows| {
            all = rows;
            Ok(())
        })?;
        Ok(all)
    }

    /// Jᵀ (p × k·samples) of rows that begin as the given cotangents of the observed states, one stretch after
    /// another.
    fn form(&self, seed: &Mat<f64>) -> Result<ExplicitJacobian> {
        let mut sum = Mat::<f64>::zeros(self.parameters.len(), seed.nrows());
        self.adjoint(seed.as_ref(), |stretch, rows| {
            self.note_spoilt(stretch, &rows);
            sum += self.jacobian_of(stretch, Cow::Owned(rows)).transposed()?;
            Ok(())
        })?;
        Ok(ExplicitJacobian::from_transposed(sum))
    }

    /// Remembers the first number of rows that is not finite.
    fn note_spoilt(&self, stretch: &Stretch, rows: &Mat<f64>) {
        let samples = stretch.states[0].nrows();
        if let Some((row, j, value)) = linalg::first_not_finite(rows.as_ref()) {
            self.spoilt.get_or_init(|| (row % samples, j, value));
        }
    }

    fn jacobian(&self) -> Result<Unfolded<'_>> {
        if !self.is_held() {
            if self.formed.get().is_none() {
                let _part = part!(GRAM);
                let formed = self.form(&self.units()?)?;
                self.formed.get_or_init(|| formed);
            }
            let formed = self.formed.get().expect("it was just formed");
            return Ok(Unfolded::Formed(Cow::Borrowed(formed)));
        }
        if self.rows.get().is_none() {
            let _part = part!(GRAM);
            let rows = self.rows_of(&self.units()?)?;
            self.rows.get_or_init(|| rows);
        }
        let rows = self.rows.get().expect("they were just computed");
        Ok(Unfolded::Held(
            self.jacobian_of(&self.last, Cow::Borrowed(rows)),
        ))
    }

    fn jacobian_of<'s>(
        &'s self,
        stretch: &'s Stretch,
        rows: Cow<'s, Mat<f64>>,
    ) -> NetworkJacobian<'s> {
        let (network, at) = (&self.parts.network, &stretch.activations);
        let jacobian = NetworkJacobian::new(network, self.parameters, at, rows);
        let jacobian = jacobian.of_passes(self.parts.passes(stretch.steps.len()));
        jacobian.with_scratch(&self.parts.scratch)
    }
}

impl Drop for Unrolled<'_> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.last.activations);
        self.parts.leave_values(values);
    }
}

/// J of an unrolled batch.
enum Unfolded<'s> {
    /// By the values of all steps.
    Held(NetworkJacobian<'s>),
    /// Formed one stretch after another.
    Formed(Cow<'s, ExplicitJacobian>),
}

impl<'s> Unfolded<'s> {
    fn with_scaled_rows(&self, factors: &[f64]) -> Unfolded<'s> {
        match self {
            Self::Held(jacobian) => Unfolded::Held(jacobian.with_scaled_rows(factors)),
            Self::Formed(jacobian) => {
                Unfolded::Formed(Cow::Owned(jacobian.with_scaled_rows(factors)))
            }
        }
    }

    fn either(&self) -> &dyn Jacobian {
        match self {
            Self::Held(jacobian) => jacobian,
            Self::Formed(jacobian) => jacobian.as_ref(),
        }
    }
}

impl Jacobian for Unfolded<'_> {
    fn rows(&self) -> usize {
        self.either().rows()
    }
    fn columns(&self) -> usize {
        self.either().columns()
    }
    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.either().vjp_into(w, target, scratch)
    }
    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        self.either().jvp_into(v, target, scratch)
    }
    fn vjp(&self, w: &[f64]) -> Result<Vec<f64>> {
        self.either().vjp(w)
    }
    fn jvp(&self, v: &[f64]) -> Result<Vec<f64>> {
        self.either().jvp(v)
    }
    fn gram(&self) -> Result<Symmetric> {
        self.either().gram()
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        self.either().image_gram(w)
    }
    fn normal(&self) -> Result<Symmetric> {
        self.either().normal()
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        self.either().normal_image_gram(v)
    }
    fn transposed(&self) -> Result<Mat<f64>> {
        self.either().transposed()
    }
    fn scaled_rows<'t>(&'t self, factors: &[f64]) -> Result<Box<dyn Jacobian + 't>> {
        Ok(Box::new(self.with_scaled_rows(factors)))
    }
}

impl Linearized for Unrolled<'_> {
    /// By the adjoint, which begins with the probes. The moments of a row are not sums over stretches: all steps
    /// are held for them.
    fn layer_moments(&self, probes: MatRef<'_, f64>) -> Result<Option<Vec<LayerMoments>>> {
        let _part = part!(DIRECTION);
        let (samples, width) = (self.batch.len(), self.y.ncols());
        let cotangents = Mat::from_fn(samples * probes.ncols(), width, |row, i| {
            probes[(i * samples + row % samples, row / samples)]
        });
        let seed = self.of_observed(cotangents)?;
        let whole = match self.is_held() {
            true => None,
            false => {
                let (start, input) = (self.batch.state.clone(), self.batch.input.as_ref());
                let steps = 0..self.steps;
                Some((self.parts).stretch(steps, start, input, self.parameters)?)
            }
        };
        let all = self.steps * samples;
        let mut rows = Mat::zeros(all * probes.ncols(), self.parts.physics.control_len());
        self.adjoint(seed.as_ref(), |stretch, part| {
            let held = stretch.steps.len() * samples;
            for i in 0..probes.ncols() {
                let first = i * all + stretch.steps.start * samples;
                let target = rows.as_mut().subrows_mut(first, held);
                { target }.copy_from(part.as_ref().subrows(i * held, held));
            }
            Ok(())
        })?;
        let at = &whole.as_ref().unwrap_or(&self.last).activations;
        let moments = self.parts.scratch.with_another(|scratch| {
            let (network, passes) = (&self.parts.network, self.parts.passes(self.steps));
            network.moments(self.parameters, at, rows.as_ref(), passes, scratch)
        });
        Ok(Some(moments))
    }

    fn parameters(&self) -> &[f64] {
        self.parameters
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn mean_loss(&self) -> f64 {
        self.mean_loss
    }

    fn cotangent(&self) -> &[f64] {
        &self.cotangent
    }

    fn curvature(&self) -> Result<Vec<f64>> {
        let (y, target) = (self.y.as_ref(), self.target.values());
        let of_samples = self.parts.loss.curvature(y, target);
        Ok(self.parts.reduction.rows(&of_samples))
    }

    /// By one cotangent a sample, whether the rows of J are there or not.
    fn gradient(&self) -> Result<Vec<f64>> {
        let _part = part!(DIRECTION);
        let (samples, width) = (self.batch.len(), self.y.ncols());
        let g = MatRef::from_column_major_slice(&self.cotangent, samples, width);
        let seed = self.of_observed(g.to_owned())?;
        let mut gradient = vec![0.0; self.parameters.len()];
        let mut part = Vec::new();
        self.adjoint(seed.as_ref(), |stretch, rows| {
            // The first stretch writes where it is, the others are added.
            let first = stretch.steps.end == self.steps;
            if !first {
                part.resize(self.parameters.len(), 0.0);
            }
            let target = if first { &mut gradient } else { &mut part };
            self.parts.scratch.with_another(|scratch| {
                let (network, at) = (&self.parts.network, &stretch.activations);
                network.vjp_into(self.parameters, at, rows.as_ref(), target, scratch);
            });
            if !first {
                let sums = gradient.iter_mut().zip(&part);
                sums.for_each(|(sum, part)| *sum += part);
            }
            Ok(())
        })?;
        Ok(gradient)
    }

    fn loss_at(&self, parameters: &[f64]) -> Result<f64> {
        let _part = part!(FORWARD);
        let parts = self.parts;
        let mean = parts.mean_loss(self.steps, parameters, self.batch, &self.target)?;
        Ok(parts.reduction.of_mean(mean, self.batch.len()))
    }

    fn outputs(&self) -> Vec<f64> {
        linalg::stack(self.y.as_ref())
    }

    fn outputs_at(&self, parameters: &[f64]) -> Result<Vec<f64>> {
        let _part = part!(FORWARD);
        let parts = self.parts;
        let y = parts.observe_all(self.steps, parameters, self.batch, &self.target)?;
        Ok(linalg::stack(y.as_ref()))
    }

    fn moved<'s>(&'s self, parameters: &'s [f64]) -> Result<Box<dyn Linearized + 's>> {
        (self.parts).linearize_within(self.steps, self.batch, parameters)
    }

    fn samples(&self) -> Option<usize> {
        Some(self.batch.len())
    }

    fn check_finite(&self) -> Result<()> {
        let (samples, name) = (self.batch.len(), self.parts.physics.name());
        // The first in the order of time is told, and stretches come in the other order.
        let mut first = Ok(());
        self.each_stretch(|stretch| {
            let checked = stretch.steps.clone().enumerate().try_for_each(|(pass, k)| {
                let control = format!("output of the network at step {k}");
                linalg::check_finite_samples(&control, stretch.control(pass))?;
                let state = format!("state of {name} after step {k}");
                linalg::check_finite_samples(&state, stretch.states[pass + 1].as_ref())
            });
            if checked.is_err() {
                first = checked;
            }
            Ok(())
        })?;
        first?;
        linalg::check_finite_samples("observation", self.y.as_ref())?;
        let losses = (self.parts.loss).values(self.y.as_ref(), self.target.values());
        check_finite_losses(&losses, &self.cotangent)?;
        let rows = self.rows.get();
        match rows.and_then(|rows| linalg::first_not_finite(rows.as_ref())) {
            Some((row, j, value)) => {
                let component = row / (samples * self.steps);
                let what = format!("Jacobian of {name} with the network in the loop");
                Err(Error::of_sample(what, value, row % samples, component).by_control(j))
            }
            None => match self.spoilt.get() {
                Some((s, j, value)) => {
                    let what = format!("product with the Jacobian of {name}");
                    Err(Error::of_sample(what, *value, *s, None).by_control(*j))
                }
                None => Ok(()),
            },
        }
    }
}

/// All by the rows at the network's output, which are simulated at the first question.
impl Jacobian for Unrolled<'_> {
    by_network_jacobian!();

    /// The adjoint begins with the combinations, so that its cost is that of n_s rows.
    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        let _part = part!(GRAM);
        let seed = self.of_observed(sketch.weights().clone())?;
        if !self.is_held() {
            return Ok(Box::new(self.form(&seed)?));
        }
        let rows = self.rows_of(&seed)?;
        self.note_spoilt(&self.last, &rows);
        Ok(Box::new(self.jacobian_of(&self.last, Cow::Owned(rows))))
    }
}
