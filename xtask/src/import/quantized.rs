//! QuantizeLinear and DequantizeLinear: the scales and zero points that a file brings are kept as they are.
//!
//! A QuantizeLinear says which integers stand for the value that it reads; a DequantizeLinear says it again, and becomes
//! nothing. Between them a name stands for integers ([`Operand::Integers`]), which operators that only move elements may
//! read. uint8 is int8 with its zero point 128 lower, uint16 int16 with its own 32768 lower, exactly. Constants are dequantized
//! here; weights remember their scales.

use std::rc::Rc;

use ndarray::ArrayD;
use still8_validation::Result;
use still8_validation::onnx::pb::tensor_proto::DataType as Element;

use super::call::{Call, bad, refuse};
use super::constant::Constant;
use super::scope::{Operand, Scales};
use super::shapes::axis;
use crate::graph::{Given, Op, ValueId};
use crate::quantization::Quantization;

/// Whether an operator may read integers: one that moves, selects or compares elements, or says what they stand for.
pub fn takes_integers(operator: &str) -> bool {
    matches!(
        operator,
        "ArgMax"
            | "Concat"
            | "DepthToSpace"
            | "DequantizeLinear"
            | "Dropout"
            | "Expand"
            | "Flatten"
            | "Gather"
            | "Identity"
            | "MaxPool"
            | "Reshape"
            | "Resize"
            | "Slice"
            | "SpaceToDepth"
            | "Split"
            | "Squeeze"
            | "Transpose"
            | "Unsqueeze"
            | "Upsample"
    ) || operator.starts_with("QLinear")
        || matches!(operator, "ConvInteger" | "MatMulInteger" | "MatMulIntegerToFloat" | "QGemm")
}

/// The middle of a type of integers: what an unsigned one is shifted by.
pub(super) fn middle(kind: Element) -> i64 {
    match kind {
        Element::Uint4 => 8,
        Element::Uint8 => 128,
        Element::Uint16 => 32768,
        _ => 0,
    }
}

/// Of a type of integers.
fn bits(kind: Element) -> u8 {
    match kind {
        Element::Int4 | Element::Uint4 => 4,
        Element::Int8 | Element::Uint8 => 8,
        Element::Int16 | Element::Uint16 => 16,
        _ => 32,
    }
}

/// Scale and zero point of activations, per tensor, from two inputs; `kind` is the type of the integers.
///
/// # Errors
/// Where they are not constant, not one number each, or not usable.
pub(super) fn activation_quantization(
    call: &Call<'_>,
    [at, zero_point]: [usize; 2],
    kind: Element,
) -> Result<Quantization> {
    let Some(scales) = call.numbers(at)? else {
        return bad("the scale is missing");
    };
    let (Some(&scale), 1) = (scales.first(), scales.len()) else {
        return refuse(format!(
            "activations have one scale a tensor, not {}; export with per-tensor activations",
            scales.len()
        ));
    };
    let zero_point = match call.integers(zero_point)?.as_deref() {
        None => 0,
        Some(&[zero_point]) => zero_point,
        Some(several) => return bad(format!("{} zero points for one scale", several.len())),
    };
    let limits = match kind {
        Element::Int8 | Element::Uint8 => -128..=127,
        Element::Int16 | Element::Uint16 => -32768..=32767,
        other => {
            return refuse(format!(
                "activations of type {} are not supported; export with int8, uint8, int16 or uint16",
                other.as_str_name()
            ));
        }
    };
    check_scale(call, at, scale)?;
    let shifted = zero_point.checked_sub(middle(kind)).filter(|shifted| limits.contains(shifted));
    let Some(shifted) = shifted else {
        return bad(format!("the zero point {zero_point} is no {}", kind.as_str_name()));
    };
    if *limits.end() == 127 {
        let dtype = still8::format::DataType::Int8;
        return Ok(Quantization { scale, zero_point: shifted as i32, dtype });
    }
    if shifted == 0 {
        return Ok(Quantization { scale, zero_point: 0, dtype: still8::format::DataType::Int16 });
    }
    // Kernels on int16 know no zero point: the same range about 0.
    let [low, high] = [limits.start(), limits.end()].map(|&end| (end - shifted) as f32 * scale);
    Ok(Quantization::int16(low, high))
}

