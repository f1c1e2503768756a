//! What a field is whatever the parameters: functions of the point that its network reads, and a form that
//! meets what is given exactly (Lagaris, Likas and Fotiadis 1998, arXiv physics/9705023, equation 2).
//!
//! Both are layers without parameters, one in front of a network and one behind it, so that the network with
//! them is the field: it predicts, differentiates and is trained as any other.

use crate::error::Result;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::{Mat, Scratch};
use crate::network::{Derivative, Jets, Layer, Network, ThroughJets, Values};
use crate::physics::{Dual, Real};
use faer::reborrow::ReborrowMut;

/// Functions of a point that a network reads in its place, such as waves of a period.
///
/// ```
/// use hig::network::{Activation, Initializer, Network};
/// use hig::objective::{Embedding, reading};
/// use hig::physics::Real;
///
/// /// (t, cos x, sin x) of (t, x): what reads it has the period 2π in x.
/// #[derive(Debug)]
/// struct Circle;
///
/// impl Embedding for Circle {
///     fn coordinates(&self) -> usize {
///         2
///     }
///     fn features(&self) -> usize {
///         3
///     }
///     fn write<T: Real>(&self, x: &[T], features: &mut [T]) {
///         (features[0], features[1], features[2]) = (x[0], x[1].cos(), x[1].sin());
///     }
/// }
///
/// let network = Network::mlp(&[3, 8, 1], Activation::Tanh, Initializer::Uniform);
/// assert_eq!(reading(Circle, network)?.inputs(), 2);
/// # Ok::<(), hig::Error>(())
/// ```
pub trait Embedding: std::fmt::Debug + Send + Sync {
    /// Number of coordinates of a point.
    fn coordinates(&self) -> usize;

    /// How many functions there are.
    fn features(&self) -> usize;

    /// Writes them at a point.
    fn write<T: Real>(&self, x: &[T], features: &mut [T]);
}

/// A form u = g(x) + d(x)·N(x) of the fields that a network N is, g and d for each of them: where d is 0 the field is
/// g exactly, so that no block has to ask for it.
pub trait Ansatz: std::fmt::Debug + Send + Sync {
    /// Number of coordinates of a point.
    fn coordinates(&self) -> usize;

    /// Number of fields.
    fn fields(&self) -> usize {
        1
    }

    /// Writes g and d at a point, a number for each field.
    fn write<T: Real>(&self, x: &[T], g: &mut [T], d: &mut [T]);
}

/// A network that reads an [`Embedding`] of a point.
///
/// # Errors
/// A network that reads another number of features.
pub fn reading(embedding: impl Embedding + 'static, network: Network) -> Result<Network> {
    network.behind(embedding.coordinates(), Embedded(embedding))
}

/// A field that has the form of an [`Ansatz`].
///
/// ```
/// use hig::linalg::Mat;
/// use hig::network::{Activation, Initializer, Network};
/// use hig::objective::{Ansatz, formed};
/// use hig::physics::Real;
///
/// /// 1 at x = 0 and 0 at x = 1, whatever the network.
/// #[derive(Debug)]
/// struct BetweenEnds;
///
/// impl Ansatz for BetweenEnds {
///     fn coordinates(&self) -> usize {
///         1
///     }
///     fn write<T: Real>(&self, x: &[T], g: &mut [T], d: &mut [T]) {
///         g[0] = -x[0] + 1.0;
///         d[0] = x[0] * (-x[0] + 1.0);
///     }
/// }
///
/// let network = Network::mlp(&[1, 8, 1], Activation::Tanh, Initializer::Uniform);
/// let field = formed(network, BetweenEnds)?;
/// let ends = Mat::from_fn(2, 1, |i, _| i as f64);
/// let u = field.predict(&field.initial_parameters(0), ends.as_ref());
/// assert_eq!((u[(0, 0)], u[(1, 0)]), (1.0, 0.0));
/// # Ok::<(), hig::Error>(())
/// ```
///
/// # Errors
/// A network of other coordinates or another number of fields.
pub fn formed(network: Network, ansatz: impl Ansatz + 'static) -> Result<Network> {
    network.beside_input(Formed(ansatz))
}

