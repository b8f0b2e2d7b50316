//! The steps of inner loops, in assembly where the compiler would spill or lacks a stable intrinsic, each with a portable
//! model as in [`lanes`](super::lanes).

use super::lanes::{I8x16, I32x4};
#[cfg(not(target_arch = "aarch64"))]
use super::lanes::{I16x8, add_pairs, mul_high, mul_low};
#[cfg(not(target_arch = "aarch64"))]
use super::memory::{load, load_two_words};

#[cfg(not(target_arch = "aarch64"))]
fn sums(a: I16x8, b: I16x8) -> I16x8 {
    core::array::from_fn(|i| a[i].wrapping_add(b[i]))
}

/// sum + products of bytes 0 to 7 (SMLAL).
#[cfg(not(target_arch = "aarch64"))]
fn mul_add_low(sum: I16x8, a: I8x16, b: I8x16) -> I16x8 {
    sums(sum, mul_low(a, b))
}

/// sum + products of bytes 8 to 15 (SMLAL2).
#[cfg(not(target_arch = "aarch64"))]
fn mul_add_high(sum: I16x8, a: I8x16, b: I8x16) -> I16x8 {
    sums(sum, mul_high(a, b))
}

/// acc + halfwords 0 to 3 (SADDW).
#[cfg(not(target_arch = "aarch64"))]
fn add_low(acc: I32x4, x: I16x8) -> I32x4 {
    core::array::from_fn(|i| acc[i].wrapping_add(x[i].into()))
}

/// acc + halfwords 4 to 7 (SADDW2).
#[cfg(not(target_arch = "aarch64"))]
fn add_high(acc: I32x4, x: I16x8) -> I32x4 {
    core::array::from_fn(|i| acc[i].wrapping_add(x[i + 4].into()))
}

/// Two k blocks of a block of four rows: `acc[0]` takes the rows 0 and 1, two sums each, `acc[1]` the rows 2 and 3. Products
/// of the two are added in 16 bits (SMULL, SMLAL), pairs of these sums in 32 (SADALP).
///
/// One block of assembly, since a compiled loop over its intrinsics spills.
#[inline(always)]
pub(super) fn multiply_rows(acc: &mut [I32x4; 2], w: [I8x16; 2], x: [I8x16; 2]) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: instructions on registers that every AArch64 core has.
    unsafe {
        core::arch::asm!(
            "smull {low:v}.8h, {w0:v}.8b, {x0:v}.8b",
            "smull2 {high:v}.8h, {w0:v}.16b, {x0:v}.16b",
            "smlal {low:v}.8h, {w1:v}.8b, {x1:v}.8b",
            "smlal2 {high:v}.8h, {w1:v}.16b, {x1:v}.16b",
            "sadalp {acc0:v}.4s, {low:v}.8h",
            "sadalp {acc1:v}.4s, {high:v}.8h",
            acc0 = inlateout(vreg) acc[0],
            acc1 = inlateout(vreg) acc[1],
            w0 = in(vreg) w[0],
            w1 = in(vreg) w[1],
            x0 = in(vreg) x[0],
            x1 = in(vreg) x[1],
            low = out(vreg) _,
            high = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        acc[0] = add_pairs(acc[0], mul_add_low(mul_low(w[0], x[0]), w[1], x[1]));
        acc[1] = add_pairs(acc[1], mul_add_high(mul_high(w[0], x[0]), w[1], x[1]));
    }
}