/// Warns where a value's integers are held about another zero point than the file's.
fn warn_of_zero_point(call: &mut Call<'_>, kind: Element, own: Option<i64>, held: Quantization) {
    let Some(zero_point) = own.filter(|&own| own != middle(kind)) else { return };
    if held.dtype == still8::format::DataType::Int16 {
        let text = format!(
            "`{}` has the zero point {zero_point} in {}: int16 has none here, so its range is held about 0, in steps of {:e}; \
             a symmetric export would be exact",
            call.output_name(),
            kind.as_str_name(),
            held.scale
        );
        call.scope.warnings.push(text);
    }
}

fn check_scale(call: &Call<'_>, at: usize, scale: f32) -> Result<()> {
    if scale.is_normal() && scale > 0.0 {
        return Ok(());
    }
    bad(format!(
        "`{}`: a scale must be a positive number, not {scale}",
        call.input_name(at).unwrap_or_default()
    ))
}

/// The integer type that a node's zero point has, else its attribute, else uint8, as ONNX says.
pub(super) fn output_type(call: &Call<'_>, zero_point: usize) -> Result<Element> {
    if let Some(kind) = call.input_name(zero_point).and_then(|name| call.scope.integer_type(name)) {
        return Ok(kind);
    }
    let kind = call.int("output_dtype")?.filter(|&kind| kind != 0);
    Ok(kind.and_then(|kind| Element::try_from(i32::try_from(kind).ok()?).ok()).unwrap_or(Element::Uint8))
}

/// x becomes integers.
pub fn quantize_linear(call: &mut Call<'_>) -> Result<()> {
    let x = call.activation(0)?;
    let kind = output_type(call, 2)?;
    let quantization = activation_quantization(call, [1, 2], kind)?;
    round_averages_up(call, x, quantization);
    let own = call.integers(2)?.and_then(|zero_points| zero_points.first().copied());
    // Without one it is 0, which is the middle of no unsigned type.
    warn_of_zero_point(call, kind, Some(own.unwrap_or(0)), quantization);
    let id = quantized(call, x, quantization)?;
    bind_integers(call, id, kind);
    Ok(())
}

/// An average plus less than two averages can differ by, before it is rounded, says no more than that halves go up: so
/// [`crate::qdq`] writes it. Becomes the average alone.
fn round_averages_up(call: &mut Call<'_>, x: ValueId, quantization: Quantization) {
    let graph = &mut call.scope.graph;
    let Some(sum) = graph.writer(x) else { return };
    let (Op::ScaleOffset, &[average, scale, offset]) = (&graph.nodes[sum].op, &graph.nodes[sum].inputs[..])
    else {
        return;
    };
    let all = |id: ValueId, holds: &dyn Fn(f32) -> bool| {
        graph.constant(id).is_some_and(|values| values.iter().all(|&value| holds(value)))
    };
    let Some(pool) = graph.writer(average).filter(|_| graph.readers(average).len() == 1) else { return };
    let Op::AveragePool { window, .. } = &graph.nodes[pool].op else { return };
    let least = quantization.scale / (window.kernel[0] * window.kernel[1]) as f32;
    if all(scale, &|value| value == 1.0) && all(offset, &|value| value > 0.0 && value < least) {
        let name = graph.nodes[sum].name.clone();
        let node = &mut graph.nodes[pool];
        if let Op::AveragePool { half_up, .. } = &mut node.op {
            *half_up = true;
        }
        (node.name, node.output) = (name, x);
        graph.nodes.remove(sum);
    }
}

/// The value, or a copy of it, that has this quantization.
pub(super) fn quantized(call: &mut Call<'_>, x: ValueId, quantization: Quantization) -> Result<ValueId> {
    let given = Given::Activation(quantization);
    match &call.scope.graph.values[x].given {
        Some(own) if *own == given => return Ok(x),
        // One that only reads it as it is keeps its own integers.
        Some(_) => {}
        None => {
            call.scope.graph.values[x].given = Some(given);
            return Ok(x);
        }
    }
    let shape = call.shape(x);
    let id = call.emit_step("requantized", Op::Reshape, vec![x], shape)?;
    call.scope.graph.values[id].given = Some(given);
    Ok(id)
}

