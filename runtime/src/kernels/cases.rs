//! Random cases that every variant is held to: its kernels against the portable ones, byte for byte. Scratch memory and
//! outputs are exactly as long as they must be, so that an address check finds any access past them.

use proptest::prelude::*;

use crate::format::{ChannelRecord, Conv2dParams, DataRef, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::portable;
use crate::kernels::window::{Axis, Window};
use crate::ops::{Conv2d, DepthwiseConv2d};
use crate::packing::MatrixOrder;
use crate::requantize;
use crate::tests::random::{Bytes, Words, activation, channel};

/// A convolution's kernel: input, scratch, output.
pub(super) type Kernel = fn(&Convolution<'_>, &[i8], &mut [i8], &mut [i8]);
/// A fully connected layer's: order, weights, channels, bounds, input, output.
pub(super) type DenseKernel = fn(MatrixOrder, &[i8], &[ChannelRecord], (i8, i8), &[i8], &mut [i8]);

/// Random cases of a test.
pub(super) fn config() -> ProptestConfig {
    ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 1500 })
}

/// A convolution in numbers; sizes of the output may exceed or fall short of what covers the input.
#[derive(Clone, Debug)]
pub(super) struct Case {
    n: usize,
    axes: [Axis; 2],
    c_in: usize,
    c_out: usize,
    groups: usize,
    zero_point: i8,
    activation: (i8, i8),
    seed: u64,
}

pub(super) fn axis() -> impl Strategy<Value = Axis> {
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
    prop_oneof![3 => axis, 1 => pointwise()]
}

fn pointwise() -> impl Strategy<Value = Axis> + Clone {
    (1usize..8).prop_map(|input| Axis { input, output: input, kernel: 1, stride: 1, dilation: 1, padding: 0 })
}

pub(super) fn zero_point() -> impl Strategy<Value = i8> {
    prop_oneof![any::<i8>(), Just(-128), Just(127), Just(0)]
}

