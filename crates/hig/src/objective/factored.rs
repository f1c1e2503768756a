//! A Jacobian whose rows are outer products, given by their factors.

use super::{Jacobian, Sketch};
use crate::error::{Error, Result};
use crate::linalg::block_rows::{rows_times, rows_transposed_times};
use crate::linalg::matrix::{self, Accum};
use crate::linalg::{Mat, MatRef, Scratch, Symmetric, product_in_blocks};
use crate::network::{Dense, LayerRows, Passes};
use std::ops::Range;

/// An array of weights that a model only multiplies with, and the bias that it adds to the products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactoredWeight {
    /// Width of what goes in.
    pub inputs: usize,
    /// Width of what comes out.
    pub outputs: usize,
    /// For each pass of a sample, whether the bias is added in it.
    pub biased: Vec<bool>,
    /// Where the numbers stand in θ: the weight (outputs × inputs, row-major), then the bias; none where
    /// there is no such parameter.
    pub places: Vec<Option<usize>>,
}

impl FactoredWeight {
    fn layer(&self) -> Dense {
        Dense {
            inputs: self.inputs,
            outputs: self.outputs,
        }
    }
}

/// How the columns of a [`FactoredJacobian`] make θ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactoredLayout {
    weights: Vec<FactoredWeight>,
    rest: Vec<usize>,
    columns: usize,
}

impl FactoredLayout {
    /// From arrays of weights, the places in θ of parameters whose columns of J are given as they are, and p.
    /// Parameters that stand nowhere have no effect.
    ///
    /// # Errors
    /// A place beyond θ, or one that is there twice; weights without passes or with another number of places.
    pub fn new(weights: Vec<FactoredWeight>, rest: Vec<usize>, columns: usize) -> Result<Self> {
        let mut seen = vec![false; columns];
        for (i, weight) in weights.iter().enumerate() {
            let expected = (weight.inputs + 1) * weight.outputs;
            if weight.places.len() != expected || weight.biased.is_empty() {
                return Err(Error::Shape {
                    what: format!("places of weight {i}"),
                    found: format!("({},)", weight.places.len()),
                    expected: format!("({expected},), of a weight with a pass at least"),
                });
            }
        }
        let places = weights.iter().flat_map(|w| w.places.iter().flatten());
        for place in places.chain(&rest) {
            let told = seen.get_mut(*place);
            if told.is_none_or(|seen| std::mem::replace(seen, true)) {
                return Err(Error::Shape {
                    what: "parameters".into(),
                    found: format!("place {place}"),
                    expected: format!("each of 0 to {columns} - 1 once at most"),
                });
            }
        }
        Ok(Self {
            weights,
            rest,
            columns,
        })
    }

    /// The arrays of weights.
    pub fn weights(&self) -> &[FactoredWeight] {
        &self.weights
    }

    /// The places of parameters whose columns of J are given as they are.
    pub fn rest(&self) -> &[usize] {
        &self.rest
    }

    /// p.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// What went into an array of weights, and what came back to its products.
#[derive(Debug, Clone)]
pub struct WeightFactors {
    /// Row `pass · b + sample` (C·b × inputs).
    pub input: Mat<f64>,
    /// Row `component · (C·b) + pass · b + sample` (k·C·b × outputs).
    pub rows: Mat<f64>,
}

/// J (n × p) of any model, where a row is Σ_c δ_c ⊗ a_c over the passes c of its sample through an array of
/// weights. As in a [`NetworkJacobian`](super::NetworkJacobian), K comes weight by weight and J need never exist;
/// columns of parameters that are no such weights are held as they are.
#[derive(Debug, Clone)]
pub struct FactoredJacobian<'a> {
    layout: &'a FactoredLayout,
    factors: Vec<WeightFactors>,
    /// Columns of the other parameters, transposed (rest × n).
    rest: Mat<f64>,
    samples: usize,
}

