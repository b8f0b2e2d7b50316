//! Thumb instructions by what decides on their time (Arm DDI 0403E and DDI 0553B, "The T32 instruction set encoding").

/// Kinds of instructions that some core times differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Class {
    /// Data processing, hints, and everything that is not below.
    Simple,
    /// One byte, halfword or word.
    Load,
    Store,
    LoadDual,
    StoreDual,
    /// `LDM`, `POP`, `VLDM` of this many words.
    LoadMultiple(u32),
    /// `STM`, `PUSH`, `VSTM` of this many words.
    StoreMultiple(u32),
    /// `POP` or `LDM` of this many words, the program counter among them.
    Return(u32),
    /// `LDR` into the program counter.
    LoadBranch,
    /// `MUL`, and the multiplications of the DSP extension with 32-bit results.
    Multiply,
    /// `MLA` and `MLS`.
    MultiplyAccumulate,
    /// `SMULL` and `UMULL`.
    LongMultiply,
    /// `SMLAL`, `UMLAL` and the like.
    LongMultiplyAccumulate,
    Divide,
    /// `B`, `CBZ`.
    Branch,
    /// `BL`.
    Call,
    /// `BX`, and `MOV` or `ADD` into the program counter.
    IndirectBranch,
    /// `BLX`.
    IndirectCall,
    /// `TBB`, `TBH`.
    TableBranch,
    /// `MRS`, `MSR`.
    Special,
    /// `DMB`, `DSB`, `ISB`.
    Barrier,
    /// `VMOV` between two core registers and floating-point ones.
    FloatPair,
    FloatMultiplyAccumulate,
    FloatDivide,
}

impl Class {
    /// Whether it moves one byte, halfword or word between a register and memory.
    pub fn is_single_access(self) -> bool {
        matches!(self, Self::Load | Self::Store)
    }

    /// Whether it reads or writes memory.
    pub fn is_access(self) -> bool {
        use Class::*;
        matches!(self, Load | Store | LoadDual | StoreDual | LoadMultiple(_) | StoreMultiple(_))
    }

    /// Whether it can change the program counter.
    pub fn is_branch(self) -> bool {
        use Class::*;
        matches!(self, Return(_) | LoadBranch | Branch | Call | IndirectBranch | IndirectCall | TableBranch)
    }
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its kind.
    pub class: Class,
    /// A branch that depends on flags, a register or a count by itself, be it in an IT block or not.
    pub conditional: bool,
    /// Where a direct branch goes, relative to the instruction's own address.
    pub offset: Option<i64>,
    /// `IT`: how many of the next instructions depend on flags.
    pub it: u32,
}

impl From<Class> for Instruction {
    fn from(class: Class) -> Self {
        Self { class, conditional: false, offset: None, it: 0 }
    }
}

fn branch(class: Class, conditional: bool, offset: i64) -> Instruction {
    Instruction { conditional, offset: Some(offset), ..class.into() }
}

/// The bytes of the first instruction in `bytes`: at the end of a page the emulator's translator looks ahead, and hands
/// the next halfword out with a narrow instruction.
pub fn first(bytes: &[u8]) -> &[u8] {
    let wide = bytes.get(1).is_some_and(|high| high >> 3 >= 0b11101);
    bytes.get(..if wide { 4 } else { 2 }).unwrap_or(bytes)
}

/// The instruction in these bytes, 2 or 4 of them.
pub fn decode(bytes: &[u8]) -> Instruction {
    match *bytes {
        [a, b] => decode16(u16::from_le_bytes([a, b]).into()),
        [a, b, c, d] => decode32(u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into()),
        _ => Class::Simple.into(),
    }
}

/// The `bits` lowest bits of `value`, sign-extended.
fn signed(value: u32, bits: u32) -> i64 {
    i64::from((value << (32 - bits)) as i32 >> (32 - bits))
}

fn access(load: bool) -> Class {
    if load { Class::Load } else { Class::Store }
}

