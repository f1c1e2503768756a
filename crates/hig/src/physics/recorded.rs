//! Reverse-mode differentiation of right-hand sides.
//!
//! A right-hand side that is evaluated with [`Recorded`] numbers leaves a graph: each operation is a node
//! with an edge, a partial derivative, to each of its operands. Products with the transposed Jacobian walk the edges
//! backwards (Griewank and Walther, "Evaluating Derivatives", 2nd edition, chapters 3 and 9). Before they
//! do, nodes through which no more paths lead than they have edges are eliminated: their edges are
//! multiplied once, instead of by every cotangent. What is left of a stencil is its sparse Jacobian; a sum that every
//! component reads stays one node.

use super::{Cotangents, Dual, Equations, Lanes, Real};
use crate::linalg::simd::vectorised;
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::rc::Rc;

/// The edges of a recorded graph. The first nodes are the inputs, which have none.
#[derive(Debug, Default)]
struct Graph {
    inputs: usize,
    /// For each node behind the inputs, the end of its edges.
    ends: Vec<u32>,
    /// For each edge twice the node that it leads to, and 1 more where its derivative is a plain number.
    operands: Vec<u32>,
    /// The derivatives that are plain numbers, the same for all samples.
    factors: Vec<f64>,
    /// The others.
    partials: Vec<Lanes>,
}

impl Graph {
    fn begin(&mut self, inputs: usize) {
        self.inputs = inputs;
        self.ends.clear();
        self.operands.clear();
        self.factors.clear();
        self.partials.clear();
    }

    #[inline(always)]
    fn edge(&mut self, operand: u32, partial: Lanes) {
        self.operands.push(2 * operand);
        self.partials.push(partial);
    }

    #[inline(always)]
    fn plain_edge(&mut self, operand: u32, factor: f64) {
        self.operands.push(2 * operand + 1);
        self.factors.push(factor);
    }

    /// Ends a node; its place.
    #[inline(always)]
    fn node(&mut self) -> u32 {
        self.ends.push(self.operands.len() as u32);
        (self.inputs + self.ends.len() - 1) as u32
    }
}

/// Where a number that depends on the inputs stands, and the factor with which it does: so products with
/// plain numbers, sums with them and changes of sign need no node.
#[derive(Debug, Clone, Copy)]
struct Varying<'t> {
    graph: &'t RefCell<Graph>,
    node: u32,
    factor: f64,
}

/// A number that writes down how it was made, for eight samples at once.
#[derive(Debug, Clone, Copy)]
struct Recorded<'t> {
    value: Lanes,
    /// None where it does not depend on the inputs.
    from: Option<Varying<'t>>,
}

impl<'t> Recorded<'t> {
    #[inline(always)]
    fn fixed(value: Lanes) -> Self {
        Self { value, from: None }
    }

    /// A function of this number.
    #[inline(always)]
    fn through(self, value: Lanes, derivative: impl FnOnce() -> Lanes) -> Self {
        let Some(from) = self.from else {
            return Self::fixed(value);
        };
        let mut graph = from.graph.borrow_mut();
        graph.edge(from.node, derivative() * from.factor);
        let node = graph.node();
        Self::at(value, from.graph, node)
    }

    #[inline(always)]
    fn at(value: Lanes, graph: &'t RefCell<Graph>, node: u32) -> Self {
        let factor = 1.0;
        Self {
            value,
            from: Some(Varying {
                graph,
                node,
                factor,
            }),
        }
    }

    /// A function of two numbers, from its value and its partial derivatives.
    #[inline(always)]
    fn through_both(self, other: Self, value: Lanes, (first, second): (Lanes, Lanes)) -> Self {
        match (self.from, other.from) {
            (_, None) => self.through(value, || first),
            (None, Some(_)) => other.through(value, || second),
            (Some(a), Some(b)) => {
                let mut graph = a.graph.borrow_mut();
                let (first, second) = (first * a.factor, second * b.factor);
                if a.node == b.node {
                    graph.edge(a.node, first + second);
                } else {
                    graph.edge(a.node, first);
                    graph.edge(b.node, second);
                }
                let node = graph.node();
                Self::at(value, a.graph, node)
            }
        }
    }

