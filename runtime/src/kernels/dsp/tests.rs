//! Every kernel against its portable namesake, byte for byte, on the [`cases`] of all variants and on some of their own.

use proptest::prelude::*;

use super::{lanes, pixels};
use crate::format::Family;
use crate::kernels::cases;
use crate::kernels::dsp;
use crate::requantize;
use crate::tests::random::{Bytes, activation, channel};

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