/// A function of a point with its derivatives along the components of jets, for as many numbers as it writes.
///
/// `point` has the jets of the coordinates; `visit` hears of every component its place and its numbers.
fn each_component(
    jets: &Jets,
    numbers: usize,
    point: &dyn Fn(usize, usize) -> f64,
    write: &dyn WriteDual,
    mut visit: impl FnMut(usize, &[f64]),
) {
    let inputs = jets.inputs();
    let place = |i: usize| {
        let place = jets.place(Derivative::First(i));
        place.expect("second derivatives come with the first ones they are made of")
    };
    let zero = Dual::fixed(Dual::fixed(0.0));
    let (mut x, mut found) = (vec![zero; inputs], vec![zero; numbers]);
    let mut values = vec![0.0; numbers];
    // The derivative along two components, with a number for each coordinate for that along both.
    let mut along = |first: usize, second: usize, both: &dyn Fn(usize) -> f64| {
        for (k, x) in x.iter_mut().enumerate() {
            let inner = |value, slope| Dual {
                value,
                slopes: [slope],
            };
            *x = Dual {
                value: inner(point(0, k), point(second, k)),
                slopes: [inner(point(first, k), both(k))],
            };
        }
        write.write(&x, &mut found);
        found.clone()
    };
    for (c, component) in jets.components().iter().enumerate() {
        let seconds: Vec<(usize, usize)> = match *component {
            Derivative::Value => {
                // The slopes of this one are not asked for.
                let found = along(0, 0, &|_| 0.0);
                for (value, found) in values.iter_mut().zip(&found) {
                    *value = found.value.value;
                }
                visit(c, &values);
                continue;
            }
            Derivative::First(i) => {
                let found = along(place(i), 0, &|_| 0.0);
                for (value, found) in values.iter_mut().zip(&found) {
                    *value = found.slopes[0].value;
                }
                visit(c, &values);
                continue;
            }
            Derivative::Second(i, j) => vec![(place(i), place(j))],
            Derivative::Laplacian(from, to) => (from..to).map(|i| (place(i), place(i))).collect(),
        };
        values.fill(0.0);
        for (number, (first, second)) in seconds.into_iter().enumerate() {
            // The derivative of the coordinates themselves counts once.
            let own = |k: usize| if number == 0 { point(c, k) } else { 0.0 };
            let found = along(first, second, &own);
            for (value, found) in values.iter_mut().zip(&found) {
                *value += found.slopes[0].slopes[0];
            }
        }
        visit(c, &values);
    }
}

/// A function written for any number, for those that carry two derivatives.
trait WriteDual {
    fn write(&self, x: &[Dual<1, Dual<1>>], numbers: &mut [Dual<1, Dual<1>>]);
}

/// The derivatives of a function of a point along each coordinate (inputs × numbers).
fn slopes(point: &[f64], numbers: usize, write: &dyn WriteDual) -> Mat<f64> {
    let jets = Jets::of(point.len()).with_gradient();
    let mut found = Mat::zeros(point.len(), numbers);
    let of = |c: usize, k: usize| match c {
        0 => point[k],
        c => f64::from(c - 1 == k),
    };
    each_component(&jets, numbers, &of, write, |c, values| {
        if c > 0 {
            values
                .iter()
                .enumerate()
                .for_each(|(o, v)| found[(c - 1, o)] = *v);
        }
    });
    found
}

/// The layer of an [`Embedding`].
#[derive(Debug)]
struct Embedded<E>(E);

impl<E: Embedding> WriteDual for Embedded<E> {
    fn write(&self, x: &[Dual<1, Dual<1>>], numbers: &mut [Dual<1, Dual<1>>]) {
        self.0.write(x, numbers);
    }
}

