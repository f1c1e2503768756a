//! The Jacobian of residuals whose points passed through the network in pieces.
//!
//! Products with J and JᵀJ are sums over the pieces. J is formed for JᵀJ and stays where it has no more numbers than a few
//! times those that the passes have left: the products that follow, many of one decomposition, read it. K = J·Jᵀ and what
//! else needs all rows beside each other joins the pieces first, and leaves them joined for the next question.

use super::pieces::Piece;
use crate::error::Result;
use crate::linalg::{Lent, Mat, MatMut, MatRef, Scratch, Symmetric, apply_into, product_in_blocks};
use crate::network::{Activations, Jets, LayerMoments, Network};
use crate::objective::{Jacobian, NetworkJacobian, Sketch};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The values of all pieces as those of one batch.
pub(super) struct Joined {
    jets: Arc<Jets>,
    activations: Activations,
}

/// J (n × p), or some multiple of its rows.
pub(super) struct InPieces<'a> {
    network: &'a Network,
    parameters: &'a [f64],
    pieces: &'a [Piece],
    /// J of each piece.
    parts: Vec<NetworkJacobian<'a>>,
    joined: &'a OnceLock<Joined>,
    /// J, the rows of one piece behind those of another, where it stays.
    formed: OnceLock<Lent<'a>>,
    scratch: &'a Scratch,
}

/// Sums over the pieces that are made side by side, whatever the number of threads.
const STRANDS: usize = 8;
/// Columns of J whose products are made side by side.
const COLUMNS: usize = 64;

