//! Random convolutions and depthwise convolutions.

use super::case::{Case, Cost, Outcome, finish};
use super::random::channel_for;
use super::report::{Parameters, Place};
use crate::format::{ChannelRecord, Conv2dParams, DataRef, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::window::{Axis, Window};
use crate::ops::{Conv2d, DepthwiseConv2d};

/// A convolution without its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    depthwise: bool,
    images: usize,
    window: Window,
    c_in: usize,
    c_out: usize,
    groups: usize,
    family: Family,
    zero_point: i8,
    activation: (i8, i8),
}

impl Geometry {
    fn convolution<'a>(&self, weights: &'a [i8], channels: &'a [ChannelRecord]) -> Convolution<'a> {
        let Self { window, c_in, c_out, groups, family, activation, zero_point, .. } = *self;
        Convolution { window, c_in, c_out, groups, family, weights, channels, activation, zero_point }
    }

    fn weights_bytes(&self) -> usize {
        let conv = self.convolution(&[], &[]);
        if self.depthwise { conv.window_order().bytes() } else { conv.matrix_order().bytes() * self.groups }
    }

    fn input_len(&self) -> usize {
        self.images * self.window.image(self.c_in)
    }

    fn output_len(&self) -> usize {
        self.images * self.window.y.output * self.window.x.output * self.c_out
    }

    /// Products in one sum.
    fn k(&self) -> usize {
        self.window.taps() * (self.c_in / self.groups)
    }

    /// What a plan would have to hold.
    fn scratch_bytes(&self) -> usize {
        let Window { y, x } = self.window;
        let none = DataRef { offset: 0, bytes: 0 };
        let pair = |f: fn(&Axis) -> usize| [f(&y) as u16, f(&x) as u16];
        let params = Conv2dParams {
            kernel: pair(|a| a.kernel),
            stride: pair(|a| a.stride),
            dilation: pair(|a| a.dilation),
            padding: pair(|a| a.padding),
            groups: self.groups as u32,
            activation_min: self.activation.0,
            activation_max: self.activation.1,
            reserved: 0,
            weights: none,
            channels: none,
            scratch: none,
        };
        let input = [self.images, y.input, x.input, self.c_in].map(|d| d as u32);
        let output = [self.images, y.output, x.output, self.c_out].map(|d| d as u32);
        let rule = if self.depthwise { DepthwiseConv2d::scratch_bytes } else { Conv2d::scratch_bytes };
        rule(self.family, &params, input, output)
    }

    fn cost(&self) -> Cost {
        let outputs = 2 * self.output_len();
        let channels = self.c_out * size_of::<ChannelRecord>();
        Cost {
            bytes: self.input_len() + self.weights_bytes() + channels + self.scratch_bytes() + outputs,
            blocks: 6,
            macs: self.output_len() * self.k(),
        }
    }
}

