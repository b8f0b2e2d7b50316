//! ConvInteger and MatMulInteger: int32 sums of products, whose scale stands in the nodes behind them.
//!
//! Until something else reads them, such sums are no value of the graph: an Add of constants is their bias, a Cast makes them
//! floats, and each Mul by constants (the scales of input and weights) is a factor. Together these are a Conv or MatMul on the
//! real numbers that the integers stand for, with the same integers, exactly.

use std::rc::Rc;

use ndarray::{ArrayD, IxDyn};
use still8_validation::Result;
use still8_validation::onnx::pb::tensor_proto::DataType;

use super::call::{Call, bad, refuse};
use super::constant::Constant;
use super::ops::conv::geometry;
use super::quantized::{integer_type, middle, reads_as, rounded_again};
use super::scope::{Operand, Scales, Scope};
use crate::graph::{Given, Op, ValueId};
use crate::quantization::Quantization;

/// Sums of products of x's integers and constant integers.
#[derive(Clone, Debug)]
pub struct Sums {
    node: String,
    op: Op,
    x: ValueId,
    /// Of the sums.
    shape: Vec<usize>,
    /// Where the output channels lie in the sums, and in the weights.
    axes: [usize; 2],
    weights_name: String,
    /// Less their zero points.
    weights: ArrayD<i64>,
    bias: Option<Vec<i64>>,
    /// Real value of one step of each channel's sums; `None` while they are int32.
    factors: Option<Vec<f32>>,
    /// Real numbers that are added to the channels, where there are any.
    offsets: Option<Vec<f32>>,
}

/// Inputs x, w, x_zero_point, w_zero_point.
pub fn conv_integer(call: &mut Call<'_>) -> Result<()> {
    let x = integers(call)?;
    let weights = weights(call, 0)?;
    let (op, shape) = geometry(call, &call.shape(x), weights.shape())?;
    bind(call, x, (op, shape), [1, 0], weights);
    Ok(())
}

/// Inputs a, b, a_zero_point, b_zero_point; b is a constant matrix.
pub fn mat_mul_integer(call: &mut Call<'_>) -> Result<()> {
    let x = integers(call)?;
    let weights = weights(call, 1)?;
    let mut shape = call.shape(x);
    let (&[k, m], Some(last)) = (weights.shape(), shape.last_mut()) else {
        return refuse(format!("weights of shape {:?} are no matrix", weights.shape()));
    };
    if *last != k {
        return bad(format!("input of shape {:?} and weights of shape [{k}, {m}]", call.shape(x)));
    }
    *last = m;
    let axes = [shape.len() - 1, 1];
    bind(call, x, (Op::MatMul, shape), axes, weights);
    Ok(())
}

fn bind(
    call: &mut Call<'_>,
    x: ValueId,
    (op, shape): (Op, Vec<usize>),
    axes: [usize; 2],
    weights: ArrayD<i64>,
) {
    let node = if call.node.name.is_empty() { call.output_name() } else { &call.node.name };
    let sums = Sums {
        node: node.to_owned(),
        op,
        x,
        shape,
        axes,
        weights_name: call.input_name(1).unwrap_or_default().to_owned(),
        weights,
        bias: None,
        factors: None,
        offsets: None,
    };
    call.scope.bind(call.output_name(), Operand::Sums(Rc::new(sums)));
}

