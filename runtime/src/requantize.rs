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
    // |acc · m| <= 2⁶², so its high word lies in [−2³⁰, 2³⁰], and offset < 2³¹ − 2³⁰ by `is_valid`.
    let high = mul_high(acc, channel.multiplier).wrapping_add(channel.offset);
    let q = high >> (channel.shift & 31);
    // Not `clamp`: it panics on an empty range.
    q.max(i32::from(activation_min)).min(i32::from(activation_max)) as i8
}

/// (a · b) >> 32 of the exact product.
#[cfg(not(narrow_multiply))]
#[inline(always)]
fn mul_high(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

#[cfg(narrow_multiply)]
use mul_high_by_halves as mul_high;

/// (a · b) >> 32 of the exact product, for cores whose multiply keeps 32 bits: four products of 16-bit halves, in
/// place of a library call. No sum leaves 32 bits.
#[cfg(any(narrow_multiply, test))]
#[inline(always)]
fn mul_high_by_halves(a: i32, b: i32) -> i32 {
    let (a_low, a_high) = (a & 0xffff, a >> 16);
    let (b_low, b_high) = (b & 0xffff, b >> 16);
    let low = (a_low as u32).wrapping_mul(b_low as u32);
    let middle = a_high.wrapping_mul(b_low).wrapping_add((low >> 16) as i32);
    let carry = a_low.wrapping_mul(b_high).wrapping_add(middle & 0xffff);
    a_high.wrapping_mul(b_high).wrapping_add(middle >> 16).wrapping_add(carry >> 16)
}

/// sat32(acc · 2ᴸ).
#[inline(always)]
pub fn shift_left_saturating(acc: i32, left: u8) -> i32 {
    let left = left & 31;
    let shifted = acc << left;
    // Shifting back loses a bit exactly where the product left 32 bits. No 64-bit shift: on Armv6-M that is a call.
    if shifted >> left == acc { shifted } else { i32::MAX ^ (acc >> 31) }
}

/// The `offset` that belongs to an output zero point and a shift of n − 32.
pub const fn offset(zero_point: i8, shift: u8) -> i32 {
    ((zero_point as i32) << shift) + (1 << (shift - 1))
}

/// Whether the record follows the contract for an output with this zero point.
#[inline]
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

    proptest! {
        #[test]
        fn products_by_halves_are_exact(a in any::<i32>(), b in any::<i32>()) {
            prop_assert_eq!(mul_high_by_halves(a, b), mul_high(a, b));
        }

        #[test]
        fn left_shift_saturates(acc in any::<i32>(), small in any::<i16>(), left in 0u8..=31) {
            for acc in [acc, small.into()] {
                let exact = (i128::from(acc) << left).clamp(i32::MIN.into(), i32::MAX.into());
                prop_assert_eq!(i128::from(shift_left_saturating(acc, left)), exact);
            }
        }
    }

    #[test]
    fn products_by_halves_are_exact_at_the_corners() {
        let halves = [0u32, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff];
        let words = || halves.iter().flat_map(|h| halves.iter().map(move |l| ((h << 16) | l) as i32));
        for a in words() {
            for b in words() {
                assert_eq!(mul_high_by_halves(a, b), mul_high(a, b), "{a} {b}");
            }
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
