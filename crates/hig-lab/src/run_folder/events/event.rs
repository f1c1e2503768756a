//! The messages `Event`, `Summary` and `HistogramProto` of TensorFlow (`event.proto`, `summary.proto`)
//! as protocol buffers, as far as they are needed here.

use std::time::Duration;

/// One event.
#[derive(Debug)]
pub struct Event {
    time: Duration,
    update: usize,
    what: What,
}

/// What an event tells.
#[derive(Debug)]
pub enum What {
    /// The version of the format, first in every file.
    Version,
    /// A process begins here: later updates of earlier files do not count.
    Start,
    /// Values by name.
    Values(Vec<(String, Value)>),
}

/// A value of one update.
#[derive(Debug, Clone)]
pub enum Value {
    /// A number, which the format keeps in single precision.
    Scalar(f64),
    /// How numbers are distributed.
    Histogram(Vec<f64>),
}

impl Event {
    /// At a time since 1970.
    pub fn at(time: Duration, update: usize, what: What) -> Self {
        Self { time, update, what }
    }

    /// The message.
    pub fn encoded(&self) -> Vec<u8> {
        let mut event = Message::default();
        event.double(1, self.time.as_secs_f64());
        event.integer(2, self.update as u64);
        match &self.what {
            What::Version => event.bytes(3, b"brain.Event:2"),
            What::Start => {
                let mut log = Message::default();
                log.integer(1, 1);
                event.bytes(7, &log.0);
            }
            What::Values(values) => {
                let mut summary = Message::default();
                for (name, value) in values {
                    summary.bytes(1, &encoded(name, value));
                }
                event.bytes(5, &summary.0);
            }
        }
        event.0
    }
}

/// `Summary.Value`.
fn encoded(name: &str, value: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.bytes(1, name.as_bytes());
    match value {
        Value::Scalar(value) => message.float(2, *value as f32),
        Value::Histogram(values) => message.bytes(5, &histogram(values)),
    }
    message.0
}

const BUCKETS: usize = 30;

/// `HistogramProto` with buckets of equal width; values that are not finite are left out.
fn histogram(values: &[f64]) -> Vec<u8> {
    let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut message = Message::default();
    if values.is_empty() {
        return message.0;
    }
    let width = (most - least) / BUCKETS as f64;
    let mut counts = vec![0.0; BUCKETS];
    for value in &values {
        // Equal values are all in the first bucket, where 0/0 leads.
        let place = ((value - least) / width) as usize;
        counts[place.min(BUCKETS - 1)] += 1.0;
    }
    let mut limits: Vec<f64> = (1..BUCKETS).map(|i| least + i as f64 * width).collect();
    limits.push(most);
    message.double(1, least);
    message.double(2, most);
    message.double(3, values.len() as f64);
    message.double(4, values.iter().sum());
    message.double(5, values.iter().map(|v| v * v).sum());
    message.doubles(6, &limits);
    message.doubles(7, &counts);
    message.0
}

/// A message of protocol buffers that grows field by field.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn doubles(&mut self, field: u64, values: &[f64]) {
        let packed: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(field, &packed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_specification() {
        // The examples of "Protocol Buffers: Encoding": 150 in field 1, "testing" in field 2.
        let mut message = Message::default();
        message.integer(1, 150);
        message.bytes(2, b"testing");
        assert_eq!(message.0[..3], [0x08, 0x96, 0x01]);
        assert_eq!(message.0[3..], *b"\x12\x07testing");
    }

    #[test]
    fn a_scalar_is_a_summary_in_an_event() {
        let values = vec![("loss".to_owned(), Value::Scalar(1.0))];
        let event = Event::at(Duration::from_secs(2), 300, What::Values(values));
        let value = b"\x0a\x04loss\x15\x00\x00\x80\x3f";
        let mut expected = vec![0x09];
        expected.extend(2.0_f64.to_le_bytes());
        expected.extend([
            0x10,
            0xac,
            0x02,
            0x2a,
            value.len() as u8 + 2,
            0x0a,
            value.len() as u8,
        ]);
        expected.extend(value);
        assert_eq!(event.encoded(), expected);
    }

    #[test]
    fn equal_and_infinite_values_make_a_histogram() {
        let told = histogram(&[3.0, 3.0, f64::NEG_INFINITY]);
        let number = |at: usize| f64::from_le_bytes(told[at + 1..at + 9].try_into().unwrap());
        assert_eq!(
            [number(0), number(9), number(18), number(27)],
            [3.0, 3.0, 2.0, 6.0]
        );
        assert!(histogram(&[f64::NAN]).is_empty());
    }
}
