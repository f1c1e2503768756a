//! What a large network takes, measured on the real process.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Peak resident memory in MiB of two HIG updates with 1,026,014 parameters and n = 2048.
fn peak(folder: &Path, route: &str) -> f64 {
    let arguments = "run poisson --method hig --updates 2 --quiet --set samples=32 \
                     --set test_samples=8 --set batch=32 --set hidden=950,950";
    let mut child = Command::new(env!("CARGO_BIN_EXE_hig"))
        .args(arguments.split_whitespace())
        .args(["--set", &format!("route={route}")])
        .arg("--out")
        .arg(folder.join(route))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak: f64 = 0.0;
    let exit = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = number.map_or(peak, |kib| peak.max(kib / 1024.0));
        if let Some(exit) = child.try_wait().unwrap() {
            break exit;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(exit.success(), "{route}");
    assert!(peak > 50.0, "{route}: {peak} MiB cannot be all");
    peak
}

#[test]
fn a_million_parameters_train_in_under_a_gibibyte() {
    let folder = tempfile::tempdir().unwrap();
    for route in ["auto", "lanczos"] {
        let peak = peak(folder.path(), route);
        // J alone would have 16,032 MiB.
        assert!(peak < 1024.0, "{route}: {peak} MiB");
    }
}
