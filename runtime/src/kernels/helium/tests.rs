//! Every kernel against its portable namesake, byte for byte; `scratch` and outputs are exactly as long as they must
//! be, so that an address check finds any access past them.

use core::cell::Cell;

use proptest::prelude::*;

use super::requantize::{Quads, requantize_quads};
use crate::format::{AddParams, ChannelRecord, Conv2dParams, DataRef, Family, MeanParams, Pool2dParams};
use crate::kernels::convolution::Convolution;
use crate::kernels::window::{Axis, Window};
use crate::kernels::{helium, portable};
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
    let channels = prop_oneof![
        3 => (1usize..40, 1usize..10, Just(1usize)),
        2 => ((1usize..4).prop_map(|vectors| 16 * vectors), 1usize..10, Just(1usize)),
        1 => (1usize..4, 1usize..4, 1usize..4),
    ];
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
    (1usize..3, [axis(), axis()], 1usize..40, multiplier, zero_point(), activation(), any::<u64>()).prop_map(
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
            family: Family::Helium,
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
        let input = random.vec(self.n * y.input * x.input * self.c_in);
        let length = self.n * y.output * x.output * self.c_out;
        let [expected, found] = kernels.map(|kernel| {
            let mut scratch = vec![85; self.scratch(depthwise)].into_boxed_slice();
            let mut output = vec![99; length].into_boxed_slice();
            kernel(&conv, &input, &mut scratch, &mut output);
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
        rule(Family::Helium, &params, input, output)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 1500 }))]

    #[test]
    fn conv2d_equals_portable(case in convolution_case()) {
        case.compare(false, [portable::conv2d, helium::conv2d])?;
    }

    #[test]
    fn depthwise_conv2d_equals_portable(case in depthwise_case()) {
        case.compare(true, [portable::depthwise_conv2d, helium::depthwise_conv2d])?;
    }

    #[test]
    fn fully_connected_equals_portable(
        rows in 1usize..14, k in 1usize..40, activation in activation(), seed in any::<u64>(),
    ) {
        let mut random = Bytes::new(seed);
        let order = MatrixOrder { family: Family::Helium, rows, k, dense: true };
        let weights = Words::new(random.weights(order.bytes()));
        let channels: Vec<ChannelRecord> = (0..rows).map(|_| channel(&mut random, -7)).collect();
        let input = random.vec(k);
        let [expected, found] = [portable::fully_connected, helium::fully_connected].map(|kernel| {
            let mut output = vec![99; rows].into_boxed_slice();
            kernel(order, weights.as_slice(), &channels, activation, &input, &mut output);
            output
        });
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn averages_equal_portable(
        axes in [axis(), axis()], channels in 1usize..20, tall in any::<bool>(), activation in activation(),
        count_padding in 0u8..2, zero_point in zero_point(), seed in any::<u64>(),
    ) {
        let mut random = Bytes::new(seed);
        let [mut y, mut x] = axes.map(|axis| Axis { dilation: 1, padding: axis.padding % axis.kernel, ..axis });
        if tall {
            (y.input, y.kernel, y.output) = (300, 300, 1);
            (x.output, x.kernel, x.padding) = (1, x.input, 0);
        }
        let window = Window { y, x };
        let input = random.vec(2 * window.image(channels));
        let params = Pool2dParams {
            kernel: [y.kernel as u16, x.kernel as u16],
            stride: [y.stride as u16, x.stride as u16],
            padding: [y.padding as u16, x.padding as u16],
            count_padding,
            reserved: 0,
            activation_min: activation.0,
            activation_max: activation.1,
        };
        let [expected, found] = [portable::average_pool2d, helium::average_pool2d].map(|kernel| {
            let mut output = vec![99; 2 * y.output * x.output * channels].into_boxed_slice();
            kernel(&window, &params, zero_point, channels, &input, &mut output);
            output
        });
        prop_assert_eq!(expected, found);
        let mean = MeanParams {
            channel: channel(&mut random, zero_point),
            axes: if seed % 4 == 0 { 0b1010 } else { 0b0110 },
            reserved: 0,
            activation_min: activation.0,
            activation_max: activation.1,
        };
        let shape = [2, y.input, x.input, channels];
        let kept: usize = (0..4).filter(|axis| mean.axes >> axis & 1 == 0).map(|axis| shape[axis]).product();
        let [expected, found] = [portable::mean, helium::mean].map(|kernel| {
            let mut output = vec![99; kept].into_boxed_slice();
            kernel(&mean, shape, &input, &mut output);
            output
        });
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn requantize_equals_the_rule(
        acc in prop_oneof![any::<i32>(), -70_000..70_000, Just(i32::MIN), Just(i32::MAX)],
        activation in activation(), seed in any::<u64>(), zero_point in any::<i8>(), pixels in 1usize..4,
    ) {
        let mut random = Bytes::new(seed);
        let channels: [ChannelRecord; 4] = core::array::from_fn(|_| channel(&mut random, zero_point));
        let acc: Vec<[i32; 4]> = (0..pixels).map(|_| [acc, random.next() as i32, !acc, acc / 3]).collect();
        let rule = |acc: i32, c: &ChannelRecord| {
            requantize::requantize(acc.wrapping_add(c.bias), c, activation.0, activation.1)
        };
        let mut expected = vec![99; 5 * pixels - 1].into_boxed_slice();
        for (acc, out) in acc.iter().zip(expected.chunks_mut(5)) {
            acc.iter().zip(&channels).zip(out).for_each(|((&acc, c), out)| *out = rule(acc, c));
        }
        let mut found = vec![99; 5 * pixels - 1].into_boxed_slice();
        let (acc, out) = (acc.as_ptr(), found.as_mut_ptr());
        let left = channels.iter().any(|c| c.left != 0);
        let quads = Quads { acc, channels: &channels, out, pixels, pitch: 5, activation };
        // SAFETY: the vectors are as long as the numbers say.
        unsafe { requantize_quads(&quads, left) };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn add_equals_portable(
        len in 0usize..40, multipliers in any::<[i16; 2]>(), offset in -(1 << 20)..1 << 20, shift in 1u8..=20,
        activation in activation(), in_place in any::<bool>(), seed in any::<u64>(),
    ) {
        let params = AddParams {
            multipliers: multipliers.map(i32::from),
            offset,
            shift,
            reserved: 0,
            activation_min: activation.0,
            activation_max: activation.1,
        };
        let mut random = Bytes::new(seed);
        let (a, b) = (random.vec(len), random.vec(len));
        let [expected, found] = [portable::add, helium::add].map(|kernel| {
            let (mut a, mut b, mut out) = (a.clone(), b.clone(), vec![99; len]);
            let [a, b, out] = [&mut a, &mut b, &mut out].map(|v| Cell::from_mut(&mut v[..]).as_slice_of_cells());
            let out = if in_place { a } else { out };
            kernel(&params, a, b, out);
            out.iter().map(Cell::get).collect::<Vec<_>>()
        });
        prop_assert_eq!(expected, found);
    }
}

#[test]
fn accumulators_wrap_alike() {
    let order = MatrixOrder { family: Family::Helium, rows: 1, k: 4, dense: true };
    let weights = Words::new(vec![127; order.bytes()]);
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
            let [expected, found] = [portable::fully_connected, helium::fully_connected].map(|kernel| {
                let mut output = [0];
                kernel(order, weights.as_slice(), &[channel], (-128, 127), &[x; 4], &mut output);
                output
            });
            assert_eq!(expected, found);
        }
    }
}