fn decode16(word: u32) -> Instruction {
    use Class::*;
    let bit = |n: u32| word >> n & 1 == 1;
    let registers = (word & 0xFF).count_ones();
    match word >> 11 {
        0b01000 => match word >> 8 & 7 {
            0..4 if word & 0x03C0 == 0x0340 => Multiply.into(),
            // ADD and MOV between any registers; the target's bit 3 is bit 7.
            4 | 6 if bit(7) && word & 7 == 7 => IndirectBranch.into(),
            7 if bit(7) => IndirectCall.into(),
            7 => IndirectBranch.into(),
            _ => Simple.into(),
        },
        0b01001 => Load.into(),
        // Register offsets: three stores, then five loads.
        0b01010 | 0b01011 => access(word >> 9 & 7 > 2).into(),
        0b01100..=0b10011 => access(bit(11)).into(),
        0b10110 | 0b10111 => match word >> 8 & 0xF {
            0b0001 | 0b0011 | 0b1001 | 0b1011 => {
                branch(Branch, true, 4 + i64::from((word >> 3 & 0x40) | (word >> 2 & 0x3E)))
            }
            0b0100 | 0b0101 => StoreMultiple(registers + u32::from(bit(8))).into(),
            0b1100 => LoadMultiple(registers).into(),
            0b1101 => Return(registers + 1).into(),
            0b1111 if word & 0xF != 0 => {
                Instruction { it: 4 - (word & 0xF).trailing_zeros(), ..Simple.into() }
            }
            _ => Simple.into(),
        },
        0b11000 => StoreMultiple(registers).into(),
        0b11001 => LoadMultiple(registers).into(),
        // The last two conditions are UDF and SVC.
        0b11010 | 0b11011 if word >> 8 & 0xF < 14 => branch(Branch, true, 4 + 2 * signed(word, 8)),
        0b11100 => branch(Branch, false, 4 + 2 * signed(word, 11)),
        _ => Simple.into(),
    }
}

fn decode32(first: u32, second: u32) -> Instruction {
    match first >> 11 & 3 {
        1 => memory_groups(first, second),
        2 if second & 0x8000 != 0 => branches(first, second),
        3 => loads_and_multiplications(first, second),
        _ => Class::Simple.into(),
    }
}

/// 0xE800 to 0xEFFF: several words, exclusives, table branches, shifted registers, coprocessors.
fn memory_groups(first: u32, second: u32) -> Instruction {
    use Class::*;
    let load = first & 0x10 != 0;
    match first & 0xFE40 {
        0xE800 => {
            let registers = second.count_ones();
            match (load, second & 0x8000 != 0) {
                (true, true) => Return(registers).into(),
                (true, false) => LoadMultiple(registers).into(),
                (false, _) => StoreMultiple(registers).into(),
            }
        }
        // Post-indexed, offset or pre-indexed doubles; with neither bit, exclusives and table branches.
        0xE840 if first & 0x0120 != 0 => if load { LoadDual } else { StoreDual }.into(),
        0xE840 if first & 0xFFF0 == 0xE8D0 && second & 0x00E0 == 0 => TableBranch.into(),
        0xE840 => access(load).into(),
        _ if first & 0xFC00 == 0xEC00 && second & 0x0E00 == 0x0A00 => float(first, second, load),
        _ => Simple.into(),
    }
}

/// Floating-point loads, stores, moves and arithmetic of Armv7E-M.
fn float(first: u32, second: u32, load: bool) -> Instruction {
    use Class::*;
    let double = second & 0x100 != 0;
    let class = match first & 0xFF20 {
        0xEC00 if first & 0xFFE0 == 0xEC40 => FloatPair,
        // Offset addressing without write-back: one register.
        0xED00 => match (load, double) {
            (true, false) => Load,
            (false, false) => Store,
            (true, true) => LoadDual,
            (false, true) => StoreDual,
        },
        0xEC00 | 0xEC20 | 0xED20 if load => LoadMultiple(second & 0xFF),
        0xEC00 | 0xEC20 | 0xED20 => StoreMultiple(second & 0xFF),
        0xEE00 | 0xEE20 if second & 0x10 == 0 => match (first >> 4 & 0xB, first & 0xF, second & 0xC0) {
            (0 | 1 | 9 | 10, ..) => FloatMultiplyAccumulate,
            (8, ..) | (11, 1, 0xC0) => FloatDivide,
            _ => Simple,
        },
        _ => Simple,
    };
    class.into()
}