pub(super) fn bind_integers(call: &mut Call<'_>, id: ValueId, kind: Element) {
    call.scope.set_integer_type(call.output_name(), kind);
    call.scope.bind(call.output_name(), Operand::Integers(id));
}

/// Integers become x again.
pub fn dequantize_linear(call: &mut Call<'_>) -> Result<()> {
    let Some(Operand::Integers(id)) = call.operand(0) else {
        return refuse("its input holds no integers; put a QuantizeLinear before it");
    };
    let quantization = activation_quantization(call, [1, 2], integer_type(call, 0))?;
    reads_as(call, id, quantization)?;
    call.scope.bind(call.output_name(), Operand::Activation(id));
    Ok(())
}

/// The type of the integers of input `i`.
pub(super) fn integer_type(call: &Call<'_>, i: usize) -> Element {
    call.input_name(i).and_then(|name| call.scope.integer_type(name)).unwrap_or(Element::Uint8)
}

/// Says that the integers of a value are read with this quantization: what it was given, or what it gets by that.
pub(super) fn reads_as(call: &mut Call<'_>, id: ValueId, quantization: Quantization) -> Result<()> {
    let given = Given::Activation(quantization);
    match &call.scope.graph.values[id].given {
        Some(own) if *own == given => return Ok(()),
        Some(_) => {
            return refuse("it reads integers with another scale or zero point than they were made with");
        }
        None => {}
    }
    // Integers of a graph input: what was moved on the way to here means the same as well.
    let mut moved = vec![id];
    while let Some(id) = moved.pop() {
        call.scope.graph.values[id].given = Some(given.clone());
        if let Some(writer) = call.scope.graph.writer(id) {
            let inputs = call.scope.graph.nodes[writer].inputs.clone();
            moved.extend(inputs.into_iter().filter(|&input| call.scope.graph.values[input].given.is_none()));
        }
    }
    Ok(())
}

/// Float constants as integers: rounded to even, saturated.
///
/// # Errors
/// As [`activation_quantization`], and where scales do not fit the constant.
pub fn fold_quantize(call: &mut Call<'_>) -> Result<Constant> {
    let kind = output_type(call, 2)?;
    let Some(x) = call.numbers(0)? else {
        return bad("input 0 is missing");
    };
    let (low, high) = match kind {
        Element::Int8 => (-128.0, 127.0),
        Element::Uint8 => (0.0, 255.0),
        Element::Int16 => (-32768.0, 32767.0),
        Element::Uint16 => (0.0, 65535.0),
        Element::Int4 => (-8.0, 7.0),
        Element::Uint4 => (0.0, 15.0),
        Element::Int32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        other => return refuse(format!("constants of type {} are not supported", other.as_str_name())),
    };
    let axis = call.int("axis")?.unwrap_or(1);
    let parameters = Parameters::of(call, [1, 2], axis, x.shape())?;
    let mut integers = ArrayD::zeros(x.raw_dim());
    parameters.for_each(&x, |i, x, scale, zero_point| {
        let q = (f64::from(x) / f64::from(scale)).round_ties_even() + zero_point as f64;
        integers[i] = q.clamp(low, high) as i64;
    });
    call.scope.set_integer_type(call.output_name(), kind);
    Ok(Constant::Int(integers))
}

/// A dequantized constant.
pub(super) struct Dequantized {
    /// scale · (q − zero point).
    pub contents: ArrayD<f32>,
    /// Its scales.
    pub scales: Scales,
}

