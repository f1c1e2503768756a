//! This library's side of `bench/peers/fields.py`: damped Gauss-Newton updates of a field that obeys an equation,
//! asked in lines on standard input.
//!
//! ```text
//! cargo run --release -p hig --example field_peer -- poisson-pinn hidden=64,64,48,48
//! ```
//!
//! | line | answer, one line |
//! | --- | --- |
//! | `export FILE` | writes weights, points, y, what each point counts and σ_max² of the first batch |
//! | `update WAY LAMBDA N` | milliseconds of each of N whole updates, all from the initial weights |
//! | `step WAY LAMBDA FILE` | writes the Δθ of such an update |
//!
//! WAY is `spectral`, `cholesky` or `auto`. An update is the forward pass with derivatives, the residuals' rows, JᵀCJ or
//! K, its decomposition or factor, and Δθ = -(JᵀCJ + λ)⁻¹·Jᵀg; no trial of it.

use hig::files::Tensors;
use hig::linalg::Mat;
use hig::objective::whitened;
use hig::settings::Settings;
use hig::spectral::{DecompositionSettings, Factorization};
use hig::systems::{recommended, system};
use hig::trainer::Batches;
use hig::{Dataset, Problem};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    const SEED: u64 = 0;
    let mut arguments = std::env::args().skip(1);
    let mut system = system(&arguments.next().ok_or("which system?")?)?;
    let (_, mut training) = recommended(system.as_ref(), "lm")?;
    for given in arguments {
        let (setting, value) = given.split_once('=').ok_or("a setting is NAME=VALUE")?;
        match system.has(setting) {
            true => system.set(setting, value)?,
            false => training.set(setting, value)?,
        }
    }
    let problem = system.problem(SEED);
    let weights = problem.initial_parameters(SEED);
    let batch = Batches::new(&problem, &training, SEED).next_batch(&weights);
    let peer = Peer {
        batch: batch.clone(),
        problem,
        weights,
    };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = peer.answer(&line.split_whitespace().collect::<Vec<_>>())?;
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

struct Peer {
    problem: Problem,
    weights: Vec<f64>,
    batch: Dataset,
}

impl Peer {
    fn answer(&self, words: &[&str]) -> Outcome<String> {
        match words {
            ["export", file] => self.export(Path::new(file)),
            ["update", way, damping, n] => {
                let (way, damping) = (way.parse()?, damping.parse()?);
                let times = (0..n.parse::<usize>()?).map(|_| {
                    let clock = Instant::now();
                    let step = self.step(way, damping)?;
                    let next: Vec<f64> =
                        self.weights.iter().zip(step).map(|(w, d)| w + d).collect();
                    std::hint::black_box(next);
                    Ok((1e3 * clock.elapsed().as_secs_f64()).to_string())
                });
                Ok(times.collect::<Outcome<Vec<String>>>()?.join(" "))
            }
            ["step", way, damping, file] => {
                let step = self.step(way.parse()?, damping.parse()?)?;
                let mut tensors = Tensors::default();
                tensors.insert("delta", vec![step.len()], step);
                tensors.save(Path::new(file))?;
                Ok("written".into())
            }
            _ => Err(format!("not understood: {}", words.join(" ")).into()),
        }
    }

    /// Δθ of one update, from the forward pass on.
    fn step(&self, way: Factorization, damping: f64) -> hig::Result<Vec<f64>> {
        let at = self
            .problem
            .objective
            .linearize(&self.batch, &self.weights)?;
        let (rows, residual) = whitened(at.as_ref())?;
        // The rounding of JᵀJ is taken as it is, as in the peer.
        let settings = DecompositionSettings {
            accuracy: 10.0,
            ..DecompositionSettings::default()
        };
        let request = settings.request(usize::MAX);
        let mut system = request.damped(rows.as_ref(), &residual, damping, way)?;
        let solve = system.at(damping)?;
        let mut direction = solve.expect("it is positive definite").direction()?;
        direction.iter_mut().for_each(|d| *d = -*d);
        Ok(direction)
    }

    fn export(&self, file: &Path) -> Outcome<String> {
        let at = self
            .problem
            .objective
            .linearize(&self.batch, &self.weights)?;
        let (rows, residual) = whitened(at.as_ref())?;
        let request = DecompositionSettings::default().request(usize::MAX);
        let system = request.damped(rows.as_ref(), &residual, 1.0, Factorization::Spectral)?;
        let top = system.largest_square();
        let mut tensors = Tensors::default();
        for view in self.problem.parameters() {
            tensors.insert(&view.name, view.shape, self.weights[view.range].to_vec());
        }
        tensors.insert_matrix("points", &self.batch.input);
        tensors.insert_matrix("block", &self.batch.state);
        tensors.insert_matrix("target", &self.batch.target);
        let column = |values: Vec<f64>| Mat::from_fn(values.len(), 1, |i, _| values[i]);
        tensors.insert_matrix("y", &column(at.outputs()));
        tensors.insert_matrix("curvature", &column(at.curvature()?));
        tensors.insert("top", vec![1], vec![top]);
        tensors.save(file)?;
        Ok("written".into())
    }
}
