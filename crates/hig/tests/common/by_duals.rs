//! Equations whose derivatives come from dual numbers, whatever they would do by themselves.

use hig::physics::{Cotangents, Dual, Equations, Lanes, Real};

/// The same right-hand side; its products are those of a dense Jacobian, sample by sample, by dual numbers.
#[derive(Debug, Clone)]
pub struct ByDuals<E>(pub E);

impl<E: Equations> Equations for ByDuals<E> {
    fn state_len(&self) -> usize {
        self.0.state_len()
    }

    fn control_len(&self) -> usize {
        self.0.control_len()
    }

    fn rate<T: Real>(&self, time: f64, state: &[T], control: &[T], rate: &mut [T]) {
        self.0.rate(time, state, control, rate);
    }

    fn rate_vjp(&self, time: f64, state: &[Lanes], control: &[Lanes], cotangents: Cotangents<'_>) {
        let (d, width) = (state.len(), state.len() + control.len());
        let mut jacobian = vec![Lanes::ZERO; d * width];
        let mut rate = vec![Dual::<1>::constant(0.0); d];
        for lane in 0..Lanes::COUNT {
            for j in 0..width {
                let values = state.iter().chain(control).enumerate();
                let along = |(i, v): (usize, &Lanes)| match i == j {
                    true => Dual::variable(v.0[lane], 0),
                    false => Dual::fixed(v.0[lane]),
                };
                let point: Vec<Dual<1>> = values.map(along).collect();
                self.0.rate(time, &point[..d], &point[d..], &mut rate);
                for (i, r) in rate.iter().enumerate() {
                    jacobian[i * width + j].0[lane] = r.slopes[0];
                }
            }
        }
        for c in cotangents {
            for (i, w) in c.rate.iter().enumerate() {
                let row = &jacobian[i * width..(i + 1) * width];
                let targets = c.state.iter_mut().chain(c.control.iter_mut());
                for (target, slope) in targets.zip(row) {
                    *target += *slope * *w;
                }
            }
        }
    }
}
