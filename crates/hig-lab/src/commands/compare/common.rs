//! The test loss to which the seconds of all methods are told.

use crate::run_folder::Run;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A test loss for each system: losses of different systems are not of one kind.
pub struct Common {
    losses: BTreeMap<String, f64>,
    asked: Option<f64>,
}

impl Common {
    /// The loss that was asked for, or else the largest of the lowest test losses.
    pub fn of(runs: &[Run], asked: Option<f64>) -> Self {
        let mut losses = BTreeMap::new();
        for run in runs {
            for best in run
                .methods
                .iter()
                .filter_map(|m| m.history.best_test_loss())
            {
                let loss = losses.entry(run.system().to_owned()).or_insert(best);
                *loss = best.max(*loss);
            }
        }
        Self { losses, asked }
    }

    /// The loss for the methods of a run.
    pub fn loss(&self, run: &Run) -> Option<f64> {
        self.asked
            .or_else(|| self.losses.get(run.system()).copied())
    }

    /// The heading of the column.
    pub fn heading(&self) -> String {
        let mut losses = self.losses.values();
        match (self.asked, losses.next(), losses.next()) {
            (Some(loss), _, _) | (None, Some(&loss), None) => format!("seconds to {loss:.2e}"),
            _ => "seconds to loss".to_owned(),
        }
    }

    /// What the loss is, below the table.
    pub fn explanation(&self) -> String {
        if self.asked.is_some() || self.losses.is_empty() {
            return String::new();
        }
        if self.losses.len() == 1 {
            let loss = self.losses.values().next().expect("there is one");
            return format!(
                "\n{loss:.2e} is the largest of the lowest test losses, which every method that \
                 has begun has reached.\n"
            );
        }
        let losses = self.losses.iter();
        let losses: Vec<String> = losses.map(|(s, loss)| format!("{s} {loss:.2e}")).collect();
        format!(
            "\nThe loss is the largest of the lowest test losses of a system, which every method \
             that has begun has reached: {}.\n",
            losses.join(", ")
        )
    }

    /// By systems, or the one that was asked for.
    pub fn json(&self) -> Value {
        match self.asked {
            Some(loss) => json!(loss),
            None => {
                let losses = self.losses.iter();
                let losses: Map<_, _> = losses.map(|(s, loss)| (s.clone(), json!(loss))).collect();
                Value::Object(losses)
            }
        }
    }
}
