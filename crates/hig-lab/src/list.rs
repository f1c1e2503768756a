//! `hig list`: systems, methods and settings with their defaults.

use crate::experiment::compared;
use crate::output::say;
use hig::settings::{Setting, Settings};
use hig::step::methods;
use hig::systems::systems;
use hig::trainer::Training;

/// Prints the listing.
pub fn print() {
    say!("Systems (hig run SYSTEM)");
    for system in systems() {
        say!("\n  {}: {}", system.name(), system.about());
        print_settings(&system.settings());
        say!(
            "    compared by default: {}",
            compared(system.as_ref()).join(", ")
        );
        for (name, settings) in system.comparison() {
            let settings: Vec<String> = settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
            say!("      {name}: {}", settings.join(" "));
        }
    }
    say!("\nMethods (--method NAME)");
    for method in methods() {
        say!("\n  {}: {}", method.name(), method.about());
        print_settings(&method.settings());
    }
    say!("\nTraining (every method)\n");
    print_settings(&Training::default().settings());
    say!("\nChange any of them with --set KEY=VALUE, for one method with --set METHOD.KEY=VALUE.");
}

fn print_settings(settings: &[Setting]) {
    for setting in settings {
        let assignment = format!("{} = {}", setting.name, setting.value);
        say!("    {assignment:<32} {}", setting.about);
        say!("    {:<32} [{}]", "", setting.allowed);
    }
}
