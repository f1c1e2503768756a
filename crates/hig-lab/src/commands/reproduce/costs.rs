//! What an update costs: the shares of its stages in time, and its peak in memory.

use super::{Context, Exhibit};
use crate::commands::statistics::quantile;
use crate::figures::chart::{Axis, Chart, Curve, Panel};
use crate::method_chain::recommended;
use crate::run_folder::provenance;
use anyhow::Result;
use hig::spectral::{Decomposition, Filter, Route};
use hig::systems::systems;
use std::process::Stdio;
use std::time::Instant;

/// Median milliseconds of each stage of one HIG update, every system with its own settings.
pub fn time_shares(_: &Context<'_>) -> Result<Exhibit> {
    const REPEATS: usize = 5;
    let mut rows = Vec::new();
    for system in systems() {
        let phase = recommended(system.as_ref(), "hig")?;
        let value = |key: &str| -> f64 {
            let settings = phase.method.settings();
            let found = settings.iter().find(|s| s.name == key);
            found
                .and_then(|s| s.value.to_string().parse().ok())
                .unwrap_or(0.0)
        };
        let filter = Filter::truncated(value("exponent"), value("cutoff"));
        let problem = system.problem(0);
        let parameters = problem.initial_parameters(0);
        let indices: Vec<usize> = (0..phase.training.batch).collect();
        let batch = problem.train.select(&indices);
        let mut stages: [Vec<f64>; 5] = Default::default();
        let mut sizes = (0, 0);
        for _ in 0..REPEATS {
            let mut clock = Instant::now();
            let mut lap = |stage: usize| {
                stages[stage].push(clock.elapsed().as_secs_f64() * 1e3);
                clock = Instant::now();
            };
            let at = problem.objective.linearize(&batch, &parameters)?;
            lap(0);
            if let Some(through) = at.through_physics() {
                through.physics_rows()?;
            }
            lap(1);
            let side = Route::Auto.resolve(&filter, at.rows(), at.columns(), usize::MAX);
            match side {
                Route::Gram => drop(at.gram()?),
                _ => drop(at.transposed()?),
            }
            lap(2);
            let accuracy = value("accuracy");
            let parts =
                Decomposition::of(at.as_ref(), at.cotangent(), &filter, Route::Auto, accuracy)?;
            lap(3);
            parts.direction(&filter)?;
            lap(4);
            sizes = (at.rows(), at.columns());
        }
        let medians = stages.each_ref().map(|times| quantile(times, 0.5));
        // The decomposition builds its matrix itself; that part was measured alone before.
        let [forward, physics, matrix, both, backward] = medians;
        let decomposition = (both - matrix).max(0.0);
        let parts = [forward, physics, matrix, decomposition, backward];
        let total: f64 = parts.iter().sum();
        let mut row = vec![
            system.name().to_owned(),
            sizes.0.to_string(),
            sizes.1.to_string(),
        ];
        let shares = parts
            .iter()
            .map(|ms| format!("{ms:.2} ({:.0} %)", 100.0 * ms / total));
        row.extend(shares);
        row.push(format!("{total:.2}"));
        rows.push(row);
    }
    Ok(Exhibit {
        title: "milliseconds of one HIG update, by stage".into(),
        panels: Vec::new(),
        header: vec![
            "system",
            "n",
            "p",
            "forward",
            "physics rows",
            "K (or J)",
            "decomposition",
            "backward",
            "all",
        ],
        rows,
    })
}

/// Peak memory of a whole run against n and p, with K, with products alone and with the Jacobian.
pub fn memory(_: &Context<'_>) -> Result<Exhibit> {
    const BATCHES: [&str; 4] = ["2", "4", "8", "16"];
    const WIDTHS: [&str; 4] = ["32", "64", "128", "256"];
    let mut rows = Vec::new();
    let mut panels = Vec::new();
    let parameters = |width: usize| 65 * width + width * (width + 1) + (width + 1) * 64;
    let by_n = BATCHES.map(|batch| {
        (
            batch,
            "64,128,64",
            batch.parse::<usize>().unwrap_or(0) * 64,
            24_896,
        )
    });
    let by_p = WIDTHS.map(|width| {
        let hidden: &'static str = match width {
            "32" => "32,32",
            "64" => "64,64",
            "128" => "128,128",
            _ => "256,256",
        };
        ("8", hidden, 512, parameters(width.parse().unwrap_or(0)))
    });
    for (label, points, x) in [
        ("rows n, with p = 24,896", &by_n, 0),
        ("parameters p, with n = 512", &by_p, 1),
    ] {
        let mut curves = Vec::new();
        for (style, route) in ["gram", "lanczos", "svd"].into_iter().enumerate() {
            let mut curve = Curve {
                label: format!("route = {route}"),
                style,
                ..Curve::default()
            };
            for (batch, hidden, n, p) in points {
                let Some(peak) = peak_of_run(batch, hidden, route)? else {
                    continue;
                };
                curve.x.push(if x == 0 { *n } else { *p } as f64);
                curve.y.push(peak);
                rows.push(vec![
                    route.to_owned(),
                    n.to_string(),
                    p.to_string(),
                    format!("{peak:.0}"),
                    format!("{:.0}", (n * p * 8) as f64 / f64::from(1 << 20)),
                ]);
            }
            curves.push(curve);
        }
        panels.push(Panel::Chart(Chart {
            title: "peak memory of a run".into(),
            x: Axis::log(label),
            y: Axis::log("MiB"),
            curves,
            points: Vec::new(),
        }));
    }
    Ok(Exhibit {
        title: "peak memory of two HIG updates, Poisson problem".into(),
        panels,
        header: vec!["route", "n", "p", "peak MiB", "one J in MiB"],
        rows,
    })
}

/// Peak resident memory in MiB of a run of this program; none where the system does not tell.
fn peak_of_run(batch: &str, hidden: &str, route: &str) -> Result<Option<f64>> {
    let folder = std::env::temp_dir().join(format!("hig-memory-{}", std::process::id()));
    let mut child = provenance::program()
        .args([
            "run",
            "poisson",
            "--method",
            "hig",
            "--updates",
            "2",
            "--quiet",
            "--force",
        ])
        .args([
            "--threads",
            "1",
            "--set",
            "samples=64",
            "--set",
            "test_samples=64",
        ])
        .args(["--set", &format!("batch={batch}")])
        .args(["--set", &format!("hidden={hidden}")])
        .args(["--set", &format!("route={route}")])
        .arg("--out")
        .arg(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM"));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        peak = number.map(|kib| kib / 1024.0).or(peak);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let _ = std::fs::remove_dir_all(&folder);
    Ok(peak)
}
