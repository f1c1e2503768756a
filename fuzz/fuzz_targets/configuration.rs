//! A configuration file: what is read is printed, and what is printed reads as the same.
#![no_main]

use hig::trainer::Training;
use hig_lab::configuration::{Config, Record};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

/// Numbers of the samples and weights that are made to see whether accepted settings fit together.
const FEW: f64 = 1e5;

fuzz_target!(|bytes: &[u8]| {
    let Ok((config, text)) = read(bytes) else {
        return;
    };
    let (_, again) = read(text.as_bytes()).expect("what is written can be read");
    assert_eq!(again, text);
    check(&config);
});

fn read(bytes: &[u8]) -> anyhow::Result<(Config, String)> {
    let config = Config::parse(Path::new("fuzz.toml"), bytes.to_vec())?;
    let chains = config.chains(&[])?;
    let text = Record {
        system: config.system.as_ref(),
        chains: &chains,
        budget: config.budget.unwrap_or_else(|| config.system.budget()),
        seed: config.seed.unwrap_or(0),
        weights: None,
        data: None,
    }
    .to_toml();
    Ok((config, text))
}

/// A system whose settings are accepted can be made and checked.
fn check(config: &Config) {
    let system = config.system.as_ref();
    let limit = Training::default().memory_limit;
    if system.check_together().is_err() || hig::systems::check_memory(system, limit).is_err() {
        return;
    }
    if hig::systems::size(system).expect("it was checked") > FEW {
        return;
    }
    let problem = system.problem(config.seed.unwrap_or(0));
    let weights = problem.initial_parameters(0);
    let budget = config.budget.unwrap_or_else(|| system.budget());
    for chain in config.chains(&[]).expect("it was read before") {
        for phase in chain.phases {
            let method = phase.method.as_ref();
            let _ = hig::trainer::check(&problem, method, &weights, &phase.training, &budget);
        }
    }
}