impl<E: Embedding> Layer for Embedded<E> {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        match inputs == self.0.coordinates() {
            true => Ok(self.0.features()),
            false => Err(format!("it needs width {}", self.0.coordinates())),
        }
    }

    fn forward(
        &self,
        _: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        let mut features = vec![0.0; output.ncols()];
        for s in 0..input.nrows() {
            let x: Vec<f64> = input.row(s).iter().copied().collect();
            self.0.write(&x, &mut features);
            features
                .iter()
                .enumerate()
                .for_each(|(j, v)| output[(s, j)] = *v);
        }
    }

    fn backward(
        &self,
        _: &[f64],
        at: Values<'_>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        for s in 0..at.input.nrows() {
            let x: Vec<f64> = at.input.row(s).iter().copied().collect();
            let slopes = slopes(&x, rows.ncols(), self);
            for row in (s..rows.nrows()).step_by(at.input.nrows()) {
                for i in 0..x.len() {
                    let products = (0..rows.ncols()).map(|o| slopes[(i, o)] * rows[(row, o)]);
                    target[(row, i)] = products.sum();
                }
            }
        }
    }

    fn jvp_input(
        &self,
        _: &[f64],
        at: Values<'_>,
        tangent: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        let samples = at.input.nrows();
        for s in 0..samples {
            let x: Vec<f64> = at.input.row(s).iter().copied().collect();
            let slopes = slopes(&x, target.ncols(), self);
            for row in (s..tangent.nrows()).step_by(samples) {
                for o in 0..target.ncols() {
                    let products = (0..x.len()).map(|i| slopes[(i, o)] * tangent[(row, i)]);
                    let change = products.sum::<f64>();
                    match accumulate {
                        Accum::Replace => target[(row, o)] = change,
                        Accum::Add => target[(row, o)] += change,
                    }
                }
            }
        }
    }

    fn through_jets(&self) -> Option<&dyn ThroughJets> {
        Some(self)
    }
}

impl<E: Embedding> ThroughJets for Embedded<E> {
    fn forward(&self, jets: &Jets, input: MatRef<'_, f64>, mut output: MatMut<'_, f64>) {
        let samples = input.nrows() / jets.count();
        for s in 0..samples {
            let point = |c: usize, k: usize| input[(c * samples + s, k)];
            each_component(jets, output.ncols(), &point, self, |c, values| {
                for (j, value) in values.iter().enumerate() {
                    output[(c * samples + s, j)] = *value;
                }
            });
        }
    }

    fn backward(
        &self,
        _: &Jets,
        _: MatRef<'_, f64>,
        _: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
    ) {
        target.fill(0.0);
    }

    /// No layer with parameters is in front of it, so that what it reads rests.
    fn add_tangent(&self, _: &Jets, _: MatRef<'_, f64>, _: MatRef<'_, f64>, _: MatMut<'_, f64>) {}
}

/// The layer of an [`Ansatz`], which reads a point and what the network answers there.
#[derive(Debug)]
struct Formed<A>(A);

impl<A: Ansatz> WriteDual for Formed<A> {
    /// g, then d.
    fn write(&self, x: &[Dual<1, Dual<1>>], numbers: &mut [Dual<1, Dual<1>>]) {
        let (g, d) = numbers.split_at_mut(self.0.fields());
        self.0.write(x, g, d);
    }
}

/// What a component of the product d·N is made of: (component, that of N, that of d, how often).
fn products(jets: &Jets) -> Vec<(usize, usize, usize, f64)> {
    let place = |i: usize| {
        let place = jets.place(Derivative::First(i));
        place.expect("second derivatives come with the first ones they are made of")
    };
    let mut all = Vec::new();
    for (c, component) in jets.components().iter().enumerate() {
        all.push((c, 0, c, 1.0));
        if c > 0 {
            all.push((c, c, 0, 1.0));
        }
        match *component {
            Derivative::Value | Derivative::First(_) => {}
            Derivative::Second(i, j) if i == j => all.push((c, place(i), place(i), 2.0)),
            Derivative::Second(i, j) => {
                all.push((c, place(i), place(j), 1.0));
                all.push((c, place(j), place(i), 1.0));
            }
            Derivative::Laplacian(from, to) => {
                all.extend((from..to).map(|i| (c, place(i), place(i), 2.0)));
            }
        }
    }
    all
}

impl<A: Ansatz> Formed<A> {
    /// g and d with their derivatives (C·b × 2·fields) at the points of a layer's input.
    fn terms(&self, jets: &Jets, input: MatRef<'_, f64>) -> Mat<f64> {
        let (fields, samples) = (self.0.fields(), input.nrows() / jets.count());
        let mut terms = Mat::zeros(input.nrows(), 2 * fields);
        for s in 0..samples {
            let point = |c: usize, k: usize| match jets.components()[c] {
                Derivative::Value => input[(s, k)],
                Derivative::First(i) => f64::from(i == k),
                Derivative::Second(..) | Derivative::Laplacian(..) => 0.0,
            };
            each_component(jets, 2 * fields, &point, self, |c, values| {
                for (j, value) in values.iter().enumerate() {
                    terms[(c * samples + s, j)] = *value;
                }
            });
        }
        terms
    }

