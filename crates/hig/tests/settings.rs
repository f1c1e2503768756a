//! Settings: what is shown can be set, and what is wrong is refused with a message that helps.

mod common;

use common::assert_message;
use hig::settings::{
    ANY_COUNT, AT_LEAST_ONE, Allowed, EXPONENT, End, FLAG, FRACTION, NON_NEGATIVE, NON_ZERO,
    POSITIVE, Rule, SettingType, Settings, WIDTHS,
};
use hig::spectral::{ANY_COMBINATIONS, Combinations};
use hig::step::{ANY_LEARNING_RATE, LearningRate, Spectral, method, methods};
use hig::systems::{Toy, compared, recommended, system, systems};
use hig::trainer::{Order, Training};
use proptest::prelude::*;

/// Everything that has settings, under a name for messages.
fn all() -> Vec<(String, Box<dyn Settings>)> {
    let mut all: Vec<(String, Box<dyn Settings>)> = Vec::new();
    for system in systems() {
        all.push((system.name().into(), system));
    }
    for method in methods() {
        all.push((method.name().into(), method));
    }
    all.push(("training".into(), Box::new(Training::default())));
    all
}

/// Texts that a rule must accept and refuse, by its description.
fn examples(allowed: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match allowed {
        "a finite number above 0" => (&["1e-300", "2"], &["0", "-1", "inf", "NaN", "x", ""]),
        "a finite number above 0, or auto" => (
            &["1e-300", "2", "auto"],
            &["0", "-1", "inf", "NaN", "x", "", "aut"],
        ),
        "a finite number of at least 0" => (&["0", "2"], &["-1e-9", "inf", "NaN", "1,2"]),
        "a finite number other than 0" => (&["-2", "1e-9"], &["0", "-0", "inf", "NaN"]),
        "at least 0 and below 1" => (&["0", "0.999"], &["1", "-0.1", "NaN", "inf"]),
        "between -1 (gradient descent) and 1 (Gauss-Newton)" => {
            (&["-1", "1", "0.5"], &["-1.0001", "1.5", "NaN"])
        }
        "between -1 (gradient descent) and 1 (KFAC)" => {
            (&["-1", "1", "0.5"], &["-1.0001", "1.5", "NaN"])
        }
        "between 0 (orthogonalised) and 1 (Gauss-Newton)" => {
            (&["0", "1", "0.5"], &["-1e-9", "1.5", "NaN"])
        }
        "above 0 and at most 1" => (&["1e-300", "1"], &["0", "-1", "1.5", "NaN"]),
        "a whole number of at least 1" => (&["1", "7"], &["0", "-1", "1.5", "two"]),
        "a whole number, or auto" => (&["0", "7", "auto"], &["-1", "0.5", "many", "1,2"]),
        "a whole number" => (&["0", "7"], &["-1", "0.5", "many"]),
        "whole numbers of at least 1, separated by commas" => {
            (&["5", "4,3", "[4, 3]"], &["0", "4,0", "4,x", "-3"])
        }
        words => {
            let options: Vec<&str> = words.split([',', ' ']).filter(|w| *w != "or").collect();
            assert!(options.len() > 1, "no examples for the rule `{words}`");
            (&[], &["", "-", "no such word", "1"])
        }
    }
}

