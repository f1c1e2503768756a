//! Whatever bytes are read: no panic, no overflow of the stack, and memory in proportion to them.

use hig::Dataset;
use hig::files::SavedState;
use hig::files::Tensors;
use hig::network::{Activation, Initializer, Network};
use hig_lab::commands::sweep;
use hig_lab::configuration::Config;
use hig_lab::method_chain;
use hig_lab::run_folder::outcome::Outcome;
use hig_lab::run_folder::tables::Columns;
use hig_lab::run_folder::{self, metrics, spectrum, steps, summary, timing, warnings};
use peak_alloc::PeakAlloc;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use std::fs;
use std::path::{Path, PathBuf};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// One way into the program, by the name of its fuzz target, and what it may take.
struct Parser {
    target: &'static str,
    read: fn(&[u8]),
    /// Bytes of memory for each byte that is read; of TOML and JSON an empty table takes the most.
    factor: usize,
}

/// Bytes of memory for any input: buffers, names of systems and methods with their settings.
const CONSTANT: usize = 1 << 20;

const PARSERS: [Parser; 7] = [
    Parser {
        target: "configuration",
        read: configuration,
        factor: 1000,
    },
    Parser {
        target: "assignments",
        read: assignments,
        factor: 1000,
    },
    Parser {
        target: "safetensors",
        read: safetensors,
        factor: 50,
    },
    Parser {
        target: "checkpoint",
        read: checkpoint,
        factor: 50,
    },
    Parser {
        target: "tables",
        read: tables,
        factor: 200,
    },
    Parser {
        target: "outcome",
        read: outcome,
        factor: 1000,
    },
    Parser {
        target: "pictures",
        read: pictures,
        factor: 200,
    },
];

fn configuration(bytes: &[u8]) {
    let config = Config::parse(Path::new("any.toml"), bytes.to_vec());
    let _ = config.and_then(|config| config.chains(&[]));
}

fn assignments(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (name, seeds, chain) = (line(), line(), line().to_owned());
    let _ = sweep::seeds(seeds);
    let Ok(mut system) = hig::systems::system(name) else {
        return;
    };
    if let Ok(mut chains) = method_chain::chains(system.as_ref(), &[chain]) {
        for assignment in lines {
            let _ = method_chain::set(system.as_mut(), &mut chains, assignment);
        }
    }
}

fn safetensors(bytes: &[u8]) {
    let network = Network::mlp(&[1, 2, 2], Activation::Tanh, Initializer::Glorot);
    if let Ok(tensors) = Tensors::from_bytes(Path::new("any"), bytes) {
        let _ = network.parameters_from(&tensors);
        let _ = Dataset::from_tensors(&tensors, 1);
    }
}

fn checkpoint(bytes: &[u8]) {
    let _ = SavedState::from_bytes(bytes);
}

fn tables(bytes: &[u8]) {
    let _ = Columns::of(bytes);
    let _ = metrics::parse(bytes);
    let _ = steps::parse(bytes);
    let _ = timing::parse(bytes);
    let _ = spectrum::parse(bytes);
    let _ = warnings::parse(bytes);
    let _ = summary::parse(bytes);
}

fn outcome(bytes: &[u8]) {
    let _ = Outcome::parse(&String::from_utf8_lossy(bytes));
}

fn pictures(bytes: &[u8]) {
    let _ = run_folder::pictures::parse(bytes);
}

impl Parser {
    /// Reads, and answers an input that took too much.
    fn hold(&self, bytes: &[u8]) -> Result<(), TestCaseError> {
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        (self.read)(bytes);
        let peak = HEAP.peak_usage().saturating_sub(before);
        let most = CONSTANT + self.factor * bytes.len();
        let (target, length) = (self.target, bytes.len());
        prop_assert!(
            peak <= most,
            "{target}: {peak} bytes for {length}, at most {most}"
        );
        Ok(())
    }

