//! What a long closed loop holds, with and without its steps computed once more. One test, alone in its
//! process: the memory of all threads counts.

use hig::Dataset;
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::objective::{ClosedLoop, Objective};
use hig::physics::{Equations, Real, RungeKutta4};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A damped oscillator.
struct Damped;

impl Equations for Damped {
    fn state_len(&self) -> usize {
        2
    }
    fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
        rate[0] = x[1];
        rate[1] = u[0] - x[0] - x[1] * 0.1;
    }
}

/// The bytes that the gradient, the products with J and the moments of the layers of one batch add at their peak.
fn held(steps: usize, at_once: usize) -> (usize, Vec<f64>) {
    let network = Network::mlp(&[2, 40, 40, 1], Activation::Tanh, Initializer::Glorot);
    let physics = RungeKutta4::new(Damped, steps, 0.02);
    let objective = ClosedLoop::new(network, physics, SquaredError::half()).holding(at_once);
    let samples = Dataset {
        input: Mat::zeros(16, 0),
        state: Mat::from_fn(16, 2, |i, j| (i as f64 + 0.5 * j as f64).sin()),
        target: Mat::zeros(16, 2),
    };
    let at = objective.initial(1);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let batch = objective.linearize(&samples, &at).unwrap();
    let gradient = batch.gradient().unwrap();
    batch.gram().unwrap();
    let probes = Mat::full(batch.rows(), 1, 1.0);
    batch.layer_moments(probes.as_ref()).unwrap();
    (MEMORY.peak_usage() - before, gradient)
}

#[test]
fn memory_of_a_long_loop_is_that_of_a_stretch() {
    // Every thread holds 64 MiB for products of matrices from its first large one on.
    rayon::broadcast(|_| {
        let square = Mat::<f64>::full(300, 300, 1.0);
        assert_eq!((&square * &square)[(0, 0)], 300.0);
    });
    let (whole, expected) = held(900, 900);
    let (parted, found) = held(900, 30);
    assert!(10 * parted < whole, "{parted} bytes of {whole}");
    let (longer, _) = held(3600, 60);
    // Four times the steps: twice the stretch and twice the states between them, and J in both.
    assert!(longer < 3 * parted, "{longer} bytes and {parted}");
    let size = expected.iter().map(|g| g.abs()).fold(0.0, f64::max);
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() <= 1e-12 * size);
    }
}
