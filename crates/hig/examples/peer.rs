//! This library's side of `bench/peers/run.py`: one system, asked in lines on standard input.
//!
//! ```text
//! cargo run --release -p hig --example peer -- linear-oscillators
//! ```
//!
//! | line | answer, one line |
//! | --- | --- |
//! | `describe` | the system's settings and those of its half-inverse step, as JSON |
//! | `export FILE` | writes data, initial weights, y, g and the loss of the first batch |
//! | `update N` | milliseconds of each of N whole updates, all from the initial weights |
//! | `step FILE` | writes the Δθ of such an update |
//! | `decompose N` | milliseconds of K, then of the decomposition of K with f(K)·g, N times |
//! | `damped LAMBDA N` | milliseconds of each of N damped Gauss-Newton updates |
//! | `damped-step LAMBDA FILE` | writes the Δθ of such an update |
//! | `train LOSS EVERY MOST` | loss, seconds of the updates alone, updates |
//!
//! `train` takes the samples in the order in which they are stored, evaluates the loss of all
//! training samples every EVERY updates and ends below LOSS or after MOST updates.

use hig::files::Tensors;
use hig::linalg::{Mat, MatRef, Scratch, Symmetric};
use hig::objective::{Jacobian, Linearized, Objective, Reduction};
use hig::settings::{Settings, Value};
use hig::spectral::{Decomposition, Route, TreatmentKind};
use hig::step::{Method, Spectral, Step};
use hig::systems::{self, System};
use hig::trainer::{Batches, Order, Training, compute};
use hig::{Dataset, Problem};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let name = std::env::args().nth(1).ok_or("which system?")?;
    let peer = Peer::new(&name)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = peer.answer(&line.split_whitespace().collect::<Vec<_>>())?;
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

struct Peer {
    system: Box<dyn System>,
    problem: Problem,
    training: Training,
    method: Spectral,
    weights: Vec<f64>,
    batch: Dataset,
}

impl Peer {
    /// A system with the settings by which half-inverse gradients are compared on it.
    fn new(name: &str) -> Outcome<Self> {
        const SEED: u64 = 0;
        let system = systems::system(name)?;
        let (mut method, mut training) = (Spectral::half_inverse(), Training::default());
        let comparison = system.comparison();
        let row = comparison.iter().find(|(method, _)| *method == "hig");
        for (setting, value) in &row.ok_or("no settings for hig")?.1 {
            if method.has(setting) {
                method.set(setting, value)?;
            } else {
                training.set(setting, value)?;
            }
        }
        let problem = system.problem(SEED);
        let weights = problem.initial_parameters(SEED);
        training.order = Order::Fixed;
        let batch = Batches::new(&problem, &training, SEED).next_batch(&weights);
        Ok(Self {
            system,
            problem,
            training,
            method,
            weights,
            batch,
        })
    }

    fn answer(&self, words: &[&str]) -> Outcome<String> {
        match words {
            ["describe"] => Ok(self.describe()),
            ["export", file] => self.export(Path::new(file)),
            ["update", n] => repeat(n, || Ok(vec![self.update(&self.method, &self.weights)?.0])),
            ["step", file] => self.save_step(&self.method, file),
            ["decompose", n] => repeat(n, || self.decompose()),
            ["damped", damping, n] => {
                let method = damped(damping)?;
                repeat(n, || Ok(vec![self.update(&method, &self.weights)?.0]))
            }
            ["damped-step", damping, file] => self.save_step(&damped(damping)?, file),
            ["train", loss, every, most] => {
                self.train(loss.parse()?, every.parse()?, most.parse()?)
            }
            _ => Err(format!("not understood: {}", words.join(" ")).into()),
        }
    }

    fn describe(&self) -> String {
        let parts = self.problem.through_physics();
        let summed = parts.is_some_and(|parts| parts.reduction == Reduction::Sum);
        format!(
            "{{\"system\":{},\"method\":{},\"batch\":{},\"parameters\":{},\"outputs\":{},\
             \"summed\":{}}}",
            json(self.system.settings().iter().map(|s| (s.name, &s.value))),
            json(self.method.settings().iter().map(|s| (s.name, &s.value))),
            self.batch.len(),
            self.weights.len(),
            self.problem.train.target.ncols(),
            summed,
        )
    }

    fn export(&self, file: &Path) -> Outcome<String> {
        let at = self.at()?;
        let mut tensors = Tensors::default();
        for view in self.problem.parameters() {
            tensors.insert(&view.name, view.shape, self.weights[view.range].to_vec());
        }
        let train = &self.problem.train;
        tensors.insert_matrix("train.input", &train.input);
        tensors.insert_matrix("train.target", &train.target);
        let parts = at.through_physics().ok_or("no physics")?;
        tensors.insert_matrix("y", parts.y());
        let g = at.cotangent().to_vec();
        tensors.insert("g", vec![g.len()], g);
        let all = self.problem.objective.loss(&self.weights, train)?;
        tensors.insert("loss", vec![2], vec![at.loss(), all]);
        tensors.save(file)?;
        Ok("written".into())
    }

