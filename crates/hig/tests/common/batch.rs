//! The answers of a linearised batch where no simulator fails, symmetric matrices as whole ones.

use hig::linalg::{Mat, MatRef, Symmetric};
use hig::loss::Loss;
use hig::objective::{Jacobian, Linearized, Reduction, ThroughPhysics};
use hig::{Dataset, Linearization, Problem};
use std::ops::Deref;

/// Network, physics and loss of a problem.
pub fn parts(problem: &Problem) -> &ThroughPhysics {
    problem.through_physics().expect("a network and physics")
}

pub fn parts_mut(problem: &mut Problem) -> &mut ThroughPhysics {
    problem
        .through_physics_mut()
        .expect("a network and physics")
}

/// A loss of a batch that counts by the mean, and its gradient in y.
pub fn mean(loss: &dyn Loss, y: &Mat<f64>, target: &Mat<f64>) -> f64 {
    Reduction::Mean.loss(&loss.values(y.as_ref(), target.as_ref()))
}

pub fn mean_cotangent(loss: &dyn Loss, y: &Mat<f64>, target: &Mat<f64>) -> Mat<f64> {
    faer::Scale(1.0 / y.nrows() as f64) * loss.cotangents(y.as_ref(), target.as_ref())
}

/// Mean loss of samples.
pub fn loss_of(problem: &Problem, at: &[f64], samples: &Dataset) -> f64 {
    problem.objective.loss(at, samples).unwrap()
}

pub struct Batch<'a>(Linearization<'a>);

impl<'a> Deref for Batch<'a> {
    type Target = Linearization<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

fn whole(matrix: hig::Result<Symmetric>) -> Mat<f64> {
    matrix.unwrap().complete()
}

impl<'a> Batch<'a> {
    pub fn new(parts: &'a ThroughPhysics, samples: &'a Dataset, at: &'a [f64]) -> Self {
        Self(Linearization::new(parts, samples, at).unwrap())
    }

    pub fn rows(&self) -> usize {
        self.0.rows()
    }

    pub fn columns(&self) -> usize {
        self.0.columns()
    }

    pub fn loss(&self) -> f64 {
        self.0.loss()
    }

    pub fn cotangent(&self) -> &[f64] {
        self.0.cotangent()
    }

    pub fn curvature(&self) -> Vec<f64> {
        self.0.curvature().unwrap()
    }

    pub fn gradient(&self) -> Vec<f64> {
        self.0.gradient().unwrap()
    }

    pub fn loss_at(&self, parameters: &[f64]) -> f64 {
        self.0.loss_at(parameters).unwrap()
    }

    pub fn vjp(&self, w: &[f64]) -> Vec<f64> {
        self.0.vjp(w).unwrap()
    }

    pub fn jvp(&self, v: &[f64]) -> Vec<f64> {
        self.0.jvp(v).unwrap()
    }

    pub fn gram(&self) -> Mat<f64> {
        whole(self.0.gram())
    }

    pub fn image_gram(&self, w: MatRef<'_, f64>) -> Mat<f64> {
        whole(self.0.image_gram(w))
    }

    pub fn normal(&self) -> Mat<f64> {
        whole(self.0.normal())
    }

    pub fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Mat<f64> {
        whole(self.0.normal_image_gram(v))
    }

    pub fn transposed(&self) -> Mat<f64> {
        self.0.transposed().unwrap()
    }

    pub fn physics_rows(&self) -> &Mat<f64> {
        self.0.physics_rows().unwrap()
    }

    /// J (n × p).
    pub fn jacobian(&self) -> Mat<f64> {
        self.0.jacobian().unwrap().formed()
    }
}
