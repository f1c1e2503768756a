//! Rows of J that are sums over several passes of a sample, against S·J' with the summing matrix S
//! and the rows J' of all virtual samples.

mod common;

use common::{normal, normal_vector};
use hig::linalg::{self, Mat, OuterFactor, Scratch, Symmetric};
use hig::network::{
    Activation, Activations, Boundary, Chain, Conv2d, Dense, GramOperations, Grid, Initializer,
    LayerNorm, Network, Passes, Scale,
};
use hig::objective::{Jacobian, NetworkJacobian};
use proptest::prelude::*;
use std::borrow::Cow;

const TANH: Activation = Activation::Tanh;

fn dense(inputs: usize, outputs: usize) -> Dense {
    Dense { inputs, outputs }
}

fn network(inputs: usize, chain: Chain) -> Network {
    Network::new(inputs, chain, Initializer::Glorot).unwrap()
}

/// A small network of each kind of layer; the last of those has no pass without bias.
fn networks(widths: &[usize; 3]) -> Vec<(&'static str, Network)> {
    let [a, b, c] = *widths;
    let grid = Grid {
        channels: a,
        height: 3,
        width: 2,
    };
    let conv = Conv2d::same(grid, b, 3, Boundary::Periodic);
    let second = Conv2d::same(conv.output(), 1, 1, Boundary::Zero);
    let scale = |channels, points| Scale {
        channels,
        points,
        gain: 0.7,
    };
    let mlp = Network::mlp(&[a, b, c], TANH, Initializer::Glorot);
    let block = Chain::new().then(dense(a, b)).then(TANH).then(dense(b, a));
    vec![
        ("dense", mlp),
        (
            "conv",
            network(6 * a, Chain::new().then(conv).then(TANH).then(second)),
        ),
        (
            "scale",
            network(
                2 * a,
                Chain::new()
                    .then(scale(a, 2))
                    .then(TANH)
                    .then(scale(2 * a, 1)),
            ),
        ),
        (
            "residual",
            network(a, Chain::new().residual(block).then(dense(a, c))),
        ),
        (
            "norm",
            network(
                2 * a,
                Chain::new()
                    .then(LayerNorm::new(a, 2))
                    .then(TANH)
                    .then(dense(2 * a, c)),
            ),
        ),
    ]
}

/// A network with C·b virtual samples and rows of k components at its output.
struct Case {
    network: Network,
    parameters: Vec<f64>,
    values: Activations,
    rows: Mat<f64>,
    biased: Vec<bool>,
    samples: usize,
}

impl Case {
    fn new(
        network: Network,
        biased: &[bool],
        samples: usize,
        components: usize,
        seed: u64,
    ) -> Self {
        let virtual_samples = biased.len() * samples;
        let parameters = normal_vector(network.parameter_count(), seed);
        let input = normal(virtual_samples, network.inputs(), seed ^ 1);
        let rows = normal(components * virtual_samples, network.outputs(), seed ^ 2);
        Self {
            values: network.forward(&parameters, input.as_ref()),
            network,
            parameters,
            rows,
            biased: biased.to_vec(),
            samples,
        }
    }

