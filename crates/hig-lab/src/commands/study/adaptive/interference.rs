//! What a step that fits its batch does to other samples: the loss along damped Gauss-Newton steps of
//! small batches, on the batch itself and on the next one, for the heat inversion.
//!
//! The batches are those that follow a short training by `adaptive-hig`.

use super::INTERFERENCE;
use crate::commands::study::FIRST_SEED;
use crate::commands::study::contest::ADAPTIVE;
use crate::console::table;
use crate::figures::chart::{Axis, Chart, Curve, Panel};
use crate::figures::styles;
use anyhow::Result;
use hig::objective::{Objective, whitened};
use hig::spectral::{DecompositionSettings, Filter, Treatment};
use hig::step::method;
use hig::systems::{HeatInversion, System};
use hig::trainer::{Batches, Budget, Training, train};

/// Parts of the full step.
const PARTS: [f64; 8] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0];
/// Sizes of the batch, with the updates of the training before, so that all cost about the same.
const SIZES: [(usize, f64); 5] = [(1, 400.0), (2, 300.0), (4, 200.0), (8, 100.0), (32, 20.0)];
const BATCHES: f64 = 40.0;
/// λ as a part of the largest σ².
const DAMPING: f64 = 1e-6;

/// The losses along the steps of batches of one size, as parts of the loss before: means of their logarithms.
#[derive(Debug)]
pub struct Along {
    size: usize,
    own: [f64; PARTS.len()],
    next: [f64; PARTS.len()],
}

/// Measures all sizes of the batch.
pub fn measure(scale: f64) -> Result<Vec<Along>> {
    let problem = HeatInversion::default().problem(FIRST_SEED);
    let objective = problem.objective.as_ref();
    let adaptive = method(ADAPTIVE)?;
    let along = |(size, updates): (usize, f64)| {
        let training = Training {
            batch: size,
            ..Training::default()
        };
        let outcome = train(
            &problem,
            adaptive.as_ref(),
            problem.initial_parameters(FIRST_SEED),
            &training,
            Budget::updates((updates * scale).ceil() as usize),
            FIRST_SEED,
            &mut [],
        )?;
        let mut batches = Batches::new(&problem, &training, FIRST_SEED + 1);
        let count = (if size > 8 { BATCHES / 8.0 } else { BATCHES } * scale).ceil() as usize;
        let mut sums = [[0.0; PARTS.len()]; 2];
        for _ in 0..count {
            let [own, next] = [(); 2].map(|()| batches.next_batch(&outcome.parameters));
            let step = full_step(objective, &own, &outcome.parameters)?;
            for (sums, data) in sums.iter_mut().zip([&own, &next]) {
                let before = objective.loss(&outcome.parameters, data)?;
                for (sum, part) in sums.iter_mut().zip(PARTS) {
                    let moved = outcome.parameters.iter().zip(&step);
                    let moved: Vec<f64> = moved.map(|(p, s)| p - part * s).collect();
                    *sum += (objective.loss(&moved, data)? / before).ln();
                }
            }
        }
        let [own, next] = sums.map(|sums| sums.map(|sum| (sum / count as f64).exp()));
        Ok(Along { size, own, next })
    };
    SIZES.into_iter().map(along).collect()
}

/// A⁺·r, damped.
fn full_step(objective: &dyn Objective, batch: &hig::Dataset, at: &[f64]) -> hig::Result<Vec<f64>> {
    let at = objective.linearize(batch, at)?;
    let (scaled, residual) = whitened(at.as_ref())?;
    let damped = |largest: f64| Filter {
        exponent: 1.0,
        treatment: Treatment::Damp {
            damping: DAMPING * largest * largest,
        },
    };
    let request = DecompositionSettings::default().request(usize::MAX);
    let parts = request.decompose(scaled.as_ref(), &residual, &damped(1.0))?;
    parts.direction(&damped(parts.largest()))
}

/// The result as a table.
pub fn section(all: &[Along]) -> String {
    let row = |size: usize, samples: &str, factors: &[f64]| {
        let mut row = vec![size.to_string(), samples.to_owned()];
        row.extend(factors.iter().map(|factor| format!("{factor:.3}")));
        row
    };
    let rows: Vec<Vec<String>> = all
        .iter()
        .flat_map(|a| {
            [
                row(a.size, "its own", &a.own),
                row(a.size, "the next", &a.next),
            ]
        })
        .collect();
    let parts = PARTS.map(|part| part.to_string());
    let header: Vec<&str> = ["batch", "samples"]
        .into_iter()
        .chain(parts.iter().map(String::as_str))
        .collect();
    format!(
        "## {INTERFERENCE}: loss after a part of the full step over that before, heat inversion\n\n\
         ```text\n{}```\n",
        table::layout(&header, &rows)
    )
}

/// The same as curves, of the batches themselves and of the next ones.
pub fn panels(all: &[Along]) -> Vec<Panel> {
    let labels: Vec<String> = all.iter().map(|a| format!("batch {}", a.size)).collect();
    let styles = styles::of_labels(&labels);
    let panel = |title: &str, of: fn(&Along) -> &[f64]| {
        let curves = all.iter().zip(&labels).zip(&styles);
        let curve = |((along, label), style): ((&Along, &String), &usize)| Curve {
            label: label.clone(),
            x: PARTS.to_vec(),
            y: of(along).to_vec(),
            style: *style,
            ..Curve::default()
        };
        Panel::Chart(Chart {
            title: title.into(),
            x: Axis::linear("part of the full step"),
            y: Axis::log("loss / loss before"),
            curves: curves.map(curve).collect(),
            points: Vec::new(),
        })
    };
    vec![
        panel("the batch of the step", |a| &a.own),
        panel("the next batch", |a| &a.next),
    ]
}
