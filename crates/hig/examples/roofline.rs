//! How near the exact update comes to what the machine can do (the roofline of Williams, Waterman and
//! Patterson 2009, Communications of the ACM 52): operations and bytes counted from the algorithms,
//! beside the measured rates of a matrix product and of memory.
//!
//! Prints the tables of docs/benchmarks.md, and beside them the time of an eigendecomposition with all
//! vectors.
//!
//! Counted are the terms of highest order. Bytes are those of a stage's operands and results, read or
//! written once in each pass of the algorithm over them, as if every pass began with an empty cache;
//! what a block keeps in the cache is not counted. Where all operands fit into the cache a stage may
//! therefore beat the bound of memory, and its share be above 100 %. Simulations are measured, but
//! not counted.

#[path = "../benches/common/mod.rs"]
mod common;
#[path = "roofline/inside.rs"]
mod inside;

use common::{Case, Condensed, done, headline, seconds, seconds_on};
use faer::{Accum, Side};
use hig::linalg::{self, Mat, MatMut, Scratch};
use hig::objective::{Jacobian, Linearized};
use hig::spectral::Route;
use inside::Inside;
use rayon::prelude::*;

/// What the machine can do, with all threads.
struct Machine {
    /// Operations a second.
    peak: f64,
    /// Bytes a second.
    bandwidth: f64,
}

/// Operations and bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    flop: f64,
    bytes: f64,
}

impl Work {
    /// From numbers (f64) that pass instead of bytes.
    fn new(flop: f64, numbers: f64) -> Self {
        Self {
            flop,
            bytes: 8.0 * numbers,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            flop: self.flop + other.flop,
            bytes: self.bytes + other.bytes,
        }
    }

    /// The least time that a machine can take.
    fn bound(self, machine: &Machine) -> f64 {
        (self.flop / machine.peak).max(self.bytes / machine.bandwidth)
    }
}

/// A stage with its work, where that is counted, and the seconds that it takes.
type Stage<'a> = (&'a str, Option<Work>, f64);

fn main() {
    inside::listen();
    headline("roofline");
    let machine = measured();
    let systems = ["nonlinear-oscillators", "quantum-dipole", "poisson"];
    for name in systems {
        report(name, &Case::of_system(name), &machine);
    }
    let large = Case::poisson(&[64, 128, 64], 64, 64).by(Route::Gram);
    report("poisson, batch 64", &large, &machine);
}

/// Measures a matrix product and a triad, on one thread and on all, and prints both.
fn measured() -> Machine {
    let threads = rayon::current_num_threads();
    let [one, all] = [1, threads].map(|threads| Machine {
        peak: product_rate(threads),
        bandwidth: triad_rate(threads),
    });
    println!("| threads | product of 1000 × 1000 [GFLOP/s] | triad [GB/s] |");
    println!("| --- | --- | --- |");
    for (threads, m) in [(1, &one), (threads, &all)] {
        let (peak, bandwidth) = (1e-9 * m.peak, 1e-9 * m.bandwidth);
        println!("| {threads} | {peak:.1} | {bandwidth:.1} |");
    }
    println!();
    all
}

/// Operations a second of a product of square matrices, its columns shared by the threads.
fn product_rate(threads: usize) -> f64 {
    const SIZE: usize = 1000;
    let made = |seed: usize| Mat::from_fn(SIZE, SIZE, |i, j| ((i * seed + j) as f64).sin());
    let (left, right) = (made(3), made(7));
    let mut target = Mat::zeros(SIZE, SIZE);
    let columns = SIZE.div_ceil(threads);
    let fill = |(i, block): (usize, MatMut<'_, f64>)| {
        let right = right.as_ref().subcols(i * columns, block.ncols());
        linalg::multiply(block, Accum::Replace, left.as_ref(), right);
    };
    let time = seconds(|| {
        let blocks = target.as_mut().par_col_chunks_mut(columns).enumerate();
        blocks.for_each(fill);
    });
    2.0 * (SIZE as f64).powi(3) / time
}

/// Bytes a second of a = b + s·c on arrays larger than any cache here (128 MiB each).
fn triad_rate(threads: usize) -> f64 {
    const SIZE: usize = 1 << 24;
    let (mut a, b, c) = (vec![0.0; SIZE], vec![1.0; SIZE], vec![2.0; SIZE]);
    let size = SIZE.div_ceil(threads);
    let time = seconds(|| {
        let parts = a.par_chunks_mut(size).zip(b.par_chunks(size));
        parts.zip(c.par_chunks(size)).for_each(|((a, b), c)| {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                *a = b + 0.5 * c;
            }
        });
    });
    (3 * 8 * SIZE) as f64 / time
}

