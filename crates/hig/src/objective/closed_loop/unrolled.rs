//! A batch that was simulated with the network in the loop, linearised.

use super::{ClosedLoop, Target};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::linalg::simd::vectorised;
use crate::linalg::{self, Accum, Lent, Mat, MatRef, Scratch, Symmetric};
use crate::network::{Activations, LayerMoments, LayerRows, MomentSums};
use crate::objective::linearized::check_finite_losses;
use crate::objective::network_jacobian::by_network_jacobian;
use crate::objective::{
    ExplicitJacobian, Jacobian, Linearized, NetworkJacobian, Objective, Reduction, Sketch,
};
use crate::physics::{self, Record};
use crate::timing::part;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// Some time steps of a batch, with what the adjoint needs of them.
pub(super) struct Stretch<'a> {
    pub(super) steps: Range<usize>,
    /// Values inside the network, of all of these steps.
    pub(super) activations: Activations,
    /// The state before each of them, and the last one.
    pub(super) states: Vec<Mat<f64>>,
    /// What the network saw at each step, where that is a function.
    pub(super) sights: Vec<Box<dyn Record>>,
    /// Whether products with its derivative come without its rows.
    sight_has_products: bool,
    /// The derivative of each component of the control at all of these steps.
    of_controls: OnceLock<Returned<'a>>,
}

/// Rows of cotangents of the controls at all steps of a stretch, and what they are further back: row
/// `component · (steps·samples) + step · samples + sample`.
struct Returned<'a> {
    /// At the output of the network, or at its input.
    rows: Mat<f64>,
    /// At the outputs of its layers with parameters, from the last to the first, where they went through it; no
    /// rows of those that were taken at once.
    layers: Option<Vec<Lent<'a>>>,
}

/// Is told the number of a step and the rows that came back to a layer with parameters there, and answers whether it
/// has taken what it needs of them, so that they are not kept.
type AtOnce<'f> = dyn FnMut(usize, &LayerRows<'_>, &mut Scratch) -> bool + 'f;

impl<'a> Stretch<'a> {
    /// Moves samples through some steps and keeps what their derivatives need.
    fn new(
        parts: &'a ClosedLoop,
        steps: Range<usize>,
        start: Mat<f64>,
        input: MatRef<'_, f64>,
        parameters: &[f64],
    ) -> Result<Self> {
        let mut activations = parts.spare_values();
        let (mut states, mut sights) = (vec![start], Vec::new());
        let passes = parts.passes(steps.len());
        for (pass, k) in steps.clone().enumerate() {
            let x = states[pass].as_ref();
            let seen = match &parts.sight {
                None => parts.beside_state(k, x, input),
                Some(sight) => {
                    let record = sight.record(parts.place(k, input).as_ref(), x)?;
                    let seen = record.y().clone();
                    sights.push(record);
                    seen
                }
            };
            parts.scratch.with_another(|scratch| {
                let network = &parts.network;
                let at = (pass, passes);
                network.forward_pass(parameters, seen.as_ref(), at, &mut activations, scratch);
            });
            let control = activations.output().as_ref();
            let control = control.subrows(pass * x.nrows(), x.nrows());
            states.push(parts.physics.advance(k, x, control)?);
        }
        Ok(Self {
            steps,
            activations,
            states,
            sights,
            sight_has_products: parts.sight.as_ref().is_some_and(|s| s.has_products()),
            of_controls: OnceLock::new(),
        })
    }

    /// The controls during a step, which is counted from the first of these.
    pub(super) fn control(&self, pass: usize) -> MatRef<'_, f64> {
        let samples = self.states[0].nrows();
        let output = self.activations.output().as_ref();
        output.subrows(pass * samples, samples)
    }
}

/// A number among rows of cotangents of the controls that is not finite.
#[derive(Debug, Clone, Copy)]
struct Spoilt {
    step: usize,
    sample: usize,
    control: usize,
    value: f64,
}