    /// A sum of this number and `sign` times the other, of the given value.
    #[inline(always)]
    fn sum(self, other: Self, value: Lanes, sign: f64) -> Self {
        let scaled = |from: Option<Varying<'t>>, by: f64| {
            from.map(|from| Varying {
                factor: from.factor * by,
                ..from
            })
        };
        match (self.from, other.from) {
            (from, None) => Self { value, from },
            (None, from) => Self {
                value,
                from: scaled(from, sign),
            },
            (Some(a), Some(b)) => {
                let mut graph = a.graph.borrow_mut();
                if a.node == b.node {
                    graph.plain_edge(a.node, a.factor + sign * b.factor);
                } else {
                    graph.plain_edge(a.node, a.factor);
                    graph.plain_edge(b.node, sign * b.factor);
                }
                let node = graph.node();
                Self::at(value, a.graph, node)
            }
        }
    }

    #[inline(always)]
    fn scaled(self, value: Lanes, factor: f64) -> Self {
        let scaled = |from: Varying<'t>| Varying {
            factor: from.factor * factor,
            ..from
        };
        Self {
            value,
            from: self.from.map(scaled),
        }
    }

    /// A function of this number, with the derivative that dual numbers have of it.
    #[inline(always)]
    fn by_dual(self, function: impl FnOnce(Dual<1, Lanes>) -> Dual<1, Lanes>) -> Self {
        let result = function(Dual::variable(self.value, 0));
        self.through(result.value, || result.slopes[0])
    }

    #[inline(always)]
    fn by_duals(
        self,
        other: Self,
        function: impl FnOnce(Dual<2, Lanes>, Dual<2, Lanes>) -> Dual<2, Lanes>,
    ) -> Self {
        let result = function(
            Dual::variable(self.value, 0),
            Dual::variable(other.value, 1),
        );
        self.through_both(other, result.value, (result.slopes[0], result.slopes[1]))
    }
}

impl Neg for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.scaled(-self.value, -1.0)
    }
}

impl Add for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.sum(other, self.value + other.value, 1.0)
    }
}

impl Sub for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.sum(other, self.value - other.value, -1.0)
    }
}

impl Mul for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let derivatives = (other.value, self.value);
        self.through_both(other, self.value * other.value, derivatives)
    }
}

impl Div for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let inverse = Lanes::constant(1.0) / other.value;
        self.through_both(other, value, (inverse, -(value * inverse)))
    }
}

impl Add<f64> for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: f64) -> Self {
        Self {
            value: self.value + other,
            ..self
        }
    }
}

impl Sub<f64> for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: f64) -> Self {
        Self {
            value: self.value - other,
            ..self
        }
    }
}

impl Mul<f64> for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: f64) -> Self {
        self.scaled(self.value * other, other)
    }
}

impl Div<f64> for Recorded<'_> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: f64) -> Self {
        self.scaled(self.value / other, 1.0 / other)
    }
}

impl Real for Recorded<'_> {
    #[inline(always)]
    fn constant(value: f64) -> Self {
        Self::fixed(Lanes::constant(value))
    }
    #[inline(always)]
    fn sin(self) -> Self {
        self.by_dual(Real::sin)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        self.by_dual(Real::cos)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        self.by_dual(Real::tanh)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.by_dual(Real::exp)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.by_dual(Real::ln)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.by_dual(Real::sqrt)
    }
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        self.by_dual(|x| x.powi(exponent))
    }
    #[inline(always)]
    fn powf(self, exponent: f64) -> Self {
        self.by_dual(|x| x.powf(exponent))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.by_dual(Real::abs)
    }
    #[inline(always)]
    fn signum(self) -> Self {
        Self::fixed(self.value.signum())
    }
    #[inline(always)]
    fn hypot(self, other: Self) -> Self {
        self.by_duals(other, Real::hypot)
    }
    #[inline(always)]
    fn atan2(self, other: Self) -> Self {
        self.by_duals(other, Real::atan2)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.by_duals(other, Real::max)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.by_duals(other, Real::min)
    }
    #[inline(always)]
    fn chain(self, derivative: Self) -> Self {
        self.by_duals(derivative, Real::chain)
    }
}