/// The integer constant, scale and zero point at these inputs as floats; scales lie along `axis` where there are several.
///
/// # Errors
/// Where they are not constant, do not fit each other, or are not usable.
pub(super) fn dequantized(call: &mut Call<'_>, inputs: [usize; 3], axis: i64) -> Result<Dequantized> {
    let Some(Operand::Constant(constant)) = call.operand(inputs[0]) else {
        return refuse(format!("input {} must be constant", inputs[0]));
    };
    let Constant::Int(q) = &*constant else {
        return bad(format!("input {} must be integers", inputs[0]));
    };
    let parameters = Parameters::of(call, [inputs[1], inputs[2]], axis, q.shape())?;
    let mut contents = ArrayD::zeros(q.raw_dim());
    let mut largest = 0;
    parameters.for_each(q, |i, q, scale, zero_point| {
        let q = q.saturating_sub(zero_point);
        largest = largest.max(q.saturating_abs());
        contents[i] = (q as f64 * f64::from(scale)) as f32;
    });
    let kind = integer_type(call, inputs[0]);
    let mut scales = parameters.scales;
    scales.bits = bits(kind);
    if scales.bits == 4 && largest > 7 {
        scales.bits = 8;
        let name = call.input_name(inputs[0]).unwrap_or_default();
        call.scope.warnings.push(format!(
            "`{name}` holds integers of four bits outside ±7 (less the zero point), which symmetric weights of four bits cannot \
             have: they are kept in eight"
        ));
    }
    if largest > 127 {
        // A bias has 32 bits.
        let db = if scales.bits < 32 { rounded_again(&contents) } else { f64::INFINITY };
        scales.asymmetric = Some((call.input_name(inputs[0]).unwrap_or_default().to_owned(), db));
    }
    Ok(Dequantized { contents, scales })
}

/// Integer constants as the floats that they stand for, remembered with their scales.
///
/// # Errors
/// As [`fold_quantize`].
pub fn fold_dequantize(call: &mut Call<'_>) -> Result<Constant> {
    let axis = call.int("axis")?.unwrap_or(1);
    let Dequantized { contents, scales } = dequantized(call, [0, 1, 2], axis)?;
    let kind = integer_type(call, 0);
    if bits(kind) < 32 {
        call.scope.set_scales(call.output_name(), Scales { middle: middle(kind), ..scales });
    }
    Ok(Constant::Float(contents))
}

/// Signal to noise in dB of weights rounded to a symmetric scale of their own, per tensor.
pub(super) fn rounded_again(weights: &ArrayD<f32>) -> f64 {
    let largest = weights.iter().fold(0f32, |largest, w| largest.max(w.abs()));
    let step = f64::from(largest) / 127.0;
    let (mut signal, mut noise) = (0.0, 0.0);
    for &w in weights {
        let w = f64::from(w);
        signal += w * w;
        noise += (w - (w / step).round() * step).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// Scales and zero points of a constant.
struct Parameters {
    scales: Scales,
}

impl Parameters {
    /// From these inputs; several scales lie along `along` of a constant of this shape.
    fn of(call: &Call<'_>, inputs: [usize; 2], along: i64, shape: &[usize]) -> Result<Self> {
        let Some(scales) = call.numbers(inputs[0])? else {
            return bad("the scale is missing");
        };
        for &scale in &scales {
            check_scale(call, inputs[0], scale)?;
        }
        let values: Vec<f32> = scales.iter().copied().collect();
        let along = match values.len() {
            1 => None,
            count => {
                let along = axis(along, shape.len())?;
                if shape[along] != count {
                    return bad(format!(
                        "{count} scales along axis {along} of a constant of shape {shape:?}"
                    ));
                }
                Some(along)
            }
        };
        let zero_points = call.integers(inputs[1])?.unwrap_or_else(|| vec![0; values.len()]);
        if zero_points.len() != values.len() {
            return bad(format!("{} zero points for {} scales", zero_points.len(), values.len()));
        }
        Ok(Self { scales: Scales { values, axis: along, zero_points, middle: 0, bits: 8, asymmetric: None } })
    }

    /// Calls `f` with each element, its place, its scale and its zero point.
    fn for_each<T: Copy>(&self, x: &ArrayD<T>, mut f: impl FnMut(&ndarray::IxDyn, T, f32, i64)) {
        for (place, &x) in x.indexed_iter() {
            let channel = self.scales.axis.map_or(0, |axis| place[axis]);
            f(&place, x, self.scales.values[channel], self.scales.zero_points[channel]);
        }
    }
}

/// Binds the node's output to a folded constant.
pub(super) fn bind_constant(call: &mut Call<'_>, constant: Constant) {
    call.scope.bind(call.output_name(), Operand::Constant(Rc::new(constant)));
}