/// The sizes that the work of an update depends on.
struct Sizes {
    /// Samples.
    b: f64,
    /// Rows of J.
    n: f64,
    /// Width of the network's output.
    control: f64,
    /// (inputs, outputs) of the dense layers, first to last.
    layers: Vec<(f64, f64)>,
}

impl Sizes {
    fn of(case: &Case) -> Self {
        let network = &case.parts().network;
        let views = network.views();
        let weights = views.iter().filter(|view| view.shape.len() == 2);
        let samples = case.batch.len();
        Self {
            b: samples as f64,
            n: (samples * case.batch.target.ncols()) as f64,
            control: network.outputs() as f64,
            layers: weights
                .map(|view| (view.shape[1] as f64, view.shape[0] as f64))
                .collect(),
        }
    }

    fn sum(&self, skip: usize, work: impl Fn(f64, f64) -> Work) -> Work {
        let layers = self.layers.iter().skip(skip);
        layers.fold(Work::default(), |sum, (inputs, outputs)| {
            sum.and(work(*inputs, *outputs))
        })
    }

    /// A·Wᵀ in every layer.
    fn forward(&self) -> Work {
        let b = self.b;
        self.sum(0, |i, o| {
            Work::new(2.0 * b * i * o, i * o + b * (i + 3.0 * o))
        })
    }

    /// Δ·W in every layer but the first; between two layers the slope of the activation.
    fn rows_back(&self) -> Work {
        let n = self.n;
        self.sum(1, |i, o| {
            Work::new(2.0 * n * i * o, i * o + n * (o + 3.0 * i))
        })
    }

    /// For every layer the lower half of (Δ·Δᵀ) ∘ M, added to that of K; at last its other half.
    fn gram(&self) -> Work {
        let (b, n) = (self.b, self.n);
        let layers = self.sum(0, |i, o| {
            Work::new(n * n * (o + 1.0) + 2.0 * b * b * i, n * n + n * o + b * i)
        });
        layers.and(Work::new(0.0, n * n))
    }

    /// To a band, with for each panel of 16 columns a product with the lower half of what is left
    /// (read) and an update of it (read and written): 4/3·n³ operations, 1/32·n³ numbers; a copy of K
    /// before that. From there to tridiagonal form by 6·n²·16 operations on a band that stays in the
    /// cache; its reflections (n²/2 numbers) are written. Divide and conquer is of order n², too, but
    /// deflation leaves an unknown part of it: it is not counted. At last Uᵀ·g.
    fn decomposition(&self) -> Work {
        self.band().and(self.chase()).and(self.vector())
    }

    fn band(&self) -> Work {
        let n = self.n;
        Work::new(4.0 / 3.0 * n.powi(3), n.powi(3) / 32.0 + 2.0 * n * n)
    }

    fn chase(&self) -> Work {
        let n = self.n;
        Work::new(6.0 * 16.0 * n * n, n * n / 2.0)
    }

    /// The reflections of both reductions (n²/2 numbers each), applied to one vector.
    fn vector(&self) -> Work {
        let n = self.n;
        Work::new(4.0 * n * n, n * n)
    }

    /// Jᵀ·w: the physics rows, then one backward pass with the gradients of the weights.
    fn backward(&self) -> Work {
        let (b, n) = (self.b, self.n);
        let rows = Work::new(2.0 * n * self.control, n * self.control);
        let gradients = self.sum(0, |i, o| Work::new(2.0 * b * i * o, i * o + b * (i + o)));
        let back = self.sum(1, |i, o| {
            Work::new(2.0 * b * i * o, i * o + b * (o + 3.0 * i))
        });
        rows.and(gradients).and(back)
    }
}

/// What is measured of one exact update.
struct Measured {
    stages: Vec<Stage<'static>>,
    /// What the stage of the decomposition is made of.
    inside: Vec<Stage<'static>>,
    /// The whole update, seconds.
    update: f64,
    /// From K to f(K)·g.
    solve: f64,
    /// From K to all its eigenvectors, by the library that everything else here multiplies with.
    eigenvectors: f64,
    /// Directions that were resolved again.
    deflated: usize,
}

