//! The lab with the crane among its systems.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    hig_lab::main_with(vec![Box::new(crane::Crane::default())])
}
