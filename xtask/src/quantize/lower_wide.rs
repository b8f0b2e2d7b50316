//! Layers on int16 activations. A value is held in int8, in int16, or in both: it is converted where a layer of the other kind
//! reads it.

use still8::format::{Add16Params, Conv2d16Params, ConvertParams, Mean16Params, WideRecord};

use super::axes::Axes;
use super::fuse::Fused;
use super::layout::Layout;
use super::lower::{Lowering, Placed, four};
use super::lower_ops::{Lowers, NOTHING, POINT, pair};
use crate::graph::{Graph, Node, Op, Reduction, ValueId, Window};
use crate::network::Kind;
use crate::quantization::Quantization;

/// Largest |accumulator| that a record of 24 bits takes.
const ACCUMULATOR_END: f64 = (1u64 << 38) as f64;

/// Whether the step has a form on int16.
pub fn has_int16(graph: &Graph, step: &Fused) -> bool {
    let node = &graph.nodes[step.node];
    let constant = |i: usize| node.inputs.get(i).is_some_and(|&input| graph.constant(input).is_some());
    match &node.op {
        Op::Conv { .. } | Op::MatMul | Op::ScaleOffset => constant(1),
        Op::Map(_) | Op::Clip { .. } | Op::Reduce { reduction: Reduction::Mean | Reduction::Sum, .. } => true,
        Op::Add | Op::Sub => {
            let shape = |i: usize| &graph.values[node.inputs[i]].shape;
            !constant(0) && !constant(1) && shape(0) == shape(1)
        }
        _ => false,
    }
}

/// m and n whose quotient m ⁄ 2ⁿ is next to `scale`, with m below 2²⁴; see [`still8::wide`].
fn record(scale: f64, bias: i64, bound: f64) -> Lowers<WideRecord> {
    if bound >= ACCUMULATOR_END {
        return Err(format!("its accumulator can reach {bound:e}, past 2³⁸"));
    }
    if !(scale > 0.0 && scale < f64::from(1 << 20)) {
        return Err(format!("its requantization scale {scale:e} is outside (0, 2²⁰)"));
    }
    let exponent = scale.log2().floor() as i32 + 1;
    let mut shift = (24 - exponent).min(62);
    let mut multiplier = (scale * 2f64.powi(shift)).round();
    if multiplier >= f64::from(1 << 24) {
        shift -= 1;
        multiplier = (scale * 2f64.powi(shift)).round();
    }
    let bias = bias as u64;
    Ok(WideRecord {
        bias: [bias as u32, (bias >> 32) as u32],
        multiplier: multiplier as i32,
        shift: shift as u8,
        reserved: [0; 3],
    })
}

