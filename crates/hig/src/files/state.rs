//! What a training remembers between updates, in saved and in files.
//!
//! Whoever has a state names each of its fields once, in a function that takes an [`Exchange`]; the
//! same function then writes the state into a [`SavedState`] and reads it back from one.
//!
//! The file is a safetensors file with its numbers in f64, so that other programs can look into it.
//! Its metadata names format and version and holds a checksum over all its bytes (CRC-32, IEEE 802.3,
//! with the checksum itself taken as eight zeros), by which a truncated or damaged file is recognised.

use super::checksum;
use super::tensors::{Precision, Tensors, read_whole, serialized};
use super::whole::write_whole;
use crate::error::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A state by names: numbers and texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavedState {
    numbers: BTreeMap<String, Vec<f64>>,
    texts: BTreeMap<String, String>,
}

/// What the metadata of a file call its format, and the version that this program writes and reads.
const FORMAT: &str = "hig checkpoint";
const VERSION: &str = "1";

const FOREIGN: &str = "it is no checkpoint of hig";
const CHECKSUM: &str = "checksum";

impl SavedState {
    /// The state of whatever `part` exchanges.
    pub fn of(part: impl FnOnce(&mut Exchange<'_>)) -> Self {
        let mut saved = Self::default();
        saved.add(part);
        saved
    }

    /// Adds the state of whatever `part` exchanges.
    pub fn add(&mut self, part: impl FnOnce(&mut Exchange<'_>)) {
        part(&mut Exchange::new(Direction::Out(self)));
    }

    /// Adds or replaces what another state holds.
    pub fn extend(&mut self, other: Self) {
        self.numbers.extend(other.numbers);
        self.texts.extend(other.texts);
    }

    /// Gives a state back to whatever `part` exchanges.
    ///
    /// # Errors
    /// An entry that is missing or of another kind; the parts named before it have their state.
    pub fn restore(&self, part: impl FnOnce(&mut Exchange<'_>)) -> Result<()> {
        let mut exchange = Exchange::new(Direction::In(self));
        part(&mut exchange);
        match exchange.missing {
            None => Ok(()),
            Some(name) => Err(Error::Shape {
                what: format!("entry `{name}` of a checkpoint"),
                found: "none, or of another kind".into(),
                expected: "as this version writes it".into(),
            }),
        }
    }

    /// A vector by its whole name, such as `step.first`.
    pub fn vector(&self, name: &str) -> Option<&[f64]> {
        self.numbers.get(name).map(Vec::as_slice)
    }

    /// A text by its whole name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Adds or replaces a text, for whoever keeps the file.
    pub fn set_text(&mut self, name: &str, text: impl Into<String>) {
        self.texts.insert(name.into(), text.into());
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// None for states that [`of`](Self::of) makes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = Tensors::default();
        for (name, values) in &self.numbers {
            tensors.insert(name, vec![values.len()], values.clone());
        }
        let mut metadata: HashMap<String, String> = self.texts.clone().into_iter().collect();
        for (name, text) in [
            ("format", FORMAT),
            ("version", VERSION),
            (CHECKSUM, checksum::ZEROS),
        ] {
            metadata.insert(name.into(), text.into());
        }
        let mut bytes = serialized(&tensors, Precision::Double, Some(metadata))
            .map_err(|reason| Error::file(Path::new("checkpoint"), reason))?;
        checksum::seal(&mut bytes, CHECKSUM);
        Ok(bytes)
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// A reason in words: no file of this kind, of another version, truncated, damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match checksum::is_right(bytes, CHECKSUM) {
            None => return Err(FOREIGN.into()),
            Some(false) => return Err(checksum::WRONG.into()),
            Some(true) => {}
        }
        let (tensors, mut texts) = Tensors::parse(bytes)?;
        match (texts.remove("format"), texts.remove("version")) {
            (Some(format), Some(version)) if format == FORMAT => {
                if version != VERSION {
                    return Err(format!(
                        "it has version {version}, expected {VERSION}: another version of hig wrote it"
                    ));
                }
            }
            _ => return Err(FOREIGN.into()),
        }
        texts.remove(CHECKSUM);
        let numbers = tensors.into_iter().map(|(name, t)| (name, t.values));
        Ok(Self {
            numbers: numbers.collect(),
            texts,
        })
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written; an existing file is then left as it was.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.to_bytes()?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and a file that cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&read_whole(path, FOREIGN)?).map_err(|reason| Error::file(path, reason))
    }
}

/// One pass over a state, outwards into a [`SavedState`] or inwards from one.
#[derive(Debug)]
pub struct Exchange<'m> {
    direction: Direction<'m>,
    prefix: String,
    missing: Option<String>,
    /// Numbers that a vector over the parameters must have, where that is known.
    parameters: Option<usize>,
}

