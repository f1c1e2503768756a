//! What a system says of its size before anything is made, beside what it makes.

mod common;

use common::assert_message;
use hig::Dataset;
use hig::systems::{System, check_memory, size, system, systems};

/// A system by name, with settings.
fn with(name: &str, settings: &[(&str, &str)]) -> Box<dyn System> {
    let mut system = system(name).unwrap();
    for (setting, value) in settings {
        system.set(setting, value).unwrap();
    }
    system.check_together().unwrap();
    system
}

fn held(data: &Dataset) -> usize {
    data.len() * (data.input.ncols() + data.state.ncols() + data.target.ncols())
}

#[test]
fn sizes_are_those_of_what_is_made() {
    let few = [("samples", "3"), ("test_samples", "2")];
    // Points that are drawn to choose from are not held.
    let one = |name: &str| match with(name, &[])
        .settings()
        .iter()
        .any(|s| s.name == "candidates")
    {
        true => with(name, &[few[0], few[1], ("candidates", "1")]),
        false => with(name, &few),
    };
    let mut cases: Vec<_> = systems().iter().map(|s| one(s.name())).collect();
    for (name, setting, value) in [
        ("toy", "hidden", "5,3"),
        ("toy", "hidden", ""),
        ("linear-oscillators", "masses", "5"),
        ("nonlinear-oscillators", "steps", "7"),
        ("quantum-dipole", "points", "9"),
        ("poisson", "grid", "4"),
        ("cart-pole", "poles", "3"),
        ("cart-pole", "rest", "0.1"),
        ("parameter-estimation", "every", "7"),
        ("parameter-estimation", "learned_force", "false"),
        ("burgers-control", "effort", "0.1"),
        ("burgers-control", "closed", "false"),
        ("ks-correction", "channels", "3"),
        ("ks-correction", "kernel", "3"),
        ("fluid-control", "patch", "1"),
        ("heat-inversion-2d", "channels", "2,3"),
        ("wake-flow-correction", "steps", "3"),
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
        assert_eq!(case.data_size(), samples as f64, "{case:?}");
        let parameters = problem.parameter_count();
        assert_eq!(
            case.network().unwrap().size(),
            parameters as f64,
            "{case:?}"
        );
        if let Some(parts) = problem.through_physics() {
            assert_eq!(parts.network.size(), parameters as f64, "{case:?}");
        }
        assert_eq!(size(case.as_ref()).unwrap(), (samples + parameters) as f64);
    }
}

/// Systems whose steps take no memory of their samples and parameters.
const CALLED_AT_EVERY_STEP: [&str; 7] = [
    "cart-pole",
    "pendulum-swing-up",
    "parameter-estimation",
    "burgers-control",
    "ks-correction",
    "fluid-control",
    "wake-flow-correction",
];

#[test]
fn absurd_sizes_are_refused_by_name_before_anything_is_made() {
    let most = "9223372036854775807";
    for system in systems() {
        check_memory(system.as_ref(), 1.0).unwrap();
        for setting in system.settings() {
            let text = match setting.name {
                "grid"
                    if CALLED_AT_EVERY_STEP.contains(&system.name())
                        || system.name() == "heat-inversion-2d" =>
                {
                    let mut large = system.boxed();
                    large.set("grid", most).unwrap();
                    assert_message(large.check_together(), &["grid = 9223372036854775807"]);
                    continue;
                }
                "hidden" => format!("{most},{most}"),
                "samples" | "test_samples" | "masses" | "poles" | "grid" | "points" => most.into(),
                "steps" if !CALLED_AT_EVERY_STEP.contains(&system.name()) => most.into(),
                "steps" => {
                    let mut long = system.boxed();
                    long.set("steps", most).unwrap();
                    let wanted = ["steps = 9223372036854775807", "at most 1000000"];
                    assert_message(long.check_together(), &wanted);
                    continue;
                }
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

#[test]
fn the_setting_that_is_refused_is_the_one_that_matters_most() {
    let poisson = |settings: &[(&str, &str)]| {
        let refused = check_memory(with("poisson", settings).as_ref(), 1.0);
        refused.unwrap_err().to_string()
    };
    let (many, wide) = (("samples", "1000000000"), ("hidden", "1000000,64"));
    assert!(poisson(&[many]).starts_with("samples = 1000000000 is"));
    assert!(poisson(&[wide, ("grid", "16")]).starts_with("hidden = 1000000,64 is"));
    assert!(poisson(&[many, wide]).starts_with("samples = 1000000000 is"));
    // A grid of which every smaller one but a few is none for this network.
    let levels = [
        ("architecture", "unet"),
        ("channels", "2,2,2,2,2"),
        ("grid", "1048576"),
    ];
    assert!(poisson(&levels).starts_with("grid = 1048576 is"));
}
