//! What a system says of its size before anything is made, beside what it makes.

mod common;

use common::assert_message;
use hig::Dataset;
use hig::systems::{Content, System, check_memory, system, systems};

/// A system by name, with settings.
fn with(name: &str, settings: &[(&str, &str)]) -> Box<dyn System> {
    let mut system = system(name).unwrap();
    for (setting, value) in settings {
        system.set(setting, value).unwrap();
    }
    system.check_together().unwrap();
    system
}

fn numbers(system: &dyn System, of: Content) -> f64 {
    let extents = system.extents();
    let extents = extents.iter().filter(|extent| extent.of == of);
    extents.map(|extent| extent.numbers()).sum()
}

fn held(data: &Dataset) -> usize {
    data.len() * (data.input.ncols() + data.state.ncols() + data.target.ncols())
}

#[test]
fn extents_are_those_of_what_is_made() {
    let few = [("samples", "3"), ("test_samples", "2")];
    let mut cases: Vec<_> = systems().iter().map(|s| with(s.name(), &few)).collect();
    assert!(cases.iter().all(|case| !case.extents().is_empty()));
    for (name, setting, value) in [
        ("toy", "hidden", "5,3"),
        ("toy", "hidden", ""),
        ("linear-oscillators", "masses", "5"),
        ("nonlinear-oscillators", "steps", "7"),
        ("quantum-dipole", "points", "9"),
        ("poisson", "grid", "4"),
    ] {
        cases.push(with(name, &[few[0], few[1], (setting, value)]));
    }
    for (architecture, channels) in [
        ("resnet", "2,2,3"),
        ("resnet", ""),
        ("unet", "2,3,4"),
        ("unet", "5"),
        ("unet", ""),
    ] {
        let network = [("architecture", architecture), ("channels", channels)];
        cases.push(with("poisson", &[&few[..], &network].concat()));
    }
    for case in cases {
        let problem = case.problem(0);
        let samples = held(&problem.train) + held(&problem.test);
        assert_eq!(
            numbers(case.as_ref(), Content::Samples),
            samples as f64,
            "{case:?}"
        );
        let parameters = problem.parameter_count();
        assert_eq!(
            numbers(case.as_ref(), Content::Parameters),
            parameters as f64,
            "{case:?}"
        );
    }
}

#[test]
fn absurd_sizes_are_refused_by_name_before_anything_is_made() {
    let most = "9223372036854775807";
    for system in systems() {
        check_memory(system.as_ref(), 1.0).unwrap();
        for setting in system.settings() {
            let text = match setting.name {
                "hidden" => format!("{most},{most}"),
                "samples" | "test_samples" | "masses" | "steps" | "grid" | "points" => most.into(),
                _ => continue,
            };
            let absurd = [(setting.name, text.as_str())];
            let refused = check_memory(with(system.name(), &absurd).as_ref(), 8.0);
            let wanted = [
                &format!("{} = {text}", setting.name),
                "smaller",
                "more than 8 GiB",
            ];
            assert_message(refused, &wanted);
        }
    }
    let channels = [("architecture", "unet"), ("channels", "9000000,9000000")];
    let refused = check_memory(with("poisson", &channels).as_ref(), 8.0);
    assert_message(refused, &["channels = 9000000,9000000"]);
}