/// A batch simulated over its first steps with the network in the loop, with what the adjoint needs of them.
pub(super) struct Unrolled<'a> {
    pub(super) parts: &'a ClosedLoop,
    pub(super) batch: &'a Dataset,
    /// The number of steps.
    pub(super) steps: usize,
    pub(super) target: Target<'a>,
    pub(super) parameters: &'a [f64],
    /// The states where the stretches before the last begin.
    starts: Vec<Mat<f64>>,
    /// The steps of one of them.
    held: usize,
    /// The last stretch: all steps, where these are held at once.
    pub(super) last: Stretch<'a>,
    /// y, where it is a function of the observed states.
    pub(super) observation: Option<Box<dyn Record>>,
    pub(super) y: Mat<f64>,
    cotangent: Vec<f64>,
    mean_loss: f64,
    loss: f64,
    /// ∂y/∂u at all steps, as [`NetworkJacobian`] reads them.
    rows: OnceLock<Mat<f64>>,
    /// J, where it is formed.
    formed: OnceLock<FormedJacobian<'a>>,
    /// Where a product with the derivative of the motion was not finite.
    spoilt: OnceLock<Spoilt>,
}

impl<'a> Unrolled<'a> {
    pub(super) fn new(
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
            let stretch = Stretch::new(parts, first..end, start.clone(), input, parameters)?;
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
    pub(super) fn of_observed(&self, mut rows: Mat<f64>) -> Result<Mat<f64>> {
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
    fn each_stretch(&self, mut visit: impl FnMut(&Stretch<'a>) -> Result<()>) -> Result<()> {
        visit(&self.last)?;
        (0..self.starts.len())
            .rev()
            .try_for_each(|place| self.again(place, &mut visit))
    }

    /// The same from the first to the last.
    pub(super) fn each_stretch_forwards(
        &self,
        mut visit: impl FnMut(&Stretch<'a>) -> Result<()>,
    ) -> Result<()> {
        (0..self.starts.len()).try_for_each(|place| self.again(place, &mut visit))?;
        visit(&self.last)
    }

    /// Calls `visit` for one of the stretches that are not held.
    fn again(
        &self,
        place: usize,
        visit: &mut impl FnMut(&Stretch<'a>) -> Result<()>,
    ) -> Result<()> {
        let steps = place * self.held..(place + 1) * self.held;
        let (start, input) = (self.starts[place].clone(), self.batch.input.as_ref());
        let stretch = Stretch::new(self.parts, steps, start, input, self.parameters)?;
        visit(&stretch)?;
        self.parts.leave_values(stretch.activations);
        Ok(())
    }

    /// Carries rows of cotangents of the observed states (k·samples × observed) back through time: `take` is
    /// handed each stretch, from the last to the first, with those of the controls at its steps.
    fn adjoint(
        &self,
        seed: MatRef<'_, f64>,
        mut take: impl FnMut(&Stretch<'a>, Mat<f64>) -> Result<()>,
    ) -> Result<()> {
        let take = |stretch: &Stretch<'a>, returned: Returned<'a>| take(stretch, returned.rows);
        self.carry_back(seed, None, |_, _| {}, take)
    }

    /// The same, where `take` is handed those at the layers of the network as well, by which its derivative in
    /// the parameters needs no further pass through it, but for those that are taken `at_once`.
    fn adjoint_of_layers(
        &self,
        seed: MatRef<'_, f64>,
        at_once: &mut AtOnce<'_>,
        take: impl FnMut(&Stretch<'a>, Returned<'a>) -> Result<()>,
    ) -> Result<()> {
        self.carry_back(seed, Some(at_once), |_, _| {}, take)
    }

    /// The same, where `see` is told the number of each step but the first with the cotangents of the state
    /// before it.
    pub(super) fn adjoint_seen(
        &self,
        seed: MatRef<'_, f64>,
        see: impl FnMut(usize, &Mat<f64>),
    ) -> Result<()> {
        self.carry_back(seed, None, see, |_, _| Ok(()))
    }

    fn carry_back(
        &self,
        seed: MatRef<'_, f64>,
        mut at_once: Option<&mut AtOnce<'_>>,
        mut see: impl FnMut(usize, &Mat<f64>),
        mut take: impl FnMut(&Stretch<'a>, Returned<'a>) -> Result<()>,
    ) -> Result<()> {
        let (physics, samples) = (&*self.parts.physics, self.batch.len());
        let (d, c) = (physics.state_len(), physics.control_len());
        let count = seed.nrows() / samples.max(1);
        let observed = self.parts.observed_within(self.steps);
        let mut carried = Mat::<f64>::zeros(seed.nrows(), d);
        self.each_stretch(|stretch| {
            let length = stretch.steps.len();
            let mut rows = Mat::zeros(count * length * samples, c);
            let shared = self.parts.shares(count);
            let mut layers = (at_once.is_some() && !self.parts.stopped).then(Vec::new);
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
                // Nothing was seen before the first step, but the layers were passed.
                if !self.parts.stopped && (k > 0 || (!shared && layers.is_some())) {
                    let seen = match shared {
                        true => self.through_shared(stretch, pass, during.as_ref()),
                        false => {
                            let at = (stretch, pass);
                            let keep = layers.as_mut().zip(at_once.as_deref_mut());
                            self.through_network(at, during.as_ref(), keep)
                        }
                    };
                    if k > 0 {
                        Self::add_through_sight(stretch, pass, seen.as_ref(), &mut before)?;
                    }
                }
                if k > 0 {
                    see(k, &before);
                }
                carried = before;
            }
            if let (true, Some(layers)) = (shared, &mut layers) {
                let of_controls = self.of_controls(stretch, c).layers.iter().flatten();
                *layers = of_controls
                    .map(|layer| self.combined(layer, &rows))
                    .collect();
            }
            take(stretch, Returned { rows, layers })
        })
    }

    /// Adds to rows of cotangents of the state at a step of a stretch those of what the network saw.
    fn add_through_sight(
        stretch: &Stretch<'a>,
        pass: usize,
        seen: MatRef<'_, f64>,
        state: &mut Mat<f64>,
    ) -> Result<()> {
        let samples = stretch.states[0].nrows();
        let Some(sight) = stretch.sights.get(pass) else {
            for j in 0..state.ncols() {
                linalg::add(state.col_as_slice_mut(j), linalg::column(seen, j));
            }
            return Ok(());
        };
        if stretch.sight_has_products {
            *state += sight.vjps(seen)?;
            return Ok(());
        }
        let rows = sight.rows()?;
        for i in 0..seen.nrows() / samples.max(1) {
            let part = seen.subrows(i * samples, samples);
            let through = physics::rows_transposed_times(&rows, part);
            let mut target = state.as_mut().subrows_mut(i * samples, samples);
            target += through;
        }
        Ok(())
    }

    /// Rows at the input of the network from those at its output, at a step of a stretch; those at its layers
    /// are taken at once or put with what other steps left there.
    fn through_network(
        &self,
        (stretch, pass): (&Stretch<'a>, usize),
        control: MatRef<'_, f64>,
        mut keep: Option<(&mut Vec<Lent<'a>>, &mut AtOnce<'_>)>,
    ) -> Mat<f64> {
        let (samples, length) = (self.batch.len(), stretch.steps.len());
        let count = control.nrows() / samples.max(1);
        let values = (stretch.activations).pass(pass, self.parts.passes(length));
        let mut place = 0;
        let keep = |part: LayerRows<'_>, scratch: &mut Scratch| {
            let Some((layers, at_once)) = &mut keep else {
                return;
            };
            let taken = at_once(stretch.steps.start + pass, &part, scratch);
            if layers.len() == place {
                let rows = if taken { 0 } else { count * length * samples };
                layers.push(self.parts.scratch.lend(rows, part.rows.ncols()));
            }
            for i in 0..if taken { 0 } else { count } {
                let from = part.rows.subrows(i * samples, samples);
                let first = (i * length + pass) * samples;
                linalg::copy(layers[place].as_mut().subrows_mut(first, samples), from);
            }
            place += 1;
        };
        self.parts.scratch.with_another(|scratch| {
            let (network, at) = (&self.parts.network, &values);
            network.backward_to_input(self.parameters, at, control, scratch, keep)
        })
    }

    /// The derivative of each component of the control in what the network saw, with those at its layers.
    fn of_controls<'s>(&self, stretch: &'s Stretch<'a>, components: usize) -> &'s Returned<'a> {
        stretch.of_controls.get_or_init(|| {
            let (all, c) = (stretch.steps.len() * self.batch.len(), components);
            let units = Mat::from_fn(c * all, c, |row, j| f64::from(row / all == j));
            let mut layers = Vec::new();
            let rows = self.parts.scratch.with_another(|scratch| {
                let (network, at) = (&self.parts.network, (&stretch.activations).into());
                let keep = |part: LayerRows<'_>, _: &mut Scratch| {
                    let (rows, width) = part.rows.shape();
                    let mut rows = self.parts.scratch.lend(rows, width);
                    linalg::copy(rows.as_mut(), part.rows);
                    layers.push(rows);
                };
                network.backward_to_input(self.parameters, &at, units.as_ref(), scratch, keep)
            });
            Returned {
                rows,
                layers: Some(layers),
            }
        })
    }

    /// Rows at the input of the network from those at its output, by its derivative.
    fn through_shared(
        &self,
        stretch: &Stretch<'a>,
        pass: usize,
        control: MatRef<'_, f64>,
    ) -> Mat<f64> {
        let (samples, steps) = (self.batch.len(), stretch.steps.len());
        let derivative = &self.of_controls(stretch, control.ncols()).rows;
        let mut seen = Mat::zeros(control.nrows(), derivative.ncols());
        for i in 0..seen.ncols() {
            let target = seen.col_as_slice_mut(i);
            for j in 0..control.ncols() {
                let first = (j * steps + pass) * samples;
                let slopes = &derivative.col_as_slice(i)[first..first + samples];
                add_of_component(target, linalg::column(control, j), slopes);
            }
        }
        seen
    }

    /// Rows at a layer, each a sum over the components of the control of what stands there (c·all × width), by those
    /// of the control (k·all × c).
    fn combined(&self, of_controls: &Lent<'_>, rows: &Mat<f64>) -> Lent<'a> {
        let (of_controls, scratch) = (of_controls.as_ref(), &self.parts.scratch);
        let all = of_controls.nrows() / rows.ncols().max(1);
        let mut target = scratch.lend(rows.nrows(), of_controls.ncols());
        for i in 0..of_controls.ncols() {
            let target = linalg::column_mut(target.as_mut(), i);
            target.fill(0.0);
            let components = linalg::column(of_controls, i).chunks_exact(all.max(1));
            for (j, slopes) in components.enumerate() {
                add_of_component(target, rows.col_as_slice(j), slopes);
            }
        }
        target
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
    /// another. Columns of a layer whose part of J is no outer product are written step by step, so that its rows,
    /// of which a convolution has a great many, need not be kept.
    fn form(&self, seed: &Mat<f64>) -> Result<FormedJacobian<'a>> {
        let scratch = &self.parts.scratch;
        let (count, rows) = (self.parameters.len(), seed.nrows());
        let mut by_step = None::<Lent<'a>>;
        let mut written = Vec::new();
        let mut at_once = |step, part: &LayerRows<'_>, own: &mut Scratch| {
            if part.layer.is_outer_product() {
                return false;
            }
            let accumulate = match step + 1 == self.steps {
                true => Accum::Replace,
                false => Accum::Add,
            };
            if accumulate == Accum::Replace {
                written.push(part.range.clone());
            }
            let target = by_step.get_or_insert_with(|| scratch.lend(count, rows));
            let of_layer = (part.range.start, part.range.len());
            let target = target.as_mut().subrows_mut(of_layer.0, of_layer.1);
            part.put_transposed(target, accumulate, own);
            true
        };
        let mut sum = None::<Lent<'a>>;
        self.adjoint_of_layers(seed.as_ref(), &mut at_once, |stretch, returned| {
            let Returned { rows, layers } = returned;
            self.note_spoilt(stretch, &rows);
            let is_left = |rows: &Lent<'_>| rows.as_ref().nrows() > 0;
            let taken = |layers: &Vec<_>| !layers.is_empty() && !layers.iter().any(is_left);
            if layers.as_ref().is_some_and(taken) {
                return Ok(());
            }
            let mut part = scratch.lend(count, seed.nrows());
            match layers {
                None => {
                    let formed = self.jacobian_of(stretch, Cow::Owned(rows)).transposed()?;
                    linalg::copy(part.as_mut(), formed.as_ref());
                }
                Some(layers) => scratch.with_another(|scratch| {
                    let (network, at) = (&self.parts.network, &stretch.activations);
                    let passes = self.parts.passes(stretch.steps.len());
                    network.write_transposed_of(at, &layers, passes, part.as_mut(), scratch);
                }),
            }
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => sum.add(part.as_ref()),
            }
            Ok(())
        })?;
        let sum = match (sum, by_step) {
            (Some(mut sum), Some(by_step)) => {
                for Range { start, end } in written {
                    let from = by_step.as_ref().subrows(start, end - start);
                    linalg::copy(sum.as_mut().subrows_mut(start, end - start), from);
                }
                sum
            }
            (sum, by_step) => sum.or(by_step).expect("there is a step"),
        };
        Ok(ExplicitJacobian::from_transposed(sum))
    }

    /// Whether a J of so many rows is formed: where the steps are not held at once, or K takes its columns anyway.
    fn forms(&self, rows: usize) -> bool {
        !self.is_held() || (self.parts).forms(self.batch.len(), rows, self.steps)
    }

    /// Remembers the first number of rows that is not finite.
    fn note_spoilt(&self, stretch: &Stretch<'a>, rows: &Mat<f64>) {
        if let Some(spoilt) = Self::spoilt_in(stretch, rows) {
            self.spoilt.get_or_init(|| spoilt);
        }
    }

    /// A number of rows that is not finite, in the last step that has one: it spoils all steps before.
    fn spoilt_in(stretch: &Stretch<'_>, rows: &Mat<f64>) -> Option<Spoilt> {
        linalg::first_not_finite(rows.as_ref())?;
        let (samples, length) = (stretch.states[0].nrows(), stretch.steps.len());
        (0..length).rev().find_map(|pass| {
            let components = 0..rows.nrows() / (length * samples);
            let mut places = components.map(|i| (i * length + pass) * samples);
            places.find_map(|first| {
                let part = rows.as_ref().subrows(first, samples);
                let (sample, control, value) = linalg::first_not_finite(part)?;
                Some(Spoilt {
                    step: stretch.steps.start + pass,
                    sample,
                    control,
                    value,
                })
            })
        })
    }

    fn jacobian(&self) -> Result<Unfolded<'_, 'a>> {
        if self.forms(self.cotangent.len()) {
            if self.formed.get().is_none() {
                let _part = part!(GRAM);
                let formed = self.form(&self.units()?)?;
                self.formed.get_or_init(|| formed);
            }
            let formed = self.formed.get().expect("it was just formed");
            return Ok(Unfolded::Formed(formed));
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

/// Adds rows of one component of a control (k·b) times its derivative (b), to k·b rows.
fn add_of_component(target: &mut [f64], rows: &[f64], slopes: &[f64]) {
    let count = slopes.len().max(1);
    vectorised(
        #[inline(always)]
        || {
            let targets = target.chunks_exact_mut(count);
            for (target, rows) in targets.zip(rows.chunks_exact(count)) {
                for (t, (f, s)) in target.iter_mut().zip(rows.iter().zip(slopes)) {
                    *t += f * s;
                }
            }
        },
    );
}

impl Drop for Unrolled<'_> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.last.activations);
        self.parts.leave_values(values);
    }
}

/// J that was formed.
type FormedJacobian<'a> = ExplicitJacobian<Lent<'a>>;

/// J of an unrolled batch.
enum Unfolded<'s, 'a> {
    /// By the values of all steps.
    Held(NetworkJacobian<'s>),
    Formed(&'s FormedJacobian<'a>),
    /// Formed, its rows scaled.
    Scaled(ExplicitJacobian),
}

impl<'s, 'a> Unfolded<'s, 'a> {
    fn with_scaled_rows(&self, factors: &[f64]) -> Unfolded<'s, 'a> {
        match self {
            Self::Held(jacobian) => Unfolded::Held(jacobian.with_scaled_rows(factors)),
            Self::Formed(jacobian) => Unfolded::Scaled(jacobian.with_scaled_rows(factors)),
            Self::Scaled(jacobian) => Unfolded::Scaled(jacobian.with_scaled_rows(factors)),
        }
    }

    fn either(&self) -> &dyn Jacobian {
        match self {
            Self::Held(jacobian) => jacobian,
            Self::Formed(jacobian) => *jacobian,
            Self::Scaled(jacobian) => jacobian,
        }
    }
}

impl Jacobian for Unfolded<'_, '_> {
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
    /// By the adjoint, which begins with the probes; sums over the stretches, where all steps are not held at once.
    fn layer_moments(&self, probes: MatRef<'_, f64>) -> Result<Option<Vec<LayerMoments>>> {
        let _part = part!(DIRECTION);
        let (samples, width) = (self.batch.len(), self.y.ncols());
        let cotangents = Mat::from_fn(samples * probes.ncols(), width, |row, i| {
            probes[(i * samples + row % samples, row / samples)]
        });
        let seed = self.of_observed(cotangents)?;
        let (network, scratch) = (&self.parts.network, &self.parts.scratch);
        if self.is_held() {
            let (rows, at) = (self.rows_of(&seed)?, &self.last.activations);
            let passes = self.parts.passes(self.steps);
            let moments = scratch.with_another(|scratch| {
                network.moments(self.parameters, at, rows.as_ref(), passes, scratch)
            });
            return Ok(Some(moments));
        }
        let mut sums = MomentSums::default();
        self.adjoint(seed.as_ref(), |stretch, rows| {
            let passes = self.parts.passes(stretch.steps.len());
            let at = &stretch.activations;
            scratch.with_another(|scratch| {
                let sums = (&mut sums, scratch);
                network.add_moments(self.parameters, at, rows.as_ref(), passes, sums);
            });
            Ok(())
        })?;
        sums.finish().map(Some)
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
        let mut by_step = vec![0.0; self.parameters.len()];
        let mut at_once = |_, part: &LayerRows<'_>, scratch: &mut Scratch| {
            let taken = !part.layer.is_outer_product();
            if taken {
                part.add_gradient(&mut by_step[part.range.clone()], scratch);
            }
            taken
        };
        let mut part = Vec::new();
        self.adjoint_of_layers(seed.as_ref(), &mut at_once, |stretch, returned| {
            let Returned { rows, layers } = returned;
            self.note_spoilt(stretch, &rows);
            // The first stretch writes where it is, the others are added.
            let first = stretch.steps.end == self.steps;
            if !first {
                part.resize(self.parameters.len(), 0.0);
            }
            let target = if first { &mut gradient } else { &mut part };
            self.parts.scratch.with_another(|scratch| {
                let (network, at) = (&self.parts.network, &stretch.activations);
                match layers {
                    Some(layers) => network.gradient_of(at, &layers, target, scratch),
                    None => network.vjp_into(self.parameters, at, rows.as_ref(), target, scratch),
                }
            });
            if !first {
                linalg::add(&mut gradient, &part);
            }
            Ok(())
        })?;
        linalg::add(&mut gradient, &by_step);
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

    fn loss_and_outputs_at(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let _part = part!(FORWARD);
        let parts = self.parts;
        let y = parts.observe_all(self.steps, at, self.batch, &self.target)?;
        let losses = parts.loss.values(y.as_ref(), self.target.values());
        Ok((parts.reduction.loss(&losses), linalg::stack(y.as_ref())))
    }

    /// Forwards through time, whether the rows of J are there or not.
    fn tangent(&self, v: &[f64]) -> Result<Vec<f64>> {
        let _part = part!(DIRECTION);
        Ok(linalg::stack(self.change_of_y(v)?.as_ref()))
    }

    fn moved<'s>(&'s self, parameters: &'s [f64]) -> Result<Box<dyn Linearized + 's>> {
        (self.parts).linearize_within(self.steps, self.batch, parameters)
    }

    fn samples(&self) -> Option<usize> {
        Some(self.batch.len())
    }

    fn check_finite(&self) -> Result<()> {
        let name = self.parts.physics.name();
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
        let of_rows = self.rows.get().and_then(|r| Self::spoilt_in(&self.last, r));
        let Some(spoilt) = of_rows.or_else(|| self.spoilt.get().copied()) else {
            return Ok(());
        };
        let what = format!(
            "derivative of {name}, with the network in the loop, by its control at step {}",
            spoilt.step
        );
        let error = Error::of_sample(what, spoilt.value, spoilt.sample, None);
        Err(error.by_control(spoilt.control))
    }
}

/// All by the rows at the network's output, which are simulated at the first question.
impl Jacobian for Unrolled<'_> {
    by_network_jacobian!();

    /// The adjoint begins with the combinations, so that its cost is that of n_s rows.
    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        let _part = part!(GRAM);
        let seed = self.of_observed(sketch.weights().clone())?;
        if self.forms(seed.nrows()) {
            return Ok(Box::new(self.form(&seed)?));
        }
        let rows = self.rows_of(&seed)?;
        self.note_spoilt(&self.last, &rows);
        Ok(Box::new(self.jacobian_of(&self.last, Cow::Owned(rows))))
    }
}
