//! `spectrum.csv`: the largest singular values of J and some of the others, a group of rows an evaluation.

use super::tables::csv_rows::{Table, number, open};
use std::io::{self, BufRead};
use std::path::Path;

/// The file in the folder of a method.
pub const FILE: &str = "spectrum.csv";

/// The first line.
pub const HEADER: &str = "update,index,singular_value";

/// Singular values told at one evaluation; a spectrum of thousands is as smooth as its figure.
const TOLD: usize = 64;

/// The lines of one evaluation, none without a spectrum.
pub fn rows(update: usize, spectrum: &[f64]) -> String {
    let row = |i: usize| format!("{update},{i},{:e}\n", spectrum[i]);
    places(spectrum.len()).into_iter().map(row).collect()
}

/// At most [`TOLD`] places of `count`, the first and the last among them, their distances growing
/// geometrically: the largest values, which matter most, are all there.
fn places(count: usize) -> Vec<usize> {
    if count <= TOLD {
        return (0..count).collect();
    }
    let place = |k: usize| (count as f64).powf(k as f64 / (TOLD - 1) as f64).round() as usize - 1;
    let mut places: Vec<usize> = (0..TOLD).map(place).collect();
    places.dedup();
    places
}

/// Groups that are kept, spread evenly over the file.
const GROUPS: usize = 40;
/// Singular values that are kept of a group.
const VALUES: usize = 256;

/// Singular values of one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spectrum {
    /// The update before which they were computed.
    pub update: f64,
    /// Places in the whole spectrum, from 0, the largest value.
    pub index: Vec<f64>,
    /// Singular values.
    pub value: Vec<f64>,
}

/// Reads at most 40 spectra of a file, evenly chosen, the last one always. No file, or another
/// table, gives none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Spectrum>> {
    match open(path)? {
        Some(file) => parse(file),
        None => Ok(Vec::new()),
    }
}

/// Reads the text of such a file.
///
/// # Errors
/// A line that is too long for a table.
pub fn parse(source: impl BufRead) -> io::Result<Vec<Spectrum>> {
    let mut table = Table::of(source)?;
    let Some([update, index, value]) = table.places(["update", "index", "singular_value"]) else {
        return Ok(Vec::new());
    };
    let mut chosen = Chosen::default();
    let mut group = Spectrum::default();
    while let Some(row) = table.next_row()? {
        let now = number(&row[update]);
        if now != group.update || group.value.is_empty() {
            chosen.push(std::mem::take(&mut group));
            group.update = now;
        }
        if group.value.len() < VALUES {
            group.index.push(number(&row[index]));
            group.value.push(number(&row[value]));
        }
    }
    chosen.push(group);
    Ok(chosen.finish())
}

/// Every `stride`-th group, and the last.
#[derive(Default)]
struct Chosen {
    groups: Vec<Spectrum>,
    seen: usize,
    stride: usize,
    last: Spectrum,
}

impl Chosen {
    fn push(&mut self, group: Spectrum) {
        if group.value.is_empty() {
            return;
        }
        let stride = self.stride.max(1);
        if self.seen.is_multiple_of(stride) {
            self.groups.push(group.clone());
            if self.groups.len() == 2 * GROUPS {
                let mut place = 0;
                self.groups.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride = 2 * stride;
            }
        }
        self.seen += 1;
        self.last = group;
    }

    fn finish(mut self) -> Vec<Spectrum> {
        if self.groups.last() != Some(&self.last) && !self.last.value.is_empty() {
            self.groups.push(self.last);
        }
        let count = self.groups.len();
        if count <= GROUPS {
            return self.groups;
        }
        let at = |k| k * (count - 1) / (GROUPS - 1);
        (0..GROUPS).map(|k| self.groups[at(k)].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(groups: usize) -> String {
        let mut text = "update,index,singular_value\n".to_owned();
        for update in 0..groups {
            for index in [0, 1, 7] {
                text += &format!("{update},{index},{:e}\n", 10f64.powi(-index));
            }
        }
        text
    }

    #[test]
    fn groups_are_the_rows_of_one_update() {
        let spectra = parse(file(3).as_bytes()).unwrap();
        assert_eq!(spectra.len(), 3);
        assert_eq!(spectra[2].update, 2.0);
        assert_eq!(spectra[2].index, [0.0, 1.0, 7.0]);
        assert_eq!(spectra[2].value, [1.0, 0.1, 1e-7]);
        assert_eq!(parse("update,index\n0,0\n".as_bytes()).unwrap(), []);
    }

    #[test]
    fn of_many_groups_forty_are_left_with_both_ends() {
        for groups in [40, 41, 79, 80, 81, 160, 1234] {
            let spectra = parse(file(groups).as_bytes()).unwrap();
            assert_eq!(spectra.len(), GROUPS, "{groups}");
            assert!(spectra.is_sorted_by(|a, b| a.update < b.update), "{groups}");
            assert_eq!(spectra[0].update, 0.0);
            assert_eq!(spectra[39].update, (groups - 1) as f64);
        }
    }

    #[test]
    fn small_spectra_are_told_whole_and_large_ones_from_first_to_last() {
        assert_eq!(rows(7, &[2.0, 0.5]), "7,0,2e0\n7,1,5e-1\n");
        assert_eq!(rows(7, &[]), "");
        assert_eq!(places(64), (0..64).collect::<Vec<_>>());
        for count in [65, 100, 512, 30_000] {
            let places = places(count);
            assert!(places.len() <= TOLD && places.len() > TOLD / 2, "{count}");
            assert_eq!((places[0], *places.last().unwrap()), (0, count - 1));
            assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{count}");
            assert_eq!(places[..8], [0, 1, 2, 3, 4, 5, 6, 7], "{count}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            spectra in prop::collection::vec(prop::collection::vec(0.0..1e9, 1..=TOLD), 0..6),
        ) {
            let spectra: Vec<Vec<f64>> = spectra;
            let rows = spectra.iter().enumerate().map(|(update, s)| rows(update, s));
            let text = format!("{HEADER}\n{}", rows.collect::<String>());
            let read = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read.len(), spectra.len());
            for (update, (read, written)) in read.iter().zip(&spectra).enumerate() {
                prop_assert_eq!(read.update, update as f64);
                prop_assert_eq!(&read.value, written);
            }
        }
    }
}
