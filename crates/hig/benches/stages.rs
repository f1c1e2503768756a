//! The stages of a HIG update at the sizes of the systems, and how they grow.
//!
//! `cargo bench -p hig --bench stages -- --sort location`; a word behind the dashes takes the entries
//! that have it in their path, such as `poisson` or `growth_with_n`.
//!
//! `gram` is `rows_back` and the matrix from what that passed. `solve`, f(K)·g from K on, is
//! `decompose` and `combine`; its peer is `faer`, all eigenvectors of the same K.

mod common;
#[path = "../tests/common/mod.rs"]
mod oracles;

use common::{Case, Condensed, done};
use divan::Bencher;
use faer::Side;
use hig::linalg::{Mat, Scratch};
use hig::objective::{ExplicitJacobian, Jacobian, Linearized};
use hig::spectral::{Filter, Route};
use std::time::Duration;

fn main() {
    divan::Divan::default()
        .max_time(Duration::from_secs(2))
        .config_with_args()
        .main();
}

const SYSTEMS: [&str; 5] = [
    "toy",
    "linear-oscillators",
    "nonlinear-oscillators",
    "poisson",
    "quantum-dipole",
];

/// All eigenvectors by the library that everything else here multiplies with.
fn faer(bencher: Bencher<'_, '_>, matrix: &Mat<f64>) {
    bencher.bench_local(|| matrix.self_adjoint_eigen(Side::Lower));
}

mod stages {
    use super::*;

    #[divan::bench(args = SYSTEMS)]
    fn forward(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        bencher.bench_local(|| case.at());
    }

    #[divan::bench(args = SYSTEMS)]
    fn physics_rows(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        bencher.with_inputs(|| case.at()).bench_local_refs(|at| {
            done(at.physics_rows());
        });
    }

    #[divan::bench(args = SYSTEMS)]
    fn rows_back(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        let at = case.at_with_rows();
        let (network, rows) = (&case.parts().network, done(at.physics_rows()));
        let mut scratch = Scratch::new();
        bencher.bench_local(|| {
            network.backward(
                &case.parameters,
                at.activations(),
                rows.as_ref(),
                &mut scratch,
                |part, _| {
                    divan::black_box(part);
                },
            );
        });
    }

    #[divan::bench(args = SYSTEMS)]
    fn gram(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        let at = case.at_with_rows();
        bencher.bench_local(|| case.condensed(&at));
    }

    #[divan::bench(args = SYSTEMS)]
    fn decompose(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        let at = case.at_with_rows();
        let (g, filter, matrix) = (at.cotangent(), case.filter(), case.condensed(&at));
        bencher
            .with_inputs(|| Condensed::new(&at, matrix.clone()))
            .bench_local_refs(|j| {
                let parts = j.decompose(g, &filter, case.method.decomposition.accuracy);
                parts.into_spectrum()
            });
    }

    #[divan::bench(args = SYSTEMS)]
    fn combine(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        let at = case.at_with_rows();
        let (g, filter) = (at.cotangent(), case.filter());
        let j = Condensed::new(&at, case.condensed(&at));
        let parts = j.decompose(g, &filter, case.method.decomposition.accuracy);
        bencher.bench_local(|| parts.direction(&filter));
    }

    #[divan::bench(args = SYSTEMS)]
    fn backward(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        let at = case.at_with_rows();
        let g = at.cotangent();
        bencher.bench_local(|| at.vjp(g));
    }

    #[divan::bench(args = SYSTEMS)]
    fn update(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        bencher.bench_local(|| case.update());
    }

    #[divan::bench(args = SYSTEMS)]
    fn solve(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        let at = case.at_with_rows();
        let (g, filter, matrix) = (at.cotangent(), case.filter(), case.condensed(&at));
        bencher
            .with_inputs(|| Condensed::new(&at, matrix.clone()))
            .bench_local_refs(|j| j.solve(g, &filter, case.method.decomposition.accuracy));
    }