    /// Adds d times what the network answers, or a tangent of it, with all derivatives.
    fn add_products(
        &self,
        jets: &Jets,
        terms: &Mat<f64>,
        answers: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
    ) {
        let (fields, coordinates) = (self.0.fields(), self.0.coordinates());
        let samples = terms.nrows() / jets.count();
        for field in 0..fields {
            let d = terms.col_as_slice(fields + field);
            let from = matrix::column(answers, coordinates + field);
            let to = matrix::column_mut(target.rb_mut(), field);
            for (c, answer, factor, times) in products(jets) {
                let (d, from) = (&d[factor * samples..], &from[answer * samples..]);
                let to = &mut to[c * samples..][..samples];
                for (to, (d, from)) in to.iter_mut().zip(d.iter().zip(from)) {
                    *to += times * d * from;
                }
            }
        }
    }

    /// Writes the rows in front of the layer: those of the network's answer; what comes back to the point is 0,
    /// as no parameters are in front of it.
    fn write_back(
        &self,
        jets: &Jets,
        terms: &Mat<f64>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
    ) {
        let (fields, coordinates) = (self.0.fields(), self.0.coordinates());
        let samples = terms.nrows() / jets.count();
        target.fill(0.0);
        for field in 0..fields {
            let d = terms.col_as_slice(fields + field);
            let rows = matrix::column(rows, field).chunks_exact(terms.nrows().max(1));
            let target = matrix::column_mut(target.rb_mut(), coordinates + field);
            for (to, from) in target.chunks_exact_mut(terms.nrows().max(1)).zip(rows) {
                for (c, answer, factor, times) in products(jets) {
                    let (d, from) = (&d[factor * samples..], &from[c * samples..]);
                    let to = &mut to[answer * samples..][..samples];
                    for (to, (d, from)) in to.iter_mut().zip(d.iter().zip(from)) {
                        *to += times * d * from;
                    }
                }
            }
        }
    }
}

impl<A: Ansatz> Layer for Formed<A> {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        let (coordinates, fields) = (self.0.coordinates(), self.0.fields());
        match inputs == coordinates + fields {
            true => Ok(fields),
            false => Err(format!(
                "it needs a network from {coordinates} coordinates to {fields} fields"
            )),
        }
    }

    fn forward(&self, _: &[f64], input: MatRef<'_, f64>, output: MatMut<'_, f64>, _: &mut Scratch) {
        ThroughJets::forward(self, &Jets::of(self.0.coordinates()), input, output);
    }

    fn backward(
        &self,
        _: &[f64],
        at: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        let jets = Jets::of(self.0.coordinates());
        ThroughJets::backward(self, &jets, at.input, rows, target);
    }

    fn jvp_input(
        &self,
        _: &[f64],
        at: Values<'_>,
        tangent: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        if accumulate == Accum::Replace {
            target.fill(0.0);
        }
        let jets = Jets::of(self.0.coordinates());
        self.add_tangent(&jets, at.input, tangent, target);
    }

    fn through_jets(&self) -> Option<&dyn ThroughJets> {
        Some(self)
    }
}

impl<A: Ansatz> ThroughJets for Formed<A> {
    fn forward(&self, jets: &Jets, input: MatRef<'_, f64>, mut output: MatMut<'_, f64>) {
        let terms = self.terms(jets, input);
        output.copy_from(terms.as_ref().subcols(0, self.0.fields()));
        self.add_products(jets, &terms, input, output);
    }

    fn backward(
        &self,
        jets: &Jets,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
    ) {
        self.write_back(jets, &self.terms(jets, input), rows, target);
    }

    fn add_tangent(
        &self,
        jets: &Jets,
        input: MatRef<'_, f64>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
    ) {
        self.add_products(jets, &self.terms(jets, input), tangent, target);
    }
}
