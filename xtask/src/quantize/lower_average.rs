//! Averages over windows whose output has another quantization than their input, as files bring them.

use super::channel::{float32_multiplier, multiplier};
use super::fuse::Fused;
use super::lower::Lowering;
use super::lower_ops::{Lowers, conv_params};
use crate::graph::{Node, Window};
use crate::network::{Bits, Kind};

impl Lowering<'_> {
    /// A sum with one rounding where every window has as many elements: a depthwise convolution with weights of 1.
    pub(super) fn averaged(
        &mut self,
        step: &Fused,
        node: &Node,
        window: Window,
        activation: (i8, i8),
    ) -> Lowers {
        let (from, to) = (self.quantization(node.inputs[0]), self.quantization(step.output));
        let c = self.shape(node.inputs[0])[1];
        let count = window.kernel[0] * window.kernel[1];
        let bias = -(count as i64) * i64::from(from.zero_point);
        if count as i64 * 128 + bias.abs() >= 1 << 31 {
            return Err(format!("the sum over {count} elements can exceed int32"));
        }
        let given = self.graph.values[step.output].given.is_some();
        let channel = if given {
            float32_multiplier(from.scale / (to.scale * count as f32), to.zero_point, bias as i32)?
        } else {
            let scale = f64::from(from.scale) / (f64::from(to.scale) * count as f64);
            multiplier(scale, to.zero_point, bias as i32)?
        };
        let params = conv_params(window, c, activation)?;
        let (weights, channels) = (vec![1; count * c], vec![channel; c]);
        let kind = if c == 1 {
            Kind::Conv2d { bits: Bits::Eight, params, weights, channels }
        } else {
            Kind::DepthwiseConv2d { bits: Bits::Eight, params, weights, channels }
        };
        let input = self.spatial_input(node.inputs[0])?;
        self.emit_spatial(step, node, kind, input);
        Ok(())
    }
}