/// A derivative in a graph that is made small.
#[derive(Debug, Clone, Copy)]
enum Derivative {
    /// The same in every call.
    Constant(f64),
    /// A result: of the recorded ones first, then of the plan's operations.
    Result(u32),
}

/// How a result follows from earlier ones.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Product(u32, u32),
    Scaled(u32, f64),
    Sum(u32, u32),
    Shifted(u32, f64),
}

/// A node between inputs and outputs while others are eliminated.
#[derive(Debug, Default, Clone)]
struct Node {
    /// The nodes that its edges lead to.
    operands: Vec<(u32, Derivative)>,
    /// The nodes whose edges lead to it.
    users: Vec<u32>,
}

/// Where cotangents are gathered.
#[derive(Debug, Clone, Copy)]
struct Target {
    /// The slot of a node's cotangent, or the number of an input.
    place: u32,
    /// The end of its edges.
    end: u32,
}

/// How a graph of one structure is made small and walked backwards. The last nodes of the graph are the outputs.
#[derive(Debug)]
struct Plan {
    inputs: usize,
    outputs: usize,
    ends: Vec<u32>,
    operands: Vec<u32>,
    /// The plain numbers among the derivatives, and whether each was the same in every call.
    factors: Vec<f64>,
    constant: Vec<bool>,
    all_constant: bool,
    /// Number of derivatives that are recorded for each sample.
    partials: usize,
    operations: Vec<Operation>,
    /// The edges that are left, target by target.
    left: Vec<Derivative>,
    /// For each of them the slot of the cotangent that it takes: outputs first, then nodes.
    slots: Vec<u32>,
    /// Nodes, users first; then inputs.
    targets: Vec<Target>,
    /// How many of the targets are nodes.
    nodes: usize,
}

impl Plan {
    /// Whether it was made for a graph with these nodes and edges.
    fn has_structure(&self, graph: &Graph, outputs: usize) -> bool {
        (self.inputs, self.outputs) == (graph.inputs, outputs)
            && self.ends == graph.ends
            && self.operands == graph.operands
    }

    fn has_factors(&self, graph: &Graph) -> bool {
        if self.all_constant {
            return self.factors == graph.factors;
        }
        let pairs = self.factors.iter().zip(&graph.factors);
        let mut pairs = pairs.zip(&self.constant);
        pairs.all(|((known, found), constant)| !constant || known == found)
    }

    /// For a graph some of whose plain derivatives are constant.
    fn new(graph: &Graph, outputs: usize, constant: Vec<bool>) -> Self {
        let inputs = graph.inputs;
        let first_output = inputs + graph.ends.len() - outputs;
        let mut plan = Self {
            inputs,
            outputs,
            ends: graph.ends.clone(),
            operands: graph.operands.clone(),
            factors: graph.factors.clone(),
            all_constant: constant.iter().all(|constant| *constant),
            constant,
            partials: graph.partials.len(),
            operations: Vec::new(),
            left: Vec::new(),
            slots: Vec::new(),
            targets: Vec::new(),
            nodes: 0,
        };
        let mut nodes = vec![Node::default(); inputs + graph.ends.len()];
        let (mut edge, mut factor, mut partial) = (0, 0, 0);
        // Plain numbers that are not constant stand behind those of each sample.
        let mut loaded = plan.partials as u32;
        for (place, end) in graph.ends.iter().enumerate() {
            let node = inputs + place;
            while edge < *end as usize {
                let (operand, plain) = (graph.operands[edge] / 2, graph.operands[edge] % 2 == 1);
                let derivative = match plain {
                    false => {
                        partial += 1;
                        Derivative::Result(partial - 1)
                    }
                    true => {
                        factor += 1;
                        match plan.constant[factor - 1] {
                            true => Derivative::Constant(plan.factors[factor - 1]),
                            false => {
                                loaded += 1;
                                Derivative::Result(loaded - 1)
                            }
                        }
                    }
                };
                nodes[node].operands.push((operand, derivative));
                nodes[operand as usize].users.push(node as u32);
                edge += 1;
            }
        }
        let mut remaining: Vec<usize> = (inputs..first_output).collect();
        loop {
            let before = remaining.len();
            remaining.retain(|place| !plan.eliminate(loaded, &mut nodes, *place));
            if remaining.len() == before {
                break;
            }
        }
        plan.nodes = remaining.len();
        let mut slot = vec![0; nodes.len()];
        for i in 0..outputs {
            slot[first_output + i] = i as u32;
        }
        let backwards = remaining.into_iter().rev().enumerate();
        for (i, place) in backwards {
            slot[place] = (outputs + i) as u32;
            plan.gather(&nodes, place, slot[place], &slot);
        }
        for i in 0..inputs {
            plan.gather(&nodes, i, i as u32, &slot);
        }
        plan
    }