/// Input 0, whose zero point is input 2. Where the file says nothing of its scale, it is 1: the factors behind the sums have it.
fn integers(call: &mut Call<'_>) -> Result<ValueId> {
    let Some(Operand::Integers(x)) = call.operand(0) else {
        return refuse("its input 0 holds no integers that are computed; put a QuantizeLinear before it");
    };
    let zero_points = call.integers(2)?.unwrap_or_else(|| vec![0]);
    let zero_point = match zero_points.as_slice() {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => *first,
        _ => return refuse("activations have one zero point a tensor; export with per-tensor activations"),
    };
    let kind = integer_type(call, 0);
    if !matches!(kind, DataType::Int8 | DataType::Uint8) {
        return bad(format!("input 0 is of type {}, not int8 or uint8", kind.as_str_name()));
    }
    let Some(zero_point) = zero_point.checked_sub(middle(kind)).and_then(|zero| i8::try_from(zero).ok())
    else {
        return bad(format!("the zero point {zero_point} is no {}", kind.as_str_name()));
    };
    match &call.scope.graph.values[x].given {
        Some(Given::Activation(own)) if own.zero_point == i32::from(zero_point) => {}
        Some(_) => return refuse("it reads integers with another zero point than they were made with"),
        None => {
            let dtype = still8::format::DataType::Int8;
            reads_as(call, x, Quantization { scale: 1.0, zero_point: zero_point.into(), dtype })?;
        }
    }
    Ok(x)
}

/// Constant input 1 less its zero points (input 3), of which there is one, or one for each channel along `axis`.
fn weights(call: &Call<'_>, axis: usize) -> Result<ArrayD<i64>> {
    let Some(Operand::Constant(constant)) = call.operand(1) else {
        return refuse("input 1 must be constant");
    };
    let Constant::Int(integers) = &*constant else { return bad("input 1 must be integers") };
    if integers.is_empty() {
        return bad("input 1 has no elements");
    }
    let zero_points = call.integers(3)?.unwrap_or_else(|| vec![0]);
    if zero_points.len() != 1 && integers.shape().get(axis) != Some(&zero_points.len()) {
        let (shape, count) = (integers.shape(), zero_points.len());
        return bad(format!("{count} zero points along axis {axis} of weights of shape {shape:?}"));
    }
    let mut weights = integers.clone();
    for (place, w) in weights.indexed_iter_mut() {
        *w -= zero_points[if zero_points.len() == 1 { 0 } else { place[axis] }];
    }
    Ok(weights)
}

/// Takes a node that only goes on with sums: true where that is all there is to it. Where it reads them as floats, they
/// become a value first.
///
/// # Errors
/// Where it reads them as integers and cannot.
pub fn carry(call: &mut Call<'_>) -> Result<bool> {
    for i in 0..call.node.input.len() {
        let Some(Operand::Sums(sums)) = call.operand(i) else { continue };
        let name = call.input_name(i).unwrap_or_default();
        if let Some(more) = sums.with(call, i)? {
            call.scope.bind(call.output_name(), Operand::Sums(Rc::new(more)));
            return Ok(true);
        }
        if !sums.is_float() {
            return refuse(format!(
                "it reads the int32 sums `{name}`; put a Cast to float and a Mul by the scale before it"
            ));
        }
        let id = Sums::clone(&sums).settle(call.scope, name)?;
        call.scope.bind(name, Operand::Activation(id));
    }
    Ok(false)
}

impl Sums {
    /// Whether a Cast made floats of them.
    pub fn is_float(&self) -> bool {
        self.factors.is_some()
    }