impl<'a> InPieces<'a> {
    /// The pieces of a batch of samples.
    pub(super) fn new(
        network: &'a Network,
        parameters: &'a [f64],
        pieces: &'a [Piece],
        joined: &'a OnceLock<Joined>,
        scratch: &'a Scratch,
    ) -> Self {
        let part = |piece: &'a Piece| {
            let (values, rows) = (&piece.activations, Cow::Borrowed(&piece.rows));
            NetworkJacobian::new(network, parameters, values, rows)
                .of_passes(piece.jets.passes())
                .with_scratch(scratch)
        };
        Self {
            network,
            parameters,
            pieces,
            parts: pieces.iter().map(part).collect(),
            joined,
            formed: OnceLock::new(),
            scratch,
        }
    }

    /// b.
    fn samples(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.samples.end)
    }

    /// Residuals of a sample.
    fn residuals(&self) -> usize {
        let (piece, part) = (self.pieces.first(), self.parts.first());
        piece
            .zip(part)
            .map_or(0, |(piece, part)| part.rows() / piece.samples.len().max(1))
    }

    fn parts(&self) -> impl IndexedParallelIterator<Item = (&Piece, &NetworkJacobian<'a>)> {
        self.pieces.par_iter().zip(&self.parts)
    }

    /// Writes what a piece has of a stacked vector (length n).
    fn of_piece(&self, stacked: &[f64], samples: &Range<usize>, target: &mut [f64]) {
        let residuals = stacked.chunks_exact(self.samples());
        let targets = target.chunks_exact_mut(samples.len());
        for (target, values) in targets.zip(residuals) {
            target.copy_from_slice(&values[samples.clone()]);
        }
    }

    /// Takes what a piece has to its place in a stacked vector (length n).
    fn put_piece(&self, of_piece: &[f64], samples: &Range<usize>, stacked: &mut [f64]) {
        let residuals = of_piece.chunks_exact(samples.len());
        let targets = stacked.chunks_exact_mut(self.samples());
        for (target, values) in targets.zip(residuals) {
            target[samples.clone()].copy_from_slice(values);
        }
    }

    /// The pieces, each with the places of its rows among those of J as it is formed.
    fn formed_rows(&self) -> impl Iterator<Item = (&Piece, Range<usize>)> {
        let mut next = 0;
        let parts = self.pieces.iter().zip(&self.parts);
        parts.map(move |(piece, part)| {
            let first = next;
            next += part.rows();
            (piece, first..next)
        })
    }

    /// diag(factors)·J (factors: length n).
    pub(super) fn with_scaled_rows(&self, factors: &[f64]) -> Self {
        let scaled = |(piece, part): (&Piece, &NetworkJacobian<'a>)| {
            let mut own = vec![0.0; part.rows()];
            self.of_piece(factors, &piece.samples, &mut own);
            part.with_scaled_rows(&own)
        };
        Self {
            parts: self.parts().map(scaled).collect(),
            formed: OnceLock::new(),
            ..*self
        }
    }

    /// What stands for the layers' blocks of Jᵀ·C·J by k probes (n × k).
    pub(super) fn layer_moments(&self, probes: MatRef<'_, f64>) -> Vec<LayerMoments> {
        self.whole().layer_moments(probes)
    }

    /// J as that of one batch.
    fn whole(&self) -> NetworkJacobian<'a> {
        let joined = self
            .joined
            .get_or_init(|| Joined::of(self.pieces, self.network));
        let (b, all) = (self.samples(), joined.jets.count() * self.samples());
        let mut rows = Mat::zeros(self.residuals() * all, self.network.outputs());
        for (piece, part) in self.pieces.iter().zip(&self.parts) {
            let own = piece.jets.count() * piece.samples.len();
            for residual in 0..self.residuals() {
                each_component(piece, &joined.jets, |from, to| {
                    let count = piece.samples.len();
                    let from = residual * own + from * count;
                    let to = residual * all + to * b + piece.samples.start;
                    let target = rows.as_mut().subrows_mut(to, count);
                    { target }.copy_from(part.output_rows().as_ref().subrows(from, count));
                });
            }
        }
        NetworkJacobian::new(
            self.network,
            self.parameters,
            &joined.activations,
            Cow::Owned(rows),
        )
        .of_passes(joined.jets.passes())
        .with_scratch(self.scratch)
    }

    /// Forms J and keeps it, where a product reads it sooner than what the passes have left, of which every number is
    /// worked on.
    fn form(&self) -> Option<MatRef<'_, f64>> {
        // No more than what a scratch keeps of a loan.
        const MOST: usize = 1 << 22;
        const TIMES: usize = 2;
        let left = self.pieces.iter().map(|piece| piece.activations.numbers());
        let (rows, columns) = (self.rows(), self.columns());
        let stays = rows * columns <= MOST.min(TIMES * left.sum::<usize>());
        if stays && self.formed.get().is_none() {
            // Not within the lock: a thread that waits for others meanwhile may be given work that waits for the lock.
            let mut held = self.scratch.lend(rows, columns);
            self.write_rows(0..self.parts.len(), held.as_mut());
            let _ = self.formed.set(held);
        }
        self.formed.get().map(Lent::as_ref)
    }

    /// Writes the rows of some pieces one behind the other.
    fn write_rows(&self, pieces: Range<usize>, target: MatMut<'_, f64>) {
        let parts = &self.parts[pieces];
        let mut targets = Vec::with_capacity(parts.len());
        let mut rest = target;
        for part in parts {
            let (own, others) = rest.split_at_row_mut(part.rows());
            targets.push(own);
            rest = others;
        }
        let pairs = parts.par_iter().zip(targets);
        pairs.for_each(|(part, target)| part.write_formed(target));
    }

    /// Calls `visit` with blocks of rows of J until every row was there once, those of some pieces at a time.
    fn each_rows(&self, mut visit: impl FnMut(MatRef<'_, f64>)) {
        let (formed, columns) = (self.form(), self.columns());
        let most = NetworkJacobian::rows_at_a_time(columns);
        let (mut next, mut before) = (0, 0);
        while next < self.parts.len() {
            let first = next;
            let mut rows = 0;
            while next < self.parts.len() && (rows == 0 || rows + self.parts[next].rows() <= most) {
                rows += self.parts[next].rows();
                next += 1;
            }
            match formed {
                Some(formed) => visit(formed.subrows(before, rows)),
                None => {
                    let mut held = self.scratch.lend(rows, columns);
                    self.write_rows(first..next, held.as_mut());
                    visit(held.as_ref());
                }
            }
            before += rows;
        }
    }

    /// Writes Jᵀ·w (length p) by J as it was formed.
    fn write_vjp(&self, formed: MatRef<'_, f64>, w: &[f64], target: &mut [f64]) {
        let mut ordered = self.scratch.lend(self.rows(), 1);
        let values = crate::linalg::column_mut(ordered.as_mut(), 0);
        for (piece, rows) in self.formed_rows() {
            self.of_piece(w, &piece.samples, &mut values[rows]);
        }
        let values = &*values;
        let blocks = target.par_chunks_mut(COLUMNS).enumerate();
        blocks.for_each(|(block, target)| {
            let columns = formed.subcols(block * COLUMNS, target.len());
            apply_into(columns.transpose(), values, target);
        });
    }

    /// Writes J·v (length n) by J as it was formed.
    fn write_jvp(&self, formed: MatRef<'_, f64>, v: &[f64], target: &mut [f64]) {
        let mut found = self.scratch.lend(self.rows(), 1);
        let values = crate::linalg::column_mut(found.as_mut(), 0);
        let length = values.len().div_ceil(STRANDS).max(1);
        let strands = values.par_chunks_mut(length).enumerate();
        strands.for_each(|(strand, target)| {
            let rows = formed.subrows(strand * length, target.len());
            apply_into(rows, v, target);
        });
        for (piece, rows) in self.formed_rows() {
            self.put_piece(&values[rows], &piece.samples, target);
        }
    }
}

