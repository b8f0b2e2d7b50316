//! Every kernel against its portable namesake, byte for byte; `scratch` and outputs are exactly as long as they must
//! be, so that an address check finds any access past them.

use core::cell::Cell;

use proptest::prelude::*;

use super::{lanes, memory, steps};
use crate::format::{AddParams, ChannelRecord, Conv2dParams, DataRef, Family};
use crate::kernels::convolution::Convolution;
use crate::kernels::window::{Axis, Window};
use crate::kernels::{neon, portable};
use crate::ops::{Conv2d, DepthwiseConv2d};
use crate::packing::MatrixOrder;
use crate::requantize;
use crate::tests::random::{Bytes, Words, activation, channel};

/// A convolution's kernel: input, scratch, output.
type Kernel = fn(&Convolution<'_>, &[i8], &mut [i8], &mut [i8]);
/// A fully connected layer's: order, weights, channels, bounds, input, output.
type DenseKernel = fn(MatrixOrder, &[i8], &[ChannelRecord], (i8, i8), &[i8], &mut [i8]);

/// Whether the dot-product kernels can run here: anywhere over the models, and on cores that have the instructions.
fn has_dotprod() -> bool {
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(target_arch = "aarch64"))]
    true
}

fn conv2d_dotprod(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    assert!(has_dotprod());
    // SAFETY: just asked.
    unsafe { neon::conv2d_dotprod(conv, input, scratch, output) }
}

fn depthwise_conv2d_dotprod(conv: &Convolution<'_>, input: &[i8], scratch: &mut [i8], output: &mut [i8]) {
    assert!(has_dotprod());
    // SAFETY: just asked.
    unsafe { neon::depthwise_conv2d_dotprod(conv, input, scratch, output) }
}

fn fully_connected_dotprod(
    order: MatrixOrder,
    weights: &[i8],
    channels: &[ChannelRecord],
    activation: (i8, i8),
    input: &[i8],
    output: &mut [i8],
) {
    assert!(has_dotprod());
    // SAFETY: just asked.
    unsafe { neon::fully_connected_dotprod(order, weights, channels, activation, input, output) }
}

