//! What steps tell of themselves: each number with its name, title, unit and meaning.
//!
//! An [`Update`](crate::step::Update) carries these numbers by name; files, warnings, TensorBoard and the
//! page of a run read the same list. To add one, write its constant and add it to [`ALL`].

/// A number that a step may tell of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its name in files.
    pub name: &'static str,
    /// Its name for readers.
    pub title: &'static str,
    /// Its unit; empty for a pure number.
    pub unit: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
}

impl Diagnostic {
    /// The number as an update carries it.
    pub fn of(&self, value: f64) -> (&'static str, f64) {
        (self.name, value)
    }
}

/// Rows of J that a step with combinations of them decomposed.
pub const ROWS: Diagnostic = Diagnostic {
    name: "rows",
    title: "Rows decomposed",
    unit: "rows",
    meaning: "random combinations of the rows of a batch that a step decomposed",
};

/// Singular directions that the step uses.
pub const RANK: Diagnostic = Diagnostic {
    name: "rank",
    title: "Rank kept",
    unit: "directions",
    meaning: "singular directions that a step uses",
};

/// (Σ aₖ²)² / Σ aₖ⁴ of the step's components along the right singular vectors (Bell and Dean 1970,
/// doi 10.1039/DF9705000055).
pub const PARTICIPATION: Diagnostic = Diagnostic {
    name: "participation",
    title: "Participation",
    unit: "directions",
    meaning: "singular directions that carry a step",
};

/// κ in f(σ) = σ^(-κ).
pub const KAPPA: Diagnostic = Diagnostic {
    name: "kappa",
    title: "Exponent κ",
    unit: "",
    meaning: "-1 gradient descent, 0 orthogonalised, ½ half-inverse, 1 Gauss-Newton",
};

/// Factor on the direction.
pub const STEP_LENGTH: Diagnostic = Diagnostic {
    name: "step_length",
    title: "Step length",
    unit: "",
    meaning: "factor on the direction; 0 where no length lowered the loss of the batch",
};

/// α* along the direction of a method with a fixed learning rate.
pub const FULL_STEP: Diagnostic = Diagnostic {
    name: "full_step",
    title: "Full step",
    unit: "",
    meaning: "the η at which the quadratic model of a batch is least along its direction, the median of the \
              first eight updates",
};

/// α* along the direction of one batch for the samples of the next.
pub const FULL_STEP_OF_OTHERS: Diagnostic = Diagnostic {
    name: "full_step_of_others",
    title: "Full step of others",
    unit: "",
    meaning: "the same on the samples of the next batch, from the sums over the first eight updates; a 33rd \
              of the batches' own at least",
};

/// μ of Levenberg-Marquardt.
pub const DAMPING: Diagnostic = Diagnostic {
    name: "damping",
    title: "Damping",
    unit: "σ²",
    meaning: "μ, added to the eigenvalues of the Gauss-Newton matrix",
};

/// The singular value, relative to the largest, below which directions are damped away.
pub const CUTOFF: Diagnostic = Diagnostic {
    name: "cutoff",
    title: "Cut-off",
    unit: "largest σ",
    meaning: "√λ, below which singular values are damped away",
};

/// μ of a step with momentum.
pub const MOMENTUM: Diagnostic = Diagnostic {
    name: "momentum",
    title: "Momentum",
    unit: "",
    meaning: "part of the last update that this one began with",
};

/// The decrease of the loss over that of its quadratic model.
pub const GAIN_RATIO: Diagnostic = Diagnostic {
    name: "gain_ratio",
    title: "Gain ratio",
    unit: "",
    meaning: "decrease of the loss over what its quadratic model promised; 0 is an update refused",
};

/// 2|a|/|v| of a step v with geodesic acceleration a.
pub const ACCELERATION: Diagnostic = Diagnostic {
    name: "acceleration",
    title: "Acceleration",
    unit: "",
    meaning: "how much the path bends along the step, 2|a|/|v|; not followed above 0.75, 0 is none",
};

/// How often a damped step was corrected by the residuals that it led to.
pub const CORRECTIONS: Diagnostic = Diagnostic {
    name: "corrections",
    title: "Corrections",
    unit: "",
    meaning: "corrections of the step by the residuals that it led to; 0 is the step as it was",
};

/// Products with J that Lanczos made.
pub const VECTORS: Diagnostic = Diagnostic {
    name: "vectors",
    title: "Lanczos vectors",
    unit: "products",
    meaning: "products with J and its transpose that a step took",
};

/// The relative error of the step that Lanczos estimates.
pub const ERROR: Diagnostic = Diagnostic {
    name: "error",
    title: "Lanczos error",
    unit: "",
    meaning: "estimated relative error of the direction",
};

/// Steps that were tried on the batch.
pub const CANDIDATES: Diagnostic = Diagnostic {
    name: "candidates",
    title: "Candidates",
    unit: "steps",
    meaning: "steps that were tried on the batch",
};

/// Updates in the mean of the parameters.
pub const AVERAGED: Diagnostic = Diagnostic {
    name: "averaged",
    title: "Averaged",
    unit: "updates",
    meaning: "updates in the mean of the parameters",
};

/// The best length of the last step by the quadratic model of a batch that it knew nothing of, over the
/// length that it had.
pub const LENGTH_RATIO: Diagnostic = Diagnostic {
    name: "length_ratio",
    title: "Length by the new batch",
    unit: "step length",
    meaning: "best length of the last update by a new batch; at ½ it left that batch's loss where it was",
};

/// Eigenbases of a layer's factors that were found anew.
pub const BASES: Diagnostic = Diagnostic {
    name: "bases",
    title: "Bases renewed",
    unit: "factors",
    meaning: "factors of layers that were decomposed anew",
};

/// All of them, in the order in which they are shown.
pub const ALL: [Diagnostic; 19] = [
    ROWS,
    RANK,
    PARTICIPATION,
    KAPPA,
    STEP_LENGTH,
    FULL_STEP,
    FULL_STEP_OF_OTHERS,
    DAMPING,
    CUTOFF,
    MOMENTUM,
    GAIN_RATIO,
    ACCELERATION,
    CORRECTIONS,
    VECTORS,
    ERROR,
    CANDIDATES,
    AVERAGED,
    LENGTH_RATIO,
    BASES,
];
