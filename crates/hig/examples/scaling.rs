//! How the time of an update grows with n and with p, on the Poisson problem.
//!
//! Prints the tables of docs/benchmarks.md, with slopes fitted to the logarithms by least squares.

#[path = "../benches/common/mod.rs"]
mod common;

use common::{Case, done, headline, seconds};
use hig::objective::{Jacobian, Linearized};
use hig::spectral::Route;

const HIDDEN: [usize; 3] = [64, 128, 64];

/// One column of a table: what was measured at every size, and how it should grow.
struct Series {
    title: &'static str,
    seconds: Vec<f64>,
    expected: &'static str,
}

impl Series {
    fn new(title: &'static str, seconds: Vec<f64>, expected: &'static str) -> Self {
        Self {
            title,
            seconds,
            expected,
        }
    }
}

fn main() {
    headline("scaling");
    exact_in_n();
    matrix_free_in_n();
    println!("Wider: n = 1024 (batch 16), two hidden layers of 64, 128, 256, 512, 1024 units.\n");
    in_p((6..=10).map(|log| vec![1 << log; 2]));
    println!("Deeper: n = 1024 (batch 16), 2, 4, 8, 16, 32, 64 hidden layers of 64 units.\n");
    in_p((1..=6).map(|log| vec![64; 1 << log]));
}

/// Median seconds of the build of K, of its product with a vector, and of a whole update.
fn gram(case: &Case) -> f64 {
    let at = case.at_with_rows();
    seconds(|| at.gram())
}

fn product(case: &Case) -> f64 {
    let at = case.at_with_rows();
    seconds(|| at.jvp(&done(at.vjp(at.cotangent()))))
}

fn update(case: &Case) -> f64 {
    seconds(|| case.update())
}

/// The number of vectors that the Lanczos route takes.
fn vectors(case: &Case) -> f64 {
    let told = case.update().diagnostics;
    let found = told.iter().find(|(name, _)| *name == "vectors");
    found.map_or(0.0, |(_, count)| *count)
}

fn exact_in_n() {
    println!("Exact, p = 24,896.\n");
    let samples = [8, 16, 32, 64];
    let cases = samples.map(|samples| Case::poisson(&HIDDEN, samples, samples).by(Route::Gram));
    let n: Vec<f64> = samples.map(|samples| (64 * samples) as f64).to_vec();
    let series = [
        Series::new("K", cases.iter().map(gram).collect(), "2"),
        Series::new("update", cases.iter().map(update).collect(), "3"),
    ];
    table("n", &n, 1, &series);
}

fn matrix_free_in_n() {
    const DISTINCT: usize = 8;
    println!("Without matrices, p = 24,896, batches of {DISTINCT} samples that come again.\n");
    let samples = [8, 16, 32, 64, 128];
    let cases = samples.map(|samples| Case::poisson(&HIDDEN, samples, DISTINCT).by(Route::Lanczos));
    let n: Vec<f64> = samples.map(|samples| (64 * samples) as f64).to_vec();
    let series = [
        Series::new("K·v", cases.iter().map(product).collect(), "1"),
        Series::new("update", cases.iter().map(update).collect(), "1"),
    ];
    table("n", &n, 1, &series);
    let counts: Vec<String> = cases.iter().map(|case| vectors(case).to_string()).collect();
    println!("Vectors of the updates: {}.", counts.join(", "));
    let case = Case::poisson(&HIDDEN, 64, 64).by(Route::Lanczos);
    println!(
        "Batch 64 of distinct samples (n = 4096): {:.0} vectors, {:.2} s an update.\n",
        vectors(&case),
        update(&case),
    );
}

fn in_p(networks: impl Iterator<Item = Vec<usize>>) {
    const SAMPLES: usize = 16;
    let cases: Vec<Case> = networks
        .map(|hidden| Case::poisson(&hidden, SAMPLES, SAMPLES))
        .collect();
    let p: Vec<f64> = cases
        .iter()
        .map(|case| case.parameters.len() as f64)
        .collect();
    let exact = cases.iter().map(update).collect();
    let grams = cases.iter().map(gram).collect();
    let products = cases.iter().map(product).collect();
    // K costs n² for every unit and passes of n·p: with the width p grows faster than the units.
    // Another network has another spectrum, and takes another number of vectors.
    let per_vector = cases.into_iter().map(|case| {
        let case = case.by(Route::Lanczos);
        update(&case) / vectors(&case)
    });
    let series = [
        Series::new("K", grams, "≤ 1"),
        Series::new("exact update", exact, "≤ 1"),
        Series::new("K·v", products, "1"),
        Series::new("matrix-free update, a vector", per_vector.collect(), "≤ 1"),
    ];
    table("p", &p, 2, &series);
}

/// Milliseconds for every size, and the slopes without the first `skipped` sizes, at which what is
/// paid whatever the size still counts.
fn table(size: &str, sizes: &[f64], skipped: usize, series: &[Series]) {
    let row = |first: String, rest: &mut dyn Iterator<Item = String>| {
        println!("| {first} | {} |", rest.collect::<Vec<_>>().join(" | "));
    };
    let titles = series.iter().map(|s| format!("{} [ms]", s.title));
    row(size.into(), &mut titles.into_iter());
    row("---".into(), &mut series.iter().map(|_| "---".into()));
    for (i, at) in sizes.iter().enumerate() {
        let times = series.iter().map(|s| format!("{:.3}", 1e3 * s.seconds[i]));
        row(format!("{at}"), &mut times.into_iter());
    }
    let slopes = series.iter().map(|s| {
        let slope = slope(&sizes[skipped..], &s.seconds[skipped..]);
        format!("{slope:.2} ({})", s.expected)
    });
    let first = sizes[skipped];
    row(
        format!("slope from {first} on (expected)"),
        &mut slopes.into_iter(),
    );
    println!();
}

/// The exponent a of y = c·xᵃ that fits best in the logarithms.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().map(|v| v.ln()).sum::<f64>() / v.len() as f64;
    let (x_mean, y_mean) = (mean(x), mean(y));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let distance = x.ln() - x_mean;
        covariance += distance * (y.ln() - y_mean);
        variance += distance * distance;
    }
    covariance / variance
}
