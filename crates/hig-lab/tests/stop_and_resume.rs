//! Runs that are stopped, killed or run out of disk go on to the bits of one that never was.
//!
//! `HIG_KILLS=100 cargo test --release -p hig-lab --test stop_and_resume` kills a hundred runs.
#![cfg(unix)]

mod common;

use common::hig;
use hig::files::SavedState;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// Two methods, one of them a chain, with small batches: seconds of training, many updates.
const RUN: &str = "run toy --method adam:400+adaptive-hig --method hig --updates 900 --set samples=48 \
                   --set batch=16 --set test_samples=8 --quiet";

fn start(arguments: &str, out: &Path) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("hig"));
    command
        .args(arguments.split_whitespace())
        .arg("--out")
        .arg(out);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn finish(arguments: &str, out: &Path) -> Output {
    start(arguments, out).wait_with_output().unwrap()
}

fn resume(out: &Path, more: &[&str]) -> Output {
    let mut command = hig(&["resume", out.to_str().unwrap(), "--quiet"]);
    command.args(more).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The run that was never stopped, and how long it took.
fn whole(folder: &Path) -> (PathBuf, Duration) {
    let out = folder.join("whole");
    let clock = Instant::now();
    let output = finish(RUN, &out);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (out, clock.elapsed())
}

const METHODS: [&str; 2] = ["adam-400+adaptive-hig", "hig"];

/// Columns that depend on the clock.
fn timeless(text: &str) -> Vec<String> {
    let mut rows = text.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap_or_default();
    let clock = header.iter().position(|name| *name == "seconds");
    let rest = |row: Vec<&str>| {
        let cells = row.iter().enumerate().filter(|(i, _)| Some(*i) != clock);
        cells.map(|(_, cell)| *cell).collect::<Vec<_>>().join(",")
    };
    rows.map(rest).collect()
}

fn assert_same(found: &Path, expected: &Path, context: &str) {
    for method in METHODS {
        let file = |root: &Path, name: &str| fs::read(root.join(method).join(name)).unwrap();
        let text = |root: &Path, name: &str| String::from_utf8(file(root, name)).unwrap();
        let weights = "weights.safetensors";
        assert!(
            file(found, weights) == file(expected, weights),
            "{context}: {method}: other weights"
        );
        for name in [
            "metrics.csv",
            "diagnostics.csv",
            "steps.csv",
            "spectrum.csv",
        ] {
            if !expected.join(method).join(name).exists() {
                continue;
            }
            let (found, expected) = (
                timeless(&text(found, name)),
                timeless(&text(expected, name)),
            );
            let rows = found.iter().zip(&expected);
            if let Some((found, expected)) =
                rows.into_iter().find(|(found, expected)| found != expected)
            {
                panic!("{context}: {method}/{name}: {found} for {expected}");
            }
            assert_eq!(found.len(), expected.len(), "{context}: {method}/{name}");
        }
    }
    for name in ["summary.csv", "figures/loss.svg"] {
        assert!(found.join(name).is_file(), "{context}: {name}");
    }
}

/// What is told of the same budget; parts of it are among what warnings tell.
fn assert_same_warnings(found: &Path, expected: &Path, context: &str) {
    let mut told = 0;
    for method in METHODS {
        let text =
            |root: &Path| fs::read_to_string(root.join(method).join("warnings.csv")).unwrap();
        told += text(expected).lines().count() - 1;
        assert_eq!(text(found), text(expected), "{context}: {method}");
    }
    assert!(told > 0, "nothing is compared");
}

/// Numbers in [0, 1) that differ from run to run; the first is printed with a failure.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(now.unwrap().as_nanos() as u64)
    }

    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

/// Update of the last whole row of a table, if there is one.
fn last_update(path: &Path) -> Option<usize> {
    let text = fs::read_to_string(path).ok()?;
    let mut rows = text.split_inclusive('\n').filter(|row| row.ends_with('\n'));
    rows.next_back()?.split(',').next()?.parse().ok()
}

