//! One node of the file, as the operator that builds it sees it.
//!
//! Failures carry the reason alone; [`super::build`] puts the node's name before it.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use still8_validation::onnx::pb::attribute_proto::AttributeType;
use still8_validation::onnx::pb::{AttributeProto, NodeProto, TensorProto};
use still8_validation::{Failure, Result};

use super::constant::Constant;
use super::scope::{Operand, Scales, Scope};
use crate::graph::{Given, Op, ValueId};

/// Shorthand for a node that is valid and not supported.
pub fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(Failure::Unsupported(reason.into()))
}

/// Shorthand for a node that is not valid.
pub fn bad<T>(reason: impl Into<String>) -> Result<T> {
    Err(Failure::Data(reason.into()))
}

/// The attribute of this name.
pub fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// A node, what its inputs stand for, and the graph that it goes into.
pub struct Call<'a> {
    /// The graph and its names.
    pub scope: &'a mut Scope,
    /// The node.
    pub node: &'a NodeProto,
    /// Where external data lies.
    pub folder: &'a Path,
}

impl<'a> Call<'a> {
    fn typed(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>> {
        match attribute(self.node, name) {
            Some(found) if found.r#type != kind as i32 => {
                bad(format!("attribute {name} is not of type {kind:?}"))
            }
            found => Ok(found),
        }
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.typed(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Result<Option<f32>> {
        Ok(self.typed(name, AttributeType::Float)?.map(|attribute| attribute.f))
    }

    /// An attribute of several integers.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.typed(name, AttributeType::Ints)?.map(|attribute| attribute.ints.as_slice()))
    }

    /// An attribute of several floats.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>> {
        Ok(self.typed(name, AttributeType::Floats)?.map(|attribute| attribute.floats.as_slice()))
    }

