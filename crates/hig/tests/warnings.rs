//! Real trainings that go wrong in one way each, and others that do not.

use hig::data::Dataset;
use hig::linalg::{Mat, MatRef};
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::objective::{ClosedLoop, Saturation};
use hig::physics::{Differentiated, Real, SampleFunction, Stepwise, Widths};
use hig::settings::{Setting, Settings};
use hig::step::Method;
use hig::systems::{recommended, system};
use hig::trainer::{Budget, Evaluation, Flow, Observer, Outcome, Start, Training, train};
use hig::warnings::{Warner, Warning, Watch, Wording};
use hig::{Problem, Result};

/// As often as a cause is told in one training.
const MOST: usize = 3;

/// As many evaluations without it make a cause gone.
const GONE: usize = 10;

/// A training as a command line would ask for it.
struct Experiment {
    problem: Problem,
    weights: Vec<f64>,
    method: Box<dyn Method>,
    training: Training,
    budget: Budget,
}

/// "toy --method hig --set cutoff=1e-3 --updates 20", where a setting goes to whatever has it.
fn experiment(arguments: &str) -> Experiment {
    let mut words = arguments.split(' ');
    let mut system = system(words.next().unwrap()).unwrap();
    let (mut name, mut updates, mut set) = ("hig", 1, Vec::new());
    while let Some(option) = words.next() {
        let value = words.next().unwrap();
        match option {
            "--method" => name = value,
            "--updates" => updates = value.parse().unwrap(),
            "--set" => set.push(value.split_once('=').unwrap()),
            _ => panic!("{option}"),
        }
    }
    let (mut method, mut training) = recommended(system.as_ref(), name).unwrap();
    for (setting, value) in set {
        let mut known = false;
        let all: [&mut dyn Settings; 3] = [system.as_mut(), method.as_mut(), &mut training];
        for settings in all {
            if settings.has(setting) {
                settings.set(setting, value).unwrap();
                known = true;
            }
        }
        assert!(known, "{setting}");
    }
    let problem = system.problem(0);
    Experiment {
        weights: problem.initial_parameters(0),
        problem,
        method,
        training,
        budget: Budget::updates(updates),
    }
}

impl Experiment {
    fn settings(&self) -> Vec<Setting> {
        [self.method.settings(), self.training.settings()].concat()
    }

    fn train(&self, observers: &mut [&mut dyn Observer]) -> Outcome {
        train(
            &self.problem,
            self.method.as_ref(),
            Start::from(self.weights.clone()),
            &self.training,
            self.budget,
            0,
            observers,
        )
        .unwrap()
    }
}

/// What a training is warned of.
fn warnings(experiment: &Experiment) -> Vec<Warning> {
    let mut told = Vec::new();
    let tell = |warning: &Warning| {
        told.push(warning.clone());
        Ok(Flow::Continue)
    };
    let (method, training) = (experiment.method.as_ref(), &experiment.training);
    let mut warner = Warner::new(method, training, Wording::default(), tell);
    experiment.train(&mut [&mut warner]);
    told
}

