//! Every kernel against its portable namesake, byte for byte, on the [`cases`] of all variants and on some of their own.

use proptest::prelude::*;

use super::{lanes, pixels};
use crate::format::{Conv2d16Params, DataRef, Family, WideRecord};
use crate::kernels::cases;
use crate::kernels::window::{Axis, Window};
use crate::kernels::{dsp, portable};
use crate::requantize;
use crate::tests::random::{Bytes, activation, channel};

type Conv16 = fn(&Conv2d16Params, &Window, [usize; 2], (&[i8], &[WideRecord]), &[i16], &mut [i16]);

proptest! {
    #![proptest_config(cases::config())]

    #[test]
    fn conv2d_equals_portable(case in cases::convolution_case()) {
        case.conv2d(Family::Dsp, dsp::conv2d)?;
    }

    #[test]
    fn depthwise_conv2d_equals_portable(case in cases::depthwise_case()) {
        case.depthwise_conv2d(Family::Dsp, dsp::depthwise_conv2d)?;
    }

    #[test]
    fn fully_connected_equals_portable(case in cases::dense_case()) {
        case.fully_connected(Family::Dsp, dsp::fully_connected)?;
    }

    #[test]
    fn sums_of_int16_are_exact(seed in any::<u64>(), len in 0usize..1200, extreme in any::<bool>()) {
        let mut random = Bytes::new(seed);
        let x: Vec<i16> = (0..len).map(|_| if extreme { -i16::MAX } else { random.next() as i16 }).collect();
        let w: Vec<i8> = (0..len).map(|_| if extreme { -127 } else { random.next() as i8 }).collect();
        let exact: i64 = x.iter().zip(&w).map(|(&x, &w)| i64::from(x) * i64::from(w)).sum();
        prop_assert_eq!(super::wide::dot(&x, &w), exact);
    }

    #[test]
    fn conv2d16_equals_portable(
        seed in any::<u64>(), size in prop::array::uniform3(1usize..5), padding in 0u16..3, groups in 1usize..3,
    ) {
        let [h, w, per_group] = size;
        let (c_in, c_out) = (groups * per_group * 3, groups * 2);
        let params = Conv2d16Params {
            kernel: [2, 3],
            stride: [1, 2],
            dilation: [1, 1 + (seed % 2) as u16],
            padding: [padding, padding],
            groups: groups as u32,
            activation_min: -i16::MAX,
            activation_max: i16::MAX,
            weights: DataRef { offset: 0, bytes: 0 },
            channels: DataRef { offset: 0, bytes: 0 },
        };
        let axis = |input, i: usize| Axis {
            input,
            output: 3,
            kernel: params.kernel[i].into(),
            stride: params.stride[i].into(),
            dilation: params.dilation[i].into(),
            padding: padding.into(),
        };
        let window = Window { y: axis(h, 0), x: axis(w, 1) };
        let mut random = Bytes::new(seed);
        let input: Vec<i16> = (0..h * w * c_in).map(|_| random.next() as i16).collect();
        let weights = random.vec(c_out * 6 * per_group * 3);
        let record = WideRecord { bias: [random.next() as u32, 0], multiplier: 1 << 23, shift: 30, reserved: [0; 3] };
        let records = vec![record; c_out];
        let run = |kernel: Conv16| {
            let mut output = vec![0; 9 * c_out];
            kernel(&params, &window, [c_in, c_out], (&weights, &records), &input, &mut output);
            output
        };
        prop_assert_eq!(run(dsp::conv2d16), run(portable::conv2d16));
    }

    #[test]
    fn requantize_equals_the_rule(
        acc in cases::accumulator(),
        activation in activation(), seed in any::<u64>(), zero_point in any::<i8>(),
    ) {
        let channel = channel(&mut Bytes::new(seed), zero_point);
        let bounds = super::requantize::Bounds::new(activation);
        let expected = requantize::requantize(acc, &channel, activation.0, activation.1);
        prop_assert_eq!(bounds.requantize(acc, &channel), expected);
    }

    #[test]
    fn lanes_are_what_the_architecture_says(a in any::<[i8; 4]>(), h in any::<[[i16; 2]; 2]>(), acc in any::<i32>()) {
        let word = u32::from_le_bytes(a.map(|b| b as u8));
        let half = |[low, high]: [i16; 2]| u32::from(low as u16) | u32::from(high as u16) << 16;
        prop_assert_eq!(lanes::sxtb16(word), half([a[0].into(), a[2].into()]));
        prop_assert_eq!(lanes::sxtb16_ror8(word), half([a[1].into(), a[3].into()]));
        let less = |odd: i8, even: i8| i16::from(odd).wrapping_sub(128).wrapping_sub(i16::from(even).wrapping_mul(256));
        let odd = half([less(a[1], a[0]), less(a[3], a[2])]);
        prop_assert_eq!(pixels::widen(word), (lanes::sxtb16(word), odd));
        let exact = |pairs: &[usize]| {
            pairs.iter().fold(i64::from(acc), |sum, &i| sum + i64::from(h[0][i]) * i64::from(h[1][i])) as i32
        };
        let (x, y) = (half(h[0]), half(h[1]));
        prop_assert_eq!(lanes::smlad(x, y, acc), exact(&[0, 1]));
        prop_assert_eq!(lanes::pkhbt(x, y), half([h[0][0], h[1][0]]));
        prop_assert_eq!(lanes::pkhtb(x, y), half([h[1][1], h[0][1]]));
        prop_assert_eq!(lanes::ssat8(acc), acc.clamp(-128, 127));
    }
}

#[test]
fn accumulators_wrap_alike() {
    cases::accumulators_wrap_alike(Family::Dsp, dsp::fully_connected);
}

/// Pointers into scratch memory must stay valid while other parts of it are written, which Miri checks.
#[test]
fn padded_windows_equal_portable() {
    cases::padded_case(1).conv2d(Family::Dsp, dsp::conv2d).unwrap();
    cases::padded_case(16).depthwise_conv2d(Family::Dsp, dsp::depthwise_conv2d).unwrap();
}