    /// Takes a node out where that leaves no more edges than there were.
    fn eliminate(&mut self, loaded: u32, nodes: &mut [Node], place: usize) -> bool {
        let (operands, users) = (nodes[place].operands.len(), nodes[place].users.len());
        if operands * users > operands + users {
            return false;
        }
        let node = std::mem::take(&mut nodes[place]);
        for (operand, _) in &node.operands {
            let users = &mut nodes[*operand as usize].users;
            users.retain(|user| *user as usize != place);
        }
        for user in node.users {
            let edges = &mut nodes[user as usize].operands;
            let is_edge = |(operand, _): &(u32, Derivative)| *operand as usize == place;
            let outer = edges.iter().position(is_edge).expect("it uses the node");
            let (_, outer) = edges.remove(outer);
            for (operand, inner) in &node.operands {
                let product = self.product(loaded, outer, *inner);
                let edges = &mut nodes[user as usize].operands;
                match edges.iter_mut().find(|(known, _)| known == operand) {
                    Some((_, derivative)) => {
                        *derivative = self.sum(loaded, *derivative, product);
                    }
                    None => {
                        edges.push((*operand, product));
                        nodes[*operand as usize].users.push(user);
                    }
                }
            }
        }
        true
    }

    fn product(&mut self, loaded: u32, a: Derivative, b: Derivative) -> Derivative {
        use Derivative::{Constant, Result};
        match (a, b) {
            (Constant(a), Constant(b)) => Constant(a * b),
            (Constant(factor), same) | (same, Constant(factor)) if factor == 1.0 => same,
            (Constant(factor), Result(a)) | (Result(a), Constant(factor)) => {
                self.result(loaded, Operation::Scaled(a, factor))
            }
            (Result(a), Result(b)) => self.result(loaded, Operation::Product(a, b)),
        }
    }

    fn sum(&mut self, loaded: u32, a: Derivative, b: Derivative) -> Derivative {
        use Derivative::{Constant, Result};
        match (a, b) {
            (Constant(a), Constant(b)) => Constant(a + b),
            (Constant(shift), Result(a)) | (Result(a), Constant(shift)) => {
                self.result(loaded, Operation::Shifted(a, shift))
            }
            (Result(a), Result(b)) => self.result(loaded, Operation::Sum(a, b)),
        }
    }

    fn result(&mut self, loaded: u32, operation: Operation) -> Derivative {
        self.operations.push(operation);
        Derivative::Result(loaded + self.operations.len() as u32 - 1)
    }

    /// Adds a target that gathers from all users of a node.
    fn gather(&mut self, nodes: &[Node], node: usize, place: u32, slot: &[u32]) {
        for user in &nodes[node].users {
            let mut edges = nodes[*user as usize].operands.iter();
            let edge = edges.find(|(operand, _)| *operand as usize == node);
            let (_, derivative) = edge.expect("it uses the node");
            self.left.push(*derivative);
            self.slots.push(slot[*user as usize]);
        }
        let end = self.left.len() as u32;
        self.targets.push(Target { place, end });
    }