/// Updates that the newest readable checkpoint of a method knows.
fn kept(folder: &Path) -> Option<usize> {
    let (state, _) =
        hig::trainer::recover(&folder.join("checkpoint.safetensors"), |_| Ok(())).unwrap()?;
    Some(state.vector("training.updates").unwrap()[0] as usize)
}

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_bits() {
    let kills: usize = std::env::var("HIG_KILLS").map_or(5, |n| n.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let (expected, time) = whole(folder.path());
    let mut moments = Moments::new();
    let mut killed = 0;
    for run in 0.. {
        if killed >= kills {
            break;
        }
        let out = folder.path().join(format!("run-{run}"));
        let every = run % 2 == 0;
        let checkpoint = if every { "0" } else { "0.01" };
        let mut child = start(&format!("{RUN} --checkpoint {checkpoint}"), &out);
        // One run is killed again and again until it is through.
        loop {
            let wait = time.mul_f64(1.2 * moments.next());
            std::thread::sleep(wait);
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            let context = format!("run {run}, killed after {wait:?}");
            if output.status.success() {
                break;
            }
            assert_eq!(output.status.code(), None, "{context}: {}", stderr(&output));
            killed += 1;
            if !out.join("config.toml").exists() {
                // Killed before it began: nothing is there to go on with.
                child = start(&format!("{RUN} --force --checkpoint {checkpoint}"), &out);
                continue;
            }
            for method in METHODS.map(|method| out.join(method)) {
                let written = last_update(&method.join("metrics.csv")).unwrap_or(0);
                let kept = kept(&method).unwrap_or(0);
                assert!(
                    !every || kept + 1 >= written,
                    "{context}: {kept} of {written}"
                );
            }
            let mut command = Command::new(assert_cmd::cargo::cargo_bin("hig"));
            command
                .arg("resume")
                .arg(&out)
                .args(["--quiet", "--checkpoint", checkpoint]);
            let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            child = command.spawn().unwrap();
        }
        assert_same(&out, &expected, &format!("run {run}"));
        assert_same_warnings(&out, &expected, &format!("run {run}"));
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_run_that_is_asked_to_end_goes_on_to_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let (expected, _) = whole(folder.path());
    for (signal, method, rows) in [
        ("INT", METHODS[0], 3),
        ("TERM", METHODS[0], 300),
        ("TERM", METHODS[1], 5),
    ] {
        let context = format!("{signal} at {rows} of {method}");
        let out = folder.path().join(format!("{signal}-{method}-{rows}"));
        let mut child = start(RUN, &out);
        let metrics = out.join(method).join("metrics.csv");
        while last_update(&metrics).unwrap_or(0) < rows {
            assert!(
                child.try_wait().unwrap().is_none(),
                "{context}: it ended by itself"
            );
            std::thread::yield_now();
        }
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(130),
            "{context}: {}",
            stderr(&output)
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("interrupted; `hig resume"),
            "{context}: {text}"
        );
        let ended = fs::read_to_string(out.join(method).join("outcome.toml")).unwrap();
        assert!(
            ended.contains("ended = \"interrupted\""),
            "{context}: {ended}"
        );
        let output = resume(&out, &[]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{context}: {}",
            stderr(&output)
        );
        assert_same(&out, &expected, &context);
        assert_same_warnings(&out, &expected, &context);
    }
}

/// Runs in `sh` with a file system of its own, if this machine lets it.
fn in_own_file_system(script: &str) -> Option<Output> {
    let own = |script: &str| {
        Command::new("unshare")
            .args(["-rm", "sh", "-c", script])
            .output()
    };
    let allowed = own("mount -t tmpfs none /mnt").is_ok_and(|output| output.status.success());
    allowed.then(|| own(script).unwrap())
}

#[test]
fn a_run_on_a_full_disk_goes_on_once_there_is_room() {
    let folder = TempDir::new().unwrap();
    let (expected, _) = whole(folder.path());
    let program = assert_cmd::cargo::cargo_bin("hig");
    let program = program.display();
    let out = folder.path().join("limited");
    let script = format!(
        "ulimit -f 28; exec {program} {RUN} --checkpoint 0 --out {}",
        out.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("File too large"),
        "{}",
        stderr(&output)
    );
    assert!(kept(&out.join(METHODS[0])).is_some());
    let output = resume(&out, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same(&out, &expected, "a limit on the size of files");
    assert_same_warnings(&out, &expected, "a limit on the size of files");

    let disk = folder.path().join("disk");
    let out = folder.path().join("from-disk");
    fs::create_dir(&disk).unwrap();
    let (at, copy) = (disk.display(), out.display());
    let script = format!(
        "mount -t tmpfs -o size=80k none {at}; {program} {RUN} --checkpoint 0 --out {at}/run; echo code $?; \
         mount -o remount,size=64m {at}; {program} resume {at}/run --quiet; echo code $?; cp -r {at}/run {copy}"
    );
    if let Some(output) = in_own_file_system(&script) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("code 1\n") && text.contains("code 0\n"),
            "{text}{}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("No space left"),
            "{}",
            stderr(&output)
        );
        assert_same(&out, &expected, "a full disk");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let folder = TempDir::new().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let at = disk.display();
    let program = assert_cmd::cargo::cargo_bin("hig");
    let program = program.display();
    let script = format!(
        "mount -t tmpfs none {at}; {program} run toy --updates 3 --quiet --out {at}/run; mount -o remount,ro {at}; \
         {program} resume {at}/run --updates 9; echo code $?; {program} run toy --updates 3 --out {at}/other; echo code $?"
    );
    if let Some(output) = in_own_file_system(&script) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            text.matches("code 2\n").count(),
            2,
            "{text}{}",
            stderr(&output)
        );
        assert_eq!(
            stderr(&output).matches("Read-only file system").count(),
            2,
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_second_process_in_the_same_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let mut first = start("run toy --method hig --seconds 600 --quiet", &out);
    while last_update(&out.join("hig/metrics.csv")).is_none() {
        assert!(first.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let path = out.to_str().unwrap();
    for arguments in [
        &["resume", path][..],
        &["run", "toy", "--updates", "1", "--out", path],
        &["run", "toy", "--updates", "1", "--out", path, "--force"],
        &["sweep", "toy", "--updates", "1", "--out", path, "--force"],
    ] {
        let output = hig(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let message = stderr(&output);
        assert!(
            message.contains("results already") || message.contains("another process"),
            "{arguments:?}: {message}"
        );
    }
    let told = format!("another process ({}) works in this folder", first.id());
    assert!(stderr(&hig(&["resume", path]).output().unwrap()).contains(&told));
    assert!(
        first.try_wait().unwrap().is_none(),
        "the first was disturbed"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    let output = resume(&out, &["--updates", "5"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_told_of() {
    let folder = TempDir::new().unwrap();
    let (expected, _) = whole(folder.path());
    let out = folder.path().join("run");
    let first = RUN.replace("900", "650");
    assert!(
        finish(&format!("{first} --checkpoint 0"), &out)
            .status
            .success()
    );
    let damaged = out.join("hig/checkpoint.safetensors");
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&damaged, &bytes).unwrap();
    // Whatever the clock did since, the files are what counts.
    for (name, days) in [
        ("hig/checkpoint.previous.safetensors", 400),
        ("config.toml", 0),
    ] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86400 * 365 * 60 + days * 86400);
        File::options()
            .append(true)
            .open(out.join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    let truncated = out.join(METHODS[0]).join("checkpoint.safetensors");
    let bytes = fs::read(&truncated).unwrap();
    fs::write(&truncated, &bytes[..bytes.len() - 7]).unwrap();
    let output = resume(&out, &["--updates", "900"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert_eq!(
        message.matches("its checksum is wrong").count(),
        2,
        "{message}"
    );
    assert_eq!(
        message
            .matches("going on from the checkpoint before")
            .count(),
        2,
        "{message}"
    );
    assert_same(&out, &expected, "damaged");
}

#[test]
fn a_table_that_has_lost_or_changed_something_is_told_of() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let run = "run toy --method hig --updates 40 --set evaluate_every=1 --quiet";
    assert!(finish(run, &out).status.success());
    let tables = [
        "metrics.csv",
        "diagnostics.csv",
        "steps.csv",
        "spectrum.csv",
        "timing.csv",
    ];
    let path = |table: &str| out.join("hig").join(table);
    let whole = tables.map(|table| fs::read(path(table)).unwrap());
    let restore = || {
        for (table, bytes) in tables.iter().zip(&whole) {
            fs::write(path(table), bytes).unwrap();
        }
    };
    let flip = |bytes: &[u8]| {
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() / 2] ^= 1;
        flipped
    };
    for (table, bytes) in tables.iter().zip(&whole) {
        let half = bytes[..bytes.len() / 2].to_vec();
        for (spoilt, words) in [
            (half, "are lost"),
            (Vec::new(), "all of its rows are lost"),
            (flip(bytes), "its checksum is not the one"),
        ] {
            restore();
            fs::write(path(table), spoilt).unwrap();
            // The training has ended, and is read or resumed as it is.
            for command in ["compare", "resume"] {
                let output = hig(&[command, out.to_str().unwrap()]).output().unwrap();
                let message = stderr(&output);
                assert_eq!(output.status.code(), Some(0), "{table}: {message}");
                assert!(message.contains(&format!("hig/{table}")), "{message}");
                assert_eq!(message.matches(".csv").count(), 1, "{message}");
            }
            // The training goes on, where the outcome is of no more use.
            let copy = folder.path().join("copy");
            let copied = Command::new("cp").arg("-r").args([&out, &copy]).status();
            assert!(copied.unwrap().success());
            let output = resume(&copy, &["--updates", "60"]);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(0), "{table}: {message}");
            let place = message.find(&format!("hig/{table}")).unwrap();
            assert!(message[place..].contains(words), "{message}");
            assert_eq!(message.matches(".csv").count(), 1, "{message}");
            fs::remove_dir_all(copy).unwrap();
        }
    }
    restore();
    let weights = out.join("hig/weights.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&weights, flipped).unwrap();
    let output = resume(&out, &[]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert!(
        message.contains("hig/weights.safetensors") && message.contains("checksum is wrong"),
        "{message}"
    );
    assert!(fs::read(&weights).unwrap() == bytes);
}

#[test]
fn drafts_of_a_killed_process_are_removed_with_the_next_work_there() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let run = "run toy --method hig --updates 3 --quiet";
    assert!(finish(run, &out).status.success());
    let (drafts, others) = (
        [".123-0.part", "hig/.77-31.part", "figures/.loss.123.tmp"],
        [
            ".notes.part",
            "hig/.mine-2.part",
            "figures/draft.12.tmp",
            "hig/.12-3.part.txt",
        ],
    );
    for name in drafts.iter().chain(&others) {
        fs::write(out.join(name), "half").unwrap();
    }
    assert!(resume(&out, &["--updates", "5"]).status.success());
    assert!(drafts.iter().all(|name| !out.join(name).exists()));
    assert!(others.iter().all(|name| out.join(name).exists()));
}

#[test]
fn checkpoints_that_cannot_be_used_are_refused_before_any_work() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let output = finish(&RUN.replace("900", "30"), &out);
    assert!(output.status.success());
    let [chain, hig_folder] = METHODS.map(|method| out.join(method));
    let own = fs::read(hig_folder.join("checkpoint.safetensors")).unwrap();
    for name in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
        fs::write(hig_folder.join(name), b"{}").unwrap();
    }
    let before = fs::read(chain.join("metrics.csv")).unwrap();
    let output = resume(&out, &["--updates", "40"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("no checkpoint of hig") && message.contains("remove them"),
        "{message}"
    );
    let foreign = chain.join("checkpoint.safetensors");
    fs::copy(&foreign, hig_folder.join("checkpoint.safetensors")).unwrap();
    let message = stderr(&resume(&out, &["--updates", "40"]));
    assert!(
        message
            .contains("belongs to another training: method is adam:400+adaptive-hig there and hig"),
        "{message}"
    );
    assert_eq!(fs::read(chain.join("metrics.csv")).unwrap(), before);

    fs::write(hig_folder.join("checkpoint.safetensors"), own).unwrap();
    let config = out.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("cutoff = 1e-5", "cutoff = 1e-3")).unwrap();
    // Whether there is more to train or not.
    for more in [&["--updates", "40"][..], &[]] {
        let output = resume(&out, more);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        let message = stderr(&output);
        assert!(
            message.contains("cutoff is 1e-5 there and 0.001 here"),
            "{message}"
        );
    }
    assert_eq!(fs::read(chain.join("metrics.csv")).unwrap(), before);
}

#[test]
fn given_samples_and_weights_that_were_replaced_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let quick = "run toy --method adam --updates 3 --quiet --set samples=32 --set test_samples=8 \
                 --set batch=16";
    for (seed, weights, data) in [(0, "w0", "d0"), (1, "w1", "d1")] {
        let (weights, data) = (path(weights), path(data));
        let (weights, data) = (weights.display(), data.display());
        let arguments =
            format!("{quick} --seed {seed} --save-weights {weights} --save-data {data}");
        assert!(
            finish(&arguments, &path(&format!("made-{seed}")))
                .status
                .success()
        );
    }
    let (weights, data) = (path("w0"), path("d0"));
    let (weights, data) = (weights.display(), data.display());
    let out = path("run");
    assert!(
        finish(&format!("{quick} --weights {weights} --data {data}"), &out)
            .status
            .success()
    );
    for (copy, other, told) in [
        (
            "given-weights.safetensors",
            "w1",
            "parameters at the start are others",
        ),
        (
            "given-data.safetensors",
            "d1",
            "training samples (input) are others",
        ),
    ] {
        let copy = out.join(copy);
        let kept = fs::read(&copy).unwrap();
        fs::copy(path(other), &copy).unwrap();
        let output = resume(&out, &["--updates", "9"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
        fs::write(&copy, kept).unwrap();
    }
    let output = resume(&out, &["--updates", "9"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_longer_budget_goes_on_from_the_end() {
    let folder = TempDir::new().unwrap();
    let (expected, _) = whole(folder.path());
    let out = folder.path().join("run");
    // Within the first phase, at its end, and within the second.
    for updates in ["250", "400", "601"] {
        let output = finish(&format!("{} --force", RUN.replace("900", updates)), &out);
        assert!(output.status.success(), "{}", stderr(&output));
        let output = resume(&out, &["--updates", "900"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_same(&out, &expected, updates);
        let again = resume(&out, &[]);
        assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
        assert_same(&out, &expected, "nothing left to do");
    }
    let config = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(config.contains("updates = 900"), "{config}");
    let about = fs::read_to_string(out.join("run.toml")).unwrap();
    let about: toml::Table = about.parse().unwrap();
    assert_eq!(about["resumed"].as_array().unwrap().len(), 2);
}

#[test]
fn a_budget_that_is_used_up_already_is_refused_and_the_configuration_stays() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let run = "run toy --method adam --updates 30 --quiet --set samples=48 --set batch=16";
    assert!(finish(run, &out).status.success());
    let config = fs::read(out.join("config.toml")).unwrap();
    for less in [&["--updates", "5"][..], &["--epochs", "1"]] {
        let output = resume(&out, less);
        assert_eq!(output.status.code(), Some(2), "{less:?}");
        let message = stderr(&output);
        let told = "is less than adam has trained already: 30 updates";
        assert!(message.contains(told), "{message}");
        assert_eq!(fs::read(out.join("config.toml")).unwrap(), config);
    }
    // Nor does a run that is refused for another reason leave another configuration behind.
    let text = String::from_utf8(config).unwrap();
    let edited = text.replace("learning_rate = ", "learning_rate = 1");
    fs::write(out.join("config.toml"), &edited).unwrap();
    assert_eq!(resume(&out, &["--updates", "40"]).status.code(), Some(2));
    assert_eq!(fs::read_to_string(out.join("config.toml")).unwrap(), edited);
    fs::write(out.join("config.toml"), text).unwrap();
    assert!(resume(&out, &["--updates", "30"]).status.success());
    assert!(resume(&out, &["--updates", "40"]).status.success());
}

#[test]
fn a_schedule_that_goes_on_under_another_budget_is_told() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let run = "run toy --method adam --method adam:20+hig --updates 30 --quiet --set samples=48 \
               --set batch=16";
    let told = "schedule = cosine goes by the budget, which was 30 updates and is 60 updates: after \
                update 30 the learning rate goes from 0.010 to 0.505 of its full size";
    assert!(finish(run, &out).status.success());
    let output = resume(&out, &["--updates", "60"]);
    assert!(!stderr(&output).contains("schedule"), "{}", stderr(&output));
    assert!(
        finish(&format!("{run} --set schedule=cosine --force"), &out)
            .status
            .success()
    );
    let output = resume(&out, &[]);
    assert!(!stderr(&output).contains("schedule"), "{}", stderr(&output));
    let output = resume(&out, &["--updates", "60"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stderr(&output).matches(told).count(),
        2,
        "{}",
        stderr(&output)
    );
    for method in ["adam", "adam-20+hig"] {
        let warnings = fs::read_to_string(out.join(method).join("warnings.csv")).unwrap();
        assert!(
            warnings.contains("30,schedule,\"schedule = cosine"),
            "{warnings}"
        );
    }
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    for (arguments, told) in [
        (vec!["resume", path], "expected the folder of a run"),
        (vec!["resume", "nowhere"], "nowhere"),
        (vec!["run", "toy", "--checkpoint=-1"], "--checkpoint -1"),
        (vec!["run", "toy", "--checkpoint", "nan"], "at least 0"),
    ] {
        let output = hig(&arguments).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}

#[test]
fn a_checkpoint_can_be_looked_into() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    assert!(finish(&RUN.replace("900", "30"), &out).status.success());
    let state = SavedState::load(&out.join("hig/checkpoint.safetensors")).unwrap();
    assert_eq!(state.text("training"), Some("hig"));
    assert_eq!(state.text("whose.cutoff"), Some("1e-5"));
    assert_eq!(state.text("whose.system"), Some("toy"));
    assert_eq!(state.vector("training.updates"), Some(&[30.0][..]));
}

/// The library that lets a process see another clock, where it is installed (Debian's `faketime`).
fn other_clock() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| path.exists())
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let Some(library) = other_clock() else {
        eprintln!("skipped: faketime is not installed");
        return;
    };
    let folder = TempDir::new().unwrap();
    let (expected, _) = whole(folder.path());
    let out = folder.path().join("run");
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0\n").unwrap();
    let begun = Instant::now();
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("hig"))
        .args(format!("{RUN} --checkpoint 0.01").split_whitespace())
        .arg("--out")
        .arg(&out)
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        // Durations are measured by the monotonic clock, which no one can set.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut days = 0;
    while child.try_wait().unwrap().is_none() {
        days = 7 - 3 * days;
        fs::write(&clock, format!("{days:+}d\n")).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert_same(&out, &expected, "jumps");
    let took = begun.elapsed().as_secs_f64();
    for method in METHODS {
        let metrics = fs::read_to_string(out.join(method).join("metrics.csv")).unwrap();
        let seconds = metrics
            .lines()
            .skip(1)
            .map(|row| row.split(',').nth(2).unwrap().parse::<f64>());
        let seconds: Vec<f64> = seconds.map(Result::unwrap).collect();
        assert!(seconds.is_sorted() && seconds[0] == 0.0, "{seconds:?}");
        assert!(seconds[seconds.len() - 1] <= took, "{seconds:?} in {took}");
    }
}

#[test]
fn many_trainings_that_are_interrupted_say_so_by_their_exit_code() {
    let folder = TempDir::new().unwrap();
    for (name, arguments) in [
        ("sweep", "sweep toy --seeds 0,1 --updates 100000000 --quiet"),
        (
            "study",
            "study chapter --seeds 2 --updates 100000000 --quiet",
        ),
        ("reproduce", "reproduce paper --seeds 1 --scale 100 --quiet"),
    ] {
        for signal in ["-INT", "-TERM"] {
            let out = folder.path().join(format!("{name}{signal}"));
            let mut child = start(arguments, &out);
            let clock = Instant::now();
            // Signals are listened for before the first training.
            while !out.join("trials").is_dir() {
                assert!(child.try_wait().unwrap().is_none(), "{name} has ended");
                assert!(clock.elapsed() < Duration::from_secs(60), "{name}");
                std::thread::sleep(Duration::from_millis(10));
            }
            let kill = Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status();
            assert!(kill.unwrap().success());
            let output = child.wait_with_output().unwrap();
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(130), "{name}{signal}: {told}");
            assert!(
                told.contains("goes on from the finished trainings") && !told.contains("error:"),
                "{name}{signal}: {told}"
            );
        }
    }
}

#[test]
fn going_on_leaves_the_files_of_the_user_alone() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let own = "time,value\n0,1\n3,2\n99999,3\nunfinished";
    let mut child = start(&format!("{RUN} --checkpoint 0"), &out);
    let method = out.join(METHODS[0]);
    while !method.join("checkpoint.safetensors").is_file() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::create_dir_all(out.join(METHODS[1])).unwrap();
    for method in METHODS {
        fs::write(out.join(method).join("mine.csv"), own).unwrap();
    }
    let output = resume(&out, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for method in METHODS {
        let mine = fs::read_to_string(out.join(method).join("mine.csv")).unwrap();
        assert_eq!(mine, own, "{method}");
    }
}

#[test]
fn starting_anew_leaves_the_files_of_the_user_alone() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let run = "run toy --method adam --method gn --updates 3 --tensorboard --checkpoint 0 --quiet";
    assert_eq!(finish(run, &out).status.code(), Some(0));
    fs::write(out.join("adam/mine.csv"), "mine").unwrap();
    let anew = "run toy --method hig --updates 3 --quiet --force";
    assert_eq!(finish(anew, &out).status.code(), Some(0));
    let left = fs::read_dir(out.join("adam")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.csv"]);
    assert!(!out.join("gn").exists());
}