pub(super) fn convolution_case() -> impl Strategy<Value = Case> {
    let axes = prop_oneof![2 => [axis(), axis()], 1 => [pointwise(), pointwise()]];
    let vectors = (1usize..4).prop_map(|vectors| 16 * vectors);
    let channels = prop_oneof![
        4 => (1usize..40, 1usize..22, Just(1usize)),
        2 => (vectors, 1usize..10, Just(1usize)),
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

pub(super) fn depthwise_case() -> impl Strategy<Value = Case> {
    let three = (1usize..8, 1usize..9, 1usize..3, 0usize..3).prop_map(|(input, output, stride, padding)| {
        Axis { input, output, kernel: 3, stride, dilation: 1, padding }
    });
    let axes = prop_oneof![[axis(), axis()], [three.clone(), three]];
    let multiplier = prop_oneof![5 => Just(1usize), 1 => 2usize..4];
    (1usize..3, axes, 1usize..40, multiplier, zero_point(), activation(), any::<u64>()).prop_map(
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

/// An image of 4 × 4 pixels of 16 channels under 3 × 3 taps with padding all round: as a convolution with one group, as a
/// depthwise one with 16.
pub(super) fn padded_case(groups: usize) -> Case {
    let axis = Axis { input: 4, output: 4, kernel: 3, stride: 1, dilation: 1, padding: 1 };
    let activation = (i8::MIN, i8::MAX);
    Case { n: 1, axes: [axis; 2], c_in: 16, c_out: 16, groups, zero_point: -3, activation, seed: 1 }
}

impl Case {
    /// The kernel, and the portable one, as a convolution with weights in `family`'s order.
    pub fn conv2d(&self, family: Family, kernel: Kernel) -> Result<(), TestCaseError> {
        self.compare(family, false, [portable::conv2d, kernel])
    }

    /// Likewise, as a depthwise convolution.
    pub fn depthwise_conv2d(&self, family: Family, kernel: Kernel) -> Result<(), TestCaseError> {
        self.compare(family, true, [portable::depthwise_conv2d, kernel])
    }

    fn compare(&self, family: Family, depthwise: bool, kernels: [Kernel; 2]) -> Result<(), TestCaseError> {
        let mut random = Bytes::new(self.seed);
        let channels: Vec<ChannelRecord> = (0..self.c_out).map(|_| channel(&mut random, 3)).collect();
        let mut conv = Convolution {
            window: Window { y: self.axes[0], x: self.axes[1] },
            c_in: self.c_in,
            c_out: self.c_out,
            groups: self.groups,
            family,
            weights: &[],
            channels: &channels,
            activation: self.activation,
            zero_point: self.zero_point,
        };
        let (bytes, flips) = if depthwise {
            (conv.window_order().bytes(), [0; 2])
        } else {
            (conv.matrix_order().bytes() * self.groups, conv.matrix_order().flips())
        };
        // Filling weights are random too: no kernel may let them count.
        let weights = Words::new(random.stored(bytes, flips));
        conv.weights = weights.as_slice();
        let [y, x] = self.axes;
        let input = Words::new(random.vec(self.n * y.input * x.input * self.c_in));
        let length = self.n * y.output * x.output * self.c_out;
        let [expected, found] = kernels.map(|kernel| {
            let mut scratch = Words::new(vec![85; self.scratch(family, depthwise)]);
            let mut output = vec![99; length].into_boxed_slice();
            kernel(&conv, input.as_slice(), scratch.as_mut_slice(), &mut output);
            output
        });
        prop_assert_eq!(expected, found);
        Ok(())
    }

    fn scratch(&self, family: Family, depthwise: bool) -> usize {
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
        rule(family, &params, input, output)
    }
}

/// A fully connected layer in numbers.
#[derive(Clone, Debug)]
pub(super) struct DenseCase {
    rows: usize,
    k: usize,
    activation: (i8, i8),
    seed: u64,
}

pub(super) fn dense_case() -> impl Strategy<Value = DenseCase> {
    let long = if cfg!(miri) { 70..80usize } else { 200..700 };
    let k = prop_oneof![4 => 1usize..70, 1 => long];
    (1usize..26, k, activation(), any::<u64>()).prop_map(|(rows, k, activation, seed)| DenseCase {
        rows,
        k,
        activation,
        seed,
    })
}

impl DenseCase {
    /// The kernel, and the portable one, with weights in `family`'s order.
    pub fn fully_connected(&self, family: Family, kernel: DenseKernel) -> Result<(), TestCaseError> {
        let Self { rows, k, activation, seed } = *self;
        let mut random = Bytes::new(seed);
        let order = MatrixOrder { family, rows, k, dense: true };
        let weights = Words::new(random.stored(order.bytes(), order.flips()));
        let channels: Vec<ChannelRecord> = (0..rows).map(|_| channel(&mut random, -7)).collect();
        let input = random.vec(k);
        let [expected, found] = [portable::fully_connected, kernel].map(|kernel| {
            let mut output = vec![99; rows].into_boxed_slice();
            kernel(order, weights.as_slice(), &channels, activation, &input, &mut output);
            output
        });
        prop_assert_eq!(expected, found);
        Ok(())
    }
}

/// Panics where the kernel and the portable one differ on sums that leave 32 bits.
pub(super) fn accumulators_wrap_alike(family: Family, kernel: DenseKernel) {
    let order = MatrixOrder { family, rows: 1, k: 4, dense: true };
    let stored = |place: usize| 127 ^ order.flips()[place % 2];
    let weights = Words::new((0..order.bytes()).map(stored).collect());
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
            let [expected, found] = [portable::fully_connected, kernel].map(|kernel| {
                let mut output = [0];
                kernel(order, weights.as_slice(), &[channel], (-128, 127), &[x; 4], &mut output);
                output
            });
            assert_eq!(expected, found);
        }
    }
}

/// Accumulators with every extreme.
pub(super) fn accumulator() -> impl Strategy<Value = i32> {
    prop_oneof![any::<i32>(), -70_000..70_000, Just(i32::MIN), Just(i32::MAX)]
}