    /// A text attribute.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        let found = self.typed(name, AttributeType::String)?;
        Ok(found.map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned()))
    }

    /// A tensor attribute.
    pub fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>> {
        Ok(self.typed(name, AttributeType::Tensor)?.and_then(|attribute| attribute.t.as_ref()))
    }

    /// The name of input `i`, `None` if it is left out.
    pub fn input_name(&self, i: usize) -> Option<&'a str> {
        self.node.input.get(i).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The node's first output's name.
    pub fn output_name(&self) -> &'a str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// What input `i` stands for.
    pub fn operand(&self, i: usize) -> Option<Operand> {
        self.input_name(i).and_then(|name| self.scope.operand(name)).cloned()
    }

    /// Input `i`, which is computed or given.
    pub fn activation(&self, i: usize) -> Result<ValueId> {
        match self.operand(i) {
            Some(Operand::Activation(id) | Operand::Integers(id)) => Ok(id),
            Some(_) => refuse(format!("input {i} is constant; fold it before the export")),
            None => bad(format!("input {i} is missing")),
        }
    }

    /// The shape of a value.
    pub fn shape(&self, id: ValueId) -> Vec<usize> {
        self.scope.graph.values[id].shape.clone()
    }

    /// Whether input `i` is constant.
    pub fn is_constant(&self, i: usize) -> bool {
        matches!(self.operand(i), Some(Operand::Constant(_)))
    }

    fn constant(&self, i: usize) -> Result<Option<std::rc::Rc<Constant>>> {
        match self.operand(i) {
            Some(Operand::Constant(constant)) => Ok(Some(constant)),
            Some(_) => {
                refuse(format!("input {i} (`{}`) must be constant", self.input_name(i).unwrap_or_default()))
            }
            None => Ok(None),
        }
    }

    /// Input `i` as constant numbers, `None` if it is left out. They may be infinite.
    pub fn numbers(&self, i: usize) -> Result<Option<ArrayD<f32>>> {
        Ok(self.constant(i)?.map(|constant| match &*constant {
            Constant::Float(array) => array.clone(),
            Constant::Int(array) => array.mapv(|i| i as f32),
        }))
    }

    /// Input `i` as constant weights: finite, at least one.
    pub fn weights(&self, i: usize) -> Result<Option<ArrayD<f32>>> {
        let Some(weights) = self.numbers(i)? else {
            return Ok(None);
        };
        let name = self.input_name(i).unwrap_or_default();
        if weights.is_empty() {
            return bad(format!("`{name}` of shape {:?} has no elements", weights.shape()));
        }
        match weights.iter().find(|weight| !weight.is_finite()) {
            Some(weight) => bad(format!("`{name}` contains {weight}")),
            None => Ok(Some(weights)),
        }
    }

    /// [`Call::weights`] that may not be left out.
    pub fn required_weights(&self, i: usize) -> Result<ArrayD<f32>> {
        self.weights(i)?.map_or_else(|| bad(format!("input {i} is missing")), Ok)
    }

    /// Input `i` as one constant number, `None` if it is left out.
    pub fn number(&self, i: usize) -> Result<Option<f32>> {
        let Some(numbers) = self.numbers(i)? else {
            return Ok(None);
        };
        match (numbers.first(), numbers.len()) {
            (Some(number), 1) => Ok(Some(*number)),
            _ => bad(format!("input {i} must be one number, not of shape {:?}", numbers.shape())),
        }
    }

    /// Input `i` as constant integers, `None` if it is left out.
    pub fn integers(&self, i: usize) -> Result<Option<Vec<i64>>> {
        match self.constant(i)?.as_deref() {
            Some(Constant::Int(array)) => Ok(Some(array.iter().copied().collect())),
            Some(Constant::Float(_)) => bad(format!("input {i} must be integers")),
            None => Ok(None),
        }
    }

    /// The integers that newer operators take as input `i` and older ones as attribute `name`.
    pub fn integers_or_attribute(&self, i: usize, name: &str) -> Result<Option<Vec<i64>>> {
        match self.integers(i)? {
            None => Ok(self.ints(name)?.map(<[i64]>::to_vec)),
            found => Ok(found),
        }
    }

    /// Adds a constant under the name of input `i`.
    pub fn add_constant(&mut self, i: usize, contents: ArrayD<f32>) -> ValueId {
        let name = self.input_name(i).unwrap_or("constant").to_owned();
        self.scope.add_constant(&name, contents)
    }

    /// Adds a constant vector under the node's output's name and `suffix`.
    pub fn add_vector(&mut self, suffix: &str, contents: Vec<f32>) -> ValueId {
        let name = format!("{}#{suffix}", self.output_name());
        let shape = IxDyn(&[contents.len()]);
        let array = ArrayD::from_shape_vec(shape, contents).unwrap_or_default();
        self.scope.add_constant(&name, array)
    }

    /// Adds the node that computes the output.
    pub fn emit(&mut self, op: Op, inputs: Vec<ValueId>, shape: Vec<usize>) -> Result<()> {
        self.emit_output(0, op, inputs, shape)
    }

    /// Adds a node that computes output `i`, which has a name.
    pub fn emit_output(&mut self, i: usize, op: Op, inputs: Vec<ValueId>, shape: Vec<usize>) -> Result<()> {
        let output_name = self.node.output.get(i).map_or("", String::as_str);
        let output = self.scope.add_value(output_name, shape)?;
        let name = if self.node.name.is_empty() || i > 0 { output_name } else { &self.node.name };
        self.scope.add_node(name.to_owned(), op, inputs, output);
        self.bind_output(output_name, output);
        Ok(())
    }

    /// The value that the output's name was bound to.
    pub fn bound_output(&self) -> Result<ValueId> {
        match self.scope.operand(self.output_name()) {
            Some(&(Operand::Activation(id) | Operand::Integers(id))) => Ok(id),
            _ => bad("the output is not computed"),
        }
    }

    /// Says that the node made floats of integers, where it would else be taken for one that moves them.
    pub fn made_floats(&mut self) -> Result<()> {
        let output = self.bound_output()?;
        self.scope.graph.values[output].given = None;
        self.scope.bind(self.output_name(), Operand::Activation(output));
        Ok(())
    }

    /// Binds an output's name to a value; to its integers where the node moves integers.
    fn bind_output(&mut self, name: &str, output: ValueId) {
        let Some(Operand::Integers(input)) = self.operand(0) else {
            return self.scope.bind(name, Operand::Activation(output));
        };
        if let Some(kind) = self.input_name(0).and_then(|input| self.scope.integer_type(input)) {
            self.scope.set_integer_type(name, kind);
        }
        self.scope.graph.values[output].given = self.scope.graph.values[input].given.clone();
        self.scope.bind(name, Operand::Integers(output));
    }

    /// The quantization that the file gives to the weights of input `i`, whose `count` output channels lie along `axis`.
    pub fn given_weights(&mut self, i: usize, axis: usize, count: usize) -> Option<Given> {
        let scales = self.scope.scales(self.input_name(i)?)?.clone();
        self.scope.weights_by(&scales, axis, count)
    }

    /// Adds the constant of input `i`, an operand like any other, with the quantization that the file gives it.
    pub fn add_operand(&mut self, i: usize, contents: ArrayD<f32>) -> ValueId {
        let name = self.input_name(i).unwrap_or_default();
        let given = self.scope.scales(name).and_then(Scales::operand);
        self.add_weights(i, contents, given)
    }

    /// Adds the constant weights of input `i` with the quantization that the file gives them.
    pub fn add_weights(&mut self, i: usize, contents: ArrayD<f32>, given: Option<Given>) -> ValueId {
        let id = self.add_constant(i, contents);
        self.scope.graph.values[id].given = given;
        id
    }

    /// Adds a node that computes something on the way to the output.
    pub fn emit_step(
        &mut self,
        step: &str,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Vec<usize>,
    ) -> Result<ValueId> {
        let name = self.scope.unique(&format!("{}#{step}", self.output_name()));
        let output = self.scope.add_value(&name, shape)?;
        self.scope.add_node(name, op, inputs, output);
        Ok(output)
    }
}
