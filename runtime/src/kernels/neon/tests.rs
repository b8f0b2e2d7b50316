//! Every kernel against its portable namesake, byte for byte, on the [`cases`] of all variants and on some of their own.

use core::cell::Cell;

use proptest::prelude::*;

use super::{lanes, memory, steps};
use crate::format::{AddParams, ChannelRecord, Family};
use crate::kernels::cases;
use crate::kernels::convolution::Convolution;
use crate::kernels::{neon, portable};
use crate::packing::MatrixOrder;
use crate::requantize;
use crate::tests::random::{Bytes, activation, channel};

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

proptest! {
    #![proptest_config(cases::config())]

    #[test]
    fn conv2d_equals_portable(case in cases::convolution_case()) {
        case.conv2d(Family::Neon, neon::conv2d)?;
        if has_dotprod() {
            case.conv2d(Family::Neon, conv2d_dotprod)?;
        }
    }

    #[test]
    fn depthwise_conv2d_equals_portable(case in cases::depthwise_case()) {
        case.depthwise_conv2d(Family::Neon, neon::depthwise_conv2d)?;
        if has_dotprod() {
            case.depthwise_conv2d(Family::Neon, depthwise_conv2d_dotprod)?;
        }
    }

    #[test]
    fn fully_connected_equals_portable(case in cases::dense_case()) {
        case.fully_connected(Family::Neon, neon::fully_connected)?;
        if has_dotprod() {
            case.fully_connected(Family::Neon, fully_connected_dotprod)?;
        }
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
    cases::accumulators_wrap_alike(Family::Neon, neon::fully_connected);
    if has_dotprod() {
        cases::accumulators_wrap_alike(Family::Neon, fully_connected_dotprod);
    }
}

/// Pointers into scratch memory must stay valid while other parts of it are written, which Miri checks.
#[test]
fn padded_windows_equal_portable() {
    cases::padded_case(1).conv2d(Family::Neon, neon::conv2d).unwrap();
    cases::padded_case(16).depthwise_conv2d(Family::Neon, neon::depthwise_conv2d).unwrap();
}