fn names(warnings: &[Warning]) -> Vec<String> {
    let mut names: Vec<_> = warnings.iter().map(|w| w.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn warned(arguments: &str) -> Vec<String> {
    names(&warnings(&experiment(arguments)))
}

#[test]
fn trainings_as_their_sources_recommend_raise_nothing() {
    let small = "--set samples=512 --set test_samples=512";
    for (system, budget, methods) in [
        (
            "toy",
            600,
            "adam sip hig adaptive-hig lm gn-line-search spring prime-sr",
        ),
        (
            "linear-oscillators",
            60,
            "adam gn sip hig adaptive-hig lm spring",
        ),
        (
            "nonlinear-oscillators",
            30,
            "adam hig adaptive-hig lm gn-line-search",
        ),
        ("poisson", 4, "adam sip hig adaptive-hig"),
        ("quantum-dipole", 8, "adam gn hig adaptive-hig"),
        ("cart-pole", 4, "adam hig adaptive-hig"),
        ("burgers-control", 2, "adam hig adaptive-hig"),
        ("ks-correction", 2, "adam hig adaptive-hig"),
        ("heat-inversion-2d", 2, "adam sip hig adaptive-hig"),
        ("fluid-control", 2, "adam hig adaptive-hig"),
        ("wake-flow-correction", 2, "adam hig adaptive-hig"),
    ] {
        let small = match system {
            "toy" => "",
            "cart-pole" | "burgers-control" | "ks-correction" => {
                "--set samples=64 --set test_samples=16"
            }
            "heat-inversion-2d" => {
                "--set samples=64 --set test_samples=16 --set grid=16 --set channels=2,4"
            }
            "fluid-control" => {
                "--set samples=64 --set test_samples=16 --set grid=16 --set channels=2,4 --set steps=4"
            }
            "wake-flow-correction" => {
                "--set samples=64 --set test_samples=16 --set grid=8 --set dt=5 --set finer=2 --set spin_up=40"
            }
            _ => small,
        };
        for method in methods.split(' ') {
            let arguments = format!("{system} --method {method} --updates {budget} {small}");
            let told = warnings(&experiment(arguments.trim_end()));
            // The line search on the toy does come to a halt, at a loss of 8e-4.
            let told = told.iter().filter(|w| {
                (system, method, w.name.as_str()) != ("toy", "gn-line-search", "no-change")
                    && (system, method, w.name.as_str()) != ("toy", "gn-line-search", "plateau")
                    // On so few samples it does end at five times its start, 40 times its best.
                    && (system, method, w.name.as_str())
                        != ("nonlinear-oscillators", "gn-line-search", "explosion")
            });
            assert_eq!(
                told.collect::<Vec<_>>(),
                Vec::<&Warning>::new(),
                "{system} {method}"
            );
        }
    }
}

#[test]
fn huge_steps_along_rounding_explode_and_saturate() {
    let told = warnings(&experiment(
        "toy --method hig --set cutoff=1e-12 --set learning_rate=30 --updates 30",
    ));
    assert_eq!(names(&told), ["explosion", "saturation"]);
    let explosion = told.iter().find(|w| w.name == "explosion").unwrap();
    assert!(
        explosion
            .advice
            .contains("a smaller learning_rate (now 30)")
    );
    assert!(explosion.advice.contains("a larger cutoff (now 1e-12)"));
    // This filter truncates: its damping has no say.
    assert!(!explosion.advice.contains("damping"));
}

/// x' = factor·x + u.
struct Growth(f64);

impl Stepwise for Growth {
    fn steps(&self) -> usize {
        40
    }
    fn state_len(&self) -> usize {
        1
    }
    fn control_len(&self) -> usize {
        1
    }
    fn advance(&self, _: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(faer::Scale(self.0) * x + u)
    }
    fn pull_back(
        &self,
        _: usize,
        _: (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        Ok((faer::Scale(self.0) * rows, rows.to_owned()))
    }
}

#[test]
fn a_long_unstable_simulation_is_told_with_its_horizon() {
    let samples = || Dataset {
        input: Mat::zeros(4, 0),
        state: Mat::from_fn(4, 1, |s, _| 1e-6 * (s as f64 - 1.5)),
        target: Mat::zeros(4, 1),
    };
    let told = |factor: f64, stopped: bool| {
        let network = Network::mlp(&[1, 1], Activation::Tanh, Initializer::Glorot);
        let steered = ClosedLoop::new(network, Growth(factor), SquaredError::half());
        let steered = if stopped {
            steered.stopping_gradients()
        } else {
            steered
        };
        warnings(&Experiment {
            problem: Problem::of(samples(), samples(), steered),
            weights: vec![0.0, 0.0],
            method: hig::step::method("sgd").unwrap(),
            training: Training {
                batch: 4,
                ..Training::default()
            },
            // The weights stay where they are.
            budget: Budget::updates(0),
        })
    };
    let found = told(2.0, false);
    assert_eq!(names(&found), ["sensitivity"]);
    // 2 to the power of 38, and ten after log2 10 steps.
    for part in ["3e11 times", "of 40 time steps", "every 3.3 steps"] {
        assert!(found[0].message.contains(part), "{}", found[0].message);
    }
    assert!(found[0].advice.contains("stop_gradients"));
    assert_eq!(names(&told(2.0, true)), Vec::<String>::new());
    assert_eq!(names(&told(1.2, false)), Vec::<String>::new());
}

#[test]
fn a_training_that_ends_without_a_finite_loss_explodes() {
    let relu = "linear-oscillators --method gd --set activation=relu";
    let told = warned(&format!("{relu} --set learning_rate=1e150 --updates 5"));
    assert_eq!(told, ["explosion"]);
}

#[test]
fn a_fixed_rate_that_is_wrong_by_far_is_told_with_one_that_is_not() {
    let heat = "heat-inversion --method hig --updates 12";
    for (batch, rate) in [(1, 1.0), (2, 3.0), (8, 30.0), (8, 1e-4)] {
        let settings = format!("--set batch={batch} --set learning_rate={rate}");
        let told = warnings(&experiment(&format!("{heat} {settings}")));
        let told = told.iter().find(|w| w.name == "learning-rate").unwrap();
        assert!(told.message.contains(&format!("learning_rate = {rate} is")));
        // What is proposed is not warned of, and trains.
        let proposed = told.advice.split(['=', ',']).nth(1).unwrap().trim();
        let settings = format!("--set batch={batch} --set learning_rate={proposed}");
        assert_eq!(warned(&format!("{heat} {settings}")), Vec::<String>::new());
        assert!(told.advice.contains("learning_rate = auto"));
    }
    for rate in ["0.1", "0.5", "auto"] {
        let settings = format!("--set batch=2 --set learning_rate={rate}");
        assert_eq!(warned(&format!("{heat} {settings}")), Vec::<String>::new());
    }
}

#[test]
fn gauss_newton_on_the_ill_conditioned_toy_saturates() {
    let told = warned("toy --method gn --set lambda=0.01 --updates 200");
    assert!(told.contains(&"saturation".into()), "{told:?}");
}

#[test]
fn more_rows_than_parameters_make_k_singular_where_k_is_decomposed() {
    let small = "toy --method hig --set samples=40 --set batch=40 --updates 20";
    assert_eq!(warned(small), Vec::<String>::new());
    let told = warnings(&experiment(&format!("{small} --set route=gram")));
    assert_eq!(names(&told), ["rank-deficient"]);
    assert!(
        told[0]
            .message
            .contains("80 rows and the network 30 parameters")
    );
}

#[test]
fn directions_of_rounding_are_told_where_the_filter_weighs_them() {
    let toy =
        "toy --method hig --set learning_rate=1e-9 --updates 20 --set samples=10 --set batch=10";
    assert_eq!(warned(toy), ["learning-rate"]);
    // All neurons see the same, so that most of J is zero.
    for filter in [
        "--set treatment=clamp --set cutoff=1e-16",
        "--set treatment=damp --set damping=1e-40",
    ] {
        let mut experiment = experiment(&format!("{toy} {filter}"));
        experiment.weights.fill(0.1);
        let told = warnings(&experiment);
        assert!(
            names(&told).contains(&"rank-deficient".into()),
            "{filter}: {told:?}"
        );
    }
}

#[test]
fn copies_of_samples_are_counted() {
    let mut experiment = experiment("toy --method hig --set batch=64 --updates 20");
    let half: Vec<usize> = (0..256).map(|i| i % 128).collect();
    experiment.problem.train = experiment.problem.train.select(&half);
    let told = warnings(&experiment);
    assert_eq!(names(&told), ["duplicates"]);
    assert!(told[0].message.contains("128 of the 256 training samples"));
    assert_eq!(told.len(), 1);
}

#[test]
fn a_large_batch_that_is_followed_in_every_row_is_told_with_what_to_take() {
    // The recommended batch has 16 × 64 rows, and the rank is all of them.
    let poisson =
        "poisson --method hig --set samples=64 --set test_samples=8 --set evaluate_every=1";
    let told = warnings(&experiment(&format!("{poisson} --updates 5")));
    assert_eq!(names(&told), ["follows-the-batch"]);
    assert!(
        told[0].message.contains("of the 1024 rows"),
        "{}",
        told[0].message
    );
    for part in ["sketch = 8 with batch = 64", "kron-hig", "adam"] {
        assert!(told[0].advice.contains(part), "{}", told[0].advice);
    }
    // As it is advised, with fewer of the combinations, and where the step is damped to a few directions.
    for other in [
        "--set sketch=8 --set batch=64",
        "--set batch=8",
        "--set cutoff=0.1",
    ] {
        let told = warned(&format!("{poisson} --updates 5 {other}"));
        assert_eq!(told, Vec::<String>::new(), "{other}");
    }
}

#[test]
fn constant_outputs_leave_one_sample_s_worth_of_directions() {
    let mut experiment = experiment("toy --method hig --updates 20");
    experiment.weights.fill(0.0);
    assert_eq!(names(&warnings(&experiment)), ["rank"]);
}

#[test]
fn a_learning_rate_of_nothing_is_a_plateau() {
    let told = warned("toy --method adam --set learning_rate=1e-9 --updates 1000");
    assert_eq!(told, ["plateau"]);
}

#[test]
fn a_line_search_that_finds_nothing_changes_nothing() {
    let search = "--set halvings=0 --set learning_rate=1e5";
    let told = warned(&format!(
        "toy --method gn-line-search {search} --updates 60"
    ));
    assert_eq!(told, ["no-change"]);
}

#[test]
fn three_samples_are_learned_by_heart() {
    let told = warned("toy --method lm --set samples=3 --set batch=3 --updates 100");
    assert_eq!(told, ["overfitting"]);
    // Where the test loss stays instead of rising.
    let few = "--set samples=4 --set batch=4 --updates 100";
    let told = warned(&format!("linear-oscillators --method lm {few}"));
    assert!(told.contains(&"overfitting".to_owned()), "{told:?}");
}

/// A training that is told to the watch line by line.
struct Script {
    experiment: Experiment,
    watch: Watch,
    update: usize,
}

impl Script {
    fn new(method: &str) -> Self {
        let experiment = experiment(&format!("toy --method {method}"));
        let watch = Watch::new(experiment.settings(), Wording::default());
        Self {
            experiment,
            watch,
            update: 0,
        }
    }

    fn evaluation(
        &mut self,
        loss: f64,
        diagnostics: &[(&'static str, f64)],
        mean: f64,
    ) -> Vec<String> {
        self.update += 1;
        let now = Evaluation {
            problem: &self.experiment.problem,
            parameters: &self.experiment.weights,
            update: self.update,
            epoch: 0.0,
            seconds: 0.0,
            train_loss: loss,
            validation_loss: f64::NAN,
            test_loss: loss,
            best: false,
            batch_loss: loss,
            rows: 512,
            diagnostics,
            spectrum: &[1.0; 30],
        };
        let deviation = 0.1;
        let saturation = Some(Saturation { mean, deviation });
        let told = self.watch.evaluation(&now, saturation);
        told.iter().map(|w| w.name.clone()).collect()
    }

    /// How often a cause was told in some evaluations.
    fn times(&mut self, count: usize, loss: f64, diagnostics: &[(&'static str, f64)]) -> usize {
        (0..count)
            .map(|_| self.evaluation(loss, diagnostics, 0.5).len())
            .sum()
    }
}

#[test]
fn a_cause_is_told_once_and_again_only_after_it_was_gone_and_three_times_at_most() {
    let raised = |script: &mut Script, length: usize| -> Vec<usize> {
        let mean = |i: usize| if i % 20 < length { 0.99 } else { 0.5 };
        let told = (0..100).filter(|i| !script.evaluation(1.0, &[], mean(*i)).is_empty());
        told.collect()
    };
    assert_eq!(raised(&mut Script::new("adam"), 4), Vec::<usize>::new());
    assert_eq!(raised(&mut Script::new("adam"), 5), [4, 24, 44]);
    // Four evaluations without it, and four before it is found anew, are too few to be gone.
    assert_eq!(raised(&mut Script::new("adam"), 16), [4]);
}

impl Script {
    /// Another process goes on from what this one remembers after its last evaluation.
    fn resume(&mut self) {
        let saved = self.watch.state(self.update);
        self.watch = Watch::new(self.experiment.settings(), Wording::default());
        saved.restore(|state| self.watch.exchange(state)).unwrap();
    }
}

#[test]
fn what_an_earlier_process_has_told_counts() {
    let mut script = Script::new("adam");
    let mut told = 0;
    for _ in 0..MOST {
        told += (0..5)
            .map(|_| script.evaluation(1.0, &[], 0.99).len())
            .sum::<usize>();
        script.resume();
        told += script.times(GONE, 1.0, &[]);
        script.resume();
    }
    assert_eq!(told, MOST);
    let told: usize = (0..20)
        .map(|_| script.evaluation(1.0, &[], 0.99).len())
        .sum();
    assert_eq!(told, 0);
}

#[test]
fn what_an_earlier_process_has_seen_counts() {
    let mut script = Script::new("adam");
    assert_eq!(script.times(5, 50.0, &[]), 0);
    let mut script = Script::new("adam");
    script.times(1, 1.0, &[]);
    script.resume();
    assert_eq!(script.times(5, 50.0, &[]), 1);
}

#[test]
fn an_evaluation_that_is_made_again_is_told_again() {
    let mut script = Script::new("adam");
    script.times(1, 1.0, &[]);
    script.times(3, 50.0, &[]);
    assert_eq!(script.times(1, 50.0, &[]), 1);
    // The update of the last evaluation was taken back.
    script.update -= 1;
    script.resume();
    assert_eq!(script.times(1, 50.0, &[]), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20))]
    #[test]
    fn a_training_that_is_stopped_anywhere_is_warned_of_as_one_that_never_was(
        losses in proptest::collection::vec(-6.0..3.0, 60),
        stops in proptest::collection::vec(proptest::bool::ANY, 60),
    ) {
        let told = |stopped: bool| -> Vec<Vec<String>> {
            let mut script = Script::new("gn");
            let rows = losses.iter().zip(&stops).map(|(exponent, stop)| {
                let rank = if *exponent > 0.0 { 2.0 } else { 28.0 };
                let diagnostics = [("rank", rank), ("participation", 1.1)];
                let mean = if *exponent < -1.0 { 0.99 } else { 0.5 };
                let told = script.evaluation(10_f64.powf(*exponent), &diagnostics, mean);
                if stopped && *stop {
                    script.resume();
                }
                told
            });
            rows.collect()
        };
        proptest::prop_assert_eq!(told(true), told(false));
    }
}

#[test]
fn the_rank_has_fallen_where_it_is_a_fifth_of_what_it_was() {
    let mut script = Script::new("hig");
    assert_eq!(script.times(10, 1.0, &[("rank", 28.0)]), 0);
    assert_eq!(script.times(10, 1.0, &[("rank", 6.0)]), 0);
    assert_eq!(script.times(10, 1.0, &[("rank", 5.0)]), 1);
    // The step's own choice.
    let mut script = Script::new("adaptive-hig");
    assert_eq!(script.times(10, 1.0, &[("rank", 28.0), ("kappa", 0.5)]), 0);
    assert_eq!(script.times(10, 1.0, &[("rank", 3.0), ("kappa", 0.5)]), 0);
}

#[test]
fn few_directions_are_told_where_they_do_harm() {
    let few = [("rank", 28.0), ("participation", 1.1)];
    let mut script = Script::new("gn");
    // Far below the start, above which it would be an explosion.
    assert_eq!(script.times(1, 1.0, &few), 0);
    assert_eq!(script.times(20, 0.01, &few), 0);
    assert_eq!(script.times(20, 0.09, &few), 0);
    assert_eq!(script.times(20, 0.2, &few), 1);
    let mut script = Script::new("gn");
    let many = [("rank", 28.0), ("participation", 3.0)];
    for loss in [1.0, 0.01, 0.2] {
        assert_eq!(script.times(20, loss, &many), 0);
    }
}

#[test]
fn a_jump_is_no_explosion_and_a_new_method_begins_anew() {
    let mut script = Script::new("adam");
    script.times(5, 1.0, &[]);
    assert_eq!(script.times(3, 1e3, &[]), 0);
    assert_eq!(script.times(5, 1.0, &[]), 0);
    script.watch.go_on_with(script.experiment.settings());
    assert_eq!(script.times(8, 1e3, &[]), 0);
    assert_eq!(script.times(8, 1e5, &[]), 1);
}

#[test]
fn a_rise_far_above_the_best_is_told_while_it_happens() {
    let told = |losses: &[f64]| -> Vec<usize> {
        let mut script = Script::new("hig");
        let told = losses.iter().enumerate().filter(|(_, loss)| {
            let told = script.evaluation(**loss, &[], 0.5);
            told.contains(&"explosion".to_owned())
        });
        told.map(|(place, _)| place).collect()
    };
    let none = Vec::<usize>::new();
    // Back at half its start, from far below: told at the fourth evaluation there.
    let back = [1.0, 0.1, 0.02, 0.6, 0.5, 0.9, 0.55, 0.6, 0.6, 0.6];
    assert_eq!(told(&back), [6]);
    // Not far enough below, or not far enough up, or not long enough.
    assert_eq!(told(&[1.0, 0.04, 0.6, 0.5, 0.59, 0.55, 0.6]), none);
    assert_eq!(told(&[1.0, 0.01, 0.4, 0.49, 0.3, 0.4, 0.4]), none);
    assert_eq!(told(&[1.0, 0.01, 0.6, 0.6, 0.6, 0.02, 0.6, 0.6, 0.6]), none);
    // It rises, all the way, far below its start.
    assert_eq!(
        told(&[1.0, 1e-5, 1.1e-3, 1.2e-3, 1.3e-3, 1.4e-3, 1e-5]),
        [5]
    );
    assert_eq!(
        told(&[1.0, 1e-5, 1.1e-3, 1.2e-3, 1.1e-3, 1.4e-3, 1e-5]),
        none
    );
    assert_eq!(told(&[1.0, 1e-5, 2e-4, 3e-4, 6e-4, 9e-4, 1e-5]), none);
}

#[test]
fn a_half_inverse_training_that_loses_what_it_learned_is_told() {
    let steps = "--set learning_rate=12 --set samples=64 --set test_samples=32";
    let told = warned(&format!(
        "linear-oscillators --method hig {steps} --set batch=16 --updates 12"
    ));
    assert!(told.contains(&"explosion".to_owned()), "{told:?}");
}

/// Controls that are clipped at a bound, all of them: y does not depend on the parameters.
struct Clipped;

impl SampleFunction for Clipped {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: 2,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y.fill(u[0] * 0.0 + 1.0);
    }
}

#[test]
fn a_jacobian_of_zeros_is_told_of_every_method() {
    for updates in [3, 60] {
        for method in hig::step::methods() {
            let mut toy = experiment(&format!("toy --method {}", method.name()));
            let (train, test) = (toy.problem.train.clone(), toy.problem.test.clone());
            let widths = [train.input.ncols(), 4, 2];
            let network = Network::mlp(&widths, Activation::Tanh, Initializer::Glorot);
            let physics = Differentiated(Clipped);
            toy.problem = Problem::new(train, test, network, physics, SquaredError::sum());
            toy.weights = toy.problem.initial_parameters(0);
            toy.budget = Budget::updates(updates);
            let told = warnings(&toy);
            assert!(
                names(&told).contains(&"no-change".to_owned()),
                "{} {updates}: {told:?}",
                method.name()
            );
        }
    }
}

#[test]
fn a_callback_may_end_the_training_and_may_fail() {
    let arguments = "toy --method adam --set learning_rate=1e-9 --updates 1000";
    let experiment = experiment(arguments);
    let (method, training) = (experiment.method.as_ref(), &experiment.training);
    let mut stop = Warner::new(method, training, Wording::default(), |_| Ok(Flow::Stop));
    let outcome = experiment.train(&mut [&mut stop]);
    assert!(matches!(outcome.stop, hig::trainer::Stop::Asked));
    assert!((300..1000).contains(&outcome.updates));
    let fail = |_: &Warning| Err(hig::Error::external("enough"));
    let mut fail = Warner::new(method, training, Wording::default(), fail);
    let outcome = experiment.train(&mut [&mut fail]);
    assert!(outcome.stop.to_string().contains("enough"));
    assert!(outcome.train_loss.is_finite());
}

#[test]
fn what_is_found_at_the_end_can_fail_a_training_that_went_well() {
    struct Late;
    impl Observer for Late {
        fn end(&mut self, _: &Outcome) -> Result<()> {
            Err(hig::Error::external("late"))
        }
    }
    let outcome = experiment("toy --method adam --updates 2").train(&mut [&mut Late]);
    let told = outcome.stop.to_string();
    assert_eq!(told, "failed after update 2: late");
    assert_eq!(outcome.updates, 2);
}

#[test]
fn advice_is_in_the_words_of_its_user() {
    let wording = Wording {
        setting: |name, word| format!("{name}!{word}"),
        method: |name| format!("<{name}>"),
        chain: |first, second| format!("{first}->{second}"),
        seed: "a die",
    };
    let said = |arguments: &str| {
        let experiment = experiment(arguments);
        let mut told = String::new();
        let (method, training) = (experiment.method.as_ref(), &experiment.training);
        let mut warner = Warner::new(method, training, wording, |warning| {
            told.push_str(&warning.advice);
            Ok(Flow::Continue)
        });
        experiment.train(&mut [&mut warner]);
        told
    };
    let exploded = said("toy --method hig --set cutoff=1e-12 --set learning_rate=30 --updates 30");
    assert!(exploded.contains("such as <adaptive-hig> or <lm>"));
    assert!(exploded.contains("updates of <adam> before, as in adam->hig"));
    let plateau = said("toy --method adam --set learning_rate=1e-9 --updates 1000");
    assert!(plateau.contains("other initial weights (a die)"));
    let singular = "toy --method hig --set samples=40 --set batch=40 --set route=gram --updates 20";
    assert!(said(singular).contains("route!auto"));
}
