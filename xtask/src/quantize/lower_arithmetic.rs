//! The int8 form of operators on two activations, and of those that work on rows of channels.

use still8::format::{ArgMaxParams, LayerNormParams, MatMulParams, MulParams, NormRecord, PReluParams};
use still8::ops;

use super::addition::add_params;
use super::axes::Axes;
use super::channel::multiplier;
use super::fuse::Fused;
use super::layout::Layout;
use super::lower::Lowering;
use super::lower_ops::{Lowers, NOTHING};
use crate::graph::{Node, ValueId};
use crate::network::Kind;

/// What is made of two elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pairing {
    /// a + sign · b.
    Sum(f64),
    /// a · b.
    Product,
}

impl Lowering<'_> {
    /// Sum, difference or product of two values, of which either may be constant or repeated along some axes.
    pub(super) fn pairing(
        &mut self,
        step: &Fused,
        node: &Node,
        pairing: Pairing,
        activation: (i8, i8),
    ) -> Lowers {
        let quantizations = [0, 1].map(|i| self.quantization(node.inputs[i]));
        let to = self.quantization(step.output);
        let out = self.shape(step.output).to_vec();
        let shapes = [0, 1].map(|i| aligned(self.shape(node.inputs[i]), out.len()));
        let layout = self.pairing_layout(node, &shapes, &out)?;
        let device = [0, 1].map(|i| layout.with_shape(&shapes[i]).device_shape());
        let alike = |a: usize, b: usize| device.iter().all(|sizes| (sizes[a] == 1) == (sizes[b] == 1));
        let axes = Axes::of(out.len(), alike)?;
        let shape = axes.shape(&layout.with_shape(&out).device_shape());
        let mut tensors = [0; 2];
        for i in 0..2 {
            let layout = layout.with_shape(&shapes[i]);
            tensors[i] = self.operand(node.inputs[i], &layout, axes.shape(&device[i]), node)?;
        }
        let layout = layout.with_shape(&out);
        let kind = match pairing {
            Pairing::Sum(sign) => {
                tensors = tensors.map(|tensor| self.expanded(tensor, shape, node));
                Kind::Add(add_params(quantizations, sign, to, activation)?)
            }
            Pairing::Product => {
                // The second one may be repeated.
                if self.network.tensors[tensors[0]].shape != shape {
                    tensors.swap(0, 1);
                }
                tensors[0] = self.expanded(tensors[0], shape, node);
                let scale = quantizations.iter().map(|q| f64::from(q.scale)).product::<f64>();
                let channel = multiplier(scale / f64::from(to.scale), to.zero_point, 0)?;
                let (activation_min, activation_max) = activation;
                Kind::Mul(MulParams { channel, activation_min, activation_max, reserved: 0 })
            }
        };
        self.emit(step, node, kind, tensors.to_vec(), shape, layout);
        Ok(())
    }

    /// The layout of the result: that of an operand which has its shape, else that of any that is computed.
    fn pairing_layout(&self, node: &Node, shapes: &[Vec<usize>; 2], out: &[usize]) -> Lowers<Layout> {
        let mut order = [0, 1];
        order.sort_by_key(|&i| shapes[i] != out);
        for i in order {
            if self.graph.constant(node.inputs[i]).is_none()
                && let Some(layout) = self.placed(node.inputs[i])?.layout.over(&shapes[i])
            {
                return Ok(layout.with_shape(out));
            }
        }
        Ok(Layout::identity(out))
    }

    /// A value in `layout`, whose tensor gets `shape`; a constant by an op that writes it.
    fn operand(&mut self, value: ValueId, layout: &Layout, shape: [usize; 4], node: &Node) -> Lowers<usize> {
        let Some(contents) = self.graph.constant(value) else {
            return self.require(value, layout, shape);
        };
        let quantization = self.quantization(value);
        let contents: Vec<i8> = contents.iter().map(|&x| quantization.quantize_i8(x)).collect();
        let contents = layout.source_indices().into_iter().map(|index| contents[index]).collect();
        let output = self.add_tensor(shape, quantization);
        self.push(format!("{}/constant", node.name), Kind::Constant { contents }, vec![], output, None);
        Ok(output)
    }

    /// The tensor repeated along the axes on which it has size 1 and `shape` more.
    fn expanded(&mut self, mut tensor: usize, shape: [usize; 4], node: &Node) -> usize {
        for axis in 0..4 {
            let mut to = self.network.tensors[tensor].shape;
            if to[axis] == shape[axis] {
                continue;
            }
            to[axis] = shape[axis];
            let output = self.add_tensor(to, self.network.tensors[tensor].quantization);
            let kind = Kind::Gather { axis: axis as u8, indices: vec![0; shape[axis]] };
            self.push(format!("{}/expand", node.name), kind, vec![tensor], output, None);
            tensor = output;
        }
        tensor
    }

    /// Product of matrices of activations, the leading axes of which are equal.
    pub(super) fn batch_mat_mul(&mut self, step: &Fused, node: &Node, activation: (i8, i8)) -> Lowers {
        let [a, b] = [0, 1].map(|i| self.shape(node.inputs[i]).to_vec());
        let rank = a.len();
        if rank < 2 || b.len() != rank || a[..rank - 2] != b[..rank - 2] {
            return Err(format!("its inputs {a:?} and {b:?} are no rows of matrices"));
        }
        let (pairs, m, k, p) =
            (a[..rank - 2].iter().product::<usize>(), a[rank - 2], a[rank - 1], b[rank - 1]);
        if k > ops::MatMul::MOST {
            return Err(format!("it sums {k} products; at most {} are supported", ops::MatMul::MOST));
        }
        let swapped: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
        let left = self.operand(node.inputs[0], &Layout::identity(&a), [1, pairs, m, k], node)?;
        let right = self.operand(node.inputs[1], &Layout::permuted(&b, &swapped), [1, pairs, p, k], node)?;
        let to = self.quantization(step.output);
        let scale: f64 = node.inputs.iter().map(|&id| f64::from(self.quantization(id).scale)).product();
        let channel = multiplier(scale / f64::from(to.scale), to.zero_point, 0)?;
        let (activation_min, activation_max) = activation;
        let kind = Kind::MatMul(MatMulParams { channel, activation_min, activation_max, reserved: 0 });
        let layout = Layout::identity(self.shape(step.output));
        self.emit(step, node, kind, vec![left, right], [1, pairs, m, p], layout);
        Ok(())
    }

    pub(super) fn prelu(&mut self, step: &Fused, node: &Node) -> Lowers {
        let slopes = self.floats(node, 1)?.ok_or("its slopes are missing")?;
        let (from, to) = (self.quantization(node.inputs[0]), self.quantization(step.output));
        let ratio = f64::from(from.scale) / f64::from(to.scale);
        let largest = slopes.iter().fold(1.0, |most: f64, &slope| most.max(f64::from(slope).abs()));
        let fits = |shift: &u8| (ratio * largest * f64::from(1u32 << shift)).round() <= f64::from(1 << 21);
        let shift = (1..=22u8).rev().find(fits).ok_or("its slopes are too steep for its output's scale")?;
        let factor = |slope: f64| (slope * ratio * f64::from(1u32 << shift)).round() as i32;
        let params = PReluParams {
            slopes: NOTHING,
            multiplier: factor(1.0),
            offset: (to.zero_point << shift) + (1 << (shift - 1)),
            shift,
            reserved: [0; 3],
        };
        let kind = Kind::PRelu { params, slopes: slopes.iter().map(|&slope| factor(slope.into())).collect() };
        let input = self.spatial_input(node.inputs[0])?;
        self.emit_spatial(step, node, kind, input);
        Ok(())
    }

    pub(super) fn layer_norm(&mut self, step: &Fused, node: &Node, epsilon: f32) -> Lowers {
        let (scales, offsets) = (self.floats(node, 1)?, self.floats(node, 2)?);
        let (scales, offsets) =
            (scales.ok_or("its scale is missing")?, offsets.ok_or("its offset is missing")?);
        let (from, to) = (self.quantization(node.inputs[0]), self.quantization(step.output));
        let c = scales.len();
        if c > ops::LayerNorm::MOST {
            return Err(format!(
                "its rows have {c} elements; at most {} are supported",
                ops::LayerNorm::MOST
            ));
        }
        let epsilon = (f64::from(epsilon) * (256.0 * c as f64 / f64::from(from.scale)).powi(2)).round();
        if !(0.0..ops::LayerNorm::EPSILON_END as f64).contains(&epsilon) {
            return Err("its ε is too large for the steps of its input".into());
        }
        let real = |i: usize| {
            let step = f64::from(to.scale);
            let offset = f64::from(to.zero_point) + f64::from(offsets[i]) / step + 0.5;
            [2.0 * f64::from(scales[i]) / step, offset]
        };
        let largest = (0..c).flat_map(real).fold(0.0, |most: f64, value| most.max(value.abs()));
        let fits = |shift: &u8| largest * f64::from(1u32 << shift) < f64::from(1 << 30);
        let shift = (1..=20u8).rev().find(fits).ok_or("its scale is too large for its output's")?;
        let record = |i: usize| {
            let [multiplier, offset] = real(i).map(|value| (value * f64::from(1u32 << shift)).round() as i32);
            NormRecord { multiplier, offset }
        };
        let epsilon = epsilon as u64;
        let params = LayerNormParams {
            channels: NOTHING,
            epsilon: [epsilon as u32, (epsilon >> 32) as u32],
            shift,
            reserved: [0; 3],
        };
        let kind = Kind::LayerNorm { params, channels: (0..c).map(record).collect() };
        let layout = Layout::identity(self.shape(node.inputs[0]));
        let rows = self.shape(step.output).iter().product::<usize>() / c.max(1);
        let input = self.require(node.inputs[0], &layout, [1, 1, rows, c])?;
        self.emit(step, node, kind, vec![input], [1, 1, rows, c], layout);
        Ok(())
    }

    pub(super) fn arg_max(&mut self, step: &Fused, node: &Node, axis: usize, last: bool) -> Lowers {
        let shape = self.shape(node.inputs[0]).to_vec();
        let c = shape[axis];
        if c > 256 {
            return Err(format!("it chooses among {c} elements; at most 256 are supported"));
        }
        let order: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).chain([axis]).collect();
        let rows = shape.iter().product::<usize>() / c.max(1);
        let input = self.require(node.inputs[0], &Layout::permuted(&shape, &order), [1, 1, rows, c])?;
        let kind = Kind::ArgMax(ArgMaxParams { last: last.into(), reserved: [0; 3] });
        let layout = Layout::identity(self.shape(step.output));
        self.emit(step, node, kind, vec![input], [1, 1, rows, 1], layout);
        Ok(())
    }
}

/// `shape` with leading axes of size 1 up to `rank` axes.
fn aligned(shape: &[usize], rank: usize) -> Vec<usize> {
    [&vec![1; rank.saturating_sub(shape.len())][..], shape].concat()
}
