//! Fingerprints of trainings: short names that are the same as long as the numbers are.
//!
//! What is hashed is the configuration file that makes a training again, a text whose form is documented
//! and does not depend on how the program keeps settings in memory.

use super::Experiment;
use crate::method_chain::MethodChain;

/// FNV-1a: the same on every machine and in every version of the compiler.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A name for the training of a chain in a run. A longer budget, another version and other methods
/// beside it leave it as it is: the training goes on to the same bits.
pub fn of_training(experiment: &Experiment, chain: &MethodChain) -> String {
    let text = experiment.configuration();
    let mut table: toml::Table = text.parse().expect("it is written as TOML");
    table.remove("budget");
    if let Some(run) = table.get_mut("run").and_then(toml::Value::as_table_mut) {
        run.remove("version");
        run.remove("methods");
    }
    if let Some(methods) = table.get_mut("method").and_then(toml::Value::as_table_mut) {
        methods.retain(|name, _| *name == chain.name);
    }
    format!("{} {:016x}", chain.name, fingerprint(&table.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Overrides;

    #[test]
    fn hashes_are_those_of_the_authors_of_fnv() {
        // Test vectors of the FNV-1a page by Noll.
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_training_keeps_its_name_as_long_as_its_numbers_are_the_same() {
        let named = |seed: u64, set: &str, updates: usize| {
            let mut overrides = Overrides {
                methods: vec!["adam:5+hig".into(), "gn".into()],
                seed: Some(seed),
                set: vec![set.into()],
                ..Overrides::default()
            };
            overrides.budget.updates = Some(updates);
            let experiment = Experiment::new("toy", &overrides).unwrap();
            of_training(&experiment, &experiment.chains[0])
        };
        let name = named(3, "hig.cutoff=1e-3", 20);
        assert_eq!(named(3, "hig.cutoff=1e-3", 80), name);
        let beside = |set: &str| named(3, set, 20);
        assert_eq!(beside("gn.cutoff=1e-4"), beside("gn.cutoff=1e-5"));
        for other in [named(4, "hig.cutoff=1e-3", 20), beside("hig.cutoff=1e-4")] {
            assert_ne!(other, name);
        }
    }
}
