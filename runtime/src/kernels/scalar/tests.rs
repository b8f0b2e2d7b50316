//! Every kernel against its portable namesake, byte for byte, on the [`cases`] of all variants and on some of their own.

use proptest::prelude::*;

use super::depthwise_conv2d::depthwise;
use crate::format::Family;
use crate::kernels::cases;
use crate::kernels::scalar;
use crate::requantize;
use crate::tests::random::{Bytes, activation, channel};

proptest! {
    #![proptest_config(cases::config())]

    #[test]
    fn conv2d_equals_portable(case in cases::convolution_case()) {
        case.conv2d(Family::Scalar, scalar::conv2d)?;
    }

    #[test]
    fn depthwise_conv2d_equals_portable(case in cases::depthwise_case()) {
        case.depthwise_conv2d(Family::Scalar, depthwise::<1>)?;
        case.depthwise_conv2d(Family::Scalar, scalar::depthwise_conv2d)?;
    }

    #[test]
    fn fully_connected_equals_portable(case in cases::dense_case()) {
        case.fully_connected(Family::Scalar, scalar::fully_connected)?;
    }

    #[test]
    fn requantize_equals_the_rule(
        acc in cases::accumulator(),
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
    cases::accumulators_wrap_alike(Family::Scalar, scalar::fully_connected);
}

/// Pointers into scratch memory must stay valid while other parts of it are written, which Miri checks.
#[test]
fn padded_windows_equal_portable() {
    cases::padded_case(1).conv2d(Family::Scalar, scalar::conv2d).unwrap();
    cases::padded_case(16).depthwise_conv2d(Family::Scalar, scalar::depthwise_conv2d).unwrap();
}
