//! A function that copies numbers.

use super::{Record, Simulator, Widths};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use std::sync::Arc;

/// Where a number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The state, at a place.
    State(usize),
    /// The control, at a place.
    Control(usize),
}

/// A function of which every output is one number of the state or of the control, times a factor.
///
/// In a closed loop it is what a network sees where that is an image: a number of the sample or the time becomes a
/// channel by being taken once for every point.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::physics::{Picked, Simulator, Source};
///
/// // The second number of the control, then twice the state as often as there are points.
/// let mut seen = Picked::new(1, 2).with(Source::Control(1), 1.0);
/// for _ in 0..3 {
///     seen = seen.with(Source::State(0), 2.0);
/// }
/// let (state, control) = (Mat::full(1, 1, 5.0), Mat::from_fn(1, 2, |_, j| j as f64));
/// let y = seen.simulate(state.as_ref(), control.as_ref())?;
/// assert_eq!(y, Mat::from_fn(1, 4, |_, j| [1.0, 10.0, 10.0, 10.0][j]));
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    states: usize,
    controls: usize,
    picks: Vec<(Source, f64)>,
}

impl Picked {
    /// No output yet, of states and controls of these lengths.
    pub fn new(states: usize, controls: usize) -> Self {
        Self {
            states,
            controls,
            picks: Vec::new(),
        }
    }

    /// The same with an output behind the others: a number times a factor.
    ///
    /// # Panics
    /// A place that there is not.
    #[must_use]
    pub fn with(mut self, source: Source, factor: f64) -> Self {
        let inside = match source {
            Source::State(place) => place < self.states,
            Source::Control(place) => place < self.controls,
        };
        assert!(
            inside,
            "{source:?} is none of {} and {} numbers",
            self.states, self.controls
        );
        self.picks.push((source, factor));
        self
    }

    /// The picks of the control: output, place and factor.
    fn of_control(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        let numbered = self.picks.iter().enumerate();
        numbered.filter_map(|(i, (source, factor))| match source {
            Source::Control(place) => Some((i, *place, *factor)),
            Source::State(_) => None,
        })
    }
}

impl Simulator for Picked {
    fn widths(&self) -> Widths {
        Widths {
            state: self.states,
            control: self.controls,
            output: self.picks.len(),
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(Mat::from_fn(control.nrows(), self.picks.len(), |s, i| {
            let (source, factor) = self.picks[i];
            factor
                * match source {
                    Source::State(place) => state[(s, place)],
                    Source::Control(place) => control[(s, place)],
                }
        }))
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        Ok(Box::new(Copied {
            y: self.simulate(state, control)?,
            picked: Arc::new(self.clone()),
        }))
    }
}

/// A batch of copies.
struct Copied {
    y: Mat<f64>,
    picked: Arc<Picked>,
}

impl Record for Copied {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let mut before = Mat::zeros(cotangent.nrows(), self.picked.controls);
        for (i, place, factor) in self.picked.of_control() {
            let from = cotangent.col(i);
            let target = before.col_as_slice_mut(place).iter_mut();
            target.zip(from.iter()).for_each(|(b, w)| *b += factor * w);
        }
        Ok(before)
    }

    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.vjp(cotangents)
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let mut change = Mat::zeros(tangent.nrows(), self.picked.picks.len());
        for (i, place, factor) in self.picked.of_control() {
            let from = tangent.col(place);
            let target = change.col_as_slice_mut(i).iter_mut();
            target.zip(from.iter()).for_each(|(c, t)| *c = factor * t);
        }
        Ok(change)
    }
}
