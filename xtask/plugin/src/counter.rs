//! Blocks of translated code, and the sums over the blocks that run.
//!
//! A block runs from its first instruction to its last, so that its instructions and cycles are known when it is
//! translated and are added when it is entered. Two things are known only when the next block is entered: whether the
//! branch at the end was taken, and whether the block ended early. The emulator leaves a block behind a load or store
//! that turns out to reach a device, and goes on with a block for what is left.

use crate::thumb::{self, Instruction};
use crate::timing::Timing;

/// Translated code, entered at its start.
#[derive(Clone, Debug)]
pub struct Block {
    start: u64,
    /// Where its last instruction ends.
    end: u64,
    instructions: u64,
    /// Of all instructions, a branch that depends on something not taken.
    cycles: u64,
    /// Cycles that the first instruction saves where a single load or store stands straight before it.
    saved_behind_access: u64,
    ends_with_single_access: bool,
    leaves: Leaves,
    /// Where it may end early.
    exits: Box<[Exit]>,
    is_mark: bool,
}

/// How the last instruction leaves the block.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    /// It is no branch.
    Falls,
    /// A branch; what it costs more where it is taken.
    Branches { target: Option<u64>, extra: u64 },
}

/// A place behind an access, with what the block does before it.
#[derive(Clone, Copy, Debug)]
struct Exit {
    address: u64,
    instructions: u64,
    cycles: u64,
}

impl Block {
    /// The block of these instructions, each at its address. Without `timing` it has no cycles.
    pub fn new<'c>(
        timing: Option<Timing>,
        mark: u64,
        code: impl IntoIterator<Item = (u64, &'c [u8])>,
    ) -> Self {
        let mut block = Self {
            start: 0,
            end: 0,
            instructions: 0,
            cycles: 0,
            saved_behind_access: 0,
            ends_with_single_access: false,
            leaves: Leaves::Falls,
            exits: Box::default(),
            is_mark: false,
        };
        let mut exits = Vec::new();
        // Instructions of an IT block that are still to come.
        let mut it = 0u32;
        let mut behind_access = false;
        for (address, bytes) in code {
            if block.instructions == 0 {
                block.start = address;
                block.is_mark = address == mark;
            }
            if behind_access {
                exits.push(Exit { address, instructions: block.instructions, cycles: block.cycles });
            }
            let bytes = thumb::first(bytes);
            let instruction = thumb::decode(bytes);
            block.add(
                timing,
                address,
                &Instruction { conditional: instruction.conditional || it > 0, ..instruction },
            );
            it = it.saturating_sub(1).max(instruction.it);
            behind_access = instruction.class.is_access();
            block.end = address + bytes.len() as u64;
        }
        block.exits = exits.into();
        block
    }

    /// A block of which only the number of instructions is known, and where it starts.
    pub fn counted(mark: u64, start: u64, instructions: u64) -> Self {
        let empty = Self::new(None, mark, []);
        Self { start, instructions, is_mark: start == mark, ..empty }
    }

    fn add(&mut self, timing: Option<Timing>, address: u64, instruction: &Instruction) {
        let class = instruction.class;
        let cycles = timing.map_or(0, |timing| timing.cycles(class));
        let saved = timing.map_or(0, |timing| timing.saved_behind_access(class));
        if self.instructions == 0 {
            self.saved_behind_access = saved;
        } else if self.ends_with_single_access {
            self.cycles -= saved;
        }
        // Cycles of a conditional branch that is not taken.
        let least = u64::from(timing.is_some());
        let extra = if class.is_branch() && instruction.conditional { cycles - least } else { 0 };
        self.leaves = match class.is_branch() {
            false => Leaves::Falls,
            true => Leaves::Branches {
                target: instruction.offset.map(|offset| address.wrapping_add_signed(offset)),
                extra,
            },
        };
        self.cycles += cycles - extra;
        self.instructions += 1;
        self.ends_with_single_access = class.is_single_access();
    }
}

/// Instructions and cycles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Executed instructions.
    pub instructions: u64,
    /// Estimated cycles; 0 for a core without timing.
    pub cycles: u64,
}

/// What ran so far.
#[derive(Debug, Default)]
pub struct Counter<'b> {
    count: Count,
    previous: Option<&'b Block>,
    marks: Vec<Count>,
}

