//! Runs a checked plan in the caller's arena.

use crate::arena::Align16;
use crate::crc32::crc32;
use crate::error::ArenaTooSmall;
use crate::operator::Tensor;
use crate::plan::Plan;

/// A plan bound to an arena.
///
/// Inputs share the arena with everything else and may be overwritten by [`Self::run`]: write them before each
/// call, and read the outputs before the next one.
pub struct Session<'p, 'a> {
    plan: &'p Plan<'p>,
    arena: &'a mut [i8],
}

/// Outcome of [`Session::self_test`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SelfTest {
    /// Every op's output and the network's output are the ones computed on the host.
    Passed,
    /// The first op whose output differs.
    FailedAt {
        /// Its index.
        op: usize,
    },
    /// All ops agree and the network's output does not: the plan's golden section is inconsistent.
    OutputDiffers,
    /// The plan has no golden section.
    Absent,
}

impl<'p, 'a> Session<'p, 'a> {
    /// Binds `plan` to `arena` and clears the state region.
    ///
    /// # Errors
    /// [`ArenaTooSmall`] with the bytes needed and given.
    #[inline]
    pub fn new(plan: &'p Plan<'p>, arena: &'a mut [Align16]) -> Result<Self, ArenaTooSmall> {
        let bytes = Align16::bytes_mut(arena);
        let have = bytes.len();
        let need = plan.arena_bytes();
        let arena = bytes.get_mut(..need).ok_or(ArenaTooSmall { need, have })?;
        let mut session = Self { plan, arena };
        session.reset();
        Ok(session)
    }

    /// Clears the state that lives on between calls.
    #[inline]
    pub fn reset(&mut self) {
        let state = self.plan.header().state_bytes as usize;
        if let Some(state) = self.arena.get_mut(..state) {
            state.fill(0);
        }
    }

    /// The plan.
    #[inline]
    pub fn plan(&self) -> &'p Plan<'p> {
        self.plan
    }

    /// Graph input `i`, device layout, `None` past the last. Write all of it before each [`Self::run`].
    #[inline]
    pub fn input(&mut self, i: usize) -> Option<&mut [i8]> {
        let range = Tensor::new(self.plan.input_tensor(i)?).range();
        self.arena.get_mut(range)
    }

    /// Graph output `i`, device layout, `None` past the last.
    #[inline]
    pub fn output(&self, i: usize) -> Option<&[i8]> {
        let range = Tensor::new(self.plan.output_tensor(i)?).range();
        self.arena.get(range)
    }

    /// One inference: reads the inputs and writes the outputs. Cannot fail and does not allocate.
    #[inline]
    pub fn run(&mut self) {
        self.run_observed(|_, _| ());
    }

    /// Like [`Self::run`]; after each op calls `observer` with the op's index and its output bytes.
    #[inline]
    pub fn run_observed(&mut self, mut observer: impl FnMut(usize, &[i8])) {
        for (index, op) in self.plan.ops().iter().enumerate() {
            if let Some(entry) = self.plan.table().get(op.op) {
                entry.run(self.plan, op, self.arena);
            }
            observer(index, self.op_output(index).unwrap_or_default());
        }
    }

    /// The first output of op `index`, valid until a later op reuses its place.
    #[inline]
    fn op_output(&self, index: usize) -> Option<&[i8]> {
        let op = self.plan.ops().get(index)?;
        let tensor = self.plan.operands_of(op)?.get(usize::from(op.inputs))?;
        let tensor = self.plan.tensors().get(usize::from(*tensor))?;
        self.arena.get(Tensor::new(tensor).range())
    }

    /// Runs the plan's golden input and compares every op's output with the one computed on the host.
    #[inline]
    pub fn self_test(&mut self) -> SelfTest {
        let Some(golden) = self.plan.golden() else {
            return SelfTest::Absent;
        };
        let mut bytes = golden.input();
        for i in 0..self.plan.input_count() {
            for (element, byte) in self.input(i).unwrap_or_default().iter_mut().zip(&mut bytes) {
                *element = byte;
            }
        }
        let mut failed = None;
        self.run_observed(|op, output| {
            let crc = crc32(bytemuck::cast_slice(output));
            if failed.is_none() && golden.op_crcs.get(op) != Some(&crc) {
                failed = Some(op);
            }
        });
        if let Some(op) = failed {
            return SelfTest::FailedAt { op };
        }
        let mut rest = golden.output;
        for i in 0..self.plan.output_count() {
            let output = self.output(i).unwrap_or_default();
            match rest.split_at_checked(output.len()) {
                Some((bytes, tail)) if bytes == output => rest = tail,
                _ => return SelfTest::OutputDiffers,
            }
        }
        SelfTest::Passed
    }
}