impl<'a> FactoredJacobian<'a> {
    /// From the factors of each array of weights, and the columns of the other parameters, transposed (rest ×
    /// n, one for each row `component · b + sample`), of b samples.
    ///
    /// # Errors
    /// Factors of other shapes than those of the layout.
    pub fn new(
        layout: &'a FactoredLayout,
        factors: Vec<WeightFactors>,
        rest: Mat<f64>,
        samples: usize,
    ) -> Result<Self> {
        let n = rest.ncols();
        let check = |what: String, found: (usize, usize), expected: (usize, usize)| {
            if found == expected {
                return Ok(());
            }
            Err(Error::Shape {
                what,
                found: format!("{} x {}", found.0, found.1),
                expected: format!("{} x {}", expected.0, expected.1),
            })
        };
        let counts = (layout.weights.len(), samples.max(1) * (n / samples.max(1)));
        check("factors".into(), (factors.len(), n), counts)?;
        check("rest".into(), rest.shape(), (layout.rest.len(), n))?;
        for (i, (weight, factors)) in layout.weights.iter().zip(&factors).enumerate() {
            let passes = weight.biased.len();
            let (input, rows) = (factors.input.shape(), factors.rows.shape());
            let into = (passes * samples, weight.inputs);
            check(format!("inputs of weight {i}"), input, into)?;
            check(
                format!("rows of weight {i}"),
                rows,
                (passes * n, weight.outputs),
            )?;
        }
        Ok(Self {
            layout,
            factors,
            rest,
            samples,
        })
    }

    /// Calls `visit` for each array of weights.
    fn each(&self, mut visit: impl FnMut(&FactoredWeight, LayerRows<'_>, Passes<'_>)) {
        for (weight, factors) in self.layout.weights.iter().zip(&self.factors) {
            let part = LayerRows {
                layer: &weight.layer(),
                range: 0..weight.places.len(),
                input: factors.input.as_ref(),
                rows: factors.rows.as_ref(),
            };
            visit(weight, part, Passes::new(&weight.biased));
        }
    }

    /// The rows of some samples.
    fn of_samples(&self, some: Range<usize>) -> Self {
        let take = |matrix: &Mat<f64>| {
            let blocks = matrix.nrows() / self.samples;
            Mat::from_fn(blocks * some.len(), matrix.ncols(), |i, j| {
                matrix[(
                    i / some.len() * self.samples + some.start + i % some.len(),
                    j,
                )]
            })
        };
        let factors = self.factors.iter().map(|factors| WeightFactors {
            input: take(&factors.input),
            rows: take(&factors.rows),
        });
        Self {
            layout: self.layout,
            factors: factors.collect(),
            rest: take(&self.rest.transpose().to_owned())
                .transpose()
                .to_owned(),
            samples: some.len(),
        }
    }

    /// Calls `visit` with Jᵀ of some samples at a time until every row was there once.
    fn each_rows(&self, mut visit: impl FnMut(MatRef<'_, f64>)) {
        // Numbers of J held at a time (64 MiB), unless one sample has more.
        const HELD: usize = 1 << 23;
        let each = self.rest.ncols() / self.samples.max(1) * self.layout.columns;
        let most = (HELD / each.max(1)).max(1);
        if most >= self.samples {
            return visit(self.formed().as_ref());
        }
        for first in (0..self.samples).step_by(most) {
            let some = first..self.samples.min(first + most);
            visit(self.of_samples(some).formed().as_ref());
        }
    }

    /// Jᵀ (p × n).
    fn formed(&self) -> Mat<f64> {
        let n = self.rest.ncols();
        let mut formed = Mat::zeros(self.layout.columns, n);
        let mut scratch = Scratch::new();
        self.each(|weight, part, passes| {
            part.each_chunk(passes, &mut scratch, |range, columns| {
                for (j, place) in weight.places[range].iter().enumerate() {
                    let Some(place) = place else { continue };
                    for i in 0..n {
                        formed[(*place, i)] = columns[(i, j)];
                    }
                }
            });
        });
        for (row, place) in self.layout.rest.iter().enumerate() {
            for i in 0..n {
                formed[(*place, i)] = self.rest[(row, i)];
            }
        }
        formed
    }

    /// diag(factors)·J (factors: length n).
    #[must_use]
    pub fn with_scaled_rows(&self, factors: &[f64]) -> Self {
        let mut scaled = self.clone();
        let samples = self.samples.max(1);
        for (weight, part) in self.layout.weights.iter().zip(&mut scaled.factors) {
            let passes = weight.biased.len();
            for j in 0..part.rows.ncols() {
                let blocks = part.rows.col_as_slice_mut(j).chunks_exact_mut(samples);
                for (place, block) in blocks.enumerate() {
                    let factors = &factors[place / passes * samples..][..samples];
                    block.iter_mut().zip(factors).for_each(|(v, f)| *v *= f);
                }
            }
        }
        for (i, factor) in factors.iter().enumerate() {
            let column = scaled.rest.col_as_slice_mut(i);
            column.iter_mut().for_each(|v| *v *= factor);
        }
        scaled
    }
}

impl Jacobian for FactoredJacobian<'_> {
    fn rows(&self) -> usize {
        self.rest.ncols()
    }

