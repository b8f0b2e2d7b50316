//! Requantization of accumulators of 64 bits to int16.
//!
//! q = clamp(⌊(acc · m + 2ⁿ⁻¹) ⁄ 2ⁿ⌋): half up, once. m is below 2²⁴, so that accumulators below 2³⁸ leave no bit of 64: a sum of
//! 2¹⁶ products of int16 and int8. The compiler proves that of every channel. With 24 bits of m the result is off by less
//! than 2⁻⁸ of a step beside its rounding.

use crate::format::WideRecord;

/// Largest shift.
pub const MAX_SHIFT: u8 = 62;

/// The record's bias.
#[inline]
pub fn bias(record: &WideRecord) -> i64 {
    (u64::from(record.bias[1]) << 32 | u64::from(record.bias[0])) as i64
}

/// Requantizes one accumulator, which already holds the bias.
#[inline]
pub fn requantize(acc: i64, record: &WideRecord, low: i16, high: i16) -> i16 {
    // ⌊(p + 2ⁿ⁻¹) ⁄ 2ⁿ⌋ = ⌊(⌊p ⁄ 2ⁿ⁻¹⌋ + 1) ⁄ 2⌋, so that one shift is by a number that is not known.
    let shift = u32::from(record.shift & 63).saturating_sub(1);
    let product = acc.wrapping_mul(record.multiplier.into());
    // Not `clamp`: it panics on an empty range.
    if shift >= 32 {
        // On cores of 32 bits the upper half alone is a fraction of the work.
        let twice = (product >> 32) as i32 >> (shift - 32);
        return (twice.wrapping_add(1) >> 1).max(low.into()).min(high.into()) as i16;
    }
    let q = (product >> shift).wrapping_add(1) >> 1;
    q.max(low.into()).min(high.into()) as i16
}

/// Whether the record follows the contract.
#[inline]
pub fn is_valid(record: &WideRecord) -> bool {
    (0..1 << 24).contains(&record.multiplier) && (1..=MAX_SHIFT).contains(&record.shift)
}
