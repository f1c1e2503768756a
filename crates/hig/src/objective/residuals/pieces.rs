//! Points that pass through the network piece by piece.
//!
//! What one layer leaves to the next is still in a cache then, pieces are work for several threads, and each of them
//! carries no derivatives but those that its own blocks name. They do not depend on the number of threads, and nor
//! do the bits of what is summed over them.

use super::Residuals;
use crate::data::Dataset;
use crate::error::Result;
use crate::linalg::{self, Mat, MatRef};
use crate::network::{Activations, Jets};
use crate::physics::Record;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// Samples of a batch that pass together.
pub(super) struct Piece {
    /// Their places in the batch.
    pub(super) samples: Range<usize>,
    /// The blocks among them, with the places of their samples in the piece.
    groups: Vec<(usize, Vec<usize>)>,
    pub(super) jets: Arc<Jets>,
    pub(super) activations: Activations,
    /// ∂y/∂(jets of the field), where they were asked for: row `residual · (C·S) + component · S + sample`.
    pub(super) rows: Mat<f64>,
}

impl Piece {
    /// Where the components of a block's jets stand.
    fn components_of(&self, jets: &Jets) -> Vec<usize> {
        let place = |component| self.jets.place(component);
        let components = jets.components().iter();
        components
            .map(|c| place(*c).expect("all blocks are joined"))
            .collect()
    }

    /// The points of some of its samples (count × coordinates).
    fn points(&self, batch: &Dataset, places: &[usize]) -> Mat<f64> {
        let first = self.samples.start;
        let places: Vec<usize> = places.iter().map(|place| first + place).collect();
        linalg::gather_rows(&batch.input, &places)
    }

    /// Some components of jets (C·S × outputs) of some samples: samples × components, the outputs in each.
    fn jets_at(&self, field: MatRef<'_, f64>, components: &[usize], places: &[usize]) -> Mat<f64> {
        let (outputs, count) = (field.ncols(), self.samples.len());
        let mut jets = Mat::zeros(places.len(), components.len() * outputs);
        for (i, c) in components.iter().enumerate() {
            for o in 0..outputs {
                let from = &linalg::column(field, o)[c * count..][..count];
                let to = jets.col_as_slice_mut(i * outputs + o);
                for (to, place) in to.iter_mut().zip(places) {
                    *to = from[*place];
                }
            }
        }
        jets
    }

