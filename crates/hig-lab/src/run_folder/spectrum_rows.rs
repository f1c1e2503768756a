//! `spectrum.csv`: the singular values of J at the evaluations.

/// The first line.
pub const HEADER: &str = "update,index,singular_value";

/// Singular values told at one evaluation; a spectrum of thousands is as smooth as its figure.
const MOST: usize = 64;

/// The lines of one evaluation, none without a spectrum.
pub fn rows(update: usize, spectrum: &[f64]) -> String {
    let row = |i: usize| format!("{update},{i},{:e}\n", spectrum[i]);
    places(spectrum.len()).into_iter().map(row).collect()
}

/// At most [`MOST`] places of `count`, the first and the last among them, their distances growing
/// geometrically: the largest values, which matter most, are all there.
fn places(count: usize) -> Vec<usize> {
    if count <= MOST {
        return (0..count).collect();
    }
    let place = |k: usize| (count as f64).powf(k as f64 / (MOST - 1) as f64).round() as usize - 1;
    let mut places: Vec<usize> = (0..MOST).map(place).collect();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::spectrum;
    use proptest::prelude::*;

    #[test]
    fn small_spectra_are_told_whole_and_large_ones_from_first_to_last() {
        assert_eq!(rows(7, &[2.0, 0.5]), "7,0,2e0\n7,1,5e-1\n");
        assert_eq!(rows(7, &[]), "");
        assert_eq!(places(64), (0..64).collect::<Vec<_>>());
        for count in [65, 100, 512, 30_000] {
            let places = places(count);
            assert!(places.len() <= MOST && places.len() > MOST / 2, "{count}");
            assert_eq!((places[0], *places.last().unwrap()), (0, count - 1));
            assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{count}");
            assert_eq!(places[..8], [0, 1, 2, 3, 4, 5, 6, 7], "{count}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            spectra in prop::collection::vec(prop::collection::vec(0.0..1e9, 1..=MOST), 0..6),
        ) {
            let spectra: Vec<Vec<f64>> = spectra;
            let rows = spectra.iter().enumerate().map(|(update, s)| rows(update, s));
            let text = format!("{HEADER}\n{}", rows.collect::<String>());
            let read = spectrum::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read.len(), spectra.len());
            for (update, (read, written)) in read.iter().zip(&spectra).enumerate() {
                prop_assert_eq!(read.update, update as f64);
                prop_assert_eq!(&read.value, written);
            }
        }
    }
}
