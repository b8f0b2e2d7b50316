//! What the names of the file stand for while the graph grows.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use ndarray::ArrayD;
use still8_validation::onnx::pb::tensor_proto::DataType;
use still8_validation::onnx::pb::{GraphProto, NodeProto, ValueInfoProto};
use still8_validation::{Failure, Result};

use super::constant::Constant;
use super::shapes::element_count;
use super::sums::Sums;
use crate::graph::{Given, Graph, Op, Value, ValueId};
use crate::quantization::Quantization;

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A value of the graph that is computed or given.
    Activation(ValueId),
    /// A value of the graph that the file holds as integers of a quantization.
    Integers(ValueId),
    /// Sums of products of integers, which become a value of the graph where their scale is known.
    Sums(Rc<Sums>),
    /// A constant, folded.
    Constant(Rc<Constant>),
    /// What comes out of a node that is not supported, and out of what reads from it.
    Unknown {
        /// It would be constant.
        constant: bool,
    },
}

/// The scales of a constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Scales {
    /// One, or one an element of `axis`.
    pub values: Vec<f32>,
    /// The axis that they lie along.
    pub axis: Option<usize>,
    /// Zero points, as many as scales.
    pub zero_points: Vec<i64>,
    /// The middle of the integers' type: 128 for uint8.
    pub middle: i64,
    /// Of the integers: 4, 8 or 16.
    pub bits: u8,
    /// Where the integers are none of symmetric weights (±127 about the zero point): their name, and the SQNR in
    /// dB of rounding them again.
    pub asymmetric: Option<(String, f64)>,
}

impl Scales {
    /// As those of weights whose `count` output channels lie along `axis`.
    pub fn given(&self, axis: usize, count: usize) -> Option<Given> {
        let scales = match (self.values.as_slice(), self.axis) {
            _ if self.asymmetric.is_some() => return None,
            (&[scale], _) => vec![scale; count],
            (values, Some(along)) if along == axis && values.len() == count => values.to_vec(),
            _ => return None,
        };
        Some(Given::Weights { bits: self.bits.min(8), scales })
    }

    /// As that of an operand like any other.
    pub fn operand(&self) -> Option<Given> {
        match (self.values.as_slice(), self.zero_points.as_slice()) {
            (&[scale], &[zero_point]) if self.bits <= 8 => {
                let zero_point = i8::try_from(zero_point.checked_sub(self.middle)?).ok()?.into();
                Some(Given::Activation(Quantization {
                    scale,
                    zero_point,
                    dtype: still8::format::DataType::Int8,
                }))
            }
            _ => None,
        }
    }
}

/// The graph so far and the names in it.
#[derive(Debug)]
pub struct Scope {
    /// The graph.
    pub graph: Graph,
    /// Version of the operator set.
    pub opset: i64,
    /// What the user should know of the import.
    pub warnings: Vec<String>,
    operands: HashMap<String, Operand>,
    /// Element types of what the file holds as integers, by name.
    types: HashMap<String, DataType>,
    /// Scales of constants that a DequantizeLinear computed, by name.
    scales: HashMap<String, Scales>,
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
        Self {
            graph: Graph::default(),
            opset,
            warnings: Vec::new(),
            operands: HashMap::new(),
            types: HashMap::new(),
            scales: HashMap::new(),
            taken,
            reads,
        }
    }

    /// The element type of what `name` holds as integers.
    pub fn integer_type(&self, name: &str) -> Option<DataType> {
        self.types.get(name).copied()
    }

    /// Says which type of integers `name` holds.
    pub fn set_integer_type(&mut self, name: &str, kind: DataType) {
        self.types.insert(name.to_owned(), kind);
    }

    /// The scales of the dequantized constant `name`.
    pub fn scales(&self, name: &str) -> Option<&Scales> {
        self.scales.get(name)
    }

    /// Says which scales the constant `name` was dequantized with.
    pub fn set_scales(&mut self, name: &str, scales: Scales) {
        self.scales.insert(name.to_owned(), scales);
    }

    /// `scales` as those of weights. Where the integers cannot be kept, the user is warned of what it costs
    /// to round them again.
    pub fn weights_by(&mut self, scales: &Scales, axis: usize, count: usize) -> Option<Given> {
        if let Some((name, db)) = scales.asymmetric.as_ref().filter(|(_, db)| db.is_finite()) {
            self.warnings.push(format!(
                "`{name}` holds integers outside ±127 (less the zero point), which symmetric weights cannot have: they are \
                 rounded again, at {db:.1} dB"
            ));
        }
        scales.given(axis, count)
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

    /// Adds a graph input, whose shape is concrete and whose elements are float32, int8 or uint8.
    ///
    /// # Errors
    /// [`Failure::Data`] if its shape is impossible.
    pub fn add_input(&mut self, input: &ValueInfoProto, kind: DataType, shape: Vec<usize>) -> Result<()> {
        let id = self.add_value(&input.name, shape)?;
        self.graph.inputs.push(id);
        if kind == DataType::Float {
            self.bind(&input.name, Operand::Activation(id));
        } else {
            self.set_integer_type(&input.name, kind);
            self.bind(&input.name, Operand::Integers(id));
        }
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

    /// The graph output `name` that value `id` is: the value itself under that name, or a copy where it must keep its own.
    ///
    /// # Errors
    /// Never for a value of the graph: its shape was accepted.
    pub fn named_output(&mut self, id: ValueId, name: &str) -> Result<ValueId> {
        if self.graph.values[id].name == name {
            return Ok(id);
        }
        if !self.graph.inputs.contains(&id) && !self.graph.outputs.contains(&id) {
            name.clone_into(&mut self.graph.values[id].name);
            return Ok(id);
        }
        let Value { shape, given, .. } = self.graph.values[id].clone();
        let copy = self.add_value(name, shape)?;
        self.graph.values[copy].given = given;
        self.add_node(name.to_owned(), Op::Reshape, vec![id], copy);
        Ok(copy)
    }

    /// Marks all outputs of `node` as unknown.
    pub fn poison(&mut self, node: &NodeProto, constant: bool) {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            self.bind(name, Operand::Unknown { constant });
        }
    }
}