    fn passes(&self) -> Passes<'_> {
        Passes::new(&self.biased)
    }

    /// S·J', with J' from single rows through the network, one gradient each, and zeros where a pass
    /// has no bias.
    fn expected(&self) -> Mat<f64> {
        let (count, b) = (self.biased.len(), self.samples);
        let virtual_samples = count * b;
        let components = self.rows.nrows() / virtual_samples;
        let bias = self.network.views().into_iter();
        let bias: Vec<_> = bias.filter(|view| view.name.ends_with("bias")).collect();
        let mut j = Mat::zeros(components * b, self.parameters.len());
        for row in 0..self.rows.nrows() {
            let (component, sample) = (row / virtual_samples, row % virtual_samples);
            let mut alone = Mat::zeros(virtual_samples, self.rows.ncols());
            alone.row_mut(sample).copy_from(self.rows.row(row));
            let gradient = self
                .network
                .vjp(&self.parameters, &self.values, alone.as_ref());
            let mut gradient = gradient.col_as_slice(0).to_vec();
            if !self.biased[sample / b] {
                for view in &bias {
                    gradient[view.range.clone()].fill(0.0);
                }
            }
            for (p, value) in gradient.iter().enumerate() {
                j[(component * b + sample % b, p)] += value;
            }
        }
        j
    }

    fn jacobian(&self) -> Mat<f64> {
        let rows = self.rows.as_ref();
        self.network
            .jacobian(&self.parameters, &self.values, rows, self.passes())
    }

    fn transposed(&self) -> Mat<f64> {
        let rows = self.rows.as_ref();
        self.network
            .transposed_jacobian(&self.parameters, &self.values, rows, self.passes())
    }

    /// J·Jᵀ: as is chosen, by columns, and by masks where there are some.
    fn grams(&self) -> [Mat<f64>; 3] {
        let size = self.rows.nrows() / self.biased.len();
        let mut sums = [0; 3].map(|_| Symmetric::zeros(size));
        let (scratch, passes) = (&mut Scratch::new(), self.passes());
        let rows = self.rows.as_ref();
        self.network.backward(
            &self.parameters,
            &self.values,
            rows,
            scratch,
            |part, scratch| {
                let [chosen, by_columns, by_masks] = &mut sums;
                part.add_gram(chosen, passes, scratch);
                part.add_gram_by_columns(by_columns, passes, scratch);
                match part.layer.is_outer_product() {
                    true => part.add_gram_by_mask(by_masks, passes, scratch),
                    false => part.add_gram_by_columns(by_masks, passes, scratch),
                }
            },
        );
        sums.map(Symmetric::complete)
    }

    /// (JᵀW)ᵀ·(JᵀW).
    fn images(&self, w: &Mat<f64>) -> Mat<f64> {
        let mut sum = Symmetric::zeros(w.ncols());
        let (scratch, rows) = (&mut Scratch::new(), self.rows.as_ref());
        self.network.backward(
            &self.parameters,
            &self.values,
            rows,
            scratch,
            |part, scratch| {
                part.images(w.as_ref(), self.passes(), scratch, |images| {
                    sum.add(images.transpose());
                });
            },
        );
        sum.complete()
    }

    /// The sums of J's rows over the samples, for each component (parameters × k).
    fn gradients(&self) -> Mat<f64> {
        let components = self.rows.nrows() / (self.biased.len() * self.samples);
        let mut gradients = Mat::zeros(self.parameters.len(), components);
        let (rows, scratch) = (self.rows.as_ref(), &mut Scratch::new());
        let (at, values) = (&self.parameters, &self.values);
        let target = gradients.as_mut();
        self.network
            .gradients_into(at, values, rows, self.passes(), target, scratch);
        gradients
    }

    fn check(&self, name: &str) {
        let j = self.expected();
        let scale = j.norm_l2();
        let close = |what: &str, found: &Mat<f64>, expected: &Mat<f64>, unit: f64| {
            assert_eq!(found.shape(), expected.shape(), "{name} {what}");
            let error = (found - expected).norm_max() / unit;
            assert!(
                error <= 1e-13,
                "{name} {what}, {:?}: {error:e}",
                self.biased
            );
        };
        close("J", &self.jacobian(), &j, scale);
        close(
            "transposed J",
            &self.transposed(),
            &j.transpose().to_owned(),
            scale,
        );
        let k = linalg::product(j.as_ref(), j.transpose());
        for (what, found) in ["K", "K by columns", "K by masks"]
            .into_iter()
            .zip(self.grams())
        {
            close(what, &found, &k, scale * scale);
        }
        let w = normal(j.nrows(), 3, 9);
        let images = linalg::product(j.transpose(), w.as_ref());
        let expected = linalg::product(images.transpose(), images.as_ref());
        close(
            "images",
            &self.images(&w),
            &expected,
            (scale * w.norm_l2()).powi(2),
        );
        let b = self.samples;
        let sums = Mat::from_fn(j.ncols(), j.nrows() / b, |p, component| {
            (0..b).map(|s| j[(component * b + s, p)]).sum()
        });
        close(
            "gradients",
            &self.gradients(),
            &sums,
            scale * (b as f64).sqrt(),
        );
        self.check_jacobian(&j, name);
    }

    /// Every product of the Jacobian that objectives are made with.
    fn check_jacobian(&self, j: &Mat<f64>, name: &str) {
        let rows = Cow::Borrowed(&self.rows);
        let whole = NetworkJacobian::new(&self.network, &self.parameters, &self.values, rows)
            .of_passes(self.passes());
        let factors = normal_vector(j.nrows(), 11);
        let scaled = whole.scaled_rows(&factors).unwrap();
        let times = Mat::from_fn(j.nrows(), j.ncols(), |r, p| factors[r] * j[(r, p)]);
        let column = |values: Vec<f64>| Mat::from_fn(values.len(), 1, |i, _| values[i]);
        let square = |m: &Mat<f64>| linalg::product(m.transpose(), m.as_ref());
        for (jacobian, j) in [(&whole as &dyn Jacobian, j), (scaled.as_ref(), &times)] {
            assert_eq!((jacobian.rows(), jacobian.columns()), j.shape());
            let (w, v) = (normal(j.nrows(), 2, 12), normal(j.ncols(), 2, 13));
            let (jtw, jv) = (
                linalg::product(j.transpose(), w.as_ref()),
                linalg::product(j.as_ref(), v.as_ref()),
            );
            let first = |m: &Mat<f64>| m.col_as_slice(0).to_vec();
            let k = linalg::product(j.as_ref(), j.transpose());
            for (what, found, expected) in [
                (
                    "vjp",
                    column(jacobian.vjp(&first(&w)).unwrap()),
                    column(first(&jtw)),
                ),
                (
                    "jvp",
                    column(jacobian.jvp(&first(&v)).unwrap()),
                    column(first(&jv)),
                ),
                ("gram", jacobian.gram().unwrap().complete(), k),
                ("normal", jacobian.normal().unwrap().complete(), square(j)),
                (
                    "image_gram",
                    jacobian.image_gram(w.as_ref()).unwrap().complete(),
                    square(&jtw),
                ),
                (
                    "normal_image_gram",
                    jacobian.normal_image_gram(v.as_ref()).unwrap().complete(),
                    square(&jv),
                ),
                (
                    "transposed",
                    jacobian.transposed().unwrap(),
                    j.transpose().to_owned(),
                ),
            ] {
                assert_eq!(found.shape(), expected.shape(), "{name} {what}");
                let unit = expected.norm_max().max(j.norm_l2()).max(f64::MIN_POSITIVE);
                let unit = unit * (1.0 + w.norm_l2() * v.norm_l2());
                let error = (&found - &expected).norm_max() / unit;
                assert!(error <= 1e-13, "{name} {what}: {error:e}");
            }
        }
    }
}