/// Calls `visit` with the place of every component of a piece's jets, and that among the joined ones.
fn each_component(piece: &Piece, joined: &Jets, mut visit: impl FnMut(usize, usize)) {
    for (from, component) in piece.jets.components().iter().enumerate() {
        let to = joined.place(*component);
        visit(from, to.expect("the jets of all pieces are joined"));
    }
}

impl Joined {
    /// Where a piece carries no such derivative it is 0, and so are the rows.
    fn of(pieces: &[Piece], network: &Network) -> Self {
        let start = Jets::of(network.inputs());
        let jets = pieces
            .iter()
            .fold(start, |all, piece| all.joined(&piece.jets));
        let b = pieces.last().map_or(0, |piece| piece.samples.end);
        let jets = Arc::new(jets);
        let mut activations = Activations::zeros_of(&jets, b, network);
        for piece in pieces {
            let (count, first) = (piece.samples.len(), piece.samples.start);
            each_component(piece, &jets, |from, to| {
                let place = (from * count, to * b + first);
                activations.take_rows(&piece.activations, count, place);
            });
        }
        Self { jets, activations }
    }
}

impl Jacobian for InPieces<'_> {
    fn rows(&self) -> usize {
        self.parts.iter().map(Jacobian::rows).sum()
    }

    fn columns(&self) -> usize {
        self.parameters.len()
    }

    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        if let Some(formed) = self.formed.get() {
            self.write_vjp(formed.as_ref(), w, target);
            return Ok(());
        }
        let (scratch, columns) = (&*scratch, self.columns());
        let of_strand = |pieces: &[Piece], parts: &[NetworkJacobian<'_>]| {
            let mut sum = scratch.lend(columns, 1);
            scratch.with_another(|own| {
                let mut next = own.take_numbers(columns);
                for (i, (piece, part)) in pieces.iter().zip(parts).enumerate() {
                    let mut cotangent = own.take_numbers(part.rows());
                    self.of_piece(w, &piece.samples, &mut cotangent);
                    part.vjp_into(&cotangent, &mut next, own)?;
                    own.give_numbers(cotangent);
                    let gradient = MatRef::from_column_major_slice(&next, columns, 1);
                    match i {
                        0 => sum.as_mut().copy_from(gradient),
                        _ => sum.add(gradient),
                    }
                }
                own.give_numbers(next);
                Ok(())
            })?;
            Ok(sum)
        };
        let length = self.parts.len().div_ceil(STRANDS).max(1);
        let strands = self.pieces.par_chunks(length);
        let sums: Vec<Lent<'_>> = strands
            .zip(self.parts.par_chunks(length))
            .map(|(pieces, parts)| of_strand(pieces, parts))
            .collect::<Result<_>>()?;
        target.fill(0.0);
        for sum in sums {
            let values = crate::linalg::column(sum.as_ref(), 0);
            target.iter_mut().zip(values).for_each(|(t, v)| *t += v);
        }
        Ok(())
    }

    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        if let Some(formed) = self.formed.get() {
            self.write_jvp(formed.as_ref(), v, target);
            return Ok(());
        }
        let scratch = &*scratch;
        let of_part = |part: &NetworkJacobian<'_>| {
            let mut found = scratch.lend(part.rows(), 1);
            let slice = crate::linalg::column_mut(found.as_mut(), 0);
            scratch.with_another(|own| part.jvp_into(v, slice, own))?;
            Ok(found)
        };
        let parts = self.parts.par_iter();
        let found: Vec<Lent<'_>> = parts.map(of_part).collect::<Result<_>>()?;
        for (piece, found) in self.pieces.iter().zip(found) {
            let values = crate::linalg::column(found.as_ref(), 0);
            self.put_piece(values, &piece.samples, target);
        }
        Ok(())
    }

    fn vjp(&self, w: &[f64]) -> Result<Vec<f64>> {
        let mut product = vec![0.0; self.columns()];
        let scratch = self.scratch;
        scratch.with_another(|own| self.vjp_into(w, &mut product, own))?;
        Ok(product)
    }

    fn jvp(&self, v: &[f64]) -> Result<Vec<f64>> {
        let mut product = vec![0.0; self.rows()];
        let scratch = self.scratch;
        scratch.with_another(|own| self.jvp_into(v, &mut product, own))?;
        Ok(product)
    }

    fn gram(&self) -> Result<Symmetric> {
        self.whole().gram()
    }

    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        self.whole().image_gram(w)
    }

    fn normal(&self) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(self.columns());
        self.each_rows(|rows| sum.add(rows.transpose()));
        Ok(sum)
    }

    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(v.ncols());
        self.each_rows(|rows| sum.add(product_in_blocks(rows, v).transpose()));
        Ok(sum)
    }

    fn transposed(&self) -> Result<Mat<f64>> {
        self.whole().transposed()
    }

    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.with_scaled_rows(factors)))
    }

    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.whole().with_combined_rows(sketch)))
    }
}
