//! Loops compiled for the widest vectors that the machine has.

/// Runs `work` compiled for this machine's vector instructions. The closure and what it calls must
/// be marked `#[inline(always)]`, or the loop may be compiled apart, for the oldest processor.
#[inline]
pub fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Work<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}

pub use pulp::{Simd, WithSimd};

/// Runs `work` with this machine's widest vectors as values.
#[inline]
pub fn with_lanes<W: WithSimd>(work: W) -> W::Output {
    #[cfg(all(test, target_arch = "x86_64"))]
    match narrower::chosen() {
        narrower::Machine::Own => {}
        narrower::Machine::Avx2(simd) => return pulp::Simd::vectorize(simd, work),
        narrower::Machine::Scalar(simd) => return pulp::Simd::vectorize(simd, work),
    }
    pulp::Arch::new().dispatch(work)
}

/// As many numbers as a vector has, or what there is of them with zeros behind.
#[inline(always)]
pub fn load<S: Simd>(simd: S, numbers: &[f64]) -> S::f64s {
    match S::as_simd_f64s(numbers).0 {
        [whole] => *whole,
        _ => simd.partial_load_f64s(numbers),
    }
}

/// Writes the numbers of a vector, or the first of them where there is no place for more.
#[inline(always)]
pub fn store<S: Simd>(simd: S, numbers: &mut [f64], values: S::f64s) {
    match S::as_mut_simd_f64s(numbers).0 {
        [whole] => *whole = values,
        _ => simd.partial_store_f64s(numbers, values),
    }
}

/// Machines with narrower vectors than this one, for tests of the same code on them.
#[cfg(all(test, target_arch = "x86_64"))]
pub mod narrower {
    use std::sync::atomic::{AtomicU8, Ordering};

    static CHOICE: AtomicU8 = AtomicU8::new(0);

    pub enum Machine {
        Own,
        Avx2(pulp::x86::V3),
        Scalar(pulp::Scalar),
    }

    pub fn chosen() -> Machine {
        match (CHOICE.load(Ordering::Relaxed), pulp::x86::V3::try_new()) {
            (1, Some(simd)) => Machine::Avx2(simd),
            (2, _) => Machine::Scalar(pulp::Scalar::new()),
            _ => Machine::Own,
        }
    }

    /// Runs work on each of them; what runs beside it may meet them too.
    pub fn each(mut work: impl FnMut()) {
        for choice in [1, 2, 0] {
            CHOICE.store(choice, Ordering::Relaxed);
            work();
        }
    }
}

/// tanh of every entry, in place; within 3 units in the last place, NaN stays NaN.
///
/// The library function is scalar and takes most of the time of a small network's update.
pub fn tanh(values: &mut [f64]) {
    vectorised(
        #[inline(always)]
        || {
            for v in values {
                *v = tanh_one(*v);
            }
        },
    );
}

/// Numbers up to which [`sin_cos`] holds; beyond it the reduction by multiples of π/2 would lose digits.
pub const TURNS: f64 = 1.6e6;

/// sin x and cos x for |x| up to [`TURNS`], each within 2 units in the last place.
///
/// x = k·π/2 + r with π/2 in parts of which multiples are exact, and Taylor polynomials in |r| ≤ π/4 whose
/// remainder is below the rounding.
#[inline(always)]
pub fn sin_cos(x: f64) -> (f64, f64) {
    // 33 bits of π/2 each, and what is left.
    const HIGH: f64 = f64::from_bits(0x3ff9_21fb_5440_0000);
    const MIDDLE: f64 = f64::from_bits(0x3dd0_b461_1a60_0000);
    const LOW: f64 = f64::from_bits(0x3ba3_198a_2e00_0000);
    const REST: f64 = 8.478_427_660_368_9e-32;
    // ±1/n! for n = 17 down to 3, and for n = 16 down to 4.
    const SIN: [f64; 8] = [
        1.0 / 355_687_428_096_000.0,
        -1.0 / 1_307_674_368_000.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 39_916_800.0,
        1.0 / 362_880.0,
        -1.0 / 5_040.0,
        1.0 / 120.0,
        -1.0 / 6.0,
    ];
    const COS: [f64; 7] = [
        1.0 / 20_922_789_888_000.0,
        -1.0 / 87_178_291_200.0,
        1.0 / 479_001_600.0,
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0,
    ];
    let rounded = x * std::f64::consts::FRAC_2_PI + ROUND;
    let k = rounded - ROUND;
    let r = (((x - k * HIGH) - k * MIDDLE) - k * LOW) - k * REST;
    let square = r * r;
    let (mut odd, mut even) = (SIN[0], COS[0]);
    for coefficient in &SIN[1..] {
        odd = odd * square + coefficient;
    }
    for coefficient in &COS[1..] {
        even = even * square + coefficient;
    }
    let sin = r + r * square * odd;
    // The half is exact, and what its difference from 1 loses is added again.
    let half = 0.5 * square;
    let near = 1.0 - half;
    let cos = near + (((1.0 - near) - half) + square * square * even);
    let quarter = rounded.to_bits();
    let (s, c) = if quarter & 1 == 1 {
        (cos, sin)
    } else {
        (sin, cos)
    };
    let sign = |value: f64, turned: u64| f64::from_bits(value.to_bits() ^ ((turned & 2) << 62));
    (sign(s, quarter), sign(c, quarter.wrapping_add(1)))
}