/// 0xF000 to 0xF7FF with bit 15 of the second halfword: branches and system instructions.
fn branches(first: u32, second: u32) -> Instruction {
    use Class::*;
    let (s, j1, j2) = (first >> 10 & 1, second >> 13 & 1, second >> 11 & 1);
    let far = || {
        let (i1, i2) = (1 ^ j1 ^ s, 1 ^ j2 ^ s);
        let value = s << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1;
        4 + signed(value, 25)
    };
    match second & 0xD000 {
        0x9000 => branch(Branch, false, far()),
        0xD000 => branch(Call, false, far()),
        // Low-overhead loops: WLS and WLSTP skip forward, LE and LETP go back.
        0xC000 if first & 0xFF80 == 0xF000 && second & 1 == 1 => {
            let distance = i64::from((second & 0x7FE) << 1 | (second >> 11 & 1) << 1);
            let back = first & 0xF == 0xF;
            branch(Branch, true, if back { 4 - distance } else { 4 + distance })
        }
        0x8000 if first & 0x0380 != 0x0380 => {
            let value = s << 20 | j2 << 19 | j1 << 18 | (first & 0x3F) << 12 | (second & 0x7FF) << 1;
            branch(Branch, true, 4 + signed(value, 21))
        }
        0x8000 => match first & 0xFFF0 {
            0xF380 | 0xF390 | 0xF3E0 | 0xF3F0 => Special.into(),
            0xF3B0 => Barrier.into(),
            _ => Simple.into(),
        },
        _ => Simple.into(),
    }
}