    #[divan::bench(args = SYSTEMS)]
    fn faer(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        super::faer(bencher, &case.condensed(&case.at()).into_lower());
    }
}

/// The same with the network in the loop.
mod loops {
    use super::*;

    const SYSTEMS: [&str; 2] = ["cart-pole", "burgers-control"];

    /// The loss of a batch, and nothing else.
    #[divan::bench(args = SYSTEMS)]
    fn rollout(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        let objective = &case.problem.objective;
        bencher.bench_local(|| objective.loss(&case.parameters, &case.batch));
    }

    /// The same with what derivatives need.
    #[divan::bench(args = SYSTEMS)]
    fn forward(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        bencher.bench_local(|| case.linearized());
    }

    #[divan::bench(args = SYSTEMS)]
    fn gradient(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        bencher
            .with_inputs(|| case.linearized())
            .bench_local_refs(|at| at.gradient());
    }

    /// The rows at the network's output at all steps, through the adjoint, and K.
    #[divan::bench(args = SYSTEMS)]
    fn gram(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        bencher
            .with_inputs(|| case.linearized())
            .bench_local_refs(|at| at.gram());
    }

    #[divan::bench(args = SYSTEMS)]
    fn update(bencher: Bencher<'_, '_>, system: &str) {
        let case = Case::of_system(system);
        bencher.bench_local(|| case.update());
    }
}

/// A convolution of 3 × 3 points and as many channels behind it as before it on 16 × 32 points, with 16 samples and 256
/// rows of cotangents; `product` multiplies matrices with as many multiplications as `backward` and `columns` have.
mod convolution {
    use super::*;
    use hig::network::{Activations, Boundary, Chain, Conv2d, Grid, Initializer, Network, Passes};

    const CHANNELS: [usize; 2] = [8, 32];
    const SAMPLES: usize = 16;
    const ROWS: usize = 256;

    struct Layer {
        network: Network,
        parameters: Vec<f64>,
        values: Activations,
        rows: Mat<f64>,
    }

    impl Layer {
        fn new(channels: usize) -> Self {
            let grid = Grid {
                channels,
                height: 16,
                width: 32,
            };
            let layer = Conv2d::same(grid, channels, 3, Boundary::Zero);
            let chain = Chain::new().then(layer);
            let network = Network::new(grid.features(), chain, Initializer::Glorot);
            let network = network.expect("the layer fits its grid");
            let parameters = network.initial_parameters(0);
            let input = oracles::normal(SAMPLES, grid.features(), 1);
            Self {
                values: network.forward(&parameters, input.as_ref()),
                rows: oracles::normal(ROWS, grid.features(), 2),
                network,
                parameters,
            }
        }
    }

    #[divan::bench(args = CHANNELS)]
    fn backward(bencher: Bencher<'_, '_>, channels: usize) {
        let layer = Layer::new(channels);
        let mut scratch = Scratch::new();
        bencher.bench_local(|| {
            let (network, rows) = (&layer.network, layer.rows.as_ref());
            network.input_rows(&layer.parameters, &layer.values, rows, &mut scratch)
        });
    }

    #[divan::bench(args = CHANNELS)]
    fn columns(bencher: Bencher<'_, '_>, channels: usize) {
        let layer = Layer::new(channels);
        let mut scratch = Scratch::new();
        let mut columns = Mat::zeros(ROWS, layer.parameters.len());
        bencher.bench_local(|| {
            let (network, rows) = (&layer.network, layer.rows.as_ref());
            let parameters = &layer.parameters;
            network.backward(
                parameters,
                &layer.values,
                rows,
                &mut scratch,
                |part, scratch| {
                    part.write_columns(Passes::ONE, columns.as_mut(), scratch);
                },
            );
        });
    }

