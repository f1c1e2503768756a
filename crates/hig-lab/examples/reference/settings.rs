//! The page of all settings, from their declarations.

use crate::tables::{code, table};
use hig::settings::Settings;
use hig::step::{Method, methods};
use hig::systems::{ALSO_COMPARED, System, systems};
use hig::trainer::{Budget, Training};

/// The page in Markdown.
pub fn page() -> String {
    let mut text = String::from(
        "# All settings\n\n\
         Every setting of a system, a method or the training can be changed with `--set NAME=VALUE`, for\n\
         one method with `--set METHOD.NAME=VALUE`, in a [configuration file](../lab.md#configuration-files)\n\
         and in [Python](../python.md#training). `hig list` prints the same.\n\n\
         ## Systems\n\n",
    );
    for system in systems() {
        text += &of_system(system.as_ref());
    }
    text += "## Methods\n\n";
    for method in methods() {
        text += &of_method(method.as_ref());
    }
    text += "## Training\n\nFor every method.\n\n";
    text + &of(&Training::default())
}

fn of_system(system: &dyn System) -> String {
    let compared: Vec<Vec<String>> = system
        .comparison()
        .into_iter()
        .map(|(method, settings)| {
            let settings = settings
                .iter()
                .map(|(name, value)| code(&format!("{name}={value}")));
            vec![code(method), settings.collect::<Vec<_>>().join(", ")]
        })
        .collect();
    let named = system
        .comparison()
        .iter()
        .any(|(method, _)| *method == ALSO_COMPARED);
    let beside = match named {
        true => String::new(),
        false => format!(", and `{ALSO_COMPARED}` with its own"),
    };
    format!(
        "### {}\n\n{}\n\n{}\nCompared by default, for {}, with the settings of the source{beside}:\n\n{}\n",
        system.name(),
        sentence(system.about()),
        of(system),
        length(system.budget()),
        table(&["method", "settings"], &compared),
    )
}

fn of_method(method: &dyn Method) -> String {
    let (name, about) = (method.name(), sentence(method.about()));
    format!("### {name}\n\n{about}\n\n{}\n", of(method))
}

fn of(settings: &(impl Settings + ?Sized)) -> String {
    let rows: Vec<Vec<String>> = settings
        .settings()
        .into_iter()
        .map(|s| {
            vec![
                code(s.name),
                code(&s.value.to_string()),
                s.allowed.to_string(),
                s.about.into(),
            ]
        })
        .collect();
    table(&["name", "default", "allowed", "meaning"], &rows)
}

fn length(budget: Budget) -> String {
    let limits = [
        budget.updates.map(|n| format!("{n} updates")),
        budget.epochs.map(|n| format!("{n} epochs")),
        budget.seconds.map(|n| format!("{n} s")),
    ];
    limits
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" or ")
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_stands_there_with_its_default() {
        let page = page();
        let mut expected: Vec<_> = systems().iter().flat_map(|s| s.settings()).collect();
        expected.extend(methods().iter().flat_map(|m| m.settings()));
        expected.extend(Training::default().settings());
        for s in expected {
            let row = format!("| {} | {} | ", code(s.name), code(&s.value.to_string()));
            assert!(page.contains(&row), "{row}");
        }
    }
}