impl Measured {
    fn new(case: &Case) -> Self {
        let sizes = Sizes::of(case);
        let at = case.at_with_rows();
        let (g, filter) = (at.cotangent(), case.filter());
        let (network, parameters) = (&case.parts().network, &case.parameters);
        let (physics, batch) = (case.parts().physics.as_ref(), &case.batch);
        let simulate = || done(physics.record(batch.state.as_ref(), at.control().as_ref()));
        let forward = seconds(|| network.forward(parameters, batch.input.as_ref()));
        let simulation = seconds(simulate);
        let rows = seconds_on(simulate, |record| record.rows());
        let rows_back = seconds(|| {
            let (values, rows) = (at.activations(), done(at.physics_rows()));
            let scratch = &mut Scratch::new();
            network.backward(parameters, values, rows.as_ref(), scratch, |_, _| ());
        });
        let gram = seconds(|| at.gram()) - rows_back;
        let matrix = done(at.gram());
        let fresh = || Condensed::new(&at, matrix.clone());
        let accuracy = case.method.decomposition.accuracy;
        inside::forget();
        let decomposition =
            seconds_on(fresh, |j| j.decompose(g, &filter, accuracy).into_spectrum());
        let Inside {
            band,
            chase,
            divide,
        } = inside::medians();
        let lower = matrix.clone().into_lower();
        let j = fresh();
        let parts = j.decompose(g, &filter, accuracy);
        let combination = seconds(|| parts.direction(&filter));
        let backward = seconds(|| at.vjp(g));
        Self {
            stages: vec![
                ("network, forward", Some(sizes.forward()), forward),
                ("physics, forward", None, simulation),
                ("physics, rows", None, rows),
                ("network, rows back", Some(sizes.rows_back()), rows_back),
                ("K", Some(sizes.gram()), gram.max(0.0)),
                ("K to Uᵀ·g", Some(sizes.decomposition()), decomposition),
                ("U·c", Some(sizes.vector()), combination),
                ("Jᵀ·w", Some(sizes.backward()), backward),
            ],
            inside: vec![
                ("to a band", Some(sizes.band()), band),
                ("chase", Some(sizes.chase()), chase),
                ("divide and conquer", None, divide),
            ],
            update: seconds(|| case.update()),
            solve: decomposition + combination,
            eigenvectors: seconds(|| lower.self_adjoint_eigen(Side::Lower)),
            deflated: j.deflated(),
        }
    }
}

/// Prints the stages of one exact update.
fn report(name: &str, case: &Case, machine: &Machine) {
    let (n, p) = (case.at().rows(), case.parameters.len());
    let measured = Measured::new(case);
    println!("{name}: n = {n}, p = {p}\n");
    println!("| stage | GFLOP | GB | ms | GFLOP/s | bound [GFLOP/s] | share of bound |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let (mut all, mut least) = (Work::default(), 0.0);
    for stage in &measured.stages {
        let (work, bound) = stage_row(stage, machine);
        (all, least) = (all.and(work), least + bound);
    }
    row("update, as far as counted", all, measured.update, least);
    for (name, work, seconds) in &measured.inside {
        let name = format!("of K to Uᵀ·g: {name}");
        stage_row(&(&name, *work, *seconds), machine);
    }
    println!(
        "\nAll eigenvectors of K by faer: {:.3} ms; f(K)·g takes {:.2} of that, the update {:.2}.",
        1e3 * measured.eigenvectors,
        measured.solve / measured.eigenvectors,
        measured.update / measured.eigenvectors,
    );
    match measured.deflated {
        0 => println!(),
        count => println!("Directions resolved again, not counted: {count}.\n"),
    }
}

/// Prints a stage; returns its work and its least time, as far as they are counted.
fn stage_row((name, work, seconds): &Stage<'_>, machine: &Machine) -> (Work, f64) {
    let Some(work) = work else {
        println!("| {name} | | | {:.3} | | | not counted |", 1e3 * seconds);
        return (Work::default(), 0.0);
    };
    let bound = work.bound(machine);
    row(name, *work, *seconds, bound);
    (*work, bound)
}

/// Prints a stage whose least time is `bound` seconds.
fn row(name: &str, work: Work, seconds: f64, bound: f64) {
    println!(
        "| {name} | {:.4} | {:.4} | {:.3} | {:.1} | {:.1} | {:.0} % |",
        1e-9 * work.flop,
        1e-9 * work.bytes,
        1e3 * seconds,
        1e-9 * work.flop / seconds,
        1e-9 * work.flop / bound,
        100.0 * bound / seconds,
    );
}