#[test]
fn setting_the_value_shown_changes_nothing() {
    for (name, mut thing) in all() {
        for setting in thing.settings() {
            thing
                .set(setting.name, &setting.value.to_string())
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let before = all().into_iter().find(|(n, _)| *n == name).unwrap().1;
        assert_eq!(thing.settings(), before.settings(), "{name}");
    }
}

#[test]
fn defaults_keep_their_own_rules() {
    for (name, thing) in all() {
        assert!(thing.check().is_ok(), "{name}");
    }
}

#[test]
fn every_setting_accepts_its_range_and_refuses_the_rest() {
    for (name, mut thing) in all() {
        for setting in thing.settings() {
            let sentence = setting.allowed.to_string();
            let (right, wrong) = examples(&sentence);
            for text in wrong {
                let before = thing.settings();
                let result = thing.set(setting.name, text);
                assert_message(result, &[&format!("{} = {text}", setting.name), &sentence]);
                assert_eq!(thing.settings(), before, "{name}.{}", setting.name);
            }
            for text in right {
                thing.set(setting.name, text).unwrap();
                assert!(thing.check().is_ok(), "{name}.{} = {text}", setting.name);
            }
        }
    }
}

#[test]
fn examples_of_a_rule_are_what_it_says() {
    for (name, mut thing) in all() {
        for setting in thing.settings() {
            let examples = setting.allowed.examples();
            assert!(examples.accepted.len() > 1 && !examples.refused.is_empty());
            for text in &examples.accepted {
                thing
                    .set(setting.name, text)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(thing.check().is_ok(), "{name}.{} = {text}", setting.name);
            }
            let before = thing.settings();
            for text in &examples.refused {
                let refused = thing.set(setting.name, text);
                let shown = format!("{} = {text} is not possible", setting.name);
                assert_message(refused, &[&shown, &setting.allowed.to_string()]);
                assert_eq!(thing.settings(), before, "{name}.{} = {text}", setting.name);
            }
        }
    }
}

#[test]
fn rules_are_said_in_one_sentence() {
    let between = |least, most| Rule::between(least, most).allowed;
    let at = |end: f64| (End::included(end), End::excluded(end));
    for (allowed, sentence) in [
        (POSITIVE.allowed, "a finite number above 0"),
        (NON_NEGATIVE.allowed, "a finite number of at least 0"),
        (NON_ZERO.allowed, "a finite number other than 0"),
        (FRACTION.allowed, "at least 0 and below 1"),
        (
            EXPONENT.allowed,
            "between -1 (gradient descent) and 1 (Gauss-Newton)",
        ),
        (between(None, None), "a finite number"),
        (between(None, at(2.5).0), "a finite number of at most 2.5"),
        (between(None, at(2.5).1), "a finite number below 2.5"),
        (between(at(0.0).1, at(1.0).0), "above 0 and at most 1"),
        (between(at(0.0).1, at(1.0).1), "above 0 and below 1"),
        (between(at(0.0).0, at(1.0).0), "between 0 and 1"),
        (AT_LEAST_ONE.allowed, "a whole number of at least 1"),
        (ANY_COUNT.allowed, "a whole number"),
        (
            WIDTHS.allowed,
            "whole numbers of at least 1, separated by commas",
        ),
        (FLAG.allowed, "true or false"),
        (Rule::<Order>::any().allowed, "shuffled, fixed or fresh"),
        (
            ANY_LEARNING_RATE.allowed,
            "a finite number above 0, or auto",
        ),
        (ANY_COMBINATIONS.allowed, "a whole number, or auto"),
    ] {
        assert_eq!(allowed.to_string(), sentence);
        for text in allowed.examples().accepted {
            let value = match allowed {
                Allowed::Number(_) | Allowed::NonZero => f64::parse(&text).unwrap().value(),
                Allowed::Count(_) => usize::parse(&text).unwrap().value(),
                Allowed::Counts(_) => Vec::<usize>::parse(&text).unwrap().value(),
                Allowed::Flag => bool::parse(&text).unwrap().value(),
                Allowed::Words(_) => Order::parse(&text).unwrap().value(),
                Allowed::NumberOr(..) => LearningRate::parse(&text).unwrap().value(),
                Allowed::CountOr(..) => Combinations::parse(&text).unwrap().value(),
            };
            assert!(allowed.holds(&value), "{sentence}: {text}");
            let of_another_kind = match value {
                hig::settings::Value::Flag(_) => hig::settings::Value::Count(1),
                _ => hig::settings::Value::Flag(true),
            };
            assert!(!allowed.holds(&of_another_kind), "{sentence}");
        }
    }
}

#[test]
fn every_word_offered_for_a_setting_is_accepted() {
    for (name, mut thing) in all() {
        for setting in thing.settings() {
            let hig::settings::Value::Word(_) = setting.value else {
                continue;
            };
            let words = setting.allowed.words();
            let offered = setting.allowed.to_string().replace(" or ", ", ");
            let mut offered: Vec<&str> = offered.split(", ").collect();
            if let Allowed::CountOr(..) = setting.allowed {
                offered.retain(|offered| !offered.starts_with("a whole number"));
            }
            assert_eq!(words, offered, "{name}");
            for word in words {
                thing
                    .set(setting.name, word)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                let now = thing.settings();
                let now = now.iter().find(|s| s.name == setting.name).unwrap();
                assert_eq!(now.value.to_string(), word);
            }
        }
    }
}

#[test]
fn check_finds_values_filled_in_by_hand() {
    let spectral = Spectral {
        cutoff: 1.0,
        ..Spectral::default()
    };
    assert_message(spectral.check(), &["cutoff = 1", "below 1"]);
    let toy = Toy {
        lambda: 0.0,
        ..Toy::default()
    };
    assert_message(toy.check(), &["lambda = 0", "other than 0"]);
    let training = Training {
        batch: 0,
        ..Training::default()
    };
    assert_message(training.check(), &["batch = 0", "at least 1"]);
}

#[test]
fn a_misspelt_setting_is_refused_with_the_nearest_name() {
    for (name, mut thing) in all() {
        for setting in thing.settings() {
            let misspelt = format!("{}x", setting.name);
            let wanted = format!("did you mean `{}`?", setting.name);
            let error = thing.set(&misspelt, "1").unwrap_err().to_string();
            assert!(error.contains(&wanted), "{name}: {error}");
        }
    }
}

#[test]
fn misspelt_systems_and_methods_suggest_the_nearest() {
    assert_message(
        system("linear-oscilators").map(|s| s.name()),
        &["linear-oscilators", "did you mean `linear-oscillators`?"],
    );
    assert_message(method("adm").map(|m| m.name()), &["did you mean `adam`?"]);
    let far = method("zzzzzzzzzz").map(|m| m.name());
    assert_message(far, &["zzzzzzzzzz", "known: adam"]);
    let far = method("zzzzzzzzzz").map(|m| m.name()).unwrap_err();
    assert!(!far.to_string().contains("did you mean"));
}

#[test]
fn every_registered_name_leads_to_its_own_entry() {
    for entry in systems() {
        assert_eq!(system(entry.name()).unwrap().name(), entry.name());
    }
    for entry in methods() {
        assert_eq!(method(entry.name()).unwrap().name(), entry.name());
    }
}

#[test]
fn the_name_of_a_method_does_not_depend_on_its_settings() {
    for entry in methods() {
        let (name, about) = (entry.name(), entry.about());
        for setting in entry.settings() {
            for text in setting.allowed.examples().accepted {
                let mut changed = entry.boxed();
                changed.set(setting.name, &text).unwrap();
                let place = format!("{name}.{} = {text}", setting.name);
                assert_eq!((changed.name(), changed.about()), (name, about), "{place}");
            }
        }
    }
}

#[test]
fn every_comparison_names_methods_and_settings_that_exist() {
    for entry in systems() {
        for (name, values) in entry.comparison() {
            let (mut method, mut training) = (method(name).unwrap(), Training::default());
            for (setting, value) in values {
                if method.has(setting) {
                    method.set(setting, value).unwrap();
                } else {
                    training.set(setting, value).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_system_recommends_the_settings_of_its_comparison() {
    for system in systems() {
        let comparison = system.comparison();
        let of = |name: &str| recommended(system.as_ref(), name).unwrap();
        for (name, values) in &comparison {
            let (method, training) = of(name);
            let mut expected = hig::step::method(name).unwrap();
            let mut plain = Training::default();
            for (setting, text) in values {
                let set = plain.set(setting, text);
                set.or_else(|_| expected.set(setting, text)).unwrap();
            }
            assert_eq!(method.settings(), expected.settings(), "{name}");
            assert_eq!(training, plain, "{name}");
            assert_eq!(method.name(), *name);
        }
        // Without a recommendation: defaults, with batch and order of a method that asks for as much.
        for (name, alike) in [("rmsprop", "adam"), ("momentum", "adam"), ("lm", "hig")] {
            if comparison.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let (method, training) = of(name);
            let defaults = hig::step::method(name).unwrap();
            assert_eq!(method.settings(), defaults.settings());
            let like = of(alike).1;
            assert_eq!((training.batch, training.order), (like.batch, like.order));
        }
        let names = compared(system.as_ref());
        let others = comparison
            .iter()
            .filter(|(name, _)| *name != "adaptive-hig");
        assert_eq!(names.len(), others.count() + 1);
        assert_eq!(names.last(), Some(&"adaptive-hig"));
        assert_message(
            recommended(system.as_ref(), "adm").map(|(method, _)| method.name()),
            &["did you mean `adam`?"],
        );
    }
}

#[test]
fn given_samples_are_not_passed_by() {
    let system = system("poisson").unwrap();
    let (method, mut training) = recommended(system.as_ref(), "hig").unwrap();
    let problem = system.problem(0);
    let given = problem
        .test
        .select(&(0..training.batch).collect::<Vec<_>>());
    let problem = problem.with_samples(given);
    assert_eq!(problem.train.len(), training.batch);
    let check = |training: &Training| {
        let start = problem.initial_parameters(0);
        hig::trainer::check(
            &problem,
            method.as_ref(),
            &start,
            training,
            &system.budget(),
        )
    };
    assert_message(check(&training), &["order = fresh", "shuffled or fixed"]);
    let changed = training.for_given_samples().unwrap().to_string();
    let told = "order = shuffled instead of fresh: fresh samples would pass the given ones by";
    assert_eq!(changed, told);
    check(&training).unwrap();
    assert_eq!(training.for_given_samples(), None);
    training.order = Order::Fixed;
    assert_eq!(training.for_given_samples(), None);
    assert_eq!(training.order, Order::Fixed);
}

/// Texts of which a setting of some kind takes each, and texts that no setting takes.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|number| number.to_string()),
        (0.0..1.0).prop_map(|number: f64| format!("{number:e}")),
        any::<u128>().prop_map(|count| count.to_string()),
        (0..100_usize).prop_map(|count| count.to_string()),
        prop::collection::vec(1..1000_usize, 0..5).prop_map(|counts| format!("{counts:?}")),
        prop_oneof![
            "true", "false", "fixed", "cosine", "relu", "he", "unet", "svd", "damp"
        ],
        any::<String>(),
    ]
}

#[test]
fn a_count_that_no_file_could_tell_is_refused() {
    let mut training = Training::default();
    let wanted = [
        "evaluate_every = 9223372036854775808",
        "at most 9223372036854775807",
    ];
    assert_message(
        training.set("evaluate_every", "9223372036854775808"),
        &wanted,
    );
    training
        .set("evaluate_every", "9223372036854775807")
        .unwrap();
}

proptest! {
    #[test]
    fn what_is_shown_is_what_was_set(
        place in any::<prop::sample::Index>(),
        texts in prop::collection::vec((any::<prop::sample::Index>(), texts()), 0..40),
    ) {
        let place = place.index(all().len());
        let thing = || all().swap_remove(place).1;
        let (mut set, mut read) = (thing(), thing());
        for (setting, text) in &texts {
            let settings = set.settings();
            let _ = set.set(settings[setting.index(settings.len())].name, text);
        }
        for setting in set.settings() {
            read.set(setting.name, &setting.value.to_string()).unwrap();
        }
        prop_assert_eq!(read.settings(), set.settings());
        prop_assert!(set.check().is_ok());
    }

    #[test]
    fn numbers_are_shown_so_that_every_bit_can_be_read_back(
        exponent in -300.0_f64..300.0,
        mantissa in 1.0_f64..10.0,
    ) {
        let value = mantissa * 10.0_f64.powf(exponent);
        let toy = Toy { lambda: value, ..Toy::default() };
        let shown = toy.settings()[0].value.to_string();
        let mut read = Toy::default();
        read.set("lambda", &shown).unwrap();
        prop_assert_eq!(read.lambda.to_bits(), value.to_bits());
    }
}