/// The portable kernel, the one for every core, and by dot product where that can run.
fn dense_kernels() -> [DenseKernel; 3] {
    let dotprod = if has_dotprod() { fully_connected_dotprod } else { neon::fully_connected };
    [portable::fully_connected, neon::fully_connected, dotprod]
}

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
        prop_oneof![4 => (1usize..40, 1usize..22, Just(1usize)), 1 => (1usize..4, 1usize..4, 1usize..4)];
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
            family: Family::Neon,
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
        rule(Family::Neon, &params, input, output)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 1500 }))]

    #[test]
    fn conv2d_equals_portable(case in convolution_case()) {
        case.compare(false, [portable::conv2d, neon::conv2d])?;
        if has_dotprod() {
            case.compare(false, [portable::conv2d, conv2d_dotprod])?;
        }
    }

    #[test]
    fn depthwise_conv2d_equals_portable(case in depthwise_case()) {
        case.compare(true, [portable::depthwise_conv2d, neon::depthwise_conv2d])?;
        if has_dotprod() {
            case.compare(true, [portable::depthwise_conv2d, depthwise_conv2d_dotprod])?;
        }
    }

    #[test]
    fn fully_connected_equals_portable(
        rows in 1usize..40, k in prop_oneof![1 => 1usize..40, 3 => (1usize..20).prop_map(|k| 4 * k)], activation in activation(), seed in any::<u64>(),
    ) {
        let mut random = Bytes::new(seed);
        let order = MatrixOrder { family: Family::Neon, rows, k, dense: true };
        let weights = Words::new(random.weights(order.bytes()));
        let channels: Vec<ChannelRecord> = (0..rows).map(|_| channel(&mut random, -7)).collect();
        let input = random.vec(k);
        let [expected, found, dotprod] = dense_kernels().map(|kernel| {
            let mut output = vec![99; rows].into_boxed_slice();
            kernel(order, weights.as_slice(), &channels, activation, &input, &mut output);
            output
        });
        prop_assert_eq!(&expected, &found);
        prop_assert_eq!(expected, dotprod);
    }

    #[test]
    fn add_equals_portable(
        len in 1usize..70, in_place in 0usize..3, multipliers in any::<[i16; 2]>(), offset in -(1i32 << 28)..1 << 28,
        shift in 1u8..=30, activation in activation(), seed in any::<u64>(),
    ) {
        let (activation_min, activation_max) = activation;
        let multipliers = multipliers.map(|m| i32::from(m) << 6);
        let params = AddParams { multipliers, offset, shift, reserved: 0, activation_min, activation_max };
        let mut random = Bytes::new(seed);
        let inputs = [random.vec(len), random.vec(len)];
        let [expected, found] = [portable::add, neon::add].map(|kernel| {
            let mut tensors = [inputs[0].clone(), inputs[1].clone(), vec![99; len]];
            let tensors: [&[Cell<i8>]; 3] =
                tensors.each_mut().map(|tensor| Cell::from_mut(&mut tensor[..]).as_slice_of_cells());
            // The output is a tensor of its own, or an input.
            let output = tensors[(2 + in_place) % 3];
            kernel(&params, tensors[0], tensors[1], output);
            output.iter().map(Cell::get).collect::<Vec<_>>()
        });
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn requantize_equals_the_rule(
        acc in prop_oneof![any::<[i32; 4]>(), any::<[i16; 4]>().prop_map(|acc| acc.map(i32::from)), Just([i32::MIN, i32::MAX, 0, -1])],
        activation in activation(), seed in any::<u64>(), zero_point in any::<i8>(),
    ) {
        let mut random = Bytes::new(seed);
        let channels: [ChannelRecord; 4] = core::array::from_fn(|_| channel(&mut random, zero_point));
        let output = super::requantize::Output::new(&channels, activation);
        let expected: [i8; 4] =
            core::array::from_fn(|i| requantize::requantize(acc[i], &channels[i], activation.0, activation.1));
        let mut records = channels.map(|c| ChannelRecord { bias: 0, ..c });
        for (record, acc) in records.iter_mut().zip(acc) {
            record.bias = acc;
        }
        let mut found = [0; 4];
        // SAFETY: four records, four bytes.
        unsafe {
            let four = super::requantize::Four::load(records.as_ptr());
            let scaled = if output.left { four.scale::<true>(four.bias) } else { four.scale::<false>(four.bias) };
            let eight = output.shift(scaled, scaled);
            memory::store_word::<2>(found.as_mut_ptr(), output.clamp(eight, eight));
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn lanes_are_what_the_architecture_says(
        a in any::<[i8; 16]>(), b in any::<[i8; 16]>(), c in any::<[i8; 16]>(), acc in any::<[i32; 4]>(),
    ) {
        let words = |x: [i8; 16]| -> Vec<i32> {
            x.as_chunks::<4>().0.iter().map(|x| i32::from_le_bytes(x.map(|x| x as u8))).collect()
        };
        let product = |i: usize| i64::from(a[i]) * i64::from(b[i]);
        let bytes_of = |x: lanes::I32x4| -> [i8; 16] { bytemuck::must_cast(unpack(x)) };
        // SAFETY: arrays of 16 bytes.
        let (x, y, z) = unsafe { (memory::load(a.as_ptr()), memory::load(b.as_ptr()), memory::load(c.as_ptr())) };
        let start = pack(acc);
        // Sums of pairs of products, of which two fit 16 bits for weights that are no −128; others wrap alike.
        let exact = |first: usize| -> Vec<i32> {
            let two = |i: usize| (product(i) as i16).wrapping_add((i32::from(a[i]) * i32::from(c[i])) as i16);
            (0..4).map(|i| acc[i].wrapping_add(i32::from(two(first + 2 * i)) + i32::from(two(first + 2 * i + 1)))).collect()
        };
        let mut acc2 = [start; 2];
        steps::multiply_rows(&mut acc2, [x, x], [y, z]);
        prop_assert_eq!(words(bytes_of(acc2[0])), exact(0));
        prop_assert_eq!(words(bytes_of(acc2[1])), exact(8));
        let (mut two, mut one) = ([start; 4], [start; 4]);
        steps::multiply_taps(&mut two, [x, x], [y, z]);
        steps::multiply_tap(&mut one, x, y);
        for i in 0..16 {
            let sum = (product(i) as i16).wrapping_add((i32::from(a[i]) * i32::from(c[i])) as i16);
            prop_assert_eq!(unpack(two[i / 4])[i % 4], acc[i % 4].wrapping_add(sum.into()));
            prop_assert_eq!(unpack(one[i / 4])[i % 4], acc[i % 4].wrapping_add(product(i) as i32));
        }
        if has_dotprod() {
            // SAFETY: just asked.
            let found = unsafe { steps::dot_lane::<2>(start, x, z) };
            let sum = |i: usize| (0..4).map(|j| i64::from(a[4 * i + j]) * i64::from(c[8 + j])).sum::<i64>();
            let exact: Vec<i32> = (0..4).map(|i| (i64::from(acc[i]) + sum(i)) as i32).collect();
            prop_assert_eq!(words(bytes_of(found)), exact);
        }
    }
}

/// Words as a register, by way of channel records, which have four.
fn pack(words: [i32; 4]) -> lanes::I32x4 {
    let record = |bias| ChannelRecord { bias, multiplier: 0, offset: 0, shift: 0, left: 0, reserved: 0 };
    let records = words.map(record);
    // SAFETY: four records.
    unsafe { memory::load_channels(records.as_ptr())[0] }
}

/// The words of a register.
fn unpack(x: lanes::I32x4) -> [i32; 4] {
    let mut words = [0; 4];
    // SAFETY: either is 16 bytes of plain words.
    unsafe { words.as_mut_ptr().cast::<lanes::I32x4>().write_unaligned(x) };
    words
}

#[test]
fn accumulators_wrap_alike() {
    let order = MatrixOrder { family: Family::Neon, rows: 1, k: 4, dense: true };
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
            let [expected, found, dotprod] = dense_kernels().map(|kernel| {
                let mut output = [0];
                kernel(order, weights.as_slice(), &[channel], (-128, 127), &[x; 4], &mut output);
                output
            });
            assert_eq!((expected, expected), (found, dotprod));
        }
    }
}