    fn columns(&self) -> usize {
        self.layout.columns
    }

    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        target.fill(0.0);
        self.each(|weight, part, passes| {
            let mut cotangents = scratch.take(part.input.nrows(), weight.outputs);
            rows_transposed_times(part.rows, (w, self.samples), cotangents.as_mut());
            let mut gradient = scratch.take(weight.places.len(), 1);
            let of_cotangents = LayerRows {
                rows: cotangents.as_ref(),
                ..part
            };
            of_cotangents.write_gradients(passes, gradient.as_mut(), scratch);
            for (place, value) in weight.places.iter().zip(gradient.column(0)) {
                if let Some(place) = place {
                    target[*place] = *value;
                }
            }
            scratch.give(cotangents);
            scratch.give(gradient);
        });
        let rest = matrix::apply(self.rest.as_ref(), w);
        for (place, value) in self.layout.rest.iter().zip(rest) {
            target[*place] = value;
        }
        Ok(())
    }

    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        let along: Vec<f64> = self.layout.rest.iter().map(|place| v[*place]).collect();
        matrix::apply_into(self.rest.transpose(), &along, target);
        let mut sums = vec![0.0; target.len()];
        self.each(|weight, part, _| {
            let direction = weight
                .places
                .iter()
                .map(|p| p.map_or(0.0, |place| v[place]));
            let direction: Vec<f64> = direction.collect();
            let (along, bias) = direction.split_at(weight.inputs * weight.outputs);
            let along = MatRef::from_row_major_slice(along, weight.outputs, weight.inputs);
            let mut tangent = scratch.take(part.input.nrows(), weight.outputs);
            let product = along.transpose();
            matrix::multiply(tangent.as_mut(), Accum::Replace, part.input, product);
            for (j, bias) in bias.iter().enumerate() {
                let passes = tangent.column_mut(j).chunks_exact_mut(self.samples.max(1));
                for (pass, biased) in passes.zip(&weight.biased) {
                    let bias = if *biased { *bias } else { 0.0 };
                    pass.iter_mut().for_each(|v| *v += bias);
                }
            }
            rows_times(part.rows, tangent.as_ref(), (&mut sums, self.samples));
            target.iter_mut().zip(&sums).for_each(|(t, v)| *t += v);
            scratch.give(tangent);
        });
        Ok(())
    }

    fn gram(&self) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(self.rows());
        let mut scratch = Scratch::new();
        self.each(|_, part, passes| part.add_gram(&mut sum, passes, &mut scratch));
        sum.add(self.rest.transpose());
        Ok(sum)
    }

    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(w.ncols());
        let mut scratch = Scratch::new();
        self.each(|_, part, passes| {
            part.images(w, passes, &mut scratch, |images| {
                sum.add(images.transpose());
            });
        });
        sum.add(product_in_blocks(self.rest.as_ref(), w).transpose());
        Ok(sum)
    }

    fn normal(&self) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(self.columns());
        self.each_rows(|transposed| sum.add(transposed));
        Ok(sum)
    }

    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(v.ncols());
        self.each_rows(|transposed| sum.add(product_in_blocks(v.transpose(), transposed).as_ref()));
        Ok(sum)
    }

    fn transposed(&self) -> Result<Mat<f64>> {
        Ok(self.formed())
    }

    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.with_scaled_rows(factors)))
    }

    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        let weights = self.layout.weights.iter().zip(&self.factors);
        let factors = weights.map(|(weight, factors)| WeightFactors {
            input: factors.input.clone(),
            rows: sketch.combine(factors.rows.as_ref(), weight.biased.len()),
        });
        Ok(Box::new(Self {
            layout: self.layout,
            factors: factors.collect(),
            rest: sketch.combine_transposed(self.rest.as_ref()),
            samples: self.samples,
        }))
    }
}
