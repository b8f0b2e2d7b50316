//! Random pools and means.

use super::case::{Case, Cost, Outcome, finish};
use super::random::channel_for;
use super::report::Parameters;
use crate::format::{MeanParams, Pool2dParams};
use crate::kernels::window::Axis;

impl Case<'_> {
    pub(super) fn pool(&mut self, max: bool) -> Outcome {
        let (images, window, channels) = self.draw(
            |case| (case.size(2), case.window(1), case.channels()),
            |(images, window, channels)| {
                let outputs = images * window.y.output * window.x.output * channels;
                Cost {
                    bytes: images * window.image(*channels) + 2 * outputs,
                    blocks: 3,
                    macs: outputs * window.taps(),
                }
            },
        );
        let pair = |f: fn(&Axis) -> usize| [f(&window.y) as u16, f(&window.x) as u16];
        let (activation_min, activation_max) = self.random.activation();
        let params = Pool2dParams {
            kernel: pair(|a| a.kernel),
            stride: pair(|a| a.stride),
            padding: pair(|a| a.padding),
            count_padding: self.random.below(2) as u8,
            ties_away: self.random.below(2) as u8,
            activation_min,
            activation_max,
        };
        let zero_point = self.random.zero_point();
        let input = self.tensor(images * window.image(channels));
        let [mut expected, mut found] = self.outputs(images * window.y.output * window.x.output * channels);
        let [reference, variant] = [self.reference, self.variant]
            .map(|kernels| if max { kernels.max_pool2d } else { kernels.average_pool2d });
        reference(&window, &params, zero_point, channels, input, expected.payload());
        variant(&window, &params, zero_point, channels, input, found.payload());
        finish(Parameters::Pool { images, window, channels, zero_point, params }, [expected, found])
    }

    pub(super) fn mean(&mut self) -> Outcome {
        let shape = self.draw(Self::shape, |shape| {
            let len = shape.iter().product();
            Cost { bytes: 3 * len, blocks: 3, macs: len }
        });
        let axes = self.random.below(16) as u8;
        let kept = |axis: &usize| axes >> axis & 1 == 0;
        let outputs = (0..4).filter(kept).map(|axis| shape[axis]).product::<usize>();
        let inputs = shape.iter().product::<usize>();
        let (activation_min, activation_max) = self.random.activation();
        let zero_point = self.random.zero_point();
        let mut channel = channel_for(&mut self.random, zero_point, 1);
        if self.chance(2) {
            // What the compiler makes: the bias takes back count · zero point, and the scale divides by the count.
            let count = (inputs / outputs) as i32;
            channel.bias = -count * i32::from(self.random.zero_point());
        }
        let params = MeanParams { channel, axes, reserved: 0, activation_min, activation_max };
        let input = self.tensor(inputs);
        let [mut expected, mut found] = self.outputs(outputs);
        (self.reference.mean)(&params, shape, input, expected.payload());
        (self.variant.mean)(&params, shape, input, found.payload());
        finish(Parameters::Mean { shape, params }, [expected, found])
    }

    /// Any shape `[n, h, w, c]`.
    pub(super) fn shape(&mut self) -> [usize; 4] {
        [self.size(2), self.size(6), self.size(6), self.channels()]
    }
}
