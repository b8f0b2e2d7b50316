//! Every kernel against its portable namesake, byte for byte; `scratch` and outputs are exactly as long as they must
//! be, so that an address check finds any access past them.

use proptest::prelude::*;

use super::depthwise_conv2d::depthwise;
use crate::format::{ChannelRecord, Conv2dParams, DataRef, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::window::{Axis, Window};
use crate::kernels::{portable, scalar};
use crate::ops::{Conv2d, DepthwiseConv2d};
use crate::packing::MatrixOrder;
use crate::requantize;
use crate::tests::random::{Bytes, Words, activation, channel};

/// A convolution's kernel: input, scratch, output.
type Kernel = fn(&Convolution<'_>, &[i8], &mut [i8], &mut [i8]);

/// A convolution in numbers; sizes of the output may exceed or fall short of what covers the input.
#[derive(Clone, Debug)]
struct Case {
    n: usize,
    axes: [Axis; 2],
    c_in: usize,
    c_out: usize,
    groups: usize,
    zero_point: i8,
    activation: (i8, i8),
    seed: u64,
}

fn axis() -> impl Strategy<Value = Axis> {
    let axis = (1usize..8, 1usize..7, 1usize..6, 1usize..4, 1usize..3, 0usize..7).prop_map(
        |(input, output, kernel, stride, dilation, padding)| Axis {
            input,
            output,
            kernel,
            stride,
            dilation,
            padding,
        },
    );
    let pointwise = (1usize..8).prop_map(|input| Axis {
        input,
        output: input,
        kernel: 1,
        stride: 1,
        dilation: 1,
        padding: 0,
    });
    prop_oneof![3 => axis, 1 => pointwise]
}

fn zero_point() -> impl Strategy<Value = i8> {
    prop_oneof![any::<i8>(), Just(-128), Just(127), Just(0)]
}

fn convolution_case() -> impl Strategy<Value = Case> {
    let pointwise = (1usize..8).prop_map(|input| Axis {
        input,
        output: input,
        kernel: 1,
        stride: 1,
        dilation: 1,
        padding: 0,
    });
    let axes = prop_oneof![2 => [axis(), axis()], 1 => [pointwise.clone(), pointwise]];
    let channels =
        prop_oneof![4 => (1usize..20, 1usize..8, Just(1usize)), 1 => (1usize..4, 1usize..4, 1usize..4)];
    (1usize..3, axes, channels, zero_point(), activation(), any::<u64>()).prop_map(
        |(n, axes, (c_in, c_out, groups), zero_point, activation, seed)| Case {
            n,
            axes,
            c_in: c_in * groups,
            c_out: c_out * groups,
            groups,
            zero_point,
            activation,
            seed,
        },
    )
}

fn depthwise_case() -> impl Strategy<Value = Case> {
    let multiplier = prop_oneof![5 => Just(1usize), 1 => 2usize..4];
    (1usize..3, [axis(), axis()], 1usize..20, multiplier, zero_point(), activation(), any::<u64>()).prop_map(
        |(n, axes, c_in, multiplier, zero_point, activation, seed)| Case {
            n,
            axes,
            c_in,
            c_out: c_in * multiplier,
            groups: c_in,
            zero_point,
            activation,
            seed,
        },
    )
}

impl Case {
    /// Runs both kernels of a pair and compares every byte.
    fn compare(&self, depthwise: bool, kernels: [Kernel; 2]) -> Result<(), TestCaseError> {
        let mut random = Bytes::new(self.seed);
        let channels: Vec<ChannelRecord> = (0..self.c_out).map(|_| channel(&mut random, 3)).collect();
        let mut conv = Convolution {
            window: Window { y: self.axes[0], x: self.axes[1] },
            c_in: self.c_in,
            c_out: self.c_out,
            groups: self.groups,
            family: Family::Scalar,
            weights: &[],
            channels: &channels,
            activation: self.activation,
            zero_point: self.zero_point,
        };
        let bytes =
            if depthwise { conv.window_order().bytes() } else { conv.matrix_order().bytes() * self.groups };
        // Filling weights are random too: no kernel may let them count.
        let weights = Words::new(random.weights(bytes));
        conv.weights = weights.as_slice();
        let [y, x] = self.axes;
        let input = Words::new(random.vec(self.n * y.input * x.input * self.c_in));
        let length = self.n * y.output * x.output * self.c_out;
        let [expected, found] = kernels.map(|kernel| {
            let mut scratch = Words::new(vec![85; self.scratch(depthwise)]);
            let mut output = vec![99; length].into_boxed_slice();
            kernel(&conv, input.as_slice(), scratch.as_mut_slice(), &mut output);
            output
        });
        prop_assert_eq!(expected, found);
        Ok(())
    }

    fn scratch(&self, depthwise: bool) -> usize {
        let [y, x] = self.axes;
        let none = DataRef { offset: 0, bytes: 0 };
        let pair = |f: fn(&Axis) -> usize| [f(&y) as u16, f(&x) as u16];
        let params = Conv2dParams {
            kernel: pair(|a| a.kernel),
            stride: pair(|a| a.stride),
            dilation: pair(|a| a.dilation),
            padding: pair(|a| a.padding),
            groups: self.groups as u32,
            activation_min: 0,
            activation_max: 0,
            reserved: 0,
            weights: none,
            channels: none,
            scratch: none,
        };
        let input = [self.n, y.input, x.input, self.c_in].map(|d| d as u32);
        let output = [self.n, y.output, x.output, self.c_out].map(|d| d as u32);
        let rule = if depthwise { DepthwiseConv2d::scratch_bytes } else { Conv2d::scratch_bytes };
        rule(Family::Scalar, &params, input, output)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 1500 }))]

    #[test]
    fn conv2d_equals_portable(case in convolution_case()) {
        case.compare(false, [portable::conv2d, scalar::conv2d])?;
    }

    #[test]
    fn depthwise_conv2d_equals_portable(case in depthwise_case()) {
        case.compare(true, [portable::depthwise_conv2d, depthwise::<1>])?;
        case.compare(true, [portable::depthwise_conv2d, scalar::depthwise_conv2d])?;
    }

    #[test]
    fn fully_connected_equals_portable(
        rows in 1usize..14, k in 1usize..40, activation in activation(), seed in any::<u64>(),
    ) {
        let mut random = Bytes::new(seed);
        let order = MatrixOrder { family: Family::Scalar, rows, k, dense: true };
        let weights = Words::new(random.stored(order.bytes(), order.flips()));
        let channels: Vec<ChannelRecord> = (0..rows).map(|_| channel(&mut random, -7)).collect();
        let input = random.vec(k);
        let [expected, found] = [portable::fully_connected, scalar::fully_connected].map(|kernel| {
            let mut output = vec![99; rows].into_boxed_slice();
            kernel(order, weights.as_slice(), &channels, activation, &input, &mut output);
            output
        });
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn requantize_equals_the_rule(
        acc in prop_oneof![any::<i32>(), -70_000..70_000, Just(i32::MIN), Just(i32::MAX)],
        activation in activation(), seed in any::<u64>(), zero_point in any::<i8>(),
    ) {
        let channel = channel(&mut Bytes::new(seed), zero_point);
        let rounding = super::requantize::Rounding::new(activation, &[channel]);
        let expected = requantize::requantize(acc, &channel, activation.0, activation.1);
        let sum = acc.wrapping_sub(channel.bias);
        let mut found = 99;
        // SAFETY: one byte is written for one channel.
        unsafe { rounding.channels(&mut [sum], &[channel], &mut found) };
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn accumulators_wrap_alike() {
    let order = MatrixOrder { family: Family::Scalar, rows: 1, k: 4, dense: true };
    let weights = Words::new(vec![127 ^ order.flips()[0]; order.bytes()]);
    for bias in [i32::MAX, i32::MIN, i32::MAX - 4 * 127 * 127] {
        let channel = ChannelRecord {
            bias,
            multiplier: i32::MAX,
            offset: requantize::offset(0, 1),
            shift: 1,
            left: 31,
            reserved: 0,
        };
        for x in [-128, 127] {
            let [expected, found] = [portable::fully_connected, scalar::fully_connected].map(|kernel| {
                let mut output = [0];
                kernel(order, weights.as_slice(), &[channel], (-128, 127), &[x; 4], &mut output);
                output
            });
            assert_eq!(expected, found);
        }
    }
}