impl<'b> Counter<'b> {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self { count: Count { instructions: 0, cycles: 0 }, previous: None, marks: Vec::new() }
    }

    /// Counts a block that is about to run.
    pub fn enter(&mut self, block: &'b Block) {
        if let Some(previous) = self.previous {
            if block.start != previous.end {
                self.settle(previous, block.start);
            } else if previous.ends_with_single_access {
                self.count.cycles -= block.saved_behind_access;
            }
        }
        if block.is_mark {
            self.marks.push(self.count);
        }
        self.count.instructions += block.instructions;
        self.count.cycles += block.cycles;
        self.previous = Some(block);
    }

    /// Corrects the count for a block behind which execution does not go on, but at `next`.
    fn settle(&mut self, block: &Block, next: u64) {
        match block.leaves {
            Leaves::Branches { target, extra } if target.is_none_or(|target| target == next) => {
                self.count.cycles += extra;
            }
            // It ended early; or an exception came, which costs nothing here.
            _ => {
                if let Some(exit) = block.exits.iter().find(|exit| exit.address == next) {
                    self.count.instructions -= block.instructions - exit.instructions;
                    self.count.cycles -= block.cycles - exit.cycles;
                }
            }
        }
    }

    /// The counts at every time that the mark was reached.
    pub fn marks(&self) -> &[Count] {
        &self.marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thumb::Class;

    const MARK: u64 = 0x100;

    /// The block of these halfwords, each an instruction, from `start` on.
    fn block(timing: Timing, start: u64, words: &[u16]) -> Block {
        let bytes: Vec<[u8; 2]> = words.iter().map(|word| word.to_le_bytes()).collect();
        let code = bytes.iter().enumerate().map(|(i, bytes)| (start + 2 * i as u64, &bytes[..]));
        Block::new(Some(timing), MARK, code)
    }

    fn run(blocks: &[&Block]) -> Count {
        let mut counter = Counter::new();
        blocks.iter().for_each(|block| counter.enter(block));
        counter.count
    }

    const NOP: u16 = 0xBF00;
    const LOAD: u16 = 0x6808;
    const STORE: u16 = 0x6008;
    const BNE_BACK_4: u16 = 0xD1FC;
    const BX_LR: u16 = 0x4770;

    #[test]
    fn loads_behind_loads_and_stores_take_one_cycle() {
        let cycles = |timing, words: &[u16]| run(&[&block(timing, 0, words)]).cycles;
        assert_eq!(cycles(Timing::M4, &[LOAD, LOAD, LOAD]), 4);
        assert_eq!(cycles(Timing::M4, &[LOAD, NOP, LOAD]), 5);
        assert_eq!(cycles(Timing::M4, &[STORE, LOAD, STORE]), 3);
        assert_eq!(cycles(Timing::M0Plus, &[LOAD, LOAD, STORE]), 6);
        // The same over a border between blocks that is no branch.
        let (first, second) = (block(Timing::M4, 0, &[NOP, LOAD]), block(Timing::M4, 4, &[LOAD, NOP]));
        assert_eq!(run(&[&first, &second]), Count { instructions: 4, cycles: 5 });
    }

    #[test]
    fn a_conditional_branch_costs_more_where_it_is_taken() {
        let body = block(Timing::M4, 0x10, &[NOP, BNE_BACK_4]);
        let rest = block(Timing::M4, 0x14, &[NOP]);
        // Its target is 0x12 + 4 - 8 = 0x0E.
        let target = block(Timing::M4, 0x0E, &[NOP, NOP]);
        assert_eq!(run(&[&body, &rest]), Count { instructions: 3, cycles: 3 });
        assert_eq!(run(&[&body, &target]), Count { instructions: 4, cycles: 6 });
        // An exception between them is no branch.
        let handler = block(Timing::M4, 0x800, &[NOP]);
        assert_eq!(run(&[&body, &handler]), Count { instructions: 3, cycles: 3 });
    }

    #[test]
    fn a_return_under_a_condition_is_conditional() {
        // it eq; bxeq lr
        let body = block(Timing::M4, 0, &[0xBF08, BX_LR]);
        let (rest, caller) = (block(Timing::M4, 4, &[NOP]), block(Timing::M4, 0x40, &[NOP]));
        assert_eq!(run(&[&body, &rest]).cycles, 3);
        assert_eq!(run(&[&body, &caller]).cycles, 5);
        assert_eq!(run(&[&block(Timing::M4, 0, &[NOP, BX_LR]), &rest]).cycles, 5);
    }

    #[test]
    fn a_block_that_ends_early_counts_what_ran() {
        let whole = block(Timing::M4, 0x20, &[NOP, LOAD, NOP, NOP, BX_LR]);
        let rest = block(Timing::M4, 0x24, &[NOP, NOP, BX_LR]);
        // The load reaches a device: nop, ldr, then nop, nop, bx.
        let falls = block(Timing::M4, 0x20, &[NOP, LOAD, NOP, NOP, NOP]);
        assert_eq!(run(&[&falls, &rest]), Count { instructions: 5, cycles: 1 + 2 + 1 + 1 + 3 });
        // Behind an indirect branch that place may as well be its target.
        assert_eq!(run(&[&whole, &rest]).instructions, 8);
    }

    #[test]
    fn marks_hold_what_came_before() {
        let (before, mark) = (block(Timing::M3, 0, &[NOP, NOP]), block(Timing::M3, MARK, &[BX_LR]));
        let mut counter = Counter::new();
        [&before, &mark, &before, &mark].into_iter().for_each(|block| counter.enter(block));
        let count = |instructions, cycles| Count { instructions, cycles };
        assert_eq!(counter.marks(), [count(2, 2), count(5, 7)]);
    }

    #[test]
    fn without_timing_there_are_no_cycles() {
        let bytes = BNE_BACK_4.to_le_bytes();
        let block = Block::new(None, MARK, [(0u64, &bytes[..])]);
        assert_eq!(run(&[&block, &block]), Count { instructions: 2, cycles: 0 });
        assert_eq!(run(&[&Block::counted(MARK, 4, 7)]), Count { instructions: 7, cycles: 0 });
    }

    #[test]
    fn every_access_has_an_exit_but_the_last() {
        let body = block(Timing::M4, 0, &[LOAD, STORE, NOP, LOAD]);
        assert_eq!(body.exits.iter().map(|exit| exit.address).collect::<Vec<_>>(), [2, 4]);
        assert!(Class::LoadMultiple(2).is_access() && !Class::LoadMultiple(2).is_single_access());
    }
}
