//! A checkpoint: the file, and a training that goes on from whatever it tells.
#![no_main]

use hig::files::SavedState;
use hig::step::methods;
use hig::systems::{MlpSettings, System, Toy};
use hig::trainer::{Budget, Start, Training, train};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = SavedState::from_bytes(bytes);
    let Ok(memory) = SavedState::from_bytes(&summed(bytes)) else {
        return;
    };
    let written = memory.to_bytes().expect("what is read can be written");
    let again = SavedState::from_bytes(&written).expect("what is written can be read");
    // NaN is not itself; its text is.
    assert_eq!(format!("{again:?}"), format!("{memory:?}"));
    go_on(&memory);
});

/// The bytes with the checksum that they should have, which no mutation finds.
fn summed(bytes: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"\"checksum\":\"";
    let mut bytes = bytes.to_vec();
    let found = bytes.windows(KEY.len()).position(|window| window == KEY);
    if let Some(place) = found.map(|at| at + KEY.len())
        && place + 8 <= bytes.len()
    {
        bytes[place..place + 8].fill(b'0');
        let sum = format!("{:08x}", crc32fast::hash(&bytes));
        bytes[place..place + 8].copy_from_slice(sum.as_bytes());
    }
    bytes
}

/// One more update of the method that the lab's note names, first of its words.
fn go_on(memory: &SavedState) {
    let named = memory
        .text("training")
        .and_then(|note| note.split(' ').next());
    let mut known = methods().into_iter();
    let Some(method) = known.find(|method| Some(method.name()) == named) else {
        return;
    };
    let Ok(start) = Start::resume(memory.clone()) else {
        return;
    };
    let toy = Toy {
        samples: 4,
        test_samples: 2,
        network: MlpSettings::tanh(vec![2]),
        ..Toy::default()
    };
    let training = Training {
        batch: 2,
        ..Training::default()
    };
    let budget = Budget::updates(start.updates.saturating_add(1));
    let _ = train(
        &toy.problem(0),
        method.as_ref(),
        start,
        &training,
        budget,
        0,
        &mut [],
    );
}
