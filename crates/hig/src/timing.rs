//! The parts of a training as [`tracing`] spans, for whoever wants to know where its time goes.
//!
//! A span is open while its part runs, on the thread that runs it, and parts lie inside each other: a
//! [`STEP`] holds the other parts of its update, and its own share is what these leave. Candidates that
//! a step tries at once have their spans on the threads that try them. Without a subscriber a span costs
//! one comparison.

/// The target of the spans of parts, and of nothing else.
pub const TARGET: &str = "hig::timing";

/// A forward pass through network and physics.
pub const FORWARD: &str = "forward";
/// The rows of the physics, and K, JᵀJ or J itself from them.
pub const GRAM: &str = "gram";
/// The decomposition of that matrix, or the products of the Lanczos route.
pub const DECOMPOSE: &str = "decompose";
/// A backward pass: the gradient, or the direction of a filter.
pub const DIRECTION: &str = "direction";
/// All of an update; its own share is what the parts above leave.
pub const STEP: &str = "step";
/// The losses of the training and the test samples.
pub const EVALUATE: &str = "evaluate";
/// The observers at an evaluation, and checkpoints.
pub const RECORD: &str = "record";

/// All parts, in the order in which they follow each other.
pub const PARTS: [&str; 7] = [FORWARD, GRAM, DECOMPOSE, DIRECTION, STEP, EVALUATE, RECORD];

/// The parts that lie in no other.
pub const OUTERMOST: [&str; 3] = [STEP, EVALUATE, RECORD];

/// The target of the spans inside the decomposition of K, a closer look at what [`DECOMPOSE`] is made of.
pub const INSIDE: &str = "hig::timing::inside";

/// A small K to tridiagonal form.
pub const DIRECT: &str = "direct";
/// A larger one to a band.
pub const BAND: &str = "band";
/// The band to tridiagonal form.
pub const CHASE: &str = "chase";
/// The eigenvalues of that, and the factors of its eigenvectors.
pub const DIVIDE: &str = "divide";

/// Opens a span inside the decomposition until the end of the scope.
macro_rules! inside {
    ($name:ident) => {
        tracing::trace_span!(target: $crate::timing::INSIDE, $crate::timing::$name).entered()
    };
}
pub(crate) use inside;

/// Opens the span of a part until the end of the scope.
macro_rules! part {
    ($name:ident) => {
        tracing::trace_span!(target: $crate::timing::TARGET, $crate::timing::$name).entered()
    };
}
pub(crate) use part;
