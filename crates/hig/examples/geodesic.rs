//! What geodesic acceleration costs: seconds of an update with it over those of one without, for every
//! system with the batch of its comparison.
//!
//! Both are measured in turn from the same parameters, those after a few updates, so that what else the
//! machine does meets both; the ratio is the median of the pairs.
//!
//! ```text
//! cargo run --release -p hig --example geodesic
//! cargo run --release -p hig --example geodesic -- poisson
//! ```

use hig::systems::{recommended, systems};
use hig::trainer::{Batches, compute};
use std::time::Instant;

const METHODS: [&str; 3] = ["lm", "gn-line-search", "spring"];
const BEFORE: usize = 5;
const PAIRS: usize = 15;

fn main() -> hig::Result<()> {
    let wanted = std::env::args().nth(1);
    println!("{:22} {:15} {:>6}", "system", "method", "ratio");
    for system in systems() {
        let name = system.name();
        if wanted.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let problem = system.problem(0);
        let objective = problem.objective.as_ref();
        for method in METHODS {
            let (mut method, training) = recommended(system.as_ref(), method)?;
            let mut batches = Batches::new(&problem, &training, 0);
            let mut parameters = problem.initial_parameters(0);
            let rate = method.learning_rate();
            let mut running = method.start()?;
            for _ in 0..BEFORE {
                let batch = batches.next_batch(&parameters);
                let computed = compute(objective, &batch, &parameters, running.as_mut(), rate)?;
                let delta = computed.change.unwrap_or_default().delta;
                parameters.iter_mut().zip(delta).for_each(|(p, d)| *p += d);
            }
            let mut ratios = Vec::with_capacity(PAIRS);
            for _ in 0..PAIRS {
                let batch = batches.next_batch(&parameters);
                let mut seconds = |geodesic: &str| -> hig::Result<f64> {
                    method.set("geodesic", geodesic)?;
                    let mut step = method.start()?;
                    let clock = Instant::now();
                    compute(objective, &batch, &parameters, step.as_mut(), rate)?;
                    Ok(clock.elapsed().as_secs_f64())
                };
                let straight = seconds("false")?;
                ratios.push(seconds("true")? / straight);
            }
            ratios.sort_by(f64::total_cmp);
            let (name, ratio) = (system.name(), ratios[PAIRS / 2]);
            println!("{name:22} {:15} {ratio:6.2}", method.name());
        }
    }
    Ok(())
}
