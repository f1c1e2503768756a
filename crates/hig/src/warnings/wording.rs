//! How the user of an interface writes what advice names.

/// A user's words, so that advice can be typed as it stands: a program, a command line and Python write
/// the same settings each in its own way.
#[derive(Debug, Clone, Copy)]
pub struct Wording {
    /// A setting (name, value): a number, or one of a few words.
    pub setting: fn(&str, &str) -> String,
    /// A method by its registered name.
    pub method: fn(&str) -> String,
    /// A method (the second name) that goes on from where another (the first) has ended.
    pub chain: fn(&str, &str) -> String,
    /// The seed of a training.
    pub seed: &'static str,
}

impl Default for Wording {
    /// Of a program in Rust.
    fn default() -> Self {
        Self {
            setting: |name, word| format!("{name} = {word}"),
            method: str::to_owned,
            chain: |first, second| format!("training with {second} from the outcome of {first}"),
            seed: "another seed",
        }
    }
}
