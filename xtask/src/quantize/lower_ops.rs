//! The int8 form of each operator.

use still8::format::{ChannelRecord, Conv2dParams, DataRef, FullyConnectedParams, MeanParams, Pool2dParams};

use super::axes::Axes;
use super::channel::{self, multiplier};
use super::fuse::Fused;
use super::layout::Layout;
use super::lower::{Lowering, four};
use super::lower_arithmetic::Pairing;
use super::params::{SOFTMAX_OUTPUT, moves};
use crate::graph::{Node, Op, Reduction, ValueId, Window};
use crate::network::{Bits, Kind};
use crate::quantization::Quantization;

/// Why a node has no int8 form.
pub(super) type Lowers<T = ()> = Result<T, String>;

pub(super) const NOTHING: DataRef = DataRef { offset: 0, bytes: 0 };

impl Lowering<'_> {
    pub(super) fn lower_step(&mut self, step: &Fused, node: &Node) -> Lowers {
        if self.scheme.wide.contains(&step.output) {
            return self.lower_wide(step, node);
        }
        if self.narrowing(step, node)? {
            return Ok(());
        }
        for &input in &node.inputs {
            self.narrow(input)?;
        }
        let differ = self.scheme.values.get(&node.inputs[0]) != self.scheme.values.get(&step.output);
        match &node.op {
            Op::AveragePool { window, count_padding, .. }
                if differ && (*count_padding || window.padding == [0; 4]) =>
            {
                let activation = self.activation(step);
                self.averaged(step, node, *window, activation)
            }
            op if moves(op) && !matches!(op, Op::Concat { .. }) => {
                self.requantizing(step, node, |lowering| lowering.lower_op(step, node))
            }
            _ => self.lower_op(step, node),
        }
    }

    fn lower_op(&mut self, step: &Fused, node: &Node) -> Lowers {
        let activation = self.activation(step);
        match &node.op {
            Op::Conv { window, groups } => self.conv(step, node, *window, *groups, activation),
            Op::MatMul => self.matmul(step, node, activation),
            Op::ScaleOffset => self.scale_offset(step, node, activation),
            Op::Clip { low, high } => self.table(step, node, |x| x.max((*low).into()).min((*high).into())),
            Op::Map(expression) => self.table(step, node, |x| expression.apply(x)),
            Op::Add => self.pairing(step, node, Pairing::Sum(1.0), activation),
            Op::Sub => self.pairing(step, node, Pairing::Sum(-1.0), activation),
            Op::MaxPool { window } => {
                let params = pool(*window, false, activation)?;
                self.pool(step, node, Kind::MaxPool2d(params))
            }
            Op::AveragePool { window, count_padding, half_up } => {
                let ties_away = self.graph.values[step.output].given.is_some() && !half_up;
                let params = Pool2dParams {
                    ties_away: ties_away.into(),
                    ..pool(*window, *count_padding, activation)?
                };
                self.pool(step, node, Kind::AveragePool2d(params))
            }
            Op::Reduce { reduction: Reduction::Max, axes } => self.largest(step, node, axes),
            Op::Reduce { reduction, axes } => self.mean(step, node, *reduction, axes, activation),
            Op::Reshape => {
                let placed = self.placed(node.inputs[0])?;
                self.alias(step.output, placed.tensor, placed.layout);
                Ok(())
            }
            Op::Transpose { permutation } => {
                let placed = self.placed(node.inputs[0])?;
                let (tensor, layout) = match placed.layout.over(self.shape(node.inputs[0])) {
                    Some(layout) => (placed.tensor, layout),
                    None => self.over_own_axes(node.inputs[0])?,
                };
                self.alias(step.output, tensor, layout.transposed(permutation));
                Ok(())
            }
            Op::Pad { before, value, .. } => self.pad(step, node, before, *value),
            Op::Concat { axis } => self.concat(step, node, *axis),
            Op::Softmax { axis } => self.softmax(step, node, *axis),
            Op::Mul => self.pairing(step, node, Pairing::Product, activation),
            Op::BatchMatMul => self.batch_mat_mul(step, node, activation),
            Op::PRelu => self.prelu(step, node),
            Op::LayerNorm { epsilon } => self.layer_norm(step, node, *epsilon),
            Op::ArgMax { axis, last } => self.arg_max(step, node, *axis, *last),
            Op::Gather { axis, indices } => self.gather(step, node, *axis, indices),
            Op::Resize { rows, columns } => self.resize(step, node, rows, columns),
        }
    }

    /// The output clamp in the output's own integers.
    fn activation(&self, step: &Fused) -> (i8, i8) {
        let int8 = self.quantization(step.output);
        step.clip.map_or((-128, 127), |(low, high)| (int8.quantize_i8(low), int8.quantize_i8(high)))
    }

    pub(super) fn shape(&self, value: ValueId) -> &[usize] {
        &self.graph.values[value].shape
    }

    /// The value's tensor in a layout over exactly the axes of its shape.
    pub(super) fn over_own_axes(&mut self, value: ValueId) -> Lowers<(usize, Layout)> {
        let placed = self.placed(value)?;
        let shape = self.shape(value).to_vec();
        let layout = placed.layout.over(&shape).unwrap_or_else(|| Layout::identity(&shape));
        let tensor = self.require(value, &layout, four(&layout.device_shape()))?;
        Ok((tensor, layout))
    }

    /// Adds the output's tensor and the op.
    pub(super) fn emit(
        &mut self,
        step: &Fused,
        node: &Node,
        kind: Kind,
        inputs: Vec<usize>,
        shape: [usize; 4],
        layout: Layout,
    ) {
        let output = self.add_tensor(shape, self.quantization(step.output));
        self.finish(node, kind, inputs, output, step.output, layout);
    }

    pub(super) fn spatial_input(&mut self, value: ValueId) -> Lowers<usize> {
        let layout = Layout::channels_last(self.shape(value));
        self.require(value, &layout, four(&layout.device_shape()))
    }

    /// Like [`Self::emit`] for an output in channels-last order.
    pub(super) fn emit_spatial(&mut self, step: &Fused, node: &Node, kind: Kind, input: usize) {
        let layout = Layout::channels_last(self.shape(step.output));
        let shape = four(&layout.device_shape());
        self.emit(step, node, kind, vec![input], shape, layout);
    }

    /// Contents of a constant operand, `None` where the node has no such operand.
    pub(super) fn floats(&self, node: &Node, operand: usize) -> Lowers<Option<Vec<f32>>> {
        let Some(&value) = node.inputs.get(operand) else {
            return Ok(None);
        };
        match self.graph.constant(value) {
            Some(contents) => Ok(Some(contents.iter().copied().collect())),
            None => Err(format!("`{}` must be a constant", self.graph.values[value].name)),
        }
    }

    /// The bits of the step's weights.
    fn bits(&self, step: &Fused) -> Bits {
        match self.scheme.weights.get(&step.output) {
            Some(weights) if weights.bits == 4 => Bits::Four,
            _ => Bits::Eight,
        }
    }

    /// Integer rows `[c_out][k]` and channel records; `index(o, i)` is the place of weight i of output channel o in the
    /// float constant.
    fn rows(
        &self,
        node: &Node,
        step: &Fused,
        (c_out, k): (usize, usize),
        index: impl Fn(usize, usize) -> usize,
    ) -> Lowers<(Vec<i8>, Vec<ChannelRecord>)> {
        let (input, output) = (self.quantization(node.inputs[0]), self.quantization(step.output));
        let bias = self.floats(node, 2)?;
        let quantized = &self.scheme.weights[&step.output];
        let given = self.graph.values[node.inputs[1]].given.is_some();
        let make = if given { channel::given_record } else { channel::record };
        let mut weights = Vec::with_capacity(c_out * k);
        let mut channels = Vec::with_capacity(c_out);
        let unit = quantized.unit();
        for o in 0..c_out {
            let row: Vec<i8> = (0..k).map(|i| quantized.integers[index(o, i)] * unit).collect();
            let bias = bias.as_ref().map_or(0.0, |bias| bias[o]);
            let record = make(&row, quantized.scales[o] / f32::from(unit), bias, &input, &output);
            channels.push(record.map_err(|why| format!("output channel {o}: {why}"))?);
            weights.extend(row);
        }
        Ok((weights, channels))
    }

    fn conv(
        &mut self,
        step: &Fused,
        node: &Node,
        window: Window,
        groups: usize,
        activation: (i8, i8),
    ) -> Lowers {
        let c_in = self.shape(node.inputs[0])[1];
        let c_out = self.shape(step.output)[1];
        let taps = window.kernel[0] * window.kernel[1];
        let per_group = c_in / groups;
        let k = taps * per_group;
        // The source's order is [c_out][c_in / groups][taps], ours [c_out][taps][c_in / groups].
        let index = |o: usize, i: usize| (o * per_group + i % per_group) * taps + i / per_group;
        let bits = self.bits(step);
        if bits == Bits::Four && groups > 1 && groups != c_in {
            return Err("in groups it has no form with weights of four bits: give it 8".to_owned());
        }
        let (rows, channels) = self.rows(node, step, (c_out, k), index)?;
        let params = conv_params(window, groups, activation)?;
        let input = self.spatial_input(node.inputs[0])?;
        let kind = if groups == c_in && groups > 1 {
            // [c_out][taps] → [taps][c_out].
            let weights = (0..taps * c_out).map(|i| rows[(i % c_out) * taps + i / c_out]).collect();
            Kind::DepthwiseConv2d { bits, params, weights, channels }
        } else {
            Kind::Conv2d { bits, params, weights: rows, channels }
        };
        self.emit_spatial(step, node, kind, input);
        Ok(())
    }

    fn matmul(&mut self, step: &Fused, node: &Node, activation: (i8, i8)) -> Lowers {
        let bits = self.bits(step);
        let shape = self.shape(node.inputs[0]).to_vec();
        let k = *shape.last().ok_or("its input is a scalar")?;
        let c_out = self.shape(step.output).last().copied().unwrap_or(1);
        let rows_in = shape.iter().product::<usize>() / k.max(1);
        let out_shape = self.shape(step.output).to_vec();
        if rows_in == 1 {
            // Any order of the input will do: the weights follow it.
            let placed = self.placed(node.inputs[0])?;
            let source = placed.layout.source_indices();
            let index = |o: usize, i: usize| source[i] * c_out + o;
            let (weights, channels) = self.rows(node, step, (c_out, k), index)?;
            let (activation_min, activation_max) = activation;
            let params = FullyConnectedParams {
                weights: NOTHING,
                channels: NOTHING,
                activation_min,
                activation_max,
                reserved: 0,
            };
            let input = self.view(placed.tensor, [1, 1, 1, k]);
            let kind = Kind::FullyConnected { bits, params, weights, channels };
            self.emit(step, node, kind, vec![input], [1, 1, 1, c_out], Layout::identity(&out_shape));
        } else {
            let (weights, channels) = self.rows(node, step, (c_out, k), |o, i| i * c_out + o)?;
            let kind = Kind::Conv2d { bits, params: conv_params(POINT, 1, activation)?, weights, channels };
            let input = self.require(node.inputs[0], &Layout::identity(&shape), [1, 1, rows_in, k])?;
            self.emit(step, node, kind, vec![input], [1, 1, rows_in, c_out], Layout::identity(&out_shape));
        }
        Ok(())
    }

    /// A depthwise convolution of one tap.
    fn scale_offset(&mut self, step: &Fused, node: &Node, activation: (i8, i8)) -> Lowers {
        let bits = self.bits(step);
        let c = self.shape(node.inputs[1]).iter().product();
        let (weights, channels) = self.rows(node, step, (c, 1), |o, _| o)?;
        let params = conv_params(POINT, c, activation)?;
        let input = self.spatial_input(node.inputs[0])?;
        let kind = if c == 1 {
            Kind::Conv2d { bits, params, weights, channels }
        } else {
            Kind::DepthwiseConv2d { bits, params, weights, channels }
        };
        self.emit_spatial(step, node, kind, input);
        Ok(())
    }

    /// Any function of one element.
    fn table(&mut self, step: &Fused, node: &Node, function: impl Fn(f64) -> f64) -> Lowers {
        let (from, to) = (self.quantization(node.inputs[0]), self.quantization(step.output));
        let entry = |q: i8| to.quantize_i8(function(from.dequantize(q.into()).into()) as f32);
        let table: Vec<i8> = (i8::MIN..=i8::MAX).map(entry).collect();
        let placed = self.placed(node.inputs[0])?;
        let shape = self.network.tensors[placed.tensor].shape;
        self.emit(step, node, Kind::Table { table }, vec![placed.tensor], shape, placed.layout);
        Ok(())
    }

    /// The tensor in another quantization, by a table where it has not got that one already.
    pub(super) fn requantized(
        &mut self,
        tensor: usize,
        from: Quantization,
        to: Quantization,
        node: &Node,
    ) -> usize {
        if from == to {
            return tensor;
        }
        let table = (i8::MIN..=i8::MAX).map(|q| to.quantize_i8(from.dequantize(q.into()))).collect();
        let output = self.add_tensor(self.network.tensors[tensor].shape, to);
        self.push(format!("{}/requantize", node.name), Kind::Table { table }, vec![tensor], output, None);
        output
    }

    fn pool(&mut self, step: &Fused, node: &Node, kind: Kind) -> Lowers {
        let input = self.spatial_input(node.inputs[0])?;
        self.emit_spatial(step, node, kind, input);
        Ok(())
    }

    /// Mean or sum.
    fn mean(
        &mut self,
        step: &Fused,
        node: &Node,
        reduction: Reduction,
        axes: &[usize],
        activation: (i8, i8),
    ) -> Lowers {
        let (tensor, layout) = self.over_own_axes(node.inputs[0])?;
        let device = |i: usize| axes.contains(&layout.order()[i]);
        let four = Axes::of(layout.order().len(), |a, b| device(a) == device(b))?;
        let input = four.shape(&layout.device_shape());
        let places = layout.order().iter().zip(&four.place).filter(|(axis, _)| axes.contains(axis));
        let mask = places.fold(0u8, |mask, (_, &place)| mask | 1 << place);
        let reduced = |i: usize| mask & (1 << i) != 0;
        let count: usize = (0..4).filter(|&i| reduced(i)).map(|i| input[i]).product();
        let shape = [0, 1, 2, 3].map(|i| if reduced(i) { 1 } else { input[i] });
        let (from, to) = (self.quantization(node.inputs[0]), self.quantization(step.output));
        let bias = -(count as i64) * i64::from(from.zero_point);
        if count as i64 * 128 + bias.abs() >= 1 << 31 {
            return Err(format!("the sum over {count} elements can exceed int32"));
        }
        let divisor = if reduction == Reduction::Mean { count as f64 } else { 1.0 };
        let scale = f64::from(from.scale) / (f64::from(to.scale) * divisor);
        let channel = multiplier(scale, to.zero_point, bias as i32)?;
        let (activation_min, activation_max) = activation;
        let params = MeanParams { channel, axes: mask, reserved: 0, activation_min, activation_max };
        let tensor = self.view(tensor, input);
        self.emit(step, node, Kind::Mean(params), vec![tensor], shape, layout.reduced(axes));
        Ok(())
    }

    /// The largest over axes: a max pool over everything, the reduced axes as its window.
    fn largest(&mut self, step: &Fused, node: &Node, axes: &[usize]) -> Lowers {
        let shape = self.shape(node.inputs[0]).to_vec();
        let (kept, reduced): (Vec<usize>, Vec<usize>) =
            (0..shape.len()).partition(|axis| !axes.contains(axis));
        let layout = Layout::permuted(&shape, &[&reduced[..], &kept[..]].concat());
        let size = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product::<usize>();
        let window = Window { kernel: [1, size(&reduced)], ..POINT };
        let params = pool(window, false, (-128, 127))?;
        let input = self.require(node.inputs[0], &layout, [1, 1, size(&reduced), size(&kept)])?;
        let output = Layout::identity(self.shape(step.output));
        self.emit(step, node, Kind::MaxPool2d(params), vec![input], [1, 1, 1, size(&kept)], output);
        Ok(())
    }

    fn softmax(&mut self, step: &Fused, node: &Node, axis: usize) -> Lowers {
        let shape = self.shape(node.inputs[0]).to_vec();
        let order: Vec<usize> = (0..shape.len()).filter(|&a| a != axis).chain([axis]).collect();
        let layout = Layout::permuted(&shape, &order);
        let c = *shape.get(axis).ok_or("its axis is out of range")?;
        if c > 2047 {
            return Err(format!("it has {c} classes; at most 2047 are supported"));
        }
        let flat = [1, 1, shape.iter().product::<usize>() / c.max(1), c];
        let input = self.require(node.inputs[0], &layout, flat)?;
        let scale = f64::from(self.quantization(node.inputs[0]).scale);
        let entry = |d: u32| ((-scale * f64::from(d)).exp() * f64::from(1u32 << 20)).round() as u32;
        // What is past the end reads as 0.
        let table = (0..256).map(entry).take_while(|&entry| entry > 0).collect();
        let to = self.quantization(step.output);
        if to == SOFTMAX_OUTPUT {
            self.emit(step, node, Kind::Softmax { table }, vec![input], flat, layout);
            return Ok(());
        }
        let output = self.add_tensor(flat, SOFTMAX_OUTPUT);
        self.push(format!("{}/softmax", node.name), Kind::Softmax { table }, vec![input], output, None);
        let table =
            (i8::MIN..=i8::MAX).map(|q| to.quantize_i8(SOFTMAX_OUTPUT.dequantize(q.into()))).collect();
        self.emit(step, node, Kind::Table { table }, vec![output], flat, layout);
        Ok(())
    }
}

