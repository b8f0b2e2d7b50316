//! Single instructions, each with a portable model.
//!
//! On Arm every function is the one instruction that it is named after; elsewhere it is plain Rust with the same
//! result on every input. The accumulating ones wrap (the sticky Q flag that they may set is read by no one).

/// Front of every template: makes the assembler accept the DSP extension where the target leaves it open.
#[cfg(all(target_arch = "arm", dsp_unknown_to_assembler))]
macro_rules! dsp_core {
    () => {
        ".cpu cortex-m33\n"
    };
}

/// Front of every template: nothing, where the target has the DSP extension.
#[cfg(all(target_arch = "arm", not(dsp_unknown_to_assembler)))]
macro_rules! dsp_core {
    () => {
        ""
    };
}

#[cfg(target_arch = "arm")]
pub(crate) use dsp_core;

/// Defines one instruction: its model, and the instruction on Arm.
macro_rules! instruction {
    ($(#[$doc:meta])* fn $name:ident($($operand:ident: $type:ty),+) -> $out:ty = $assembly:literal, $model:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name($($operand: $type),+) -> $out {
            #[cfg(target_arch = "arm")]
            {
                let out: $out;
                // SAFETY: one data-processing instruction that the build's core has (`kernels_dsp`): it reads the
                // operands and writes `out`, and touches neither memory nor stack nor condition flags.
                unsafe {
                    core::arch::asm!(
                        concat!($crate::kernels::dsp::lanes::dsp_core!(), $assembly),
                        out = lateout(reg) out,
                        $($operand = in(reg) $operand,)+
                        options(nomem, nostack, preserves_flags)
                    );
                }
                out
            }
            #[cfg(not(target_arch = "arm"))]
            {
                $model
            }
        }
    };
}

/// Halfword 0 of a word.
#[cfg(not(target_arch = "arm"))]
fn low(word: u32) -> i32 {
    i32::from(word as i16)
}

/// Halfword 1 of a word.
#[cfg(not(target_arch = "arm"))]
fn high(word: u32) -> i32 {
    i32::from((word >> 16) as i16)
}

instruction! {
    /// Bytes 0 and 2, sign-extended to halfwords.
    fn sxtb16(x: u32) -> u32 = "sxtb16 {out}, {x}", {
        let extend = |byte: u32| u32::from(i16::from(byte as u8 as i8) as u16);
        extend(x) | extend(x >> 16) << 16
    }
}

instruction! {
    /// Bytes 1 and 3, sign-extended to halfwords.
    fn sxtb16_ror8(x: u32) -> u32 = "sxtb16 {out}, {x}, ror #8", sxtb16(x.rotate_right(8))
}

instruction! {
    /// acc + a₀·b₀ + a₁·b₁ of the halfwords.
    fn smlad(a: u32, b: u32, acc: i32) -> i32 = "smlad {out}, {a}, {b}, {acc}",
    acc.wrapping_add((low(a) * low(b)).wrapping_add(high(a) * high(b)))
}

instruction! {
    /// Halfword 0 of a, and halfword 0 of b above it.
    fn pkhbt(a: u32, b: u32) -> u32 = "pkhbt {out}, {a}, {b}, lsl #16", a & 0xffff | b << 16
}

instruction! {
    /// Halfword 1 of b, and halfword 1 of a above it.
    fn pkhtb(a: u32, b: u32) -> u32 = "pkhtb {out}, {a}, {b}, asr #16", a & 0xffff_0000 | b >> 16
}

instruction! {
    #[cfg(not(target_arch = "arm"))]
    /// acc + (a · b) >> 32 of the 64-bit product.
    fn smmla(a: i32, b: i32, acc: i32) -> i32 = "smmla {out}, {a}, {b}, {acc}",
    acc.wrapping_add(((i64::from(a) * i64::from(b)) >> 32) as i32)
}

instruction! {
    #[cfg(not(target_arch = "arm"))]
    /// Clamps to −128..=127.
    fn ssat8(x: i32) -> i32 = "ssat {out}, #8, {x}", x.clamp(-128, 127)
}

instruction! {
    #[cfg(not(target_arch = "arm"))]
    /// x >> n, rounding down, for n in 0..=31. The operator's own shift masks n first.
    fn asr(x: i32, n: u32) -> i32 = "asr {out}, {x}, {n}", x >> (n & 31)
}

/// acc + a₀·b₀ + a₁·b₁ of the halfwords, in 64 bits.
#[inline(always)]
pub(crate) fn smlald(a: u32, b: u32, acc: i64) -> i64 {
    #[cfg(target_arch = "arm")]
    {
        let (mut low, mut high) = (acc as u32, (acc >> 32) as u32);
        // SAFETY: one data-processing instruction that the build's core has (`kernels_dsp`): it reads and writes the
        // operands, and touches neither memory nor stack nor condition flags.
        unsafe {
            core::arch::asm!(
                concat!(dsp_core!(), "smlald {low}, {high}, {a}, {b}"),
                low = inout(reg) low,
                high = inout(reg) high,
                a = in(reg) a,
                b = in(reg) b,
                options(nomem, nostack, preserves_flags)
            );
        }
        (u64::from(high) << 32 | u64::from(low)) as i64
    }
    #[cfg(not(target_arch = "arm"))]
    {
        let products = i64::from(low(a) * low(b)) + i64::from(high(a) * high(b));
        acc.wrapping_add(products)
    }
}

/// The four bytes at `from`, at any address: `LDR` takes unaligned ones on every core with the DSP extension.
///
/// # Safety
/// `from` is valid for reads of 4 bytes.
#[inline(always)]
pub(crate) unsafe fn load(from: *const i8) -> u32 {
    // SAFETY: valid for the read by the caller's promise; `read_unaligned` asks for no alignment.
    unsafe { from.cast::<u32>().read_unaligned() }
}

/// Copies `len` bytes, four at a time; the last four overlap those before where `len` is no multiple of four.
///
/// Runs are a few words long, for which the call of `memcpy` costs more than the copy.
///
/// # Safety
/// `from` is valid for reads and `to` for writes of `len` bytes; they do not overlap.
#[inline(never)]
pub(crate) unsafe fn copy(mut from: *const i8, mut to: *mut i8, len: usize) {
    if len < 4 {
        for i in 0..len {
            // SAFETY: i < len.
            unsafe { *to.add(i) = opaque(*from.add(i) as u32) as i8 };
        }
        return;
    }
    // SAFETY: len >= 4.
    let (last, last_to) = unsafe { (from.add(len - 4), to.add(len - 4)) };
    // SAFETY: four bytes are left before `last`, and at it.
    unsafe {
        while from < last {
            to.cast::<u32>().write_unaligned(opaque(load(from)));
            (from, to) = (from.add(4), to.add(4));
        }
        last_to.cast::<u32>().write_unaligned(load(last));
    }
}

/// `x`, which the compiler cannot recognize as such: else it turns a loop of copies into a call.
#[inline(always)]
fn opaque(x: u32) -> u32 {
    #[cfg(target_arch = "arm")]
    {
        let out;
        // SAFETY: no instruction at all; the operand's register becomes the result's.
        unsafe {
            core::arch::asm!("/* {0} */", inlateout(reg) x => out, options(pure, nomem, nostack, preserves_flags));
        }
        out
    }
    #[cfg(not(target_arch = "arm"))]
    {
        x
    }
}