    /// The derivatives that are left, from those of the graph, behind which intermediate ones are put.
    #[inline(always)]
    fn reduce(&self, graph: &mut Graph, left: &mut Vec<Lanes>) {
        let (results, factors) = (&mut graph.partials, &graph.factors);
        if !self.all_constant {
            let loaded = factors.iter().zip(&self.constant);
            let loaded = loaded.filter(|(_, constant)| !**constant);
            results.extend(loaded.map(|(factor, _)| Lanes::constant(*factor)));
        }
        results.reserve(self.operations.len());
        for operation in &self.operations {
            let result = match *operation {
                Operation::Product(a, b) => results[a as usize] * results[b as usize],
                Operation::Scaled(a, factor) => results[a as usize] * factor,
                Operation::Sum(a, b) => results[a as usize] + results[b as usize],
                Operation::Shifted(a, shift) => results[a as usize] + shift,
            };
            results.push(result);
        }
        left.resize(self.left.len(), Lanes::ZERO);
        for (target, derivative) in left.iter_mut().zip(&self.left) {
            *target = match derivative {
                Derivative::Constant(value) => Lanes::constant(*value),
                Derivative::Result(place) => results[*place as usize],
            };
        }
    }

    /// Carries cotangents of the outputs back to state and control; `slots` is memory.
    #[inline(always)]
    fn pull_back(&self, left: &[Lanes], cotangents: Cotangents<'_>, slots: &mut Vec<Lanes>) {
        slots.resize(self.outputs + self.nodes, Lanes::ZERO);
        let (nodes, inputs) = self.targets.split_at(self.nodes);
        for cotangent in cotangents {
            slots[..self.outputs].copy_from_slice(cotangent.rate);
            let mut begin = 0;
            for target in nodes {
                let sum = self.gathered(left, begin, *target, slots);
                slots[target.place as usize] = sum;
                begin = target.end;
            }
            let (of_state, of_control) = inputs.split_at(cotangent.state.len());
            for (target, sum) in of_state.iter().zip(cotangent.state) {
                *sum += self.gathered(left, begin, *target, slots);
                begin = target.end;
            }
            for (target, sum) in of_control.iter().zip(cotangent.control) {
                *sum += self.gathered(left, begin, *target, slots);
                begin = target.end;
            }
        }
    }

    #[inline(always)]
    fn gathered(&self, left: &[Lanes], begin: u32, target: Target, slots: &[Lanes]) -> Lanes {
        let range = begin as usize..target.end as usize;
        let mut sum = Lanes::ZERO;
        for (derivative, slot) in left[range.clone()].iter().zip(&self.slots[range]) {
            sum += *derivative * slots[*slot as usize];
        }
        sum
    }
}

/// What one call leaves to the next on the same thread.
#[derive(Debug, Default)]
struct Memory {
    graph: Graph,
    /// Plans of the structures that were met last, the latest at the end.
    plans: Vec<Rc<Plan>>,
    left: Vec<Lanes>,
    slots: Vec<Lanes>,
}

/// Structures that are remembered: equations that are not the same at all times have several.
const PLANS: usize = 8;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

impl Memory {
    /// The plan for the graph.
    fn plan(&mut self, outputs: usize) -> Rc<Plan> {
        let graph = &self.graph;
        let known = (self.plans.iter()).rposition(|plan| plan.has_structure(graph, outputs));
        let plan = match known.map(|place| self.plans.remove(place)) {
            Some(plan) if plan.has_factors(graph) => plan,
            Some(plan) => {
                // What changed once may change again.
                let pairs = plan.factors.iter().zip(&graph.factors);
                let same = pairs.zip(&plan.constant);
                let same = same.map(|((known, found), constant)| *constant && known == found);
                Rc::new(Plan::new(graph, outputs, same.collect()))
            }
            None => Rc::new(Plan::new(graph, outputs, vec![true; graph.factors.len()])),
        };
        if self.plans.len() == PLANS {
            self.plans.remove(0);
        }
        self.plans.push(Rc::clone(&plan));
        plan
    }
}