    #[divan::bench(args = CHANNELS)]
    fn product(bencher: Bencher<'_, '_>, channels: usize) {
        let left = oracles::normal(ROWS, 16 * 32, 1);
        let right = oracles::normal(16 * 32, 9 * channels * channels, 2);
        bencher.bench_local(|| hig::linalg::product(left.as_ref(), right.as_ref()));
    }
}

/// J·Jᵀ for a J whose singular values spread over five decades.
fn graded(n: usize) -> (ExplicitJacobian, Vec<f64>) {
    let scales = oracles::logarithmic(n, 1e-5);
    let mut j = oracles::normal(n, n, 1);
    for (k, scale) in scales.iter().enumerate() {
        for v in j.col_as_slice_mut(k) {
            *v *= scale;
        }
    }
    let g = oracles::normal(n, 1, 2).col_as_slice(0).to_vec();
    (ExplicitJacobian::new(&j), g)
}

mod growth_with_n {
    use super::*;

    const SIZES: [usize; 5] = [128, 256, 512, 1024, 2048];

    #[divan::bench(args = SIZES)]
    fn solve(bencher: Bencher<'_, '_>, n: usize) {
        let (jacobian, g) = graded(n);
        let (matrix, filter) = (done(jacobian.gram()), Filter::truncated(0.5, 1e-5));
        bencher
            .with_inputs(|| Condensed::new(&jacobian, matrix.clone()))
            .bench_local_refs(|j| j.solve(&g, &filter, 1e-3));
    }

    #[divan::bench(args = SIZES)]
    fn faer(bencher: Bencher<'_, '_>, n: usize) {
        super::faer(bencher, &done(graded(n).0.gram()).into_lower());
    }
}

/// The build of K, and K·v as Lanczos asks for it.
fn gram(bencher: Bencher<'_, '_>, case: &Case) {
    let at = case.at_with_rows();
    bencher.bench_local(|| at.gram());
}

fn product(bencher: Bencher<'_, '_>, case: &Case) {
    let at = case.at_with_rows();
    bencher.bench_local(|| at.jvp(&done(at.vjp(at.cotangent()))));
}

/// Poisson, n = 512, two hidden layers of a width.
mod growth_with_p {
    use super::*;

    const WIDTHS: [usize; 4] = [64, 128, 256, 512];
    const SAMPLES: usize = 8;

    #[divan::bench(args = WIDTHS)]
    fn gram(bencher: Bencher<'_, '_>, width: usize) {
        super::gram(bencher, &Case::poisson(&[width; 2], SAMPLES, SAMPLES));
    }

    #[divan::bench(args = WIDTHS)]
    fn product(bencher: Bencher<'_, '_>, width: usize) {
        super::product(bencher, &Case::poisson(&[width; 2], SAMPLES, SAMPLES));
    }
}

/// Poisson, p = 24,896, n = 64 times the batch.
mod growth_with_batch {
    use super::*;

    const SAMPLES: [usize; 4] = [4, 8, 16, 32];
    const HIDDEN: [usize; 3] = [64, 128, 64];

    #[divan::bench(args = SAMPLES)]
    fn gram(bencher: Bencher<'_, '_>, samples: usize) {
        super::gram(bencher, &Case::poisson(&HIDDEN, samples, samples));
    }

    #[divan::bench(args = SAMPLES)]
    fn product(bencher: Bencher<'_, '_>, samples: usize) {
        super::product(bencher, &Case::poisson(&HIDDEN, samples, samples));
    }

    #[divan::bench(args = SAMPLES)]
    fn update_exact(bencher: Bencher<'_, '_>, samples: usize) {
        let case = Case::poisson(&HIDDEN, samples, samples).by(Route::Gram);
        bencher.bench_local(|| case.update());
    }

    #[divan::bench(args = SAMPLES)]
    fn update_matrix_free(bencher: Bencher<'_, '_>, samples: usize) {
        let case = Case::poisson(&HIDDEN, samples, samples).by(Route::Lanczos);
        bencher.bench_local(|| case.update());
    }
}
