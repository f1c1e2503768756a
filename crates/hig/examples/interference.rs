//! What a step that fits its batch does to other samples: the loss along damped Gauss-Newton steps of
//! small batches, on the batch itself and on the next one, for the heat inversion.
//!
//! The batches are those that follow a short training by `adaptive-hig`. A row is the mean of
//! ln(loss after a part of the full step / loss before) over them, as a factor.
//!
//! ```text
//! cargo run --release -p hig --example interference
//! ```

use hig::objective::{Objective, whitened};
use hig::spectral::{DecompositionSettings, Filter, Treatment};
use hig::step::method;
use hig::systems::{HeatInversion, System};
use hig::trainer::{Batches, Budget, Training, train};

const SEED: u64 = 0;
const PARTS: [f64; 6] = [0.1, 0.2, 0.3, 0.5, 0.75, 1.0];
const BATCHES: usize = 40;

fn main() -> hig::Result<()> {
    let problem = HeatInversion::default().problem(SEED);
    let adaptive = method("adaptive-hig")?;
    println!(
        "| batch | samples | {} |",
        PARTS.map(|p| p.to_string()).join(" | ")
    );
    println!("| --- | --- |{}", " --- |".repeat(PARTS.len()));
    for (batch, updates) in [(1, 400), (2, 300), (4, 200), (8, 100), (32, 20)] {
        let training = Training {
            batch,
            ..Training::default()
        };
        let start = problem.initial_parameters(SEED);
        let budget = Budget::updates(updates);
        let outcome = train(
            &problem,
            adaptive.as_ref(),
            start,
            &training,
            budget,
            SEED,
            &mut [],
        )?;
        let mut batches = Batches::new(&problem, &training, SEED + 1);
        let objective = problem.objective.as_ref();
        let count = if batch > 8 { BATCHES / 8 } else { BATCHES };
        let mut sums = [[0.0; PARTS.len()]; 2];
        for _ in 0..count {
            let (own, other) = (batches.next_batch(), batches.next_batch());
            let step = full_step(objective, &own, &outcome.parameters)?;
            for (sums, data) in sums.iter_mut().zip([&own, &other]) {
                let before = objective.loss(&outcome.parameters, data)?;
                for (sum, part) in sums.iter_mut().zip(PARTS) {
                    let moved = outcome.parameters.iter().zip(&step);
                    let moved: Vec<f64> = moved.map(|(p, s)| p - part * s).collect();
                    *sum += (objective.loss(&moved, data)? / before).ln();
                }
            }
        }
        for (samples, sums) in ["its own", "the next"].iter().zip(sums) {
            let factors = sums.map(|sum| format!("{:.3}", (sum / count as f64).exp()));
            println!("| {batch} | {samples} | {} |", factors.join(" | "));
        }
    }
    Ok(())
}

/// A⁺·r, damped by a millionth of the largest σ².
fn full_step(objective: &dyn Objective, batch: &hig::Dataset, at: &[f64]) -> hig::Result<Vec<f64>> {
    let at = objective.linearize(batch, at)?;
    let (scaled, residual) = whitened(at.as_ref())?;
    let damped = |largest: f64| Filter {
        exponent: 1.0,
        treatment: Treatment::Damp {
            damping: 1e-6 * largest * largest,
        },
    };
    let request = DecompositionSettings::default().request(usize::MAX);
    let parts = request.decompose(scaled.as_ref(), &residual, &damped(1.0))?;
    parts.direction(&damped(parts.largest()))
}
