//! Short sequences of known cost between two marks, against which the counter and its timing are checked.
//!
//! What each costs on each core is derived in `xtask/src/emulator/counter_tests.rs`.

use core::arch::naked_asm;

use crate::mark::still8_mark;

/// Runs between two marks; reads and writes the four words at its argument.
pub type Sequence = unsafe extern "C" fn(*mut u32);

/// One naked function for each sequence, and the table of them. In a sequence `r4` points to the scratch words, and
/// `r0` to `r3` are free.
macro_rules! sequences {
    ($($(#[$cfg:meta])? $name:ident: $($line:literal),+;)+) => {
        mod code {
            use super::*;

            $($(#[$cfg])?
            #[unsafe(naked)]
            pub unsafe extern "C" fn $name(_scratch: *mut u32) {
                naked_asm!(
                    "push {{r4, r5, r6, lr}}",
                    "mov r4, r0",
                    "bl {mark}",
                    $($line,)+
                    "bl {mark}",
                    "pop {{r4, r5, r6, pc}}",
                    mark = sym still8_mark,
                )
            })+
        }

        const ALL: &[(&str, Sequence)] = &[$($(#[$cfg])? (stringify!($name), code::$name)),+];
    };
}

sequences! {
    empty: "";
    data_processing: "movs r0, #1", "adds r1, r0, #1", "lsls r1, r1, #3", "uxtb r1, r1";
    loads: "ldr r0, [r4]", "ldr r1, [r4, #4]", "ldrb r2, [r4, #8]", "ldrh r3, [r4, #12]";
    loads_apart: "ldr r0, [r4]", "adds r0, #1", "ldr r1, [r4, #4]", "adds r1, #1";
    stores_and_loads: "str r0, [r4]", "ldr r1, [r4]", "str r1, [r4, #4]";
    multiples: "ldmia r4!, {{r0, r1, r2, r3}}", "subs r4, #16", "stmia r4!, {{r0, r1, r2, r3}}";
    stack: "push {{r0, r1, r2}}", "pop {{r0, r1, r2}}";
    multiply: "movs r0, #3", "muls r0, r0", "muls r0, r0";
    branch: "b 2f", "nop", "2:";
    branch_not_taken: "movs r0, #1", "cmp r0, #1", "bne 2f", "nop", "2:";
    branch_taken: "movs r0, #1", "cmp r0, #1", "beq 2f", "nop", "2:";
    counted_loop: "movs r0, #100", "lsls r0, r0, #8", "2:", "subs r0, #1", "bne 2b";
    call: "bl 3f", "b 2f", "3:", "bx lr", "2:";
    return_by_pop: "bl 3f", "b 2f", "3:", "push {{r4, lr}}", "pop {{r4, pc}}", "2:";
    #[cfg(mainline)]
    accumulate: "movs r0, #3", "mla r1, r0, r0, r0", "mls r1, r0, r0, r1";
    #[cfg(mainline)]
    long_multiply: "movs r0, #3", "umull r1, r2, r0, r0", "smlal r1, r2, r0, r0";
    #[cfg(mainline)]
    divide: "movs r0, #100", "movs r1, #7", "udiv r2, r0, r1";
    #[cfg(mainline)]
    doubles: "ldrd r0, r1, [r4]", "strd r0, r1, [r4, #8]";
    #[cfg(mainline)]
    compare_and_branch: "movs r0, #0", "cbz r0, 2f", "nop", "2:", "cbnz r0, 3f", "nop", "3:";
    #[cfg(mainline)]
    if_then: "movs r0, #1", "cmp r0, #1", "it eq", "moveq r1, #0";
    #[cfg(mainline)]
    table_branch: "movs r0, #0", "tbb [pc, r0]", "3:", ".byte (2f - 3b) / 2", ".byte 0", "2:";
    #[cfg(dsp)]
    dual_multiply: "movs r0, #3", "smlad r1, r0, r0, r0", "smmla r1, r0, r0, r1", "sxtb16 r1, r1";
}

/// Runs every sequence; `before` is told the name of each.
///
/// # Errors
/// Those of `before`.
pub fn run<E>(mut before: impl FnMut(usize, &str) -> Result<(), E>) -> Result<(), E> {
    for (index, (name, sequence)) in ALL.iter().enumerate() {
        before(index, name)?;
        let mut scratch = [1; 4];
        // SAFETY: the sequence touches these four words alone, keeps the registers that a function keeps, and brings
        // the stack pointer back.
        unsafe { sequence(scratch.as_mut_ptr()) };
    }
    Ok(())
}