impl Case<'_> {
    pub(super) fn convolution(&mut self, depthwise: bool) -> Outcome {
        let geometry = self.draw(|case| case.geometry(depthwise), Geometry::cost);
        let zero_point = self.random.zero_point();
        let stored = {
            // Plans align their data; kernels may not rely on it where a slice says nothing of it.
            let misalignment = if self.chance(16) { self.random.below(16) as usize } else { 0 };
            self.memory.take(geometry.weights_bytes(), misalignment)
        };
        let order = geometry.convolution(&[], &[]).matrix_order();
        self.random.fill_stored(stored, if depthwise { [0; 2] } else { order.flips() });
        let misalignment = 4 * self.random.below(4) as usize;
        let bytes = self.memory.take(geometry.c_out * size_of::<ChannelRecord>(), misalignment);
        let channels: &mut [ChannelRecord] = bytemuck::cast_slice_mut(bytes);
        for (o, channel) in channels.iter_mut().enumerate() {
            *channel = channel_for(&mut self.random, zero_point, geometry.k());
            if !depthwise {
                let group = &stored[o / order.rows * order.bytes()..][..order.bytes()];
                channel.bias = channel.bias.wrapping_add(order.folded(group, o % order.rows));
            }
        }
        let input = self.tensor(geometry.input_len());
        let mut scratch = self.memory.guarded(geometry.scratch_bytes(), 0, 0);
        let [mut expected, mut found] = self.outputs(geometry.output_len());
        let conv = geometry.convolution(stored, channels);
        let kernel = |kernels: &super::Kernels| {
            if depthwise { kernels.depthwise_conv2d } else { kernels.conv2d }
        };
        self.random.fill(scratch.payload());
        kernel(self.reference)(&conv, input, scratch.payload(), expected.payload());
        self.random.fill(scratch.payload());
        kernel(self.variant)(&conv, input, scratch.payload(), found.payload());
        let parameters = Parameters::Convolution(geometry);
        scratch.check(Place::BeforeScratch, Place::BehindScratch).map_err(|wrong| (parameters, wrong))?;
        finish(parameters, [expected, found])
    }

    fn geometry(&mut self, depthwise: bool) -> Geometry {
        let window = self.window(3);
        let (c_in, c_out, groups) = if depthwise {
            let channels = self.channels();
            let multiplier = if self.chance(6) { 1 + self.size(3) } else { 1 };
            (channels, channels * multiplier, channels)
        } else if self.chance(8) {
            let groups = 1 + self.size(3);
            (groups * self.size(9), groups * self.size(9), groups)
        } else {
            let long = window.taps() == 1 && self.chance(8);
            (if long { self.size(400) } else { self.channels() }, self.channels(), 1)
        };
        Geometry {
            depthwise,
            images: if self.chance(4) { self.size(3) } else { 1 },
            window,
            c_in,
            c_out,
            groups,
            family: self.family,
            zero_point: self.random.zero_point(),
            activation: self.random.activation(),
        }
    }

    /// A window: of one pixel, as networks have them, along one axis, or anything; dilations up to `dilation`.
    pub(super) fn window(&mut self, dilation: usize) -> Window {
        match self.random.below(10) {
            0..3 => Window { y: self.pixel(12), x: self.pixel(12) },
            3..6 => {
                let kernel = self.random.one_of(&[3, 3, 3, 5, 2, 7]);
                let stride = self.random.one_of(&[1, 1, 2]);
                Window { y: self.covering(kernel, stride), x: self.covering(kernel, stride) }
            }
            6 => {
                let (kernel, stride) = (self.size(11), self.size(2));
                Window { y: self.covering(kernel, stride), x: self.pixel(1) }
            }
            7 => {
                let (y, x) = (self.size(10), self.size(5));
                let stride = self.size(2);
                Window { y: self.covering(y, stride), x: self.covering(x, stride) }
            }
            _ => Window { y: self.any_axis(dilation), x: self.any_axis(dilation) },
        }
    }

    /// Every output position reads just the input at its own place.
    fn pixel(&mut self, end: usize) -> Axis {
        let input = self.size(end);
        Axis { input, output: input, kernel: 1, stride: 1, dilation: 1, padding: 0 }
    }

    /// Without padding, or with padding on both sides, as many outputs as that gives.
    fn covering(&mut self, kernel: usize, stride: usize) -> Axis {
        let padding = if self.chance(4) { 0 } else { kernel / 2 };
        let input = self.size(12) + if padding == 0 { kernel - 1 } else { 0 };
        let output = (input + 2 * padding - kernel) / stride + 1;
        Axis { input, output, kernel, stride, dilation: 1, padding }
    }

    /// Sizes of the output may exceed or fall short of what covers the input; windows may lie wholly in padding.
    fn any_axis(&mut self, dilation: usize) -> Axis {
        Axis {
            input: self.size(9),
            output: self.size(8),
            kernel: self.size(6),
            stride: self.size(3),
            dilation: self.size(dilation),
            padding: self.random.below(9) as usize,
        }
    }
}