impl Lowering<'_> {
    /// The int16 quantization of a value.
    fn wide_quantization(&self, value: ValueId) -> Quantization {
        self.scheme.int16(value)
    }

    /// The step on int16, whose output is held in int16.
    pub(super) fn lower_wide(&mut self, step: &Fused, node: &Node) -> Lowers {
        let activation = self.wide_activation(step);
        match &node.op {
            Op::Conv { window, groups } => self.conv16(step, node, *window, *groups, activation),
            Op::MatMul => self.mat_mul16(step, node, activation),
            Op::ScaleOffset => self.scale_offset16(step, node, activation),
            Op::Add => self.add16(step, node, 1.0, activation),
            Op::Sub => self.add16(step, node, -1.0, activation),
            Op::Reduce { reduction, axes } => self.mean16(step, node, *reduction, axes, activation),
            Op::Map(expression) => self.table16(step, node, |x| expression.apply(x)),
            Op::Clip { low, high } => self.table16(step, node, |x| x.max((*low).into()).min((*high).into())),
            Op::Reshape => self.reshape16(step, node),
            op => Err(format!("{} has no form on int16", op.name())),
        }
    }

    /// The output clamp in the output's own integers.
    fn wide_activation(&self, step: &Fused) -> (i16, i16) {
        let int16 = self.wide_quantization(step.output);
        step.clip.map_or((-i16::MAX, i16::MAX), |(low, high)| {
            (int16.quantize(low) as i16, int16.quantize(high) as i16)
        })
    }

    /// The same value, or in other steps where the source says so.
    fn reshape16(&mut self, step: &Fused, node: &Node) -> Lowers {
        let input = node.inputs[0];
        let to = self.wide_quantization(step.output);
        if let Some(Placed { tensor, layout }) = self.placed16.get(&input).cloned() {
            let from = self.wide_quantization(input);
            if from == to {
                self.placed16.insert(step.output, Placed { tensor, layout });
                return Ok(());
            }
            let scale = f64::from(from.scale) / f64::from(to.scale);
            return self.convert16(step, node, record(scale, 0, 32768.0)?, (tensor, layout));
        }
        let Placed { tensor, layout } = self.placed(input)?;
        let from = self.quantization(input);
        if from == self.quantization(step.output) && !self.scheme.given16.contains_key(&step.output) {
            self.alias(step.output, tensor, layout);
            return Ok(());
        }
        let scale = f64::from(from.scale) / f64::from(to.scale);
        self.convert16(step, node, record(scale, -i64::from(from.zero_point), 512.0)?, (tensor, layout))
    }

    fn convert16(
        &mut self,
        step: &Fused,
        node: &Node,
        record: WideRecord,
        (tensor, layout): (usize, Layout),
    ) -> Lowers {
        let shape = self.network.tensors[tensor].shape;
        self.emit16(step, node, (Kind::Convert(ConvertParams { record }), vec![tensor]), shape, layout)
    }

    /// Another shape of a value that is held in int16 alone, in int8: at once, not by way of the value's own int8.
    pub(super) fn narrowing(&mut self, step: &Fused, node: &Node) -> Lowers<bool> {
        let input = node.inputs[0];
        if node.op != Op::Reshape || self.is_placed(input) {
            return Ok(false);
        }
        let Some(Placed { tensor, layout }) = self.placed16.get(&input).cloned() else { return Ok(false) };
        let from = self.wide_quantization(input);
        let name = node.name.split(';').next().unwrap_or_default().to_owned();
        self.narrowed(from, step.output, (tensor, layout), name, true)?;
        Ok(true)
    }

    /// The value in int16 and in `layout`; the tensor has `shape`.
    fn wide(&mut self, value: ValueId, layout: &Layout, shape: [usize; 4]) -> Lowers<usize> {
        if let Some(placed) = self.placed16.get(&value)
            && placed.layout.same_order(layout)
        {
            let tensor = placed.tensor;
            return Ok(self.view(tensor, shape));
        }
        self.narrow(value)?;
        let from = self.quantization(value);
        let input = self.require(value, layout, shape)?;
        let to = self.wide_quantization(value);
        let scale = f64::from(from.scale) / f64::from(to.scale);
        let params = ConvertParams { record: record(scale, -i64::from(from.zero_point), 512.0)? };
        let name = format!("{}/int16", self.graph.values[value].name);
        let output = self.add_tensor(shape, to);
        self.push(name, Kind::Convert(params), vec![input], output, None);
        self.placed16.insert(value, Placed { tensor: output, layout: layout.clone() });
        Ok(output)
    }

    /// Makes sure that the value is held in int8, where it is held at all.
    pub(super) fn narrow(&mut self, value: ValueId) -> Lowers {
        if self.is_placed(value) {
            return Ok(());
        }
        let Some(Placed { tensor, layout }) = self.placed16.get(&value).cloned() else { return Ok(()) };
        let name = format!("{}/int8", self.graph.values[value].name);
        self.narrowed(self.wide_quantization(value), value, (tensor, layout), name, false)
    }

    fn narrowed(
        &mut self,
        from: Quantization,
        value: ValueId,
        (tensor, layout): (usize, Layout),
        name: String,
        computes: bool,
    ) -> Lowers {
        let to = self.quantization(value);
        let scale = f64::from(from.scale) / f64::from(to.scale);
        let params = ConvertParams { record: record(scale, 0, 32768.0)? };
        let shape = self.network.tensors[tensor].shape;
        let output = self.add_tensor(shape, to);
        let of = computes.then(|| (value, layout.clone()));
        self.push(name, Kind::Convert(params), vec![tensor], output, of);
        self.alias(value, output, layout);
        Ok(())
    }

    /// Adds the output's tensor and the op. Where layers are to be taken apart, the value is what comes out in int8.
    fn emit16(
        &mut self,
        step: &Fused,
        node: &Node,
        (kind, inputs): (Kind, Vec<usize>),
        shape: [usize; 4],
        layout: Layout,
    ) -> Lowers {
        let output = self.add_tensor(shape, self.wide_quantization(step.output));
        let name = node.name.split(';').next().unwrap_or_default().to_owned();
        let of = (!self.apart).then(|| (step.output, layout.clone()));
        self.push(name.clone(), kind, inputs, output, of);
        if self.apart {
            let from = self.wide_quantization(step.output);
            return self.narrowed(from, step.output, (output, layout), name, true);
        }
        self.placed16.insert(step.output, Placed { tensor: output, layout });
        Ok(())
    }

    /// Rows `[c_out][k]` of weights and their records.
    fn rows16(
        &self,
        node: &Node,
        step: &Fused,
        (c_out, k): (usize, usize),
        index: impl Fn(usize, usize) -> usize,
    ) -> Lowers<(Vec<i8>, Vec<WideRecord>)> {
        let from = f64::from(self.wide_quantization(node.inputs[0]).scale);
        let to = f64::from(self.wide_quantization(step.output).scale);
        let bias = self.floats(node, 2)?;
        let quantized = &self.scheme.weights[&step.output];
        let (mut weights, mut records) = (Vec::with_capacity(c_out * k), Vec::with_capacity(c_out));
        for o in 0..c_out {
            let row: Vec<i8> = (0..k).map(|i| quantized.integers[index(o, i)]).collect();
            let scale = from * f64::from(quantized.scales[o]);
            let bias = bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]) / scale).round();
            let sum: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
            let made = record(scale / to, bias as i64, sum as f64 * 32768.0 + bias.abs());
            records.push(made.map_err(|why| format!("output channel {o}: {why}"))?);
            weights.extend(row);
        }
        Ok((weights, records))
    }

    fn conv16(
        &mut self,
        step: &Fused,
        node: &Node,
        window: Window,
        groups: usize,
        activation: (i16, i16),
    ) -> Lowers {
        let (from, to) = (self.shape(node.inputs[0]).to_vec(), self.shape(step.output).to_vec());
        let (taps, per_group) = (window.kernel[0] * window.kernel[1], from[1] / groups);
        let index = |o: usize, i: usize| (o * per_group + i % per_group) * taps + i / per_group;
        let (weights, channels) = self.rows16(node, step, (to[1], taps * per_group), index)?;
        let params = params16(window, groups, activation)?;
        let layout = Layout::channels_last(&from);
        let input = self.wide(node.inputs[0], &layout, four(&layout.device_shape()))?;
        let layout = Layout::channels_last(&to);
        let shape = four(&layout.device_shape());
        self.emit16(step, node, (Kind::Conv2d16 { params, weights, channels }, vec![input]), shape, layout)
    }

    fn mat_mul16(&mut self, step: &Fused, node: &Node, activation: (i16, i16)) -> Lowers {
        let shape = self.shape(node.inputs[0]).to_vec();
        let k = *shape.last().ok_or("its input is a scalar")?;
        let c_out = self.shape(step.output).last().copied().unwrap_or(1);
        let rows = shape.iter().product::<usize>() / k.max(1);
        let params = params16(POINT, 1, activation)?;
        // A single row may lie in any order: the weights follow it.
        let held = match self.placed16.get(&node.inputs[0]) {
            Some(placed) => placed.layout.clone(),
            None => self.placed(node.inputs[0])?.layout,
        };
        let layout = if rows == 1 { held } else { Layout::identity(&shape) };
        let source = layout.source_indices();
        let place = |i: usize| if rows == 1 { source[i] } else { i };
        let (weights, channels) = self.rows16(node, step, (c_out, k), |o, i| place(i) * c_out + o)?;
        let input = self.wide(node.inputs[0], &layout, [1, 1, rows, k])?;
        let layout = Layout::identity(self.shape(step.output));
        let kind = Kind::Conv2d16 { params, weights, channels };
        self.emit16(step, node, (kind, vec![input]), [1, 1, rows, c_out], layout)
    }

    fn scale_offset16(&mut self, step: &Fused, node: &Node, activation: (i16, i16)) -> Lowers {
        let c = self.shape(node.inputs[1]).iter().product();
        let (weights, channels) = self.rows16(node, step, (c, 1), |o, _| o)?;
        let params = params16(POINT, c, activation)?;
        let layout = Layout::channels_last(self.shape(node.inputs[0]));
        let shape = four(&layout.device_shape());
        let input = self.wide(node.inputs[0], &layout, shape)?;
        self.emit16(step, node, (Kind::Conv2d16 { params, weights, channels }, vec![input]), shape, layout)
    }

    fn add16(&mut self, step: &Fused, node: &Node, sign: f64, activation: (i16, i16)) -> Lowers {
        let first = node.inputs[0];
        let placed = match self.placed16.get(&first) {
            Some(placed) => placed.clone(),
            None => self.placed(first)?,
        };
        let shape = self.network.tensors[placed.tensor].shape;
        let inputs =
            [self.wide(first, &placed.layout, shape)?, self.wide(node.inputs[1], &placed.layout, shape)?];
        let to = f64::from(self.wide_quantization(step.output).scale);
        let ratio = [0, 1].map(|i| f64::from(self.wide_quantization(node.inputs[i]).scale) / to);
        let fits = |shift: &u8| ratio.iter().all(|r| r * 2f64.powi((*shift).into()) < f64::from(1 << 30));
        let shift = (1..=40u8).rev().find(fits).ok_or("its inputs' scales are too far above its output's")?;
        let factor = |ratio: f64| (ratio * 2f64.powi(shift.into())).round() as i32;
        let (activation_min, activation_max) = activation;
        let multipliers = [factor(ratio[0]), factor(sign * ratio[1])];
        let params = Add16Params { multipliers, shift, reserved: [0; 3], activation_min, activation_max };
        self.emit16(step, node, (Kind::Add16(params), inputs.to_vec()), shape, placed.layout)
    }

    fn mean16(
        &mut self,
        step: &Fused,
        node: &Node,
        reduction: Reduction,
        axes: &[usize],
        activation: (i16, i16),
    ) -> Lowers {
        let value = node.inputs[0];
        let shape = self.shape(value).to_vec();
        let held = match self.placed16.get(&value) {
            Some(placed) => placed.layout.over(&shape),
            None => self.placed(value)?.layout.over(&shape),
        };
        let layout = held.unwrap_or_else(|| Layout::identity(&shape));
        let reduced = |i: usize| axes.contains(&layout.order()[i]);
        let groups = Axes::of(layout.order().len(), |a, b| reduced(a) == reduced(b))?;
        let input = groups.shape(&layout.device_shape());
        let mask = (0..layout.order().len())
            .filter(|&i| reduced(i))
            .fold(0u8, |mask, i| mask | 1 << groups.place[i]);
        let is_reduced = |axis: usize| mask & (1 << axis) != 0;
        let count: usize = (0..4).filter(|&axis| is_reduced(axis)).map(|axis| input[axis]).product();
        let output = [0, 1, 2, 3].map(|axis| if is_reduced(axis) { 1 } else { input[axis] });
        let divisor = if reduction == Reduction::Mean { count as f64 } else { 1.0 };
        let [from, to] = [value, step.output].map(|value| f64::from(self.wide_quantization(value).scale));
        let made = record(from / (to * divisor), 0, count as f64 * 32768.0)?;
        let (activation_min, activation_max) = activation;
        let params =
            Mean16Params { record: made, axes: mask, reserved: [0; 3], activation_min, activation_max };
        let tensor = self.wide(value, &layout, input)?;
        self.emit16(step, node, (Kind::Mean16(params), vec![tensor]), output, layout.reduced(axes))
    }

    /// Any function of one element.
    fn table16(&mut self, step: &Fused, node: &Node, function: impl Fn(f64) -> f64) -> Lowers {
        let value = node.inputs[0];
        let placed = match self.placed16.get(&value) {
            Some(placed) => placed.clone(),
            None => self.placed(value)?,
        };
        let shape = self.network.tensors[placed.tensor].shape;
        let (from, to) = (self.wide_quantization(value), self.wide_quantization(step.output));
        let entry = |j: i32| {
            let x = f64::from(from.scale) * f64::from(128 * j - 32768);
            to.quantize(function(x) as f32) as i16
        };
        let table = (0..=512).map(entry).collect();
        let input = self.wide(value, &placed.layout, shape)?;
        self.emit16(step, node, (Kind::Table16 { table }, vec![input]), shape, placed.layout)
    }
}

fn params16(
    window: Window,
    groups: usize,
    (activation_min, activation_max): (i16, i16),
) -> Lowers<Conv2d16Params> {
    Ok(Conv2d16Params {
        kernel: pair(window.kernel)?,
        stride: pair(window.stride)?,
        dilation: pair(window.dilation)?,
        padding: pair([window.padding[0], window.padding[1]])?,
        groups: u32::try_from(groups).map_err(|_| "it has too many groups")?,
        activation_min,
        activation_max,
        weights: NOTHING,
        channels: NOTHING,
    })
}
