//! Weights and samples: what is read is written to the same numbers.
#![no_main]

use hig::Dataset;
use hig::files::{Precision, Tensors};
use hig::network::{Activation, Initializer, Network};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Some(tensors) = read(bytes) else {
        return;
    };
    let network = Network::mlp(&[1, 2, 2], Activation::Tanh, Initializer::Glorot);
    if let Ok(parameters) = network.parameters_from(&tensors) {
        let again = read(&written(&network.tensors_of(&parameters))).expect("it was just written");
        assert_eq!(network.parameters_from(&again).ok(), Some(parameters));
    }
    for states in [0, 2] {
        if let Ok(data) = Dataset::from_tensors(&tensors, states) {
            let again = read(&written(&data.to_tensors())).expect("it was just written");
            let again = Dataset::from_tensors(&again, states).expect("it was just written");
            assert_eq!(again.len(), data.len());
            assert_eq!(
                data.check(1, states, 2).is_ok(),
                again.check(1, states, 2).is_ok()
            );
        }
    }
});

fn read(bytes: &[u8]) -> Option<Tensors> {
    Tensors::from_bytes(Path::new("fuzz.safetensors"), bytes).ok()
}

fn written(tensors: &Tensors) -> Vec<u8> {
    tensors
        .to_bytes(Precision::Double)
        .expect("shapes fit their numbers")
}
