//! Just enough of the Arm instruction sets to say which instructions multiply in pairs and which compute in floating
//! point. Encodings are those of the Armv7-M, Armv8-M and Armv8-A Architecture Reference Manuals.

/// A 32-bit T32 instruction, the first halfword on top; 16-bit ones stand in the top half, above zeros.
pub type Word = u32;

/// Instructions of T32 code with their offsets.
pub fn thumb(code: &[u8]) -> impl Iterator<Item = (usize, Word)> {
    let half = |at: usize| code.get(at..at + 2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 8);
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let first = half(start)?;
        // 0b11101, 0b11110 and 0b11111 begin an instruction of two halfwords.
        let wide = first >> 11 >= 0b11101;
        at += if wide { 4 } else { 2 };
        Some((start, first << 16 | if wide { half(start + 2)? } else { 0 }))
    })
}

/// Instructions of A64 code with their offsets.
pub fn a64(code: &[u8]) -> impl Iterator<Item = (usize, Word)> {
    code.chunks_exact(4).enumerate().map(|(i, word)| (4 * i, u32::from_le_bytes(word.try_into().unwrap())))
}

/// SMLAD: two 16-bit products onto an accumulator. Without an accumulator (Ra = 15) it is SMUAD.
pub fn is_smlad(word: Word) -> bool {
    word & 0xfff0_00f0 == 0xfb20_0000 && word >> 12 & 15 != 15
}

/// VMLADAV and VMLADAVA of 8-bit elements, signed: sixteen products onto an accumulator.
pub fn is_vmladav_s8(word: Word) -> bool {
    word & 0xfff1_1fd1 == 0xeef0_0f00
}

/// SDOT: four 8-bit products onto each lane, with a vector or with one element of it.
pub fn is_sdot(word: Word) -> bool {
    word & 0xbfe0_fc00 == 0x0e80_9400 || word & 0xbfc0_f400 == 0x0f80_e000
}

/// Floating-point instructions of Armv8.1-M's vector extension, as mask and value.
const MVE: [(Word, Word); 31] = [
    (0xffc1_1ff1, 0xef00_0d40), // VADD, VSUB
    (0xeff1_0ff0, 0xee30_0f40), // VADD, VSUB by scalar
    (0xffe1_1df1, 0xff00_0d50), // VMUL, VMAXNM
    (0xffe1_1ff1, 0xff20_0f50), // VMINNM
    (0xeff1_1fd0, 0xee31_0e40), // VMUL, VFMA by scalar
    (0xeff1_1ff0, 0xee31_1e40), // VFMAS by scalar
    (0xffe1_1ff1, 0xff20_0d40), // VABD
    (0xffc1_1ff1, 0xef00_0c50), // VFMA, VFMS
    (0xefff_0ff1, 0xee3f_0e81), // VMAXNMA, VMINNMA
    (0xeffd_0f71, 0xeeec_0f00), // VMAXNMV, VMINNMV, VMAXNMAV, VMINNMAV
    (0xfffd_1f71, 0xffb5_0740), // VABS, VNEG, VCVT to integers, 16 bits
    (0xfffd_1f71, 0xffb9_0740), // the same, 32 bits
    (0xffff_1e71, 0xffb6_0440), // VRINTN, VRINTX, VRINTA, VRINTZ, 16 bits
    (0xffff_1e71, 0xffba_0440), // the same, 32 bits
    (0xffff_1ef1, 0xffb6_06c0), // VRINTM, VRINTP, 16 bits
    (0xffff_1ef1, 0xffba_06c0), // the same, 32 bits
    (0xffff_1b71, 0xffb7_0240), // VCVT from integers, VCVTP, 16 bits
    (0xffff_1b71, 0xffbb_0240), // the same, 32 bits
    (0xeff0_1ef1, 0xefb0_0c50), // VCVT with fractional bits, 16 bits
    (0xefe0_1ef1, 0xefa0_0e50), // the same, 32 bits
    (0xffff_1e71, 0xffb7_0040), // VCVTA, VCVTN, 16 bits
    (0xffff_1e71, 0xffbb_0040), // the same, 32 bits
    (0xffff_1f71, 0xffb7_0340), // VCVTM, 16 bits
    (0xffff_1f71, 0xffbb_0340), // the same, 32 bits
    (0xefff_0ff1, 0xee3f_0e01), // VCVTB, VCVTT
    (0xefb1_0f71, 0xee31_0f00), // VCMP, VPT
    (0xefb1_1f71, 0xee31_1f01), // the same, the other conditions; without bit 12 it is VPSEL
    (0xefb1_0f50, 0xee31_0f40), // VCMP, VPT with scalar
    (0xfee1_1ff1, 0xfc80_0840), // VCADD
    (0xfe61_1ff1, 0xfc20_0840), // VCMLA
    (0xeff1_0ff0, 0xee30_0e00), // VCMUL
];