    /// Takes the rows of a block's record to their places.
    fn take_rows(
        &mut self,
        record: &dyn Record,
        components: &[usize],
        places: &[usize],
    ) -> Result<()> {
        let found = record.rows()?;
        let (outputs, samples) = (self.rows.ncols(), self.samples.len());
        let (all, count) = (self.jets.count() * samples, places.len());
        for residual in 0..found.nrows() / count {
            for (i, c) in components.iter().enumerate() {
                for o in 0..outputs {
                    let from = &found.col_as_slice(i * outputs + o)[residual * count..][..count];
                    let to = &mut self.rows.col_as_slice_mut(o)[residual * all + c * samples..];
                    for (value, place) in from.iter().zip(places) {
                        to[*place] = *value;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Numbers of a layer's output in a piece at most (128 KiB), which pass from layer to layer in a cache of the second level.
const NUMBERS: usize = 1 << 14;
/// Samples of a piece: enough for vectors, and no more than a second thread can take from the first.
const SAMPLES: (usize, usize) = (32, 512);
/// Numbers of a cache line.
const LINE: usize = 8;

impl Residuals {
    /// The derivatives that some blocks name.
    pub(super) fn jets(&self, blocks: impl Iterator<Item = usize>) -> Jets {
        let start = Jets::of(self.network.inputs());
        blocks.fold(start, |all, k| all.joined(&self.layout.blocks[k].jets))
    }

    fn block_of(&self, samples: &Dataset, sample: usize) -> usize {
        samples.state[(sample, 0)] as usize
    }

    /// The blocks that are among samples, with the places of theirs, counted from the first sample.
    pub(super) fn groups(
        &self,
        samples: &Dataset,
        range: Range<usize>,
    ) -> Vec<(usize, Vec<usize>)> {
        let mut places = vec![Vec::new(); self.layout.blocks.len()];
        for (place, s) in range.enumerate() {
            places[self.block_of(samples, s)].push(place);
        }
        let some = places.into_iter().enumerate();
        some.filter(|(_, places)| !places.is_empty()).collect()
    }

    /// What passes together: the samples of a block, where they follow each other.
    fn ranges(&self, samples: &Dataset) -> Vec<Range<usize>> {
        let components = self.jets(0..self.layout.blocks.len()).count();
        let width = self.network.widest().max(1);
        let most = (NUMBERS / (components * width)).clamp(SAMPLES.0, SAMPLES.1);
        let most = most - most % LINE;
        let mut ranges = Vec::new();
        let mut first = 0;
        for s in 1..=samples.len() {
            let count = s - first;
            let ends = s == samples.len() || count == most;
            // Blocks that alternate share a piece.
            let long = 4 * count >= most;
            if ends || (long && self.block_of(samples, s) != self.block_of(samples, s - 1)) {
                ranges.push(first..s);
                first = s;
            }
        }
        ranges
    }

    /// The field at some samples, with the derivatives that their blocks name.
    fn pass(&self, at: &[f64], samples: &Dataset, range: Range<usize>) -> Piece {
        let groups = self.groups(samples, range.clone());
        let jets = Arc::new(self.jets(groups.iter().map(|(k, _)| *k)));
        let mut activations = self.spare_values(jets.count() * range.len());
        let points = samples.input.as_ref().subrows(range.start, range.len());
        self.scratch.with_another(|scratch| {
            let values = &mut activations;
            self.network
                .forward_jets_into(at, points, &jets, values, scratch);
        });
        Piece {
            samples: range,
            groups,
            jets,
            activations,
            rows: Mat::new(),
        }
    }

    /// Memory for the values of so many passes, such that fits before any other.
    fn spare_values(&self, passes: usize) -> Activations {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |values: &Activations| values.output().nrows() == passes;
        match spare.iter().rposition(fits) {
            Some(place) => spare.remove(place),
            None => spare.pop().unwrap_or_default(),
        }
    }

    /// Keeps the memory of values for the next pass.
    pub(super) fn give_back(&self, values: impl Iterator<Item = Activations>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.extend(values);
    }

    /// y of a piece (samples × residuals), and its rows ∂y/∂(jets) where they are asked for.
    fn evaluate(&self, samples: &Dataset, piece: &mut Piece, with_rows: bool) -> Result<Mat<f64>> {
        let (count, outputs) = (piece.samples.len(), self.network.outputs());
        let mut y = Mat::zeros(count, self.layout.rows);
        if with_rows {
            let all = piece.jets.count() * count;
            piece.rows = Mat::zeros(self.layout.rows * all, outputs);
        }
        for (k, places) in std::mem::take(&mut piece.groups) {
            let block = &self.layout.blocks[k];
            let components = piece.components_of(&block.jets);
            let points = piece.points(samples, &places);
            let field = piece.activations.output().as_ref();
            let jets = piece.jets_at(field, &components, &places);
            let (points, jets) = (points.as_ref(), jets.as_ref());
            if with_rows {
                let record = block.equation.record(points, jets, outputs)?;
                put_at(&mut y, &places, record.y());
                piece.take_rows(record.as_ref(), &components, &places)?;
            } else {
                let found = block.equation.evaluate(points, jets, outputs)?;
                put_at(&mut y, &places, &found);
            }
            piece.groups.push((k, places));
        }
        Ok(y)
    }

    /// All samples of a batch in their pieces, with y (samples × residuals) and the rows of each piece.
    pub(super) fn passed(&self, at: &[f64], batch: &Dataset) -> Result<(Vec<Piece>, Mat<f64>)> {
        let found: Vec<(Piece, Mat<f64>)> = self
            .ranges(batch)
            .into_par_iter()
            .map(|range| {
                let mut piece = self.pass(at, batch, range);
                let y = self.evaluate(batch, &mut piece, true)?;
                Ok((piece, y))
            })
            .collect::<Result<_>>()?;
        let mut y = Mat::zeros(batch.len(), self.layout.rows);
        let mut pieces = Vec::with_capacity(found.len());
        for (piece, of_piece) in found {
            put(&mut y, &piece.samples, &of_piece);
            pieces.push(piece);
        }
        Ok((pieces, y))
    }

    /// y of all samples.
    pub(super) fn all_outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        let found: Vec<(Range<usize>, Mat<f64>)> = self
            .ranges(samples)
            .into_par_iter()
            .map(|range| {
                let mut piece = self.pass(at, samples, range);
                let y = self.evaluate(samples, &mut piece, false)?;
                self.give_back(std::iter::once(piece.activations));
                Ok((piece.samples, y))
            })
            .collect::<Result<_>>()?;
        let mut y = Mat::zeros(samples.len(), self.layout.rows);
        for (range, of_piece) in found {
            put(&mut y, &range, &of_piece);
        }
        Ok(y)
    }

    /// The second derivative of y (samples × residuals) as the parameters move along v; none where the network
    /// cannot tell it.
    pub(super) fn second_along(
        &self,
        at: &[f64],
        v: &[f64],
        batch: &Dataset,
        pieces: &[Piece],
    ) -> Option<Mat<f64>> {
        let of_piece = |piece: &Piece| {
            self.scratch.with_another(|scratch| {
                let values = &piece.activations;
                let (velocity, acceleration) = self.network.second_along(at, values, v, scratch)?;
                let mut second = Mat::zeros(piece.samples.len(), self.layout.rows);
                for (k, places) in &piece.groups {
                    let block = &self.layout.blocks[*k];
                    let components = piece.components_of(&block.jets);
                    let points = piece.points(batch, places);
                    let fields = [
                        values.output().as_ref(),
                        velocity.as_ref(),
                        acceleration.as_ref(),
                    ];
                    let jets = fields.map(|field| piece.jets_at(field, &components, places));
                    let jets = jets.each_ref().map(Mat::as_ref);
                    let (points, outputs) = (points.as_ref(), self.network.outputs());
                    let found = block.equation.second_along(points, jets, outputs);
                    put_at(&mut second, places, &found);
                }
                scratch.give(velocity);
                scratch.give(acceleration);
                Some(second)
            })
        };
        let found: Option<Vec<Mat<f64>>> = pieces.par_iter().map(of_piece).collect();
        let mut second = Mat::zeros(batch.len(), self.layout.rows);
        for (piece, of_piece) in pieces.iter().zip(found?) {
            put(&mut second, &piece.samples, &of_piece);
        }
        Some(second)
    }
}

/// Takes what a block has to its samples of a piece.
fn put_at(of_piece: &mut Mat<f64>, places: &[usize], of_block: &Mat<f64>) {
    for j in 0..of_block.ncols() {
        for (value, place) in of_block.col_as_slice(j).iter().zip(places) {
            of_piece[(*place, j)] = *value;
        }
    }
}

/// Takes what a piece has to its samples.
fn put(all: &mut Mat<f64>, samples: &Range<usize>, of_piece: &Mat<f64>) {
    let rows = all.as_mut().subrows_mut(samples.start, samples.len());
    { rows }.copy_from(of_piece);
}
