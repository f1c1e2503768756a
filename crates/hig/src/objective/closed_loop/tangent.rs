//! J·v of a batch with the network in the loop, forwards through time.

use super::unrolled::{Stretch, Unrolled};
use crate::error::Result;
use crate::linalg::{Mat, MatRef};
use crate::network::Passes;

impl Unrolled<'_> {
    /// The change of y (samples × dim(y)) with a change v of the parameters (length p).
    ///
    /// # Errors
    /// A derivative that cannot be told.
    pub(super) fn change_of_y(&self, v: &[f64]) -> Result<Mat<f64>> {
        let (samples, d) = (self.batch.len(), self.parts.physics.state_len());
        let observed = self.parts.observed_within(self.steps);
        let mut seen = Mat::zeros(samples, self.parts.observed_len());
        let mut moved = Mat::<f64>::zeros(samples, d);
        self.each_stretch_forwards(|stretch| {
            for (pass, k) in stretch.steps.clone().enumerate() {
                let control = self.change_of_control(stretch, (pass, k), moved.as_ref(), v)?;
                let at = (stretch.states[pass].as_ref(), stretch.control(pass));
                let changes = (moved.as_ref(), control.as_ref());
                moved = self.parts.physics.push_forward(k, at, changes)?;
                for (place, _) in observed.iter().filter(|(_, step)| *step == k + 1) {
                    let columns = seen.as_mut().subcols_mut(place * d, d);
                    { columns }.copy_from(&moved);
                }
            }
            Ok(())
        })?;
        let y = match &self.observation {
            Some(record) => record.jvp(seen.as_ref())?,
            None => seen,
        };
        Ok(self.target.weigh(y))
    }

    /// The change of the controls at a step with the parameters, and with what the network sees of the state.
    fn change_of_control(
        &self,
        stretch: &Stretch<'_>,
        (pass, k): (usize, usize),
        state: MatRef<'_, f64>,
        v: &[f64],
    ) -> Result<Mat<f64>> {
        let network = &self.parts.network;
        // The state before the first step is given.
        let seen = match k > 0 && !self.parts.stopped {
            false => None,
            true => Some(match stretch.sights.get(pass) {
                Some(sight) => sight.jvp(state)?,
                None => {
                    let mut seen = Mat::zeros(state.nrows(), network.inputs());
                    let of_state = seen.as_mut().subcols_mut(0, state.ncols());
                    { of_state }.copy_from(state);
                    seen
                }
            }),
        };
        let values = (stretch.activations).pass(pass, self.parts.passes(stretch.steps.len()));
        let mut control = Mat::zeros(state.nrows(), network.outputs());
        self.parts.scratch.with_another(|scratch| {
            let changes = (seen.as_ref().map(Mat::as_ref), v);
            let target = control.as_mut();
            network.moved_into(
                self.parameters,
                &values,
                changes,
                Passes::ONE,
                target,
                scratch,
            );
        });
        Ok(control)
    }
}
