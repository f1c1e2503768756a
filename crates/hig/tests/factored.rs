//! A Jacobian given by its factors, against the matrix that its definition makes of them.

mod common;

use common::{normal, normal_vector};
use hig::linalg::{self, Mat};
use hig::objective::{
    ExplicitJacobian, FactoredJacobian, FactoredLayout, FactoredWeight, Jacobian, Sketch,
    WeightFactors,
};

const SAMPLES: usize = 5;
const COMPONENTS: usize = 3;

/// Two arrays of weights, the second without a bias and with its numbers in another order, parameters that
/// are none, and one without effect.
fn layout() -> FactoredLayout {
    let first = FactoredWeight {
        inputs: 4,
        outputs: 3,
        biased: vec![true, false, true],
        places: (0..15).map(|k| Some(k + 2)).collect(),
    };
    let second = FactoredWeight {
        inputs: 2,
        outputs: 5,
        biased: vec![false],
        places: (0..15).map(|k| (k < 10).then_some(30 - k)).collect(),
    };
    FactoredLayout::new(vec![first, second], vec![31, 0, 18], 32).unwrap()
}

fn factors(layout: &FactoredLayout) -> (Vec<WeightFactors>, Mat<f64>) {
    let weights = layout.weights().iter().enumerate();
    let factors = weights.map(|(i, weight)| {
        let all = weight.biased.len() * SAMPLES;
        WeightFactors {
            input: normal(all, weight.inputs, 10 + i as u64),
            rows: normal(COMPONENTS * all, weight.outputs, 20 + i as u64),
        }
    });
    let n = COMPONENTS * SAMPLES;
    (factors.collect(), normal(layout.rest().len(), n, 30))
}

/// J by its definition.
fn defined(layout: &FactoredLayout) -> Mat<f64> {
    let (factors, rest) = factors(layout);
    let mut j = Mat::zeros(COMPONENTS * SAMPLES, layout.columns());
    for (weight, part) in layout.weights().iter().zip(&factors) {
        let passes = weight.biased.len();
        for row in 0..j.nrows() {
            let (component, sample) = (row / SAMPLES, row % SAMPLES);
            for pass in 0..passes {
                let at = (component * passes + pass) * SAMPLES + sample;
                for o in 0..weight.outputs {
                    let delta = part.rows[(at, o)];
                    for i in 0..weight.inputs {
                        if let Some(place) = weight.places[o * weight.inputs + i] {
                            j[(row, place)] += delta * part.input[(pass * SAMPLES + sample, i)];
                        }
                    }
                    let bias = weight.places[weight.inputs * weight.outputs + o];
                    if let (true, Some(place)) = (weight.biased[pass], bias) {
                        j[(row, place)] += delta;
                    }
                }
            }
        }
    }
    for (k, place) in layout.rest().iter().enumerate() {
        for row in 0..j.nrows() {
            j[(row, *place)] = rest[(k, row)];
        }
    }
    j
}

fn close(what: &str, found: &Mat<f64>, expected: &Mat<f64>) {
    let error = (found - expected).norm_max() / expected.norm_max();
    assert!(error < 1e-13, "{what}: {error:e}");
}

fn agrees(found: &dyn Jacobian, j: &Mat<f64>) {
    let expected = ExplicitJacobian::new(j);
    let (n, p) = j.shape();
    assert_eq!((found.rows(), found.columns()), (n, p));
    let column = |v: Vec<f64>| Mat::from_fn(v.len(), 1, |i, _| v[i]);
    let (w, v) = (normal_vector(n, 1), normal_vector(p, 2));
    let pairs = [
        (
            "vjp",
            column(found.vjp(&w).unwrap()),
            column(expected.vjp(&w).unwrap()),
        ),
        (
            "jvp",
            column(found.jvp(&v).unwrap()),
            column(expected.jvp(&v).unwrap()),
        ),
        ("J", found.transposed().unwrap(), j.transpose().to_owned()),
    ];
    for (what, found, expected) in pairs {
        close(what, &found, &expected);
    }
    let (images, directions) = (normal(n, 4, 3), normal(p, 4, 4));
    let squares = |j: &dyn Jacobian| {
        [
            j.gram().unwrap(),
            j.normal().unwrap(),
            j.image_gram(images.as_ref()).unwrap(),
            j.normal_image_gram(directions.as_ref()).unwrap(),
        ]
        .map(linalg::Symmetric::complete)
    };
    let names = ["K", "normal", "images", "normal images"];
    for ((what, found), expected) in names.iter().zip(squares(found)).zip(squares(&expected)) {
        close(what, &found, &expected);
    }
}

#[test]
fn every_product_is_that_of_the_matrix() {
    let layout = layout();
    let (factors, rest) = factors(&layout);
    let found = FactoredJacobian::new(&layout, factors, rest, SAMPLES).unwrap();
    let j = defined(&layout);
    agrees(&found, &j);
    let scales = normal_vector(j.nrows(), 5);
    let scaled = Mat::from_fn(j.nrows(), j.ncols(), |i, k| scales[i] * j[(i, k)]);
    agrees(found.scaled_rows(&scales).unwrap().as_ref(), &scaled);
    let sketch = Sketch::new(normal(2 * SAMPLES, COMPONENTS, 6), SAMPLES);
    let combined = found.combined_rows(&sketch).unwrap();
    let expected = ExplicitJacobian::new(&j);
    let expected = expected
        .combined_rows(&sketch)
        .unwrap()
        .transposed()
        .unwrap();
    agrees(combined.as_ref(), &expected.transpose().to_owned());
}

#[test]
fn what_does_not_fit_is_refused() {
    let layout = layout();
    let (factors, rest) = factors(&layout);
    let told = |result: hig::Result<FactoredJacobian<'_>>| result.unwrap_err().to_string();
    let mut wrong = factors.clone();
    wrong[1].input = Mat::zeros(SAMPLES, 3);
    let message = told(FactoredJacobian::new(&layout, wrong, rest.clone(), SAMPLES));
    assert_eq!(
        message,
        "inputs of weight 1 has shape 5 x 3, expected 5 x 2"
    );
    let fewer = factors[..1].to_vec();
    assert!(FactoredJacobian::new(&layout, fewer, rest.clone(), SAMPLES).is_err());
    let long = Mat::zeros(4, rest.ncols());
    assert!(FactoredJacobian::new(&layout, factors, long, SAMPLES).is_err());
    let weight = |places: Vec<Option<usize>>| FactoredWeight {
        inputs: 1,
        outputs: 1,
        biased: vec![true],
        places,
    };
    let places = [
        (vec![Some(0)], vec![], 2),
        (vec![Some(0), Some(0)], vec![], 2),
        (vec![Some(0), Some(2)], vec![], 2),
        (vec![Some(0), None], vec![0], 2),
    ];
    for (places, rest, columns) in places {
        assert!(FactoredLayout::new(vec![weight(places)], rest, columns).is_err());
    }
}