/// The window of a pointwise operator.
pub(super) const POINT: Window = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: [0; 4] };

pub(super) fn narrow(value: usize) -> Lowers<u16> {
    u16::try_from(value).map_err(|_| format!("a window parameter is {value}; at most 65535 is supported"))
}

pub(super) fn pair(values: [usize; 2]) -> Lowers<[u16; 2]> {
    Ok([narrow(values[0])?, narrow(values[1])?])
}

pub(super) fn conv_params(
    window: Window,
    groups: usize,
    (activation_min, activation_max): (i8, i8),
) -> Lowers<Conv2dParams> {
    Ok(Conv2dParams {
        kernel: pair(window.kernel)?,
        stride: pair(window.stride)?,
        dilation: pair(window.dilation)?,
        padding: pair([window.padding[0], window.padding[1]])?,
        groups: u32::try_from(groups).map_err(|_| "it has too many groups")?,
        activation_min,
        activation_max,
        reserved: 0,
        weights: NOTHING,
        channels: NOTHING,
        scratch: NOTHING,
    })
}

fn pool(
    window: Window,
    count_padding: bool,
    (activation_min, activation_max): (i8, i8),
) -> Lowers<Pool2dParams> {
    Ok(Pool2dParams {
        kernel: pair(window.kernel)?,
        stride: pair(window.stride)?,
        padding: pair([window.padding[0], window.padding[1]])?,
        count_padding: count_padding.into(),
        ties_away: 0,
        activation_min,
        activation_max,
    })
}
