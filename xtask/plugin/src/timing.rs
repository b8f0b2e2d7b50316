//! What an instruction costs on a core: an estimate from the manual's table.
//!
//! | core | source | where this departs from it |
//! | --- | --- | --- |
//! | Cortex-M0+ (for M0 as well) | Cortex-M0+ TRM, Arm DDI 0484C, 3.3, table 3-1 | the fast multiplier; an M0 needs one cycle more for each taken branch, its return and its call |
//! | Cortex-M3 | Cortex-M3 TRM, Arm DDI 0337I, 3.3.1, table 3-1, and 3.3.2 | ranges by one value each, see [`Timing::cycles`] |
//! | Cortex-M4 | Cortex-M4 TRM, Arm DDI 0439B, 3.3.1, table 3-1, and 3.3.2; 7.2.3 for floating point | the same |
//!
//! On M3 and M4 the pipeline refill P of the table, 1 to 3 cycles, is 2: a taken branch takes 3. A single load takes 2
//! cycles, and 1 where it stands straight behind a single load or store (3.3.2); a single store takes 1, since the
//! write happens while the next instruction runs. Left out: the stall where an address comes from the instruction
//! before, which would add to it, and base updates that keep loads apart; IT-folding, which would take from it.
//!
//! Every table assumes memory without wait states, and so does this.
//!
//! There is no model for other cores: Arm publishes no table for Cortex-M7 (two instructions a cycle), Cortex-M33 and
//! Cortex-M55, and what an AArch64 core does with an instruction depends on those around it.

use crate::thumb::Class;

/// A core whose timing is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Timing {
    M0Plus,
    M3,
    M4,
}

/// A core's name that this crate does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCore;

impl Timing {
    /// The model for a core; `None` where its timing is not published.
    ///
    /// # Errors
    /// [`UnknownCore`] for a name that is none of still8's.
    pub fn for_core(name: &str) -> Result<Option<Self>, UnknownCore> {
        match name {
            "cortex-m0" => Ok(Some(Self::M0Plus)),
            "cortex-m3" => Ok(Some(Self::M3)),
            "cortex-m4" => Ok(Some(Self::M4)),
            "cortex-m7" | "cortex-m33" | "cortex-m55" | "aarch64" => Ok(None),
            _ => Err(UnknownCore),
        }
    }

    /// Cycles of an instruction, a branch taken.
    ///
    /// By one value for a range: divide 7 (2 to 12); on M3 `SMULL` and `UMULL` 4 (3 to 5), `SMLAL` and `UMLAL` 6
    /// (4 to 7); barriers 1 beside their wait.
    pub fn cycles(self, class: Class) -> u64 {
        let refill = 2;
        let words = |n: u32| u64::from(n);
        match (self, class) {
            (Self::M0Plus, class) => match class {
                Class::Load | Class::Store => 2,
                Class::LoadMultiple(n) | Class::StoreMultiple(n) => 1 + words(n),
                Class::Return(n) => 3 + words(n),
                Class::Branch | Class::IndirectBranch | Class::IndirectCall => 2,
                Class::Call | Class::Special | Class::Barrier => 3,
                // What is left does not exist there.
                _ => 1,
            },
            (_, Class::Load) => 2,
            (_, Class::Store) => 1,
            (_, Class::LoadDual | Class::StoreDual) => 3,
            (_, Class::LoadMultiple(n) | Class::StoreMultiple(n)) => 1 + words(n),
            (_, Class::Return(n)) => 1 + words(n) + refill,
            (_, Class::LoadBranch | Class::TableBranch) => 2 + refill,
            (_, Class::Branch | Class::Call | Class::IndirectBranch | Class::IndirectCall) => 1 + refill,
            (_, Class::Divide) => 7,
            (Self::M3, Class::MultiplyAccumulate) => 2,
            (Self::M3, Class::LongMultiply) => 4,
            (Self::M3, Class::LongMultiplyAccumulate) => 6,
            (_, Class::FloatPair) => 2,
            (_, Class::FloatMultiplyAccumulate) => 3,
            (_, Class::FloatDivide) => 14,
            _ => 1,
        }
    }

    /// Cycles that an instruction saves where a single load or store stands straight before it.
    pub fn saved_behind_access(self, class: Class) -> u64 {
        u64::from(self != Self::M0Plus && class == Class::Load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_tables() {
        use Class::*;
        for (class, m0_plus, m3, m4) in [
            (Simple, 1, 1, 1),
            (Load, 2, 2, 2),
            (Store, 2, 1, 1),
            (LoadMultiple(4), 5, 5, 5),
            (StoreMultiple(4), 5, 5, 5),
            (Return(4), 7, 7, 7),
            (Multiply, 1, 1, 1),
            (MultiplyAccumulate, 1, 2, 1),
            (LongMultiply, 1, 4, 1),
            (LongMultiplyAccumulate, 1, 6, 1),
            (Divide, 1, 7, 7),
            (Branch, 2, 3, 3),
            (Call, 3, 3, 3),
            (IndirectBranch, 2, 3, 3),
            (IndirectCall, 2, 3, 3),
        ] {
            let found = [Timing::M0Plus, Timing::M3, Timing::M4].map(|timing| timing.cycles(class));
            assert_eq!(found, [m0_plus, m3, m4], "{class:?}");
        }
    }

    #[test]
    fn cores_without_a_table_have_no_cycles() {
        for core in ["cortex-m7", "cortex-m33", "cortex-m55", "aarch64"] {
            assert_eq!(Timing::for_core(core), Ok(None));
        }
        assert_eq!(Timing::for_core("cortex-m1"), Err(UnknownCore));
    }
}
