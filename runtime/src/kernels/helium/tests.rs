//! Every kernel against its portable namesake, byte for byte, on the [`cases`] of all variants and on some of their own.

use core::cell::Cell;

use proptest::prelude::*;

use super::requantize::{Quads, requantize_quads};
use crate::format::{AddParams, ChannelRecord, Family, MeanParams, Pool2dParams};
use crate::kernels::cases;
use crate::kernels::window::{Axis, Window};
use crate::kernels::{helium, portable};
use crate::requantize;
use crate::tests::random::{Bytes, activation, channel};

proptest! {
    #![proptest_config(cases::config())]

    #[test]
    fn conv2d_equals_portable(case in cases::convolution_case()) {
        case.conv2d(Family::Helium, helium::conv2d)?;
    }

    #[test]
    fn depthwise_conv2d_equals_portable(case in cases::depthwise_case()) {
        case.depthwise_conv2d(Family::Helium, helium::depthwise_conv2d)?;
    }

    #[test]
    fn fully_connected_equals_portable(case in cases::dense_case()) {
        case.fully_connected(Family::Helium, helium::fully_connected)?;
    }

    #[test]
    fn averages_equal_portable(
        axes in [cases::axis(), cases::axis()], channels in 1usize..20, tall in any::<bool>(), activation in activation(),
        count_padding in 0u8..2, zero_point in cases::zero_point(), seed in any::<u64>(),
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
            ties_away: (seed & 1) as u8,
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
        acc in cases::accumulator(),
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
    cases::accumulators_wrap_alike(Family::Helium, helium::fully_connected);
}

/// Pointers into scratch memory must stay valid while other parts of it are written, which Miri checks.
#[test]
fn padded_windows_equal_portable() {
    cases::padded_case(1).conv2d(Family::Helium, helium::conv2d).unwrap();
    cases::padded_case(16).depthwise_conv2d(Family::Helium, helium::depthwise_conv2d).unwrap();
}