    /// Files that the program has written.
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(corpus().join(self.target))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// What nobody writes by accident.
fn hostile() -> Vec<Vec<u8>> {
    const LONG: usize = 100_000;
    let header = |json: &str| [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
    let tensor = |shape: &str, end: &str| {
        let entry = r#"{"dtype":"F64","shape":SHAPE,"data_offsets":[0,END]}"#;
        let entry = entry.replace("SHAPE", shape).replace("END", end);
        header(&format!(r#"{{"input":{entry},"target":{entry}}}"#))
    };
    let before = |start: &str, text: &str| (start.to_owned() + text).into_bytes();
    let run = "[run]\nsystem = \"toy\"\n";
    let many = |text: &str| text.repeat(LONG / text.len());
    let mut inputs = vec![
        Vec::new(),
        vec![0; LONG],
        vec![0xff; LONG],
        u64::MAX.to_le_bytes().to_vec(),
        [&99_999_999_u64.to_le_bytes()[..], b"{"].concat(),
        header(&many("{\"a\":")),
        header(&many("[")),
        tensor("[1000000000000]", "8000000000000"),
        tensor("[4294967296,4294967296]", "0"),
        tensor("[0,18446744073709551615]", "0"),
        tensor("[18446744073709551615,0]", "0"),
        tensor("[9223372036854775807,0,3]", "0"),
        before(run, &format!("hidden = {}", many("["))),
        before(run, &format!("[{}x]\n", many("a."))),
        before(run, &format!("{}x = 1\n", many("a."))),
        before(run, &format!("[system]\nhidden = [{}1]\n", many("1,"))),
        before(run, &format!("methods = [\"{}hig\"]\n", many("adam:1+"))),
        before(run, &format!("[system]\nsamples = {}\n", many("9"))),
        before(run, &format!("[system]\nlambda = 0.{}\n", many("1"))),
        before(run, &many("x = {}\n")),
        before(run, &format!("x = [{}]", many("{},"))),
        before("", &many("{a=")),
        before("{\"pictures\":[", &many("{\"\":0},")),
        before("{\"pictures\":[", &many("[")),
        before("{\"pictures\":[", &format!("{}0]}}", many("0,"))),
        before("toy\n0..18446744073709551615\nhig\n", ""),
        before("toy\n0..4\n", &format!("{}hig\n", many("adam:1+"))),
        before("toy\n0..4\nadam:18446744073709551615+adam:1+hig\n", ""),
        before("toy\n0..4\nhig\n", &format!("hidden={}1", many("1,"))),
        before("toy\n0..4\nhig\n", &format!("{}=1", many("h"))),
        before("toy\n0..4\n", &many("h")),
        before(&many("t"), "\n0..4\nhig\n"),
        before("", &many(",")),
        before("update,test_loss\n\"", &many("a line\n")),
        before("update,quantity,value\n", &many("1,\n,")),
        before(
            "update,quantity,value\n",
            &format!("1,\"{}\",1\n", many("n")),
        ),
        before("update,name,message,advice\n", &many("1,,,\n")),
        before("update,index,singular_value\n", &many("1,1,1\n")),
        before(
            "method,updates,seconds,train_loss,test_loss,consumes,stop\n",
            &many(",,,,,,\n"),
        ),
        before("\u{feff}", run),
        before("", &run.replace('\n', "\r\n")),
        before(run, "\0"),
        [run.as_bytes(), &[0xc3, 0x28]].concat(),
    ];
    let names: String = (0..LONG / 10).map(|k| format!("1,n{k},1\n")).collect();
    inputs.push(before("update,quantity,value\n", &names));
    inputs
}

/// A file that was changed at some places and cut off, or another's.
fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<Index>(), vec(any::<u8>(), 0..4), 0..4_usize), 0..8);
    let end = proptest::option::of(any::<Index>());
    (any::<Index>(), changes, end).prop_map(move |(seed, changes, end)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        for (place, put, drop) in changes {
            let place = place.index(bytes.len() + 1);
            let after = (place + drop).min(bytes.len());
            bytes.splice(place..after, put);
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        bytes
    })
}

/// One test, for the memory is that of the whole process.
#[test]
fn whatever_is_read_takes_memory_in_proportion() {
    let greedy = Parser {
        target: "greedy",
        read: |bytes| drop(vec![1_u8; 2 * CONSTANT + bytes.len()]),
        factor: 1,
    };
    assert!(greedy.hold(&[0; 100]).is_err());

    let config = ProptestConfig::with_cases(if cfg!(debug_assertions) { 50 } else { 400 });
    for parser in PARSERS {
        let seeds = parser.seeds();
        assert!(!seeds.is_empty(), "{}", parser.target);
        for bytes in seeds.iter().chain(&hostile()) {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
            if let Err(error) = parser.hold(bytes) {
                panic!("{error} of {shown:?}");
            }
        }
        let any = prop_oneof![vec(any::<u8>(), 0..300), mutated(seeds)];
        let mut runner = TestRunner::new(config.clone());
        if let Err(error) = runner.run(&any, |bytes| parser.hold(&bytes)) {
            panic!("{}: {error}", parser.target);
        }
    }
}
