//! Files: what is written is read back, and what is wrong is an error that says what.

mod common;

use common::*;
use hig::data::Dataset;
use hig::files::{Precision, Tensors};
use hig::linalg::Mat;
use hig::network::{Activation, Initializer, Network};
use hig::step::Adam;
use hig::systems::{System, Toy};
use hig::trainer::{Budget, MetricsWriter, Observer, Training, train};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use std::path::{Path, PathBuf};

fn network() -> Network {
    Network::mlp(&[3, 4, 2], Activation::Tanh, Initializer::Glorot)
}

/// Numbers with every bit of the mantissa in use, and the special ones that are finite.
fn parameters() -> Vec<f64> {
    let mut numbers = normal_vector(network().parameter_count(), 3);
    numbers[..5].copy_from_slice(&[-0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, 1.0 / 3.0]);
    numbers
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The right tensors of the network above, to be spoilt.
fn right() -> Tensors {
    let mut tensors = Tensors::default();
    tensors.insert("layers.0.weight", vec![4, 3], vec![0.1; 12]);
    tensors.insert("layers.0.bias", vec![4], vec![0.2; 4]);
    tensors.insert("layers.1.weight", vec![2, 4], vec![0.3; 8]);
    tensors.insert("layers.1.bias", vec![2], vec![0.4; 2]);
    tensors
}

fn write(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
        (*name, view)
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn little_endian(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn weights_come_back_bit_for_bit() {
    let (folder, network) = (folder(), network());
    let path = folder.path().join("weights.safetensors");
    network.save_parameters(&parameters(), &path).unwrap();
    let read = network.load_parameters(&path).unwrap();
    assert_eq!(bits(&read), bits(&parameters()));
}

#[test]
fn weights_in_single_precision_come_back_rounded_to_nearest() {
    let (folder, network) = (folder(), network());
    let path = folder.path().join("weights.safetensors");
    let numbers = normal_vector(network.parameter_count(), 3);
    network
        .save_parameters_as(&numbers, &path, Precision::Single)
        .unwrap();
    let read = network.load_parameters(&path).unwrap();
    for (a, b) in read.iter().zip(&numbers) {
        assert_eq!(f64::from(*a as f32).to_bits(), a.to_bits());
        assert!((a / b - 1.0).abs() <= 2.0_f64.powi(-24));
    }
    assert_ne!(bits(&read), bits(&numbers));
}

#[test]
fn weights_are_named_and_laid_out_as_pytorch_does() {
    let (folder, network) = (folder(), network());
    let path = folder.path().join("weights.safetensors");
    let numbers = normal_vector(network.parameter_count(), 3);
    network.save_parameters(&numbers, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str, shape: &[usize]| {
        let view = file.tensor(name).unwrap();
        assert_eq!((view.dtype(), view.shape()), (Dtype::F64, shape));
        let numbers = view.data().as_chunks::<8>().0.iter();
        numbers.map(|b| f64::from_le_bytes(*b)).collect::<Vec<_>>()
    };
    let (w0, b0) = (
        tensor("layers.0.weight", &[4, 3]),
        tensor("layers.0.bias", &[4]),
    );
    let (w1, b1) = (
        tensor("layers.1.weight", &[2, 4]),
        tensor("layers.1.bias", &[2]),
    );
    assert_eq!(file.names().len(), 4);

    // output = W·x + b with row-major W (out × in), as torch.nn.Linear reads it.
    let x = [0.3, -1.2, 0.8];
    let linear = |w: &[f64], b: &[f64], x: &[f64]| -> Vec<f64> {
        let rows = w.chunks(x.len()).zip(b);
        rows.map(|(row, b)| dot(row, x) + b).collect()
    };
    let hidden: Vec<f64> = linear(&w0, &b0, &x).iter().map(|v| v.tanh()).collect();
    let expected = linear(&w1, &b1, &hidden);
    let input = Mat::from_fn(1, 3, |_, j| x[j]);
    let found = network.predict(&numbers, input.as_ref());
    assert!(relative(&[found[(0, 0)], found[(0, 1)]], &expected) <= 1e-14);
}

#[test]
fn weights_written_by_others_in_either_precision_are_read() {
    let (folder, network) = (folder(), network());
    let path = folder.path().join("weights.safetensors");
    let single = |values: &[f64]| {
        values
            .iter()
            .flat_map(|v| (*v as f32).to_le_bytes())
            .collect()
    };
    write(
        &path,
        &[
            ("layers.1.bias", Dtype::F32, vec![2], single(&[0.5, 0.25])),
            (
                "layers.0.bias",
                Dtype::F64,
                vec![4],
                little_endian(&[0.1; 4]),
            ),
            (
                "layers.1.weight",
                Dtype::F32,
                vec![2, 4],
                single(&[-2.0; 8]),
            ),
            (
                "layers.0.weight",
                Dtype::F64,
                vec![4, 3],
                little_endian(&[0.3; 12]),
            ),
        ],
    );
    let expected = [&[0.3; 12][..], &[0.1; 4], &[-2.0; 8], &[0.5, 0.25]].concat();
    assert_eq!(network.load_parameters(&path).unwrap(), expected);
}

#[test]
fn tensors_that_do_not_fit_the_network_are_refused_by_name() {
    type Spoil = fn(&mut Tensors);
    let cases: [(Spoil, &[&str]); 5] = [
        (
            |t| t.insert("layers.0.weight", vec![3, 4], vec![0.0; 12]),
            &["layers.0.weight", "[3, 4]", "expected [4, 3]"],
        ),
        (
            |t| t.insert("layers.1.bias", vec![2, 1], vec![0.0; 2]),
            &["layers.1.bias", "[2, 1]", "expected [2]"],
        ),
        (
            |t| t.insert("layers.2.weight", vec![1], vec![0.0]),
            &[
                "layers.2.weight",
                "not part of this network",
                "layers.1.bias",
            ],
        ),
        (
            |t| t.insert("layers.0.bias", vec![4], vec![0.0, 0.0, f64::NAN, 0.0]),
            &["layers.0.bias", "NaN", "index 2", "finite"],
        ),
        (
            |t| t.insert("layers.0.bias", vec![4], vec![f64::NEG_INFINITY; 4]),
            &["layers.0.bias", "-inf", "index 0"],
        ),
    ];
    let folder = folder();
    for (spoil, parts) in cases {
        let path = folder.path().join("weights.safetensors");
        let mut tensors = right();
        tensors.save(&path).unwrap();
        assert!(network().load_parameters(&path).is_ok());
        spoil(&mut tensors);
        tensors.save(&path).unwrap();
        assert_message(network().load_parameters(&path), parts);
        assert_message(network().load_parameters(&path), &["weights.safetensors"]);
    }
}

#[test]
fn a_missing_tensor_and_whole_numbers_are_refused_by_name() {
    let folder = folder();
    let path = folder.path().join("weights.safetensors");
    let zeros = little_endian(&[0.0; 12]);
    write(
        &path,
        &[("layers.0.weight", Dtype::F64, vec![4, 3], zeros.clone())],
    );
    assert_message(
        network().load_parameters(&path),
        &[
            "weights.safetensors",
            "no tensor `layers.0.bias`",
            "it has: layers.0.weight",
        ],
    );
    write(&path, &[("layers.0.weight", Dtype::I64, vec![4, 3], zeros)]);
    assert_message(
        network().load_parameters(&path),
        &[
            "weights.safetensors",
            "layers.0.weight",
            "I64",
            "F64 or F32",
        ],
    );
    assert_message(Dataset::load(&path, 0), &["I64", "F64 or F32"]);
}

/// Every unreadable file there is a name for.
fn unreadable(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let whole = folder.join("whole.safetensors");
    right().save(&whole).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    let mut files = vec![
        (folder.join("missing.safetensors"), "missing.safetensors"),
        (folder.to_owned(), ""),
    ];
    for (name, part) in [
        ("empty.safetensors", &bytes[..0]),
        ("header.safetensors", &bytes[..20]),
        ("truncated.safetensors", &bytes[..bytes.len() - 1]),
    ] {
        std::fs::write(folder.join(name), part).unwrap();
        files.push((folder.join(name), "not a safetensors file"));
    }
    files
}

#[test]
fn unreadable_files_are_errors_that_name_the_file() {
    let folder = folder();
    for (path, part) in unreadable(folder.path()) {
        let name = path.display().to_string();
        assert_message(network().load_parameters(&path), &[&name, part]);
        assert_message(Dataset::load(&path, 0), &[&name, part]);
    }
}

fn samples(count: usize, seed: u64) -> Dataset {
    Dataset {
        input: normal(count, 3, seed),
        state: normal(count, 2, seed ^ 1),
        target: normal(count, 4, seed ^ 2),
    }
}

fn assert_same(a: &Dataset, b: &Dataset) {
    for (a, b) in [
        (&a.input, &b.input),
        (&a.state, &b.state),
        (&a.target, &b.target),
    ] {
        assert_eq!((a.nrows(), a.ncols()), (b.nrows(), b.ncols()));
        assert_eq!(bits(&entries(a)), bits(&entries(b)));
    }
}

#[test]
fn samples_come_back_bit_for_bit_with_and_without_their_own_state() {
    let folder = folder();
    let path = folder.path().join("data.safetensors");
    let own = samples(5, 7);
    let shared = Dataset {
        state: own.input.clone(),
        ..own.clone()
    };
    let stateless = Dataset {
        state: Mat::zeros(5, 0),
        ..own.clone()
    };
    for (data, states, stored) in [(own, 2, true), (shared, 3, false), (stateless, 0, false)] {
        data.save(&path).unwrap();
        assert_same(&Dataset::load(&path, states).unwrap(), &data);
        assert_eq!(Tensors::load(&path).unwrap().contains("state"), stored);
    }
}

#[test]
fn the_sign_of_a_zero_survives_where_input_and_state_differ_by_it() {
    let folder = folder();
    let path = folder.path().join("data.safetensors");
    let data = Dataset {
        input: Mat::from_fn(2, 1, |_, _| 0.0),
        state: Mat::from_fn(2, 1, |_, _| -0.0),
        target: Mat::zeros(2, 1),
    };
    data.save(&path).unwrap();
    assert_same(&Dataset::load(&path, 1).unwrap(), &data);
}

#[test]
fn a_one_dimensional_tensor_is_one_column_and_rows_are_samples() {
    let folder = folder();
    let path = folder.path().join("data.safetensors");
    write(
        &path,
        &[
            (
                "input",
                Dtype::F64,
                vec![3],
                little_endian(&[1.0, 2.0, 3.0]),
            ),
            (
                "target",
                Dtype::F64,
                vec![3, 2],
                little_endian(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ),
        ],
    );
    let data = Dataset::load(&path, 0).unwrap();
    assert_eq!(entries(&data.input), [1.0, 2.0, 3.0]);
    assert_eq!(entries(&data.target), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
}

#[test]
fn samples_without_target_or_with_three_dimensions_are_refused() {
    let folder = folder();
    let path = folder.path().join("data.safetensors");
    let zeros = little_endian(&[0.0; 8]);
    write(&path, &[("input", Dtype::F64, vec![4, 2], zeros.clone())]);
    assert_message(
        Dataset::load(&path, 0),
        &["no tensor `target`", "it has: input"],
    );
    write(&path, &[("input", Dtype::F64, vec![2, 2, 2], zeros)]);
    assert_message(
        Dataset::load(&path, 0),
        &["`input`", "[2, 2, 2]", "samples x width"],
    );
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let folder = folder();
    let inside = folder.path().join("missing").join("weights.safetensors");
    let result = network().save_parameters(&parameters(), &inside);
    assert_message(result, &["weights.safetensors"]);
    // A folder is in the way of the rename.
    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("inner")).unwrap();
    assert_message(right().save(&taken), &["taken"]);
    assert!(taken.join("inner").is_dir());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Trains the toy for a few updates under an observer.
fn observed(observer: &mut dyn Observer) -> hig::trainer::Outcome {
    let problem = Toy {
        samples: 8,
        test_samples: 4,
        ..Toy::default()
    }
    .problem(0);
    let training = Training {
        batch: 4,
        evaluate_every: 2,
        ..Training::default()
    };
    let start = problem.initial_parameters(0);
    let budget = Budget::updates(5);
    train(
        &problem,
        &Adam::default(),
        start,
        &training,
        budget,
        0,
        &mut [observer],
    )
    .unwrap()
}

#[test]
fn metrics_have_a_header_and_a_row_for_each_evaluation() {
    let folder = folder();
    let path = folder.path().join("metrics.csv");
    let outcome = observed(&mut MetricsWriter::open(&path).unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n'));
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("update,epoch,seconds,train_loss,test_loss")
    );
    let rows: Vec<Vec<f64>> = lines
        .map(|line| line.split(',').map(|v| v.parse().unwrap()).collect())
        .collect();
    let column = |k: usize| rows.iter().map(|row| row[k]).collect::<Vec<f64>>();
    assert_eq!(column(0), [0.0, 2.0, 4.0, 5.0]);
    assert_eq!(column(1), [0.0, 1.0, 2.0, 2.5]);
    assert_eq!(column(2)[0], 0.0);
    assert!(column(2).is_sorted());
    let last = rows.last().unwrap();
    // Shortest exact decimals: reading gives the bits back.
    assert_eq!((last[3], last[4]), (outcome.train_loss, outcome.test_loss));
}

#[test]
fn metrics_that_cannot_be_written_are_an_error() {
    let folder = folder();
    let path = folder.path().join("missing").join("metrics.csv");
    assert_message(MetricsWriter::open(&path), &["metrics.csv"]);
}

#[test]
fn an_extent_that_no_number_fills_is_refused() {
    for shape in [
        vec![0, usize::MAX],
        vec![usize::MAX, 0],
        vec![0],
        vec![0, 2],
    ] {
        let mut tensors = Tensors::default();
        tensors.insert("input", shape.clone(), Vec::new());
        tensors.insert("target", vec![1], vec![1.0]);
        let bytes = tensors.to_bytes(Precision::Double).unwrap();
        let read = Tensors::from_bytes(Path::new("empty"), &bytes).unwrap();
        let wanted = ["`input`", &format!("{shape:?}"), "samples x width"];
        assert_message(Dataset::from_tensors(&read, 0), &wanted);
    }
}

#[test]
fn a_bit_that_has_changed_in_weights_or_samples_is_told() {
    let folder = folder();
    let weights = folder.path().join("weights.safetensors");
    let data = folder.path().join("data.safetensors");
    right().save(&weights).unwrap();
    samples(4, 0).save(&data).unwrap();
    for (path, name) in [
        (&weights, "weights.safetensors"),
        (&data, "data.safetensors"),
    ] {
        let bytes = std::fs::read(path).unwrap();
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        for bit in 8 * header..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(path, flipped).unwrap();
            assert_message(Tensors::load(path), &[name, "its checksum is wrong"]);
        }
        // Whatever other programs have among their metadata is none of ours.
        let place = bytes.windows(9).position(|w| w == b"hig.crc32").unwrap();
        let mut foreign = bytes.clone();
        foreign[place..place + 9].copy_from_slice(b"other.crc");
        std::fs::write(path, foreign).unwrap();
        Tensors::load(path).unwrap();
    }
}

#[test]
fn what_does_not_begin_like_safetensors_is_not_read_to_its_end() {
    let folder = folder();
    let path = folder.path().join("long.safetensors");
    // As long as memory is large, and nothing but zeros.
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_message(
        Tensors::load(&path),
        &["long.safetensors", "does not begin"],
    );
    assert_message(
        hig::files::SavedState::load(&path),
        &["long.safetensors", "no checkpoint"],
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_loaders(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let folder = folder();
        let path = folder.path().join("any.safetensors");
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(network().load_parameters(&path).is_err());
        prop_assert!(Dataset::load(&path, 1).is_err());
    }

    #[test]
    fn files_with_spoilt_bytes_are_refused_or_give_finite_weights(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = folder();
        let path = folder.path().join("spoilt.safetensors");
        right().save(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, value) in places {
            let at = place.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(weights) = network().load_parameters(&path) {
            prop_assert_eq!(weights.len(), network().parameter_count());
            prop_assert!(weights.iter().all(|v| v.is_finite()));
        }
        let _ = Dataset::load(&path, 1);
    }

    #[test]
    fn tensors_are_written_as_they_were_read(
        tensors in prop::collection::btree_map(
            any::<String>().prop_filter("a name of the format", |name| name != "__metadata__"),
            prop::collection::vec(any::<f64>(), 0..6),
            0..4,
        ),
        rows in 1_usize..4,
    ) {
        let mut given = Tensors::default();
        for (name, values) in &tensors {
            given.insert(name, vec![rows, values.len()], values.repeat(rows));
        }
        let bytes = given.to_bytes(Precision::Double).unwrap();
        let read = Tensors::from_bytes(Path::new("any"), &bytes).unwrap();
        prop_assert_eq!(read.to_bytes(Precision::Double).unwrap(), bytes);
        for (name, values) in &tensors {
            let tensor = read.get(name).unwrap();
            prop_assert_eq!(&tensor.shape, &[rows, values.len()]);
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&tensor.values), bits(&values.repeat(rows)));
        }
    }

    #[test]
    fn weights_of_any_network_come_back(
        hidden in prop::collection::vec(1_usize..5, 0..4),
        seed in any::<u64>(),
    ) {
        let widths = [&[2], &hidden[..], &[3]].concat();
        let network = Network::mlp(&widths, Activation::Tanh, Initializer::He);
        let parameters = network.initial_parameters(seed);
        let bytes = network.tensors_of(&parameters).to_bytes(Precision::Double).unwrap();
        let read = Tensors::from_bytes(Path::new("any"), &bytes).unwrap();
        prop_assert_eq!(network.parameters_from(&read).unwrap(), parameters);
    }

    #[test]
    fn samples_of_any_shape_come_back(count in 1_usize..9, seed in any::<u64>()) {
        let folder = folder();
        let path = folder.path().join("data.safetensors");
        let data = samples(count, seed);
        data.save(&path).unwrap();
        assert_same(&Dataset::load(&path, 2).unwrap(), &data);
    }
}
