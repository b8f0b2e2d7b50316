//! THE rounding rule: from an int32 accumulator to an int8 activation.
//!
//! ```text
//! q = clamp(zp + ((acc' · m + 2ⁿ⁻¹) >> n)),   acc' = sat32(acc · 2ᴸ)
//! ```
//!
//! with a 64-bit product, one rounding (half up), m in [2³⁰, 2³¹), n in 33..=55 and L in 0..=31; at n = 55 a
//! smaller m carries the smallest scales. It is TensorFlow Lite's single rounding.
//!
//! A plan stores n − 32 and the constant `offset = (zp << (n − 32)) + 2ⁿ⁻³³`, which holds zero point and rounding:
//! `q = clamp(((offset · 2³² + acc' · m) >> 32) >> (n − 32))`. The two are equal, since both shifts round down and
//! offset · 2³² = zp · 2ⁿ + 2ⁿ⁻¹ exactly. Armv7E-M computes the first shift with `SMMLA`.

use crate::format::ChannelRecord;

/// Smallest and largest `shift` = n − 32.
pub const SHIFT_RANGE: core::ops::RangeInclusive<u8> = 1..=23;

/// Requantizes one accumulator, which already holds the bias.
///
/// `channel` must satisfy [`is_valid`]; whatever it holds, the result lies in `activation_min..=activation_max`
/// and nothing panics for a valid shift.
#[inline(always)]
pub fn requantize(acc: i32, channel: &ChannelRecord, activation_min: i8, activation_max: i8) -> i8 {
    let acc = shift_left_saturating(acc, channel.left);
    let product = i64::from(acc) * i64::from(channel.multiplier);
    // |product| <= 2⁶², so its high word lies in [−2³⁰, 2³⁰], and offset < 2³¹ − 2³⁰ by `is_valid`.
    let high = ((product >> 32) as i32).wrapping_add(channel.offset);
    let q = high >> (channel.shift & 31);
    // Not `clamp`: it panics on an empty range.
    q.max(i32::from(activation_min)).min(i32::from(activation_max)) as i8
}

/// sat32(acc · 2ᴸ).
#[inline(always)]
pub fn shift_left_saturating(acc: i32, left: u8) -> i32 {
    if left == 0 {
        return acc;
    }
    let wide = i64::from(acc) << (left & 31);
    wide.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// The `offset` that belongs to an output zero point and a shift of n − 32.
pub const fn offset(zero_point: i8, shift: u8) -> i32 {
    ((zero_point as i32) << shift) + (1 << (shift - 1))
}

/// Whether the record follows the contract for an output with this zero point.
pub fn is_valid(channel: &ChannelRecord, zero_point: i8) -> bool {
    let top = *SHIFT_RANGE.end();
    SHIFT_RANGE.contains(&channel.shift)
        && channel.left <= 31
        && (channel.left == 0 || channel.shift == *SHIFT_RANGE.start())
        && channel.multiplier >= 0
        && (channel.multiplier >= 1 << 30 || channel.shift == top)
        && channel.offset == offset(zero_point, channel.shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(multiplier: i32, shift: u8, left: u8, zero_point: i8) -> ChannelRecord {
        ChannelRecord { bias: 0, multiplier, offset: offset(zero_point, shift), shift, left, reserved: 0 }
    }

    /// The rule as the module documents it, in 128 bits.
    fn exact(acc: i32, m: i32, n: u32, left: u8, zp: i8, lo: i8, hi: i8) -> i8 {
        let acc = (i128::from(acc) << left).clamp(i128::from(i32::MIN), i128::from(i32::MAX));
        let q = i128::from(zp) + ((acc * i128::from(m) + (1 << (n - 1))) >> n);
        q.clamp(i128::from(lo), i128::from(hi)) as i8
    }

    proptest! {
        #[test]
        fn equals_the_exact_rule(
            acc in prop_oneof![any::<i32>(), -70_000..70_000, Just(i32::MIN), Just(i32::MAX)],
            m in prop_oneof![(1 << 30)..=i32::MAX, Just(1 << 30), Just(i32::MAX)],
            shift in SHIFT_RANGE,
            left in 0u8..=31,
            zp in any::<i8>(),
            a in any::<i8>(),
            b in any::<i8>(),
        ) {
            let left = if shift == 1 { left } else { 0 };
            let channel = record(m, shift, left, zp);
            prop_assert!(is_valid(&channel, zp));
            let (lo, hi) = (a.min(b), a.max(b));
            let q = requantize(acc, &channel, lo, hi);
            prop_assert_eq!(q, exact(acc, m, u32::from(shift) + 32, left, zp, lo, hi));
        }
    }

    #[test]
    fn halves_round_up() {
        // m = 2³⁰, n = 33 scale by 1/8.
        let eighth = record(1 << 30, 1, 0, 0);
        let q = |acc| requantize(acc, &eighth, -128, 127);
        assert_eq!([q(4), q(3), q(-4), q(-5), q(12), q(-12)], [1, 0, 0, -1, 2, -1]);
    }

    #[test]
    fn refuses_records_outside_the_contract() {
        assert!(!is_valid(&record(1 << 29, 5, 0, 3), 3), "a small m belongs to the largest shift only");
        assert!(is_valid(&record(5, 23, 0, 3), 3));
        assert!(!is_valid(&record(1 << 30, 2, 1, 3), 3), "a left shift goes with the smallest shift only");
        assert!(!is_valid(&record(1 << 30, 2, 0, 3), 4), "another zero point");
        assert!(!is_valid(&record(-(1 << 30), 2, 0, 3), 3));
        let mut wide = record(1 << 30, 23, 0, 3);
        wide.shift = 24;
        assert!(!is_valid(&wide, 3));
    }
}