/// 0xF800 to 0xFFFF: single loads and stores, registers, multiplications.
fn loads_and_multiplications(first: u32, second: u32) -> Instruction {
    use Class::*;
    let high = second >> 12;
    let class = match first & 0xFF80 {
        0xF800 | 0xF880 if first & 0x10 == 0 => Store,
        0xF800 | 0xF880 | 0xF900 | 0xF980 if first & 0x10 != 0 => match (first & 0x60, high) {
            (0x40, 15) => LoadBranch,
            // Hints that prefetch.
            (_, 15) => Simple,
            _ => Load,
        },
        0xFB00 => match (first >> 4 & 7, second >> 4 & 0xF, high) {
            (0, 0, 15) => Multiply,
            (0, 0 | 1, _) => MultiplyAccumulate,
            _ => Multiply,
        },
        0xFB80 => match first >> 4 & 7 {
            1 | 3 => Divide,
            0 | 2 => LongMultiply,
            _ => LongMultiplyAccumulate,
        },
        _ => Simple,
    };
    class.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(halfwords: &[u16]) -> Class {
        of(halfwords).class
    }

    fn of(halfwords: &[u16]) -> Instruction {
        let bytes: Vec<u8> = halfwords.iter().flat_map(|word| word.to_le_bytes()).collect();
        decode(&bytes)
    }

    /// Encodings as GNU's assembler writes them.
    #[test]
    fn narrow_instructions() {
        use Class::*;
        for (word, expected) in [
            (0x1888, Simple),           // adds r0, r1, r2
            (0x0048, Simple),           // lsls r0, r1, #1
            (0x4348, Multiply),         // muls r0, r1
            (0x4308, Simple),           // orrs r0, r1
            (0x4288, Simple),           // cmp r0, r1
            (0x4488, Simple),           // add r8, r1
            (0x4687, IndirectBranch),   // mov pc, r0
            (0x4487, IndirectBranch),   // add pc, r0
            (0x4680, Simple),           // mov r8, r0
            (0x4770, IndirectBranch),   // bx lr
            (0x4780, IndirectCall),     // blx r0
            (0x4801, Load),             // ldr r0, [pc, #4]
            (0x5088, Store),            // str r0, [r1, r2]
            (0x5488, Store),            // strb r0, [r1, r2]
            (0x5688, Load),             // ldrsb r0, [r1, r2]
            (0x5E88, Load),             // ldrsh r0, [r1, r2]
            (0x6008, Store),            // str r0, [r1]
            (0x6808, Load),             // ldr r0, [r1]
            (0x7008, Store),            // strb r0, [r1]
            (0x7808, Load),             // ldrb r0, [r1]
            (0x8008, Store),            // strh r0, [r1]
            (0x8808, Load),             // ldrh r0, [r1]
            (0x9001, Store),            // str r0, [sp, #4]
            (0x9801, Load),             // ldr r0, [sp, #4]
            (0xA801, Simple),           // add r0, sp, #4
            (0xB082, Simple),           // sub sp, #8
            (0xB530, StoreMultiple(3)), // push {r4, r5, lr}
            (0xBC30, LoadMultiple(2)),  // pop {r4, r5}
            (0xBD30, Return(3)),        // pop {r4, r5, pc}
            (0xC007, StoreMultiple(3)), // stmia r0!, {r0, r1, r2}
            (0xC80E, LoadMultiple(3)),  // ldmia r0!, {r1, r2, r3}
            (0xBF00, Simple),           // nop
            (0xBEAB, Simple),           // bkpt 0xab
            (0xDF00, Simple),           // svc 0
            (0xB2C8, Simple),           // uxtb r0, r1
        ] {
            assert_eq!(class(&[word]), expected, "{word:#06x}");
        }
    }

    #[test]
    fn wide_instructions() {
        use Class::*;
        for (words, expected) in [
            ([0xEB01, 0x0002], Simple),                  // add.w r0, r1, r2
            ([0xF101, 0x0001], Simple),                  // add.w r0, r1, #1
            ([0xF8D1, 0x0000], Load),                    // ldr.w r0, [r1]
            ([0xF851, 0x0B04], Load),                    // ldr r0, [r1], #4
            ([0xF991, 0x0000], Load),                    // ldrsb.w r0, [r1]
            ([0xF8B1, 0x0000], Load),                    // ldrh.w r0, [r1]
            ([0xF8C1, 0x0000], Store),                   // str.w r0, [r1]
            ([0xF801, 0x0B01], Store),                   // strb r0, [r1], #1
            ([0xF85D, 0xFB04], LoadBranch),              // ldr pc, [sp], #4
            ([0xF891, 0xF000], Simple),                  // pld [r1]
            ([0xE9D1, 0x0200], LoadDual),                // ldrd r0, r2, [r1]
            ([0xE8F1, 0x0202], LoadDual),                // ldrd r0, r2, [r1], #8
            ([0xE9C1, 0x0200], StoreDual),               // strd r0, r2, [r1]
            ([0xE8B1, 0x03FC], LoadMultiple(8)),         // ldmia r1!, {r2-r9}
            ([0xE8A1, 0x03FC], StoreMultiple(8)),        // stmia r1!, {r2-r9}
            ([0xE92D, 0x4FF0], StoreMultiple(9)),        // push {r4-r11, lr}
            ([0xE8BD, 0x8FF0], Return(9)),               // pop {r4-r11, pc}
            ([0xE8D0, 0xF001], TableBranch),             // tbb [r0, r1]
            ([0xE8D0, 0xF011], TableBranch),             // tbh [r0, r1, lsl #1]
            ([0xE851, 0x0F00], Load),                    // ldrex r0, [r1]
            ([0xE841, 0x2000], Store),                   // strex r0, r2, [r1]
            ([0xFB01, 0xF002], Multiply),                // mul r0, r1, r2
            ([0xFB01, 0x3002], MultiplyAccumulate),      // mla r0, r1, r2, r3
            ([0xFB01, 0x3012], MultiplyAccumulate),      // mls r0, r1, r2, r3
            ([0xFB21, 0x3002], Multiply),                // smlad r0, r1, r2, r3
            ([0xFB51, 0x3002], Multiply),                // smmla r0, r1, r2, r3
            ([0xFB11, 0xF002], Multiply),                // smulbb r0, r1, r2
            ([0xFB82, 0x0103], LongMultiply),            // smull r0, r1, r2, r3
            ([0xFBA2, 0x0103], LongMultiply),            // umull r0, r1, r2, r3
            ([0xFBC2, 0x0103], LongMultiplyAccumulate),  // smlal r0, r1, r2, r3
            ([0xFBE2, 0x0103], LongMultiplyAccumulate),  // umlal r0, r1, r2, r3
            ([0xFB91, 0xF0F2], Divide),                  // sdiv r0, r1, r2
            ([0xFBB1, 0xF0F2], Divide),                  // udiv r0, r1, r2
            ([0xFA2F, 0xF081], Simple),                  // sxtb16 r0, r1
            ([0xF301, 0x0007], Simple),                  // ssat r0, #8, r1
            ([0xF3EF, 0x8010], Special),                 // mrs r0, primask
            ([0xF3BF, 0x8F5F], Barrier),                 // dmb
            ([0xED90, 0x0A00], Load),                    // vldr s0, [r0]
            ([0xED80, 0x0A00], Store),                   // vstr s0, [r0]
            ([0xECB0, 0x0A04], LoadMultiple(4)),         // vldmia r0!, {s0-s3}
            ([0xED2D, 0x8B04], StoreMultiple(4)),        // vpush {d8-d9}
            ([0xEC51, 0x0A10], FloatPair),               // vmov r0, r1, s0, s1
            ([0xEE10, 0x0A10], Simple),                  // vmov r0, s0
            ([0xEE20, 0x0A81], Simple),                  // vmul.f32 s0, s1, s2
            ([0xEE00, 0x0A81], FloatMultiplyAccumulate), // vmla.f32 s0, s1, s2
            ([0xEEA0, 0x0A81], FloatMultiplyAccumulate), // vfma.f32 s0, s1, s2
            ([0xEE80, 0x0A81], FloatDivide),             // vdiv.f32 s0, s1, s2
            ([0xEEB1, 0x0AE0], FloatDivide),             // vsqrt.f32 s0, s1
        ] {
            assert_eq!(class(&words), expected, "{:#06x} {:#06x}", words[0], words[1]);
        }
    }

    #[test]
    fn a_halfword_that_was_looked_ahead_at_is_left_out() {
        assert_eq!(first(&[0x0F, 0xC4, 0x0D, 0xF0]), [0x0F, 0xC4]); // stmia, and the first half of bl
        assert_eq!(first(&[0x0D, 0xF0, 0x6F, 0xF9]).len(), 4);
        assert_eq!(first(&[0x00, 0xBF]), [0x00, 0xBF]);
    }

    #[test]
    fn branches_know_their_targets() {
        use Class::*;
        let direct =
            |class, conditional, offset| Instruction { class, conditional, offset: Some(offset), it: 0 };
        for (words, expected) in [
            (&[0xE7FE][..], direct(Branch, false, 0)),         // b .
            (&[0xE001], direct(Branch, false, 6)),             // b .+6
            (&[0xD1FD], direct(Branch, true, -2)),             // bne .-2
            (&[0xB108], direct(Branch, true, 6)),              // cbz r0, .+6
            (&[0xBBF8], direct(Branch, true, 0x82)),           // cbnz r0, .+130
            (&[0xF7FF, 0xFFFE], direct(Call, false, 0)),       // bl .
            (&[0xF000, 0xF800], direct(Call, false, 4)),       // bl .+4
            (&[0xF000, 0xB87E], direct(Branch, false, 0x100)), // b.w .+256
            (&[0xF47F, 0xAFFE], direct(Branch, true, 0)),      // bne.w .
            (&[0xF00F, 0xC005], direct(Branch, true, -4)),     // le lr, .-4
            (&[0xF01F, 0xC807], direct(Branch, true, -10)),    // letp lr, .-10
            (&[0xF041, 0xC003], direct(Branch, true, 8)),      // wls lr, r1, .+8
        ] {
            assert_eq!(of(words), expected, "{words:#06x?}");
        }
        assert_eq!((of(&[0xBF08]).it, of(&[0xBF0C]).it, of(&[0xBF01]).it), (1, 2, 4)); // it, ite, itttt
    }
}