/// For each cotangent w of the rate, adds (∂f/∂x)ᵀ·w and (∂f/∂u)ᵀ·w.
///
/// The cotangents come back, with nothing added, where a derivative is not finite: what is to become of it
/// does not follow from the products of the graph's edges, of which one may be 0.
pub(super) fn pull_back<'a, E: Equations + ?Sized>(
    equations: &E,
    time: f64,
    (state, control): (&[Lanes], &[Lanes]),
    cotangents: Cotangents<'a>,
) -> Option<Cotangents<'a>> {
    // Equations that differentiate others within find an empty memory.
    let mut memory = MEMORY.take();
    let graph = RefCell::new(std::mem::take(&mut memory.graph));
    graph.borrow_mut().begin(state.len() + control.len());
    vectorised(
        #[inline(always)]
        || record(equations, time, (state, control), &graph),
    );
    memory.graph = graph.into_inner();
    let plan = memory.plan(state.len());
    let Memory {
        graph, left, slots, ..
    } = &mut memory;
    let rest = vectorised(
        #[inline(always)]
        || {
            plan.reduce(graph, left);
            // NaN where one is not finite.
            let check = |sum: Lanes, derivative: &Lanes| sum + *derivative * 0.0;
            let check = left.iter().fold(Lanes::ZERO, check);
            if check.0.iter().any(|value| value.is_nan()) {
                return Some(cotangents);
            }
            plan.pull_back(left, cotangents, slots);
            None
        },
    );
    MEMORY.set(memory);
    rest
}

/// Evaluates the rate, and ends the graph with its components.
#[inline(always)]
fn record<E: Equations + ?Sized>(
    equations: &E,
    time: f64,
    (state, control): (&[Lanes], &[Lanes]),
    graph: &RefCell<Graph>,
) {
    let mut point = vec![Recorded::fixed(Lanes::ZERO); state.len() + control.len()];
    let values = state.iter().chain(control).enumerate();
    for (number, (place, value)) in point.iter_mut().zip(values) {
        *number = Recorded::at(*value, graph, place as u32);
    }
    let (x, u) = point.split_at(state.len());
    let mut rate = vec![Recorded::fixed(Lanes::ZERO); state.len()];
    equations.rate(time, x, u, &mut rate);
    for component in rate {
        let mut graph = graph.borrow_mut();
        if let Some(from) = component.from {
            graph.plain_edge(from.node, from.factor);
        }
        graph.node();
    }
}

/// For each component of the rate the inputs that it reads, state first and control behind it, in rising order.
pub(super) fn inputs_read<E: Equations + ?Sized>(
    equations: &E,
    time: f64,
    (state, control): (&[Lanes], &[Lanes]),
) -> Vec<Vec<usize>> {
    let graph = RefCell::new(Graph::default());
    let inputs = state.len() + control.len();
    graph.borrow_mut().begin(inputs);
    record(equations, time, (state, control), &graph);
    let graph = graph.into_inner();
    let words = inputs.div_ceil(64);
    // A bit for each input.
    let mut read = vec![0_u64; (inputs + graph.ends.len()) * words];
    for input in 0..inputs {
        read[input * words + input / 64] = 1 << (input % 64);
    }
    let mut edge = 0;
    for (place, end) in graph.ends.iter().enumerate() {
        let (before, node) = read.split_at_mut((inputs + place) * words);
        for operand in &graph.operands[edge..*end as usize] {
            let from = *operand as usize / 2 * words;
            let pairs = node.iter_mut().zip(&before[from..from + words]);
            pairs.for_each(|(all, bits)| *all |= bits);
        }
        edge = *end as usize;
    }
    let first = inputs + graph.ends.len() - state.len();
    let of_node = |node: &[u64]| {
        let is_read = |input: &usize| node[input / 64] >> (input % 64) & 1 == 1;
        (0..inputs).filter(is_read).collect()
    };
    let outputs = read[first * words..].chunks_exact(words.max(1));
    outputs.map(of_node).collect()
}