    /// What a node that reads them as input `i` makes of them; `None` where that is more than sums.
    fn with(&self, call: &Call<'_>, i: usize) -> Result<Option<Self>> {
        let operator = call.node.op_type.as_str();
        let channels = self.shape[self.axes[0]];
        match (operator, &self.factors) {
            ("Cast", None) if call.int("to")? == Some(DataType::Float as i64) => {
                Ok(Some(Self { factors: Some(vec![1.0; channels]), ..self.clone() }))
            }
            ("Identity", _) => Ok(Some(self.clone())),
            ("Add", None) => {
                let Some(Operand::Constant(constant)) = call.operand(1 - i) else { return Ok(None) };
                let Constant::Int(bias) = &*constant else { return bad("its inputs are of two types") };
                let Some(mut bias) = self.along_channels(bias) else { return Ok(None) };
                for (bias, own) in bias.iter_mut().zip(self.bias.iter().flatten()) {
                    *bias = bias.saturating_add(*own);
                }
                Ok(Some(Self { bias: Some(bias), ..self.clone() }))
            }
            ("Add" | "Mul", Some(factors)) => {
                let Some(Operand::Constant(constant)) = call.operand(1 - i) else { return Ok(None) };
                let Constant::Float(other) = &*constant else { return bad("its inputs are of two types") };
                let Some(other) = self.along_channels(other) else { return Ok(None) };
                let each = |own: &[f32], f: fn(f32, f32) -> f32| -> Vec<f32> {
                    own.iter().zip(&other).map(|(&a, &b)| f(a, b)).collect()
                };
                if operator == "Add" {
                    let offsets = self.offsets.as_ref().map_or(other.clone(), |own| each(own, |a, b| a + b));
                    let finite = offsets.iter().all(|offset| offset.is_finite());
                    return Ok(finite.then(|| Self { offsets: Some(offsets), ..self.clone() }));
                }
                let factors = each(factors, |a, b| a * b);
                let offsets = self.offsets.as_ref().map(|own| each(own, |a, b| a * b));
                // What is no scale is arithmetic like any other.
                let usable = factors.iter().all(|factor| factor.is_normal() && *factor > 0.0)
                    && offsets.iter().flatten().all(|offset| offset.is_finite());
                Ok(usable.then(|| Self { factors: Some(factors), offsets, ..self.clone() }))
            }
            _ => Ok(None),
        }
    }

    /// One element for each channel, where `constant` has no others.
    fn along_channels<T: Copy>(&self, constant: &ArrayD<T>) -> Option<Vec<T>> {
        let missing = self.shape.len().checked_sub(constant.ndim())?;
        let channels = self.shape[self.axes[0]];
        if let (Some(&only), 1) = (constant.first(), constant.len()) {
            return Some(vec![only; channels]);
        }
        let fits = |(axis, &size): (usize, &usize)| {
            size == 1 || (axis + missing == self.axes[0] && size == channels)
        };
        constant.shape().iter().enumerate().all(fits).then(|| constant.iter().copied().collect())
    }

    /// Adds what computes them to the graph, under `name`.
    ///
    /// # Errors
    /// Where their shape is impossible.
    pub fn settle(&self, scope: &mut Scope, name: &str) -> Result<ValueId> {
        let step = match &scope.graph.values[self.x].given {
            Some(Given::Activation(given)) => given.scale,
            _ => 1.0,
        };
        let channels = self.shape[self.axes[0]];
        let factors = self.factors.clone().unwrap_or_else(|| vec![1.0; channels]);
        let scales: Vec<f32> = factors.iter().map(|factor| factor / step).collect();
        let along = self.axes[1];
        let contents = ArrayD::from_shape_fn(IxDyn(self.weights.shape()), |place| {
            self.weights[&place] as f32 * scales[place[along]]
        });
        let symmetric = self.weights.iter().all(|w| w.abs() <= 127);
        let asymmetric = (!symmetric).then(|| (self.weights_name.clone(), rounded_again(&contents)));
        let zero_points = vec![0; channels];
        let scales =
            Scales { values: scales, axis: Some(along), zero_points, middle: 0, bits: 8, asymmetric };
        let given = scope.weights_by(&scales, along, channels);
        let weights = scope.add_constant(&self.weights_name, contents);
        scope.graph.values[weights].given = given;
        let mut inputs = vec![self.x, weights];
        if self.bias.is_some() || self.offsets.is_some() {
            let real = |c: usize| {
                let bias = self.bias.as_ref().map_or(0, |bias| bias[c]) as f64 * f64::from(factors[c]);
                (bias + self.offsets.as_ref().map_or(0.0, |offsets| f64::from(offsets[c]))) as f32
            };
            let bias = ndarray::Array1::from_iter((0..channels).map(real)).into_dyn();
            inputs.push(scope.add_constant(&format!("{name}#bias"), bias));
        }
        let output = scope.add_value(name, self.shape.clone())?;
        let node = scope.unique(&format!("{}#sums", self.node));
        scope.add_node(node, self.op.clone(), inputs, output);
        Ok(output)
    }
}
