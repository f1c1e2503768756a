//! What options of the command line name: a system, seeds, a chain of methods, and a `--set` a line.
#![no_main]

use hig_lab::commands::sweep;
use hig_lab::method_chain;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (name, seeds, chain) = (line(), line(), line());
    if let Ok(seeds) = sweep::seeds(seeds) {
        let words: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let again = sweep::seeds(&words.join(",")).expect("a list of seeds is one");
        assert_eq!(again, seeds);
    }
    let Ok(mut system) = hig::systems::system(name) else {
        return;
    };
    let Ok(mut chains) = method_chain::chains(system.as_ref(), &[chain.to_owned()]) else {
        return;
    };
    for assignment in lines {
        let _ = method_chain::set(system.as_mut(), &mut chains, assignment);
    }
    for setting in system.settings() {
        system
            .set(setting.name, &setting.value.to_string())
            .expect("what is shown can be set");
        assert!(system.settings().contains(&setting));
    }
    for phase in chains.iter_mut().flat_map(|c| &mut c.phases) {
        for setting in phase.settings() {
            phase
                .set(setting.name, &setting.value.to_string())
                .expect("what is shown can be set");
            assert!(phase.settings().contains(&setting));
        }
    }
});