/// Whether a T32 instruction computes in floating point: coprocessors 9 to 11, and the vector extension. Moves between
/// registers, loads, stores and constants do not.
pub fn thumb_is_float(word: Word) -> bool {
    let scalar = word & 0xef00_0010 == 0xee00_0000 && matches!(word >> 8 & 15, 9..=11);
    // VMOV of an immediate, VMOV of a register.
    let moves = word & 0xffb0_0cf0 == 0xeeb0_0800 || word & 0xffbf_0ed0 == 0xeeb0_0a40;
    // A comparison with the stack pointer is none: VPST and VPNOT, of predicates alone.
    let predicates = word & 0xefb1_0f5f == 0xee31_0f4d;
    (scalar && !moves) || !predicates && MVE.iter().any(|&(mask, value)| word & mask == value)
}

/// Whether an A64 instruction computes in floating point, scalar or in vectors. Moves, loads, stores and constants do
/// not. Scalable vectors are not looked at: no image is built for them.
pub fn a64_is_float(word: Word) -> bool {
    // Scalar: conversions, one to three operands, comparisons, selections.
    if word & 0x7f00_0000 == 0x1e00_0000 {
        let to_or_from_general = word & 0x7f26_fc00 == 0x1e26_0000 && word & 0x0010_0000 == 0;
        let of_register = word & 0x7f3f_fc00 == 0x1e20_4000;
        let of_constant = word & 0x7f20_1fe0 == 0x1e20_1000;
        return !(to_or_from_general || of_register || of_constant);
    }
    if word & 0x7f00_0000 == 0x1f00_0000 {
        return true;
    }
    // Vectors; their forms for one element have bits 30 and 28 set.
    let vector = match word >> 28 & 0b1101 {
        0b0101 => word & !(1 << 28),
        0b0000 | 0b0100 => word,
        _ => return false,
    };
    let is = |mask: Word, value: Word| vector & (mask | 0x8000_0000) == value;
    let unsigned = vector >> 29 & 1 == 1;
    let size = vector >> 22 & 3;
    let opcode = vector >> 11 & 31;
    if is(0x1f20_0400, 0x0e20_0400) {
        return opcode >= 0b11000; // three of a kind
    }
    if is(0x1f60_c400, 0x0e40_0400) {
        return true; // three of a kind, 16 bits
    }
    if is(0x1f20_8400, 0x0e00_8400) {
        return opcode & 15 >= 8; // three, the additions of later versions: complex numbers and bfloat16
    }
    let opcode = vector >> 12 & 31;
    if is(0x1f3e_0c00, 0x0e20_0800) {
        return opcode >= 0b10110 || matches!(opcode, 0b01100..=0b01111); // two registers
    }
    if is(0x1f7e_0c00, 0x0e78_0800) {
        return true; // two registers, 16 bits
    }
    if is(0x1f3e_0c00, 0x0e30_0800) {
        return matches!(opcode, 0b01100..=0b01111); // across lanes, and pairs of one register
    }
    if is(0x1f00_0400, 0x0f00_0000) {
        // With one element of a vector.
        return match vector >> 12 & 15 {
            1 | 5 | 9 => true,
            3 | 7 | 8 | 12 if unsigned => true,
            0 | 4 if !unsigned => true,
            15 if !unsigned => size & 1 == 1,
            _ => false,
        };
    }
    // Shifts by a constant; with bits 22 to 19 zero, vectors of constants.
    is(0x1f80_0400, 0x0f00_0400) && vector & 0x0078_0000 != 0 && vector >> 11 & 31 >= 0b11100
}
