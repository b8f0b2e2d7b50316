//! The int8 form of operators that move elements: input and output share their quantization.

use still8::format::{ConcatParams, PadParams, TapRecord};

use super::axes::Axes;
use super::fuse::Fused;
use super::lower::Lowering;
use super::lower_ops::{Lowers, narrow};
use crate::graph::{Node, Tap};
use crate::network::Kind;

impl Lowering<'_> {
    pub(super) fn pad(&mut self, step: &Fused, node: &Node, before: &[usize], value: f32) -> Lowers {
        let (input, layout) = self.over_own_axes(node.inputs[0])?;
        let from = layout.device_shape();
        let layout = layout.with_shape(self.shape(step.output));
        let to = layout.device_shape();
        let order = layout.order().to_vec();
        // Neighbours go together where nothing is added between their elements.
        let axes = Axes::of(order.len(), |a, b| from[a] == 1 && to[a] == 1 || from[b] == to[b])?;
        let mut padding = [0u16; 4];
        for (i, &axis) in order.iter().enumerate() {
            // What lies behind an axis in its group counts as whole blocks.
            let behind: usize =
                (i + 1..order.len()).filter(|&j| axes.place[j] == axes.place[i]).map(|j| to[j]).product();
            padding[axes.place[i]] += narrow(before[axis] * behind)?;
        }
        let value = self.quantization(step.output).quantize_i8(value);
        let params = PadParams { before: padding, value, reserved: [0; 3] };
        let input = self.view(input, axes.shape(&from));
        self.emit(step, node, Kind::Pad(params), vec![input], axes.shape(&to), layout);
        Ok(())
    }

    pub(super) fn concat(&mut self, step: &Fused, node: &Node, axis: usize) -> Lowers {
        let (_, layout) = self.over_own_axes(node.inputs[0])?;
        let place = layout.order().iter().position(|&a| a == axis).ok_or("its axis is out of range")?;
        let axes = Axes::of(layout.order().len(), |a, b| (a < place) == (b < place) && b != place)?;
        let mut inputs = Vec::new();
        for &value in &node.inputs {
            let layout = layout.with_shape(self.shape(value));
            let tensor = self.require(value, &layout, axes.shape(&layout.device_shape()))?;
            inputs.push(self.requantized(
                tensor,
                self.quantization(value),
                self.quantization(step.output),
                node,
            ));
        }
        let layout = layout.with_shape(self.shape(step.output));
        let shape = axes.shape(&layout.device_shape());
        let params = ConcatParams { axis: axes.place[place] as u8, reserved: [0; 3] };
        self.emit(step, node, Kind::Concat(params), inputs, shape, layout);
        Ok(())
    }

    pub(super) fn gather(&mut self, step: &Fused, node: &Node, axis: usize, indices: &[usize]) -> Lowers {
        let (input, layout) = self.over_own_axes(node.inputs[0])?;
        let place = layout.order().iter().position(|&a| a == axis).ok_or("its axis is out of range")?;
        let axes = Axes::of(layout.order().len(), |a, b| a != place && b != place)?;
        let indices = indices.iter().map(|&index| narrow(index)).collect::<Lowers<_>>()?;
        let input = self.view(input, axes.shape(&layout.device_shape()));
        let layout = layout.with_shape(self.shape(step.output));
        let shape = axes.shape(&layout.device_shape());
        let kind = Kind::Gather { axis: axes.place[place] as u8, indices };
        self.emit(step, node, kind, vec![input], shape, layout);
        Ok(())
    }

    pub(super) fn resize(&mut self, step: &Fused, node: &Node, rows: &[Tap], columns: &[Tap]) -> Lowers {
        let records = |taps: &[Tap]| -> Lowers<Vec<TapRecord>> {
            taps.iter()
                .map(|tap| {
                    let share = (f64::from(tap.fraction) * 2048.0).round().clamp(0.0, 2048.0) as u16;
                    Ok(TapRecord { low: narrow(tap.low)?, high: narrow(tap.high)?, share, reserved: 0 })
                })
                .collect()
        };
        let (rows, columns) = (records(rows)?, records(columns)?);
        let input = self.spatial_input(node.inputs[0])?;
        self.emit_spatial(step, node, Kind::ResizeLinear { rows, columns }, input);
        Ok(())
    }
}
