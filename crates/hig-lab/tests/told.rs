//! What a run tells while it trains: its files, as their readers meet them.

mod common;

use common::hig;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn run(arguments: &str, out: &Path) -> String {
    let words: Vec<&str> = arguments.split(' ').collect();
    let run = hig(&words).arg("--quiet").arg("--out").arg(out).assert();
    String::from_utf8(run.success().get_output().stdout.clone()).unwrap()
}

/// The cells of a table without quoted ones, after its header.
fn cells(path: &Path, header: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(header), "{}", path.display());
    let row = |line: &str| line.split(',').map(str::to_owned).collect();
    lines.map(row).collect()
}

fn number(cell: &str) -> f64 {
    cell.parse().unwrap()
}

#[test]
fn a_run_tells_spectrum_and_times_and_pictures() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let small = "--set samples=256 --set test_samples=64";
    let output = run(
        &format!("run linear-oscillators --method adam --method hig --updates 20 {small}"),
        &out,
    );
    let metrics = cells(
        &out.join("hig/metrics.csv"),
        "update,epoch,seconds,train_loss,test_loss",
    );
    let updates: Vec<&str> = metrics.iter().map(|row| row[0].as_str()).collect();

    // n = 32·4 values, of which 64 are told, the first and the last among them.
    let rows = cells(&out.join("hig/spectrum.csv"), "update,index,singular_value");
    let mut spectra: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for row in &rows {
        let spectrum = spectra.entry(row[0].parse().unwrap()).or_default();
        spectrum.push((row[1].parse().unwrap(), number(&row[2])));
    }
    let told: Vec<String> = spectra.keys().map(usize::to_string).collect();
    assert_eq!(told, updates[1..]);
    for spectrum in spectra.values() {
        assert!(spectrum.len() <= 64);
        assert_eq!((spectrum[0].0, spectrum.last().unwrap().0), (0, 127));
        let falls = |pair: &[(usize, f64)]| pair[0].0 < pair[1].0 && pair[0].1 >= pair[1].1;
        assert!(spectrum.windows(2).all(falls));
    }
    // Adam decomposes nothing.
    assert!(
        cells(
            &out.join("adam/spectrum.csv"),
            "update,index,singular_value"
        )
        .is_empty()
    );

    for method in ["adam", "hig"] {
        let rows = cells(&out.join(method).join("timing.csv"), "update,part,seconds");
        let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for row in &rows {
            seconds.entry(&row[1]).or_default().push(number(&row[2]));
        }
        let parts = "decompose direction evaluate forward gram record step";
        let told: Vec<&str> = seconds.keys().copied().collect();
        assert_eq!(told, parts.split(' ').collect::<Vec<_>>(), "{method}");
        for (part, seconds) in &seconds {
            assert_eq!(seconds.len(), updates.len(), "{method} {part}");
            assert!(seconds.is_sorted(), "{method} {part}");
        }
        let last = |part: &str| *seconds[part].last().unwrap();
        // What the updates took, but for the choice of batches and the way to other threads.
        let whole = ["forward", "gram", "decompose", "direction", "step"].map(last);
        let whole: f64 = whole.iter().sum();
        let metrics = fs::read_to_string(out.join(method).join("metrics.csv")).unwrap();
        let measured = number(metrics.lines().last().unwrap().split(',').nth(2).unwrap());
        // How much is left is a matter of the machine: threads that wait for a core.
        assert!(0.0 < whole && whole <= measured, "{whole} {measured}");
        assert!(last("forward") > 0.0 && last("evaluate") > 0.0 && last("record") > 0.0);
        assert_eq!(last("decompose") > 0.0, method == "hig");
        assert!(last("direction") > 0.0);
    }

    let pictures = fs::read_to_string(out.join("hig/pictures.json")).unwrap();
    let pictures: serde_json::Value = serde_json::from_str(&pictures).unwrap();
    assert_eq!(
        (&pictures["update"], &pictures["sample"]),
        (&20.into(), &0.into())
    );
    let first = &pictures["pictures"][0];
    assert_eq!(first["kind"], "lines");
    assert!(first["lines"][0]["y"].as_array().unwrap().len() > 1);

    // Nothing went wrong, and nobody says so.
    for method in ["adam", "hig"] {
        assert!(
            cells(
                &out.join(method).join("warnings.csv"),
                "update,name,message,advice"
            )
            .is_empty()
        );
    }
    assert!(!output.contains("try "), "{output}");
}

#[test]
fn a_system_without_pictures_has_no_file_of_them() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    run("run toy --method hig --updates 3", &out);
    assert!(out.join("hig/metrics.csv").exists() && !out.join("hig/pictures.json").exists());
}

#[test]
fn warnings_stand_in_a_file_and_again_at_the_end() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let output = run(
        "run toy --method hig --updates 20 --set learning_rate=30 --set cutoff=1e-12",
        &out,
    );
    let file = fs::read_to_string(out.join("hig/warnings.csv")).unwrap();
    let mut lines = file.lines();
    assert_eq!(lines.next(), Some("update,name,message,advice"));
    let first = lines.next().unwrap();
    assert!(
        first.starts_with("4,explosion,\"the training loss is "),
        "{first}"
    );
    assert!(file.contains("\n5,saturation,\"neurons are"), "{file}");
    assert!(
        output.contains("\nhig:\n  update 4: the training loss is"),
        "{output}"
    );
    assert!(
        output.contains("\n  update 5: neurons are saturated"),
        "{output}"
    );
    assert!(
        output.contains("    try a smaller learning_rate (now 30)"),
        "{output}"
    );
}

#[test]
fn event_files_are_written_where_they_are_asked_for() {
    let folder = TempDir::new().unwrap();
    let events = |out: &Path| -> Vec<Vec<u8>> {
        let entries = fs::read_dir(out.join("hig")).unwrap().map(Result::unwrap);
        let named = entries.filter(|e| e.file_name().to_string_lossy().contains("tfevents"));
        named.map(|e| fs::read(e.path()).unwrap()).collect()
    };
    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    run("run toy --method hig --updates 3 --tensorboard", &with);
    run("run toy --method hig --updates 3", &without);
    assert!(events(&without).is_empty());
    let [file] = &events(&with)[..] else {
        panic!("one file");
    };
    // Length, its checksum, the message, its checksum; to the very end. Four evaluations follow the
    // version and the beginning.
    let (mut rest, mut records) = (&file[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(&rest[12..12 + length]);
        rest = &rest[16 + length..];
    }
    let holds = |record: &[u8], text: &str| {
        let text = text.as_bytes();
        record.windows(text.len()).any(|part| part == text)
    };
    assert_eq!(records.len(), 6);
    assert!(holds(records[0], "brain.Event:2"));
    for record in &records[2..] {
        assert!(holds(record, "loss/train") && holds(record, "loss/test"));
    }
    for tag in ["step/rank", "seconds/gram", "spectrum/log10_singular_value"] {
        assert!(holds(records[5], tag), "{tag}");
    }
}
