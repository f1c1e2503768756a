//! What the products with a network allocate when they are repeated. One test, alone in its process:
//! the memory of all threads counts.

use hig::linalg::{Mat, Scratch};
use hig::network::{
    Activation, Activations, Boundary, Chain, Dense, Grid, Initializer, LayerNorm, Network, Scale,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The bytes that work adds to what is held, at its peak.
fn allocated(work: impl FnOnce()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    work();
    MEMORY.peak_usage() - before
}

fn networks() -> Vec<(&'static str, Network)> {
    let (tanh, glorot) = (Activation::Tanh, Initializer::Glorot);
    let grid = Grid {
        channels: 1,
        height: 8,
        width: 8,
    };
    let scale = Scale {
        channels: 12,
        points: 1,
        gain: 0.5,
    };
    let (inputs, outputs) = (12, 12);
    let block = Chain::new()
        .then(LayerNorm::new(3, 4))
        .then(Dense { inputs, outputs })
        .then(Activation::Gelu)
        .then(scale);
    let chain = Chain::new().residual(block.residual(Chain::new().then(tanh)));
    vec![
        ("mlp", Network::mlp(&[5, 30, 70, 3], tanh, glorot)),
        ("norm", Network::new(12, chain, glorot).unwrap()),
        (
            "unet",
            Network::unet(grid, &[3, 4, 5], 2, Boundary::Periodic, tanh, glorot).unwrap(),
        ),
        (
            "resnet",
            Network::resnet(grid, &[3, 4], 1, Boundary::Zero, tanh, glorot).unwrap(),
        ),
    ]
}

/// Numbers that are not all alike.
fn some(rows: usize, columns: usize) -> Mat<f64> {
    Mat::from_fn(rows, columns, |i, j| {
        (1.3 * i as f64 + 0.7 * j as f64).sin()
    })
}

fn check(name: &str, network: &Network, samples: usize) {
    let parameters = network.initial_parameters(3);
    let (input, cotangent) = (
        some(samples, network.inputs()),
        some(samples, network.outputs()),
    );
    let direction: Vec<f64> = parameters.iter().map(|p| 1.0 - p).collect();
    let mut output = Mat::zeros(samples, network.outputs());
    let mut gradient = vec![0.0; parameters.len()];
    let (mut values, mut scratch) = (Activations::default(), Scratch::new());
    let mut pass = || {
        network.forward_into(&parameters, input.as_ref(), &mut values, &mut scratch);
        let cotangent = cotangent.as_ref();
        network.vjp_into(&parameters, &values, cotangent, &mut gradient, &mut scratch);
        let target = output.as_mut();
        network.jvp_into(&parameters, &values, &direction, target, &mut scratch);
        let target = output.as_mut();
        network.predict_into(&parameters, input.as_ref(), target, &mut scratch);
    };
    assert!(
        allocated(&mut pass) > 0,
        "{name}, {samples}: nothing is counted"
    );
    // The thread that runs tests may allocate meanwhile, but not every time.
    let again = (0..5).map(|_| allocated(&mut pass)).min();
    assert_eq!(again, Some(0), "{name}, {samples} samples");
}

#[test]
fn repeated_products_with_one_scratch_allocate_nothing() {
    // On one thread: which threads share the work, and what they need for it, is not ours to say.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap().install(|| {
        for (name, network) in networks() {
            // Below and above where work is divided.
            for samples in [1, 7, 300] {
                check(name, &network, samples);
            }
        }
    });
}