#[derive(Debug)]
enum Direction<'m> {
    Out(&'m mut SavedState),
    In(&'m SavedState),
}

impl<'m> Exchange<'m> {
    fn new(direction: Direction<'m>) -> Self {
        Self {
            direction,
            prefix: String::new(),
            missing: None,
            parameters: None,
        }
    }

    /// Tells of how many parameters the state to come is.
    pub fn of_parameters(&mut self, count: usize) {
        self.parameters = Some(count);
    }

    /// Notes an entry that cannot be read, the first of them.
    fn refuse(&mut self, name: &str) {
        let whole = || format!("{}{name}", self.prefix);
        self.missing = self.missing.take().or_else(|| Some(whole()));
    }

    /// A part with names of its own, which then begin with `name` and a dot.
    pub fn part(&mut self, name: &str, part: impl FnOnce(&mut Self)) {
        let outer = self.prefix.len();
        self.prefix += name;
        self.prefix.push('.');
        part(self);
        self.prefix.truncate(outer);
    }

    /// A vector.
    pub fn vector(&mut self, name: &str, values: &mut Vec<f64>) {
        let whole = format!("{}{name}", self.prefix);
        match &mut self.direction {
            Direction::Out(saved) => {
                saved.numbers.insert(whole, values.clone());
            }
            Direction::In(saved) => match saved.numbers.get(&whole) {
                Some(kept) => values.clone_from(kept),
                None => self.refuse(name),
            },
        }
    }

    /// A vector with a number for each parameter; one of another network is refused.
    pub fn over_parameters(&mut self, name: &str, values: &mut Vec<f64>) {
        self.vector(name, values);
        let reads = matches!(self.direction, Direction::In(_));
        if reads && self.parameters.is_some_and(|count| count != values.len()) {
            self.refuse(name);
        }
    }

    /// A number.
    pub fn number(&mut self, name: &str, value: &mut f64) {
        let mut values = vec![*value];
        self.vector(name, &mut values);
        match values[..] {
            [kept] => *value = kept,
            _ => self.refuse(name),
        }
    }

    /// A count up to 2⁵³.
    pub fn count(&mut self, name: &str, value: &mut usize) {
        let mut number = *value as f64;
        self.number(name, &mut number);
        match counted(number) {
            Some(count) => *value = count,
            None => self.refuse(name),
        }
    }

    /// Counts up to 2⁵³.
    pub fn counts(&mut self, name: &str, values: &mut Vec<usize>) {
        let mut numbers = values.iter().map(|v| *v as f64).collect();
        self.vector(name, &mut numbers);
        match numbers.iter().map(|v| counted(*v)).collect() {
            Some(counts) => *values = counts,
            None => self.refuse(name),
        }
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str, value: &mut bool) {
        let mut number = f64::from(*value);
        self.number(name, &mut number);
        *value = number != 0.0;
    }

    /// A part that may be absent; `empty` makes one to be filled.
    pub fn optional<T>(
        &mut self,
        name: &str,
        value: &mut Option<T>,
        empty: impl FnOnce() -> T,
        part: impl FnOnce(&mut Self, &mut T),
    ) {
        let mut present = value.is_some();
        self.flag(&format!("{name}.present"), &mut present);
        if !present {
            *value = None;
            return;
        }
        let inside = value.get_or_insert_with(empty);
        self.part(name, |exchange| part(exchange, inside));
    }

    /// A number that may be absent.
    pub fn optional_number(&mut self, name: &str, value: &mut Option<f64>) {
        let number = |state: &mut Self, value: &mut f64| state.number("value", value);
        self.optional(name, value, || 0.0, number);
    }

    /// A vector with a number for each parameter that may be absent.
    pub fn optional_over_parameters(&mut self, name: &str, values: &mut Option<Vec<f64>>) {
        let vector = |state: &mut Self, values: &mut Vec<f64>| {
            state.over_parameters("values", values);
        };
        self.optional(name, values, Vec::new, vector);
    }

    /// Any number of like parts; `empty` makes one to be filled.
    pub fn several<T>(
        &mut self,
        name: &str,
        values: &mut Vec<T>,
        empty: impl Fn() -> T,
        part: impl Fn(&mut Self, &mut T),
    ) {
        let mut count = values.len();
        self.count(&format!("{name}.count"), &mut count);
        for i in 0..count {
            if self.missing.is_some() {
                return;
            }
            if i == values.len() {
                values.push(empty());
            }
            self.part(&format!("{name}.{i}"), |state| part(state, &mut values[i]));
        }
        values.truncate(count);
    }

    /// Something that can be written as text, such as a generator of random numbers.
    pub fn serial<T: Serialize + DeserializeOwned>(&mut self, name: &str, value: &mut T) {
        let whole = format!("{}{name}", self.prefix);
        match &mut self.direction {
            Direction::Out(saved) => {
                let text = serde_json::to_string(value).expect("plain data has a text");
                saved.texts.insert(whole, text);
            }
            Direction::In(saved) => {
                let text = saved.texts.get(&whole);
                match text.and_then(|text| serde_json::from_str(text).ok()) {
                    Some(kept) => *value = kept,
                    None => self.refuse(name),
                }
            }
        }
    }
}

/// The count that a number tells, none where it tells none or so large a one that a next might be
/// none.
fn counted(number: f64) -> Option<usize> {
    const MOST: f64 = (1_u64 << 63) as f64;
    let counts = number.fract() == 0.0 && (0.0..=MOST).contains(&number);
    counts.then_some(number as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    #[derive(Debug, Clone, PartialEq)]
    struct Thing {
        numbers: Vec<f64>,
        count: usize,
        flag: bool,
        inner: Option<f64>,
        none: Option<f64>,
        list: Vec<Vec<f64>>,
        random: Pcg64,
    }

    impl Thing {
        fn new(seed: u64) -> Self {
            Self {
                numbers: vec![0.1, -0.0, f64::MIN_POSITIVE / 8.0, f64::INFINITY],
                count: 1 << 53,
                flag: true,
                inner: Some(2.5),
                none: None,
                list: vec![vec![1.0], Vec::new()],
                random: Pcg64::seed_from_u64(seed),
            }
        }

        fn exchange(&mut self, state: &mut Exchange<'_>) {
            state.vector("numbers", &mut self.numbers);
            state.count("count", &mut self.count);
            state.flag("flag", &mut self.flag);
            state.optional_number("inner", &mut self.inner);
            state.optional_number("none", &mut self.none);
            let vector = |state: &mut Exchange<'_>, v: &mut Vec<f64>| state.vector("v", v);
            state.several("list", &mut self.list, Vec::new, vector);
            state.part("stream", |state| state.serial("random", &mut self.random));
        }
    }

    fn kept() -> (Thing, SavedState) {
        let mut thing = Thing::new(3);
        let _: u64 = thing.random.random();
        let saved = SavedState::of(|state| thing.exchange(state));
        (thing, saved)
    }

    #[test]
    fn a_state_comes_back_with_every_bit() {
        let (thing, saved) = kept();
        let saved = SavedState::from_bytes(&saved.to_bytes().unwrap()).unwrap();
        let mut other = Thing {
            numbers: Vec::new(),
            count: 0,
            flag: false,
            inner: None,
            none: Some(1.0),
            list: vec![Vec::new(); 3],
            random: Pcg64::seed_from_u64(4),
        };
        saved.restore(|state| other.exchange(state)).unwrap();
        assert_eq!(other, thing);
        let bits = |t: &Thing| t.numbers.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&other), bits(&thing));
        assert_eq!(
            other.random.random::<u64>(),
            thing.clone().random.random::<u64>()
        );
    }

    #[test]
    fn a_missing_entry_is_named() {
        let (mut thing, saved) = kept();
        let part = |state: &mut Exchange<'_>| {
            state.part("outer", |state| thing.exchange(state));
        };
        let message = saved.restore(part).unwrap_err().to_string();
        assert!(message.contains("outer.numbers"), "{message}");
    }

    #[test]
    fn what_is_no_count_and_what_is_of_other_parameters_is_named() {
        for wrong in [-1.0, 0.5, 1e300, f64::NAN, f64::INFINITY] {
            let saved = SavedState::of(|state| state.number("count", &mut { wrong }));
            let mut count = 3;
            let message = saved.restore(|state| state.count("count", &mut count));
            assert!(
                message.unwrap_err().to_string().contains("`count`"),
                "{wrong}"
            );
            assert_eq!(count, 3);
            let saved = SavedState::of(|state| state.vector("all", &mut vec![1.0, wrong]));
            let message = saved.restore(|state| state.counts("all", &mut Vec::new()));
            assert!(
                message.unwrap_err().to_string().contains("`all`"),
                "{wrong}"
            );
        }
        let saved = SavedState::of(|state| state.over_parameters("first", &mut vec![0.0; 3]));
        for (parameters, right) in [(3, true), (2, false)] {
            let restored = saved.restore(|state| {
                state.of_parameters(parameters);
                state.over_parameters("first", &mut Vec::new());
            });
            assert_eq!(restored.is_ok(), right, "{parameters}");
        }
    }

    #[test]
    fn any_damage_is_recognised() {
        let (_, saved) = kept();
        let bytes = saved.to_bytes().unwrap();
        for place in 0..bytes.len() {
            for bit in [1_u8, 0x80] {
                let mut damaged = bytes.clone();
                damaged[place] ^= bit;
                assert!(SavedState::from_bytes(&damaged).is_err(), "byte {place}");
            }
            assert!(
                SavedState::from_bytes(&bytes[..place]).is_err(),
                "length {place}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(SavedState::from_bytes(&longer).is_err());
    }

    #[test]
    fn other_files_and_other_versions_are_named_as_such() {
        let mut tensors = Tensors::default();
        tensors.insert("a", vec![1], vec![1.0]);
        let foreign = serialized(&tensors, Precision::Double, None).unwrap();
        let message = SavedState::from_bytes(&foreign).unwrap_err();
        assert!(message.contains("no checkpoint"), "{message}");
        let (_, saved) = kept();
        let bytes = saved.to_bytes().unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let place = text.find("\"version\":\"1\"").unwrap() + "\"version\":\"".len();
        let mut later = bytes.clone();
        later[place] = b'7';
        let sum = text.find("\"checksum\":\"").unwrap() + "\"checksum\":\"".len();
        later[sum..sum + 8].copy_from_slice(checksum::ZEROS.as_bytes());
        checksum::seal(&mut later, CHECKSUM);
        let message = SavedState::from_bytes(&later).unwrap_err();
        assert!(message.contains("version 7"), "{message}");
    }

    proptest! {
        #[test]
        fn any_state_is_written_as_it_was_read(
            numbers in prop::collection::btree_map(
                "[a-z.0-9]{1,8}",
                prop::collection::vec(any::<f64>(), 0..5),
                0..5,
            ),
            texts in prop::collection::btree_map("[a-z.0-9]{1,6}", any::<String>(), 0..5),
        ) {
            let own = ["format", "version", "checksum"];
            prop_assume!(own.iter().all(|name| !texts.contains_key(*name)));
            let saved = SavedState { numbers, texts };
            let bytes = saved.to_bytes().unwrap();
            let read = SavedState::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&read.texts, &saved.texts);
            let bits = |m: &SavedState| -> Vec<(String, Vec<u64>)> {
                let bits = |values: &Vec<f64>| values.iter().map(|v| v.to_bits()).collect();
                m.numbers.iter().map(|(name, values)| (name.clone(), bits(values))).collect()
            };
            prop_assert_eq!(bits(&read), bits(&saved));
        }
    }
}