// Adding it leaves the nearest whole number in the low bits of the mantissa.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// tanh x = -E / (2 + E) with E = exp(-2|x|) - 1, which loses nothing near zero.
#[inline(always)]
pub fn tanh_one(x: f64) -> f64 {
    // Beyond this tanh is 1 in f64; written so that NaN passes.
    const LARGEST: f64 = 20.0;
    let size = x.abs();
    let size = if size > LARGEST { LARGEST } else { size };
    let e = expm1_of_negative(-2.0 * size);
    (-e / (2.0 + e)).copysign(x)
}

/// exp(z) - 1 for z in [-40, 0]: z = k·ln 2 + r, and a Taylor polynomial in |r| ≤ ½·ln 2 whose
/// remainder is below the rounding.
#[inline(always)]
fn expm1_of_negative(z: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // 1/n! for n = 13 down to 2.
    const INVERSE_FACTORIALS: [f64; 12] = [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        1.0 / 2.0,
    ];
    let rounded = z * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (z - k * LN2_HIGH) - k * LN2_LOW;
    let mut series = INVERSE_FACTORIALS[0];
    for coefficient in &INVERSE_FACTORIALS[1..] {
        series = series * r + coefficient;
    }
    let p = r + r * r * series;
    let exponent = rounded.to_bits().wrapping_add(1023) << 52;
    let scale = f64::from_bits(exponent);
    scale * p + (scale - 1.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn tanh_agrees_with_the_library_to_three_units_in_the_last_place() {
        let mut points: Vec<f64> = (-400_000..=400_000).map(|i| f64::from(i) * 1e-4).collect();
        points.extend((0..1000).map(|i| 0.7_f64.powi(i)));
        let mut values = points.clone();
        super::tanh(&mut values);
        for (x, y) in points.iter().zip(values) {
            let exact = x.tanh();
            let unit = f64::from_bits(exact.abs().to_bits() + 1) - exact.abs();
            assert!(
                (y - exact).abs() <= 3.0 * unit,
                "tanh {x} = {y}, library {exact}"
            );
            assert_eq!(y.is_sign_negative(), x.is_sign_negative());
        }
    }

    #[test]
    fn sine_and_cosine_agree_with_the_library_to_two_units_in_the_last_place() {
        let mut points: Vec<f64> = (-400_000..=400_000).map(|i| f64::from(i) * 1e-3).collect();
        points.extend((0..1000).map(|i| 0.7_f64.powi(i)));
        // Next to multiples of π/2, where all digits cancel, and as far out as it goes.
        let quarters = (0..1_000_000).step_by(37).map(f64::from);
        let near = quarters.map(|k| k * std::f64::consts::FRAC_PI_2);
        points.extend(near.flat_map(|x| [x, x.next_up(), -x.next_down()]));
        points.extend((0..100_000).map(|i| super::TURNS - f64::from(i) * 1.37));
        for x in points {
            let (sin, cos) = super::sin_cos(x);
            for (name, found, exact) in [("sin", sin, x.sin()), ("cos", cos, x.cos())] {
                let unit = f64::from_bits(exact.abs().to_bits() + 1) - exact.abs();
                assert!(
                    (found - exact).abs() <= 2.0 * unit,
                    "{name} {x} = {found:e}, library {exact:e}"
                );
            }
        }
    }

    #[test]
    fn tanh_of_special_values() {
        let mut values = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
            5e-324,
        ];
        super::tanh(&mut values);
        assert!(values[0].is_nan());
        assert_eq!(values[1..], [1.0, -1.0, 0.0, -0.0, 5e-324]);
        assert!(values[4].is_sign_negative());
    }
}