/// Four k blocks of two blocks of four rows: what [`multiply_rows`] does for two k blocks of one. The activations are four
/// words at `from`, each in all lanes (LD4R); returns the place behind them.
///
/// One block of assembly with registers of its own, since the sums of four pixels and the weights fill all others.
///
/// # Safety
/// `from` is valid for reads of 16 bytes.
#[inline(always)]
pub(super) unsafe fn multiply_rows_twice(
    acc: [&mut [I32x4; 2]; 2],
    w: [[I8x16; 4]; 2],
    from: *const i8,
) -> *const i8 {
    let mut from = from;
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a load that the caller promised is valid, and instructions on registers that every AArch64 core has.
    unsafe {
        let [a, b] = acc;
        core::arch::asm!(
            "ld4r {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{from}], #16",
            "smull v4.8h, {a0:v}.8b, v0.8b",
            "smull2 v5.8h, {a0:v}.16b, v0.16b",
            "smull v6.8h, {b0:v}.8b, v0.8b",
            "smull2 v7.8h, {b0:v}.16b, v0.16b",
            "smlal v4.8h, {a1:v}.8b, v1.8b",
            "smlal2 v5.8h, {a1:v}.16b, v1.16b",
            "smlal v6.8h, {b1:v}.8b, v1.8b",
            "smlal2 v7.8h, {b1:v}.16b, v1.16b",
            "sadalp {acc0:v}.4s, v4.8h",
            "sadalp {acc1:v}.4s, v5.8h",
            "sadalp {acc2:v}.4s, v6.8h",
            "sadalp {acc3:v}.4s, v7.8h",
            "smull v4.8h, {a2:v}.8b, v2.8b",
            "smull2 v5.8h, {a2:v}.16b, v2.16b",
            "smull v6.8h, {b2:v}.8b, v2.8b",
            "smull2 v7.8h, {b2:v}.16b, v2.16b",
            "smlal v4.8h, {a3:v}.8b, v3.8b",
            "smlal2 v5.8h, {a3:v}.16b, v3.16b",
            "smlal v6.8h, {b3:v}.8b, v3.8b",
            "smlal2 v7.8h, {b3:v}.16b, v3.16b",
            "sadalp {acc0:v}.4s, v4.8h",
            "sadalp {acc1:v}.4s, v5.8h",
            "sadalp {acc2:v}.4s, v6.8h",
            "sadalp {acc3:v}.4s, v7.8h",
            from = inout(reg) from,
            acc0 = inout(vreg) a[0],
            acc1 = inout(vreg) a[1],
            acc2 = inout(vreg) b[0],
            acc3 = inout(vreg) b[1],
            a0 = in(vreg) w[0][0],
            a1 = in(vreg) w[0][1],
            a2 = in(vreg) w[0][2],
            a3 = in(vreg) w[0][3],
            b0 = in(vreg) w[1][0],
            b1 = in(vreg) w[1][1],
            b2 = in(vreg) w[1][2],
            b3 = in(vreg) w[1][3],
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        for (acc, w) in acc.into_iter().zip(w) {
            for half in [0, 2] {
                // SAFETY: 16 bytes are twice 8.
                let x = unsafe { load_two_words(from.add(4 * half)) };
                multiply_rows(acc, [w[half], w[half + 1]], x);
            }
        }
        from = from.wrapping_add(16);
    }
    from
}

/// Two taps of sixteen channels, four a register: products of the two are added in 16 bits (SMULL, SMLAL), and these sums
/// in 32 (SADDW).
///
/// One block of assembly, since the compiler splits the weights into halves of registers that it lacks.
#[inline(always)]
pub(super) fn multiply_taps(acc: &mut [I32x4; 4], w: [I8x16; 2], x: [I8x16; 2]) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: instructions on registers that every AArch64 core has.
    unsafe {
        core::arch::asm!(
            "smull {low:v}.8h, {w0:v}.8b, {x0:v}.8b",
            "smull2 {high:v}.8h, {w0:v}.16b, {x0:v}.16b",
            "smlal {low:v}.8h, {w1:v}.8b, {x1:v}.8b",
            "smlal2 {high:v}.8h, {w1:v}.16b, {x1:v}.16b",
            "saddw {acc0:v}.4s, {acc0:v}.4s, {low:v}.4h",
            "saddw2 {acc1:v}.4s, {acc1:v}.4s, {low:v}.8h",
            "saddw {acc2:v}.4s, {acc2:v}.4s, {high:v}.4h",
            "saddw2 {acc3:v}.4s, {acc3:v}.4s, {high:v}.8h",
            acc0 = inlateout(vreg) acc[0],
            acc1 = inlateout(vreg) acc[1],
            acc2 = inlateout(vreg) acc[2],
            acc3 = inlateout(vreg) acc[3],
            w0 = in(vreg) w[0],
            w1 = in(vreg) w[1],
            x0 = in(vreg) x[0],
            x1 = in(vreg) x[1],
            low = out(vreg) _,
            high = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let low = mul_add_low(mul_low(w[0], x[0]), w[1], x[1]);
        let high = mul_add_high(mul_high(w[0], x[0]), w[1], x[1]);
        *acc = [add_low(acc[0], low), add_high(acc[1], low), add_low(acc[2], high), add_high(acc[3], high)];
    }
}

/// One tap of sixteen channels, four a register (SMULL, SADDW).
#[inline(always)]
pub(super) fn multiply_tap(acc: &mut [I32x4; 4], w: I8x16, x: I8x16) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: instructions on registers that every AArch64 core has.
    unsafe {
        core::arch::asm!(
            "smull {low:v}.8h, {w:v}.8b, {x:v}.8b",
            "smull2 {high:v}.8h, {w:v}.16b, {x:v}.16b",
            "saddw {acc0:v}.4s, {acc0:v}.4s, {low:v}.4h",
            "saddw2 {acc1:v}.4s, {acc1:v}.4s, {low:v}.8h",
            "saddw {acc2:v}.4s, {acc2:v}.4s, {high:v}.4h",
            "saddw2 {acc3:v}.4s, {acc3:v}.4s, {high:v}.8h",
            acc0 = inlateout(vreg) acc[0],
            acc1 = inlateout(vreg) acc[1],
            acc2 = inlateout(vreg) acc[2],
            acc3 = inlateout(vreg) acc[3],
            w = in(vreg) w,
            x = in(vreg) x,
            low = out(vreg) _,
            high = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let (low, high) = (mul_low(w, x), mul_high(w, x));
        *acc = [add_low(acc[0], low), add_high(acc[1], low), add_low(acc[2], high), add_high(acc[3], high)];
    }
}

/// acc[i] + Σⱼ w[4·i + j] · x[4·LANE + j] for j in 0..4 (SDOT by element).
///
/// # Safety
/// The core has the dot-product instructions.
#[inline(always)]
pub(super) unsafe fn dot_lane<const LANE: usize>(acc: I32x4, w: I8x16, x: I8x16) -> I32x4 {
    #[cfg(target_arch = "aarch64")]
    {
        let mut acc = acc;
        // SAFETY: one instruction on registers, which the core has by the caller's promise.
        unsafe {
            core::arch::asm!(
                ".arch_extension dotprod",
                "sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
                acc = inlateout(vreg) acc,
                w = in(vreg) w,
                x = in(vreg) x,
                lane = const LANE,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        acc
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let word: [i8; 4] = core::array::from_fn(|j| x[4 * LANE + j]);
        dot_words(acc, w, core::array::from_fn(|i| word[i % 4]))
    }
}

/// acc[i] + Σⱼ w[4·i + j] · x[4·i + j] for j in 0..4 (SDOT).
///
/// # Safety
/// The core has the dot-product instructions.
#[inline(always)]
pub(super) unsafe fn dot(acc: I32x4, w: I8x16, x: I8x16) -> I32x4 {
    #[cfg(target_arch = "aarch64")]
    {
        let mut acc = acc;
        // SAFETY: one instruction on registers, which the core has by the caller's promise.
        unsafe {
            core::arch::asm!(
                ".arch_extension dotprod",
                "sdot {acc:v}.4s, {w:v}.16b, {x:v}.16b",
                acc = inlateout(vreg) acc,
                w = in(vreg) w,
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        acc
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        dot_words(acc, w, x)
    }
}

/// Four k blocks of a block of four rows, whose weights are the 64 bytes at `from`, times four words of each of four
/// pixels: `acc[pixel]` takes the four rows (SDOT by element). Returns the place behind the weights.
///
/// One block of assembly, since a compiled loop loads more weights at once than registers are left.
///
/// # Safety
/// `from` is valid for reads of 64 bytes; the core has the dot-product instructions.
#[inline(always)]
pub(super) unsafe fn dot_rows(acc: [&mut I32x4; 4], from: *const i8, x: &[I8x16; 4]) -> *const i8 {
    #[cfg(target_arch = "aarch64")]
    {
        let mut from = from;
        let [a, b, c, d] = acc;
        // SAFETY: loads that the caller promised are valid, and instructions that the core has by the same promise.
        unsafe {
            core::arch::asm!(
                ".arch_extension dotprod",
                "ldp {w0:q}, {w1:q}, [{from}], #32",
                "ldp {w2:q}, {w3:q}, [{from}], #32",
                "sdot {a:v}.4s, {w0:v}.16b, {x0:v}.4b[0]",
                "sdot {b:v}.4s, {w0:v}.16b, {x1:v}.4b[0]",
                "sdot {c:v}.4s, {w0:v}.16b, {x2:v}.4b[0]",
                "sdot {d:v}.4s, {w0:v}.16b, {x3:v}.4b[0]",
                "sdot {a:v}.4s, {w1:v}.16b, {x0:v}.4b[1]",
                "sdot {b:v}.4s, {w1:v}.16b, {x1:v}.4b[1]",
                "sdot {c:v}.4s, {w1:v}.16b, {x2:v}.4b[1]",
                "sdot {d:v}.4s, {w1:v}.16b, {x3:v}.4b[1]",
                "sdot {a:v}.4s, {w2:v}.16b, {x0:v}.4b[2]",
                "sdot {b:v}.4s, {w2:v}.16b, {x1:v}.4b[2]",
                "sdot {c:v}.4s, {w2:v}.16b, {x2:v}.4b[2]",
                "sdot {d:v}.4s, {w2:v}.16b, {x3:v}.4b[2]",
                "sdot {a:v}.4s, {w3:v}.16b, {x0:v}.4b[3]",
                "sdot {b:v}.4s, {w3:v}.16b, {x1:v}.4b[3]",
                "sdot {c:v}.4s, {w3:v}.16b, {x2:v}.4b[3]",
                "sdot {d:v}.4s, {w3:v}.16b, {x3:v}.4b[3]",
                from = inout(reg) from,
                a = inout(vreg) *a,
                b = inout(vreg) *b,
                c = inout(vreg) *c,
                d = inout(vreg) *d,
                x0 = in(vreg) x[0],
                x1 = in(vreg) x[1],
                x2 = in(vreg) x[2],
                x3 = in(vreg) x[3],
                w0 = out(vreg) _,
                w1 = out(vreg) _,
                w2 = out(vreg) _,
                w3 = out(vreg) _,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        from
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        for (acc, &x) in acc.into_iter().zip(x) {
            // SAFETY: the caller's promise.
            unsafe {
                *acc = dot_lane::<0>(*acc, load(from), x);
                *acc = dot_lane::<1>(*acc, load(from.add(16)), x);
                *acc = dot_lane::<2>(*acc, load(from.add(32)), x);
                *acc = dot_lane::<3>(*acc, load(from.add(48)), x);
            }
        }
        from.wrapping_add(64)
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn dot_words(acc: I32x4, w: I8x16, x: I8x16) -> I32x4 {
    let product = |i: usize| i32::from(w[i]) * i32::from(x[i]);
    core::array::from_fn(|i| (0..4).fold(acc[i], |sum, j| sum.wrapping_add(product(4 * i + j))))
}

/// `pointer`, of which the compiler knows only now, with `after`, what it is: what is loaded from there is not loaded
/// before.
#[inline(always)]
pub(super) fn only_after<T>(after: I32x4, pointer: *const T) -> *const T {
    #[cfg(target_arch = "aarch64")]
    {
        let mut pointer = pointer;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!(
                "/* {pointer} {after:v} */",
                pointer = inout(reg) pointer,
                after = in(vreg) after,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        pointer
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        let _ = after;
        pointer
    }
}

/// `number`, of which the compiler knows only here what it is: a loop computes places from it rather than move them all.
#[inline(always)]
pub(super) fn opaque(number: usize) -> usize {
    #[cfg(target_arch = "aarch64")]
    {
        let mut number = number;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
        }
        number
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        number
    }
}