/// Which passes use the bias, for C = 1, 2, 5.
const BIASED: [&[bool]; 6] = [
    &[true],
    &[false],
    &[true, true],
    &[true, false],
    &[true; 5],
    &[false, true, false, false, true],
];

#[test]
fn passes_of_every_layer_sum_to_its_rows() {
    for biased in BIASED {
        // Below and above where work is divided between threads.
        for (samples, components) in [(1, 1), (4, 3), (60, 5)] {
            for (name, network) in networks(&[3, 4, 2]) {
                if name != "norm" || biased.iter().all(|b| *b) {
                    Case::new(network, biased, samples, components, 5).check(name);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn passes_of_any_shape_sum_to_their_rows(
        widths in prop::array::uniform3(1_usize..9),
        biased in prop::collection::vec(any::<bool>(), 1..6),
        samples in 1_usize..9,
        components in 1_usize..5,
        seed in any::<u64>(),
    ) {
        let all = vec![true; biased.len()];
        for (name, network) in networks(&widths) {
            let biased = if name == "norm" { &all } else { &biased };
            Case::new(network, biased, samples, components, seed).check(name);
        }
    }
}

/// One pass is no pass at all: the same bits.
#[test]
fn the_choice_for_one_pass_is_the_mask_and_has_its_bits() {
    // Few inputs and many outputs, where columns would take fewer operations.
    let network = network(
        1,
        Chain::new().then(dense(1, 1)).then(TANH).then(dense(1, 30)),
    );
    let case = Case::new(network, &[true], 40, 2, 3);
    let [chosen, by_columns, by_masks] = case.grams();
    assert_eq!(chosen, by_masks);
    assert!(chosen != by_columns, "rounding tells them apart");
}

#[test]
fn the_cheaper_way_is_taken_for_several_passes() {
    // Counted by hand for n = 2, C = 3, 4 inputs, 5 outputs: for b = 1, and for b = 2, a mask that only serves
    // one row of each sample.
    let operations = GramOperations::count(4, 5, 2, 1, 3);
    assert_eq!(operations.by_mask, 3.0 * 9.0 * 12.0 + 2.0 * 4.0 * 9.0);
    let operations = GramOperations::count(4, 5, 2, 2, 3);
    assert_eq!(operations.by_mask, 3.0 * 9.0 * (12.0 + 8.0));
    assert_eq!(
        operations.by_columns,
        3.0 * 2.0 * 25.0 + 2.0 * 2.0 * 3.0 * 25.0
    );
    for (inputs, by_mask) in [(1, false), (100, true)] {
        let case = Case::new(
            network(inputs, Chain::new().then(dense(inputs, 6))),
            &[true; 4],
            30,
            3,
            2,
        );
        let operations = GramOperations::count(inputs, 6, 90, 30, 4);
        assert_eq!(operations.by_mask < operations.by_columns, by_mask);
        let [chosen, by_columns, by_masks] = case.grams();
        assert!(by_columns != by_masks, "rounding tells them apart");
        assert_eq!(chosen, if by_mask { by_masks } else { by_columns });
    }
}

#[test]
fn outer_products_are_those_of_whole_rows_across_tiles() {
    let (n, outputs, inputs) = (700, 3, 4);
    // Rows that are 0 at the beginning, at the end, everywhere and nowhere.
    let ranges = [0..700, 0..530, 70..700, 300..300];
    let mut parts = Vec::new();
    for (c, range) in ranges.iter().enumerate() {
        let (deltas, input) = (
            normal(n, outputs, c as u64),
            normal(n, inputs, 10 + c as u64),
        );
        let left = Mat::from_fn(n, outputs, |i, j| match range.contains(&i) {
            true => deltas[(i, j)],
            false => 0.0,
        });
        parts.push((left, input, c % 2 == 0));
    }
    let factors: Vec<OuterFactor<'_>> = parts
        .iter()
        .map(|(left, right, one)| OuterFactor {
            left: left.as_ref(),
            right: right.as_ref(),
            one: *one,
        })
        .collect();
    let mut found = Symmetric::zeros(n);
    found.add_outer_products(&factors);
    let found = found.complete();
    let rows = Mat::from_fn(n, outputs * (inputs + 1), |i, column| {
        let (o, a) = (column / (inputs + 1), column % (inputs + 1));
        let of = |(left, right, one): &(Mat<f64>, Mat<f64>, bool)| {
            let input = if a < inputs {
                right[(i, a)]
            } else {
                f64::from(*one)
            };
            left[(i, o)] * input
        };
        parts.iter().map(of).sum::<f64>()
    });
    let expected = &rows * rows.transpose();
    let error = (&found - &expected).norm_l2() / expected.norm_l2();
    assert!(error <= 1e-14, "{error:e}");
}

/// What a scratch holds from before never shows.
#[test]
fn a_scratch_full_of_nan_changes_no_bit() {
    for (name, network) in networks(&[3, 4, 2]) {
        let (samples, parameters) = (5, normal_vector(network.parameter_count(), 4));
        let input = normal(samples, network.inputs(), 6);
        let cotangent = normal(samples, network.outputs(), 7);
        let direction = normal_vector(parameters.len(), 8);
        let mut scratch = Scratch::new();
        for size in 0..14 {
            let mut taken: Vec<_> = (0..20).map(|_| scratch.take_numbers(1 << size)).collect();
            for mut numbers in taken.drain(..) {
                numbers.fill(f64::NAN);
                scratch.give_numbers(numbers);
            }
        }
        let mut values = network.forward(
            &parameters,
            Mat::full(samples, network.inputs(), f64::NAN).as_ref(),
        );
        network.forward_into(&parameters, input.as_ref(), &mut values, &mut scratch);
        let fresh = network.forward(&parameters, input.as_ref());
        assert_eq!(values.output(), fresh.output(), "{name}");
        let mut gradient = vec![f64::NAN; parameters.len()];
        network.vjp_into(
            &parameters,
            &values,
            cotangent.as_ref(),
            &mut gradient,
            &mut scratch,
        );
        let expected = network.vjp(&parameters, &fresh, cotangent.as_ref());
        assert_eq!(gradient, expected.col_as_slice(0), "{name}");
        let mut tangent = Mat::full(samples, network.outputs(), f64::NAN);
        network.jvp_into(
            &parameters,
            &values,
            &direction,
            tangent.as_mut(),
            &mut scratch,
        );
        assert_eq!(
            tangent,
            network.jvp(&parameters, &fresh, &direction),
            "{name}"
        );
        network.predict_into(&parameters, input.as_ref(), tangent.as_mut(), &mut scratch);
        assert_eq!(&tangent, fresh.output(), "{name}");
    }
}