    /// The first batch at the initial weights.
    fn at(&self) -> hig::Result<Box<dyn Linearized + '_>> {
        self.problem.objective.linearize(&self.batch, &self.weights)
    }

    /// Milliseconds of one update, forward pass to new weights, with these.
    fn update(&self, method: &Spectral, weights: &[f64]) -> Outcome<(f64, Vec<f64>)> {
        let mut step = method.start()?;
        let clock = Instant::now();
        let delta = delta(
            self.problem.objective.as_ref(),
            &self.batch,
            weights,
            step.as_mut(),
            method,
        )?;
        let next = weights.iter().zip(&delta).map(|(w, d)| w + d);
        let next = std::hint::black_box(next.collect());
        Ok((milliseconds(clock), next))
    }

    fn save_step(&self, method: &Spectral, file: &str) -> Outcome<String> {
        let at = self.at()?;
        let delta = method
            .start()?
            .step(at.as_ref(), method.learning_rate.factor())?
            .delta;
        let mut tensors = Tensors::default();
        tensors.insert("delta", vec![delta.len()], delta);
        tensors.save(Path::new(file))?;
        Ok("written".into())
    }

    /// Milliseconds of K (with physics rows), then of the decomposition with f(K)·g.
    fn decompose(&self) -> Outcome<Vec<f64>> {
        let at = self.at()?;
        let (g, filter) = (at.cotangent(), self.method.filter());
        let clock = Instant::now();
        let gram = at.gram()?;
        let building = milliseconds(clock);
        let held = Held {
            at: at.as_ref(),
            gram,
        };
        let clock = Instant::now();
        let parts = Decomposition::of(
            &held,
            g,
            &filter,
            Route::Gram,
            self.method.decomposition.accuracy,
        )?;
        std::hint::black_box(parts.sample_weights(&filter));
        Ok(vec![building, milliseconds(clock)])
    }

    fn train(&self, goal: f64, every: usize, most: usize) -> Outcome<String> {
        let objective = self.problem.objective.as_ref();
        let mut batches = Batches::new(&self.problem, &self.training, 0);
        let mut weights = self.weights.clone();
        let mut step = self.method.start()?;
        let (mut seconds, mut updates) = (0.0, 0);
        loop {
            let loss = objective.loss(&weights, &self.problem.train)?;
            // A loss that is not a number ends the training too.
            let above = loss.partial_cmp(&goal) == Some(std::cmp::Ordering::Greater);
            if !above || updates >= most {
                return Ok(format!("{loss:e} {seconds} {updates}"));
            }
            let clock = Instant::now();
            for _ in 0..every {
                let batch = batches.next_batch(&weights);
                let delta = delta(objective, &batch, &weights, step.as_mut(), &self.method)?;
                for (weight, d) in weights.iter_mut().zip(delta) {
                    *weight += d;
                }
            }
            seconds += clock.elapsed().as_secs_f64();
            updates += every;
        }
    }
}

/// The change of the weights by one batch, as a training computes it.
fn delta(
    objective: &dyn Objective,
    batch: &Dataset,
    weights: &[f64],
    step: &mut dyn Step,
    method: &Spectral,
) -> Outcome<Vec<f64>> {
    let computed = compute(
        objective,
        batch,
        weights,
        step,
        method.learning_rate.factor(),
    )?;
    let loss = computed.loss;
    let update = computed.change;
    let update = update.ok_or_else(|| format!("the loss is {loss}"))?;
    Ok(update.delta)
}

/// Damped Gauss-Newton, Δθ = -Jᵀ·(K + λ)⁻¹·g.
fn damped(damping: &str) -> Outcome<Spectral> {
    Ok(Spectral {
        treatment: TreatmentKind::Damp,
        damping: damping.parse()?,
        ..Spectral::gauss_newton()
    })
}

fn repeat(count: &str, mut work: impl FnMut() -> Outcome<Vec<f64>>) -> Outcome<String> {
    let mut numbers = Vec::new();
    for _ in 0..count.parse::<usize>()? {
        numbers.extend(work()?);
    }
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    Ok(words.join(" "))
}

fn milliseconds(since: Instant) -> f64 {
    1e3 * since.elapsed().as_secs_f64()
}

fn json<'a>(settings: impl Iterator<Item = (&'static str, &'a Value)>) -> String {
    let entries = settings.map(|(name, value)| match value {
        Value::Counts(_) => format!("\"{name}\":[{value}]"),
        Value::Word(_) => format!("\"{name}\":\"{value}\""),
        _ => format!("\"{name}\":{value}"),
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

/// A linearization whose K is already there.
struct Held<'a> {
    at: &'a dyn Linearized,
    gram: Symmetric,
}

impl Jacobian for Held<'_> {
    fn rows(&self) -> usize {
        self.at.rows()
    }
    fn columns(&self) -> usize {
        self.at.columns()
    }
    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> hig::Result<()> {
        self.at.vjp_into(w, target, scratch)
    }
    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> hig::Result<()> {
        self.at.jvp_into(v, target, scratch)
    }
    fn gram(&self) -> hig::Result<Symmetric> {
        Ok(self.gram.clone())
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> hig::Result<Symmetric> {
        self.at.image_gram(w)
    }
    fn normal(&self) -> hig::Result<Symmetric> {
        self.at.normal()
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> hig::Result<Symmetric> {
        self.at.normal_image_gram(v)
    }
    fn transposed(&self) -> hig::Result<Mat<f64>> {
        self.at.transposed()
    }
    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> hig::Result<Box<dyn Jacobian + 's>> {
        self.at.scaled_rows(factors)
    }
}
