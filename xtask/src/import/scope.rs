//! What the names of the file stand for while the graph grows.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use ndarray::ArrayD;
use still8_validation::onnx::pb::{GraphProto, NodeProto, ValueInfoProto};
use still8_validation::{Failure, Result};

use super::constant::Constant;
use super::shapes::element_count;
use crate::graph::{Graph, Op, Value, ValueId};

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A value of the graph that is computed or given.
    Activation(ValueId),
    /// A constant, folded.
    Constant(Rc<Constant>),
    /// What comes out of a node that is not supported, and out of what reads from it.
    Unknown {
        /// It would be constant.
        constant: bool,
    },
}

/// The graph so far and the names in it.
#[derive(Debug)]
pub struct Scope {
    /// The graph.
    pub graph: Graph,
    /// Version of the operator set.
    pub opset: i64,
    operands: HashMap<String, Operand>,
    taken: HashSet<String>,
    reads: HashMap<String, usize>,
}

impl Scope {
    /// An empty graph for `source`.
    pub fn new(source: &GraphProto, opset: i64) -> Self {
        let mut reads = HashMap::new();
        let inputs = source.node.iter().flat_map(|node| &node.input);
        for name in inputs.chain(source.output.iter().map(|output| &output.name)) {
            *reads.entry(name.clone()).or_default() += 1;
        }
        let taken = source.node.iter().flat_map(|node| node.output.clone());
        let taken = taken.chain(source.input.iter().map(|input| input.name.clone())).collect();
        Self { graph: Graph::default(), opset, operands: HashMap::new(), taken, reads }
    }

    /// How many nodes and graph outputs read `name`.
    pub fn reads(&self, name: &str) -> usize {
        self.reads.get(name).copied().unwrap_or(0)
    }

    /// What `name` stands for, `None` before it is bound.
    pub fn operand(&self, name: &str) -> Option<&Operand> {
        self.operands.get(name)
    }

    /// Binds `name`.
    pub fn bind(&mut self, name: &str, operand: Operand) {
        self.operands.insert(name.to_owned(), operand);
    }

    /// Adds a graph input, whose shape is concrete.
    ///
    /// # Errors
    /// [`Failure::Data`] if its shape is impossible.
    pub fn add_input(&mut self, input: &ValueInfoProto, shape: Vec<usize>) -> Result<()> {
        let id = self.add_value(&input.name, shape)?;
        self.graph.inputs.push(id);
        self.bind(&input.name, Operand::Activation(id));
        Ok(())
    }

    /// Adds a value that a node computes. `name` stands in the file or is made unique.
    ///
    /// # Errors
    /// [`Failure::Data`] if its shape is impossible.
    pub fn add_value(&mut self, name: &str, shape: Vec<usize>) -> Result<ValueId> {
        match element_count(&shape) {
            None => {
                Err(Failure::Data(format!("value `{name}` of shape {shape:?} has more than 2³¹ elements")))
            }
            Some(0) => Err(Failure::Data(format!("value `{name}` of shape {shape:?} has no elements"))),
            Some(_) => {
                self.graph.values.push(Value { name: name.to_owned(), shape, constant: None, given: None });
                Ok(self.graph.values.len() - 1)
            }
        }
    }

    /// Adds a constant under `name`, or under a name made from it if something else has that. Equal ones are shared.
    pub fn add_constant(&mut self, name: &str, contents: ArrayD<f32>) -> ValueId {
        let same = |value: &Value| value.name == name && value.constant.as_ref() == Some(&contents);
        match self.graph.values.iter().position(same) {
            Some(id) => id,
            None => {
                let name = self.unique(name);
                self.graph.add_constant(name, contents)
            }
        }
    }

    /// `name`, or if that is taken, `name` with a number behind it.
    pub fn unique(&mut self, name: &str) -> String {
        let numbered = (2_usize..).map(|i| format!("{name}#{i}"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let free = candidates.find(|candidate| !self.taken.contains(candidate)).unwrap_or_default();
        self.taken.insert(free.clone());
        free
    }

    /// Adds a node.
    pub fn add_node(&mut self, name: String, op: Op, inputs: Vec<ValueId>, output: ValueId) {
        self.graph.nodes.push(crate::graph::Node { name, op, inputs, output });
    }

    /// Marks all outputs of `node` as unknown.
    pub fn poison(&mut self, node: &NodeProto, constant: bool) {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            self.bind(name, Operand::Unknown { constant });
        }
    }
}
