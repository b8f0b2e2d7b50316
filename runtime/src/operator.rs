//! What an operator is to the executor: a number, a check that runs once, and a run that cannot fail.
//!
//! Dispatch goes through an [`OpTable`] that names the operators of an image, so that the linker drops the kernels
//! of all others.

use bytemuck::{AnyBitPattern, Pod};

use crate::error::OpFault;
use crate::format::{DataRef, DataType, Family, OP_CODES, OpCode, OpRecord, TensorRecord};
use crate::plan::Plan;

/// One operator: implemented by the unit types of [`ops`](mod@crate::ops).
pub trait Operator {
    /// Its number in a plan.
    const CODE: OpCode;
    /// Its name in reports.
    const NAME: &'static str;
    /// Its parameter struct in a plan.
    type Params: Pod;

    /// Refuses every op on which [`Self::run`] would index out of bounds, overflow or alias.
    fn check(node: &Node<'_, Self::Params>) -> Result<(), OpFault>;

    /// Computes the outputs in the arena. Called only on a checked node, with an arena of the plan's size.
    fn run(node: &Node<'_, Self::Params>, arena: &mut [i8]);
}

/// An operator as an operator table holds it.
#[derive(Clone, Copy)]
pub struct OpEntry {
    code: OpCode,
    name: &'static str,
    pub(crate) check: fn(&Plan<'_>, &OpRecord) -> Result<(), OpFault>,
    pub(crate) run: fn(&Plan<'_>, &OpRecord, &mut [i8]),
}

impl OpEntry {
    /// The entry of operator `O`.
    pub const fn of<O: Operator>() -> Self {
        Self {
            code: O::CODE,
            name: O::NAME,
            check: |plan, op| O::check(&Node::new(plan, op)?),
            run: |plan, op, arena| {
                // A checked op always has a node.
                if let Ok(node) = Node::new(plan, op) {
                    O::run(&node, arena);
                }
            },
        }
    }

    /// The operator's number.
    pub const fn code(&self) -> OpCode {
        self.code
    }

    /// The operator's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// The operators that an image links, by code. Made by [`ops!`](crate::ops!) or
/// [`include_plan!`](crate::include_plan).
pub struct OpTable {
    entries: [Option<OpEntry>; OP_CODES],
}

impl OpTable {
    /// A table of these operators.
    pub const fn new(operators: &[OpEntry]) -> Self {
        let mut entries = [None; OP_CODES];
        let mut i = 0;
        while i < operators.len() {
            entries[operators[i].code as usize] = Some(operators[i]);
            i += 1;
        }
        Self { entries }
    }

    /// The operator with this code.
    #[inline]
    pub fn get(&self, code: u16) -> Option<&OpEntry> {
        self.entries.get(usize::from(code))?.as_ref()
    }

    /// All operators of the table, by code.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &OpEntry> {
        self.entries.iter().flatten()
    }
}

/// An [`OpTable`] of the named operators.
///
/// ```
/// static OPS: still8::OpTable = still8::ops![Conv2d, FullyConnected];
/// assert_eq!(OPS.iter().count(), 2);
/// ```
#[macro_export]
macro_rules! ops {
    ($($operator:ident),* $(,)?) => {
        $crate::OpTable::new(&[$($crate::OpEntry::of::<$crate::ops::$operator>()),*])
    };
}

/// One op of a plan with its parameters and operands.
pub struct Node<'a, P> {
    /// The parameters.
    pub params: &'a P,
    plan: &'a Plan<'a>,
    operands: &'a [u16],
    inputs: usize,
}

impl<'a, P: AnyBitPattern> Node<'a, P> {
    /// # Errors
    /// [`OpFault`] where parameters or operands lie outside their sections.
    #[inline]
    fn new(plan: &'a Plan<'a>, op: &OpRecord) -> Result<Self, OpFault> {
        let start = op.params as usize;
        let bytes = start.checked_add(size_of::<P>()).and_then(|end| plan.params().get(start..end));
        let params = bytes
            .filter(|_| usize::from(op.params_bytes) == size_of::<P>())
            .and_then(|bytes| bytemuck::try_from_bytes(bytes).ok())
            .ok_or(OpFault::Params)?;
        let operands = plan.operands_of(op).ok_or(OpFault::Operands)?;
        Ok(Self { params, plan, operands, inputs: usize::from(op.inputs) })
    }
}

impl<'a, P> Node<'a, P> {
    /// Refuses another number of operands, types other than int8 and tensors without elements.
    #[inline]
    pub(crate) fn expect_int8_operands(&self, inputs: usize, outputs: usize) -> Result<(), OpFault> {
        self.expect_operands(inputs, outputs)?;
        (0..inputs).try_for_each(|i| self.input(i).expect_int8())?;
        (0..outputs).try_for_each(|i| self.output(i).expect_int8())
    }

    /// Refuses another number of operands.
    #[inline]
    pub(crate) fn expect_operands(&self, inputs: usize, outputs: usize) -> Result<(), OpFault> {
        let found = (self.inputs, self.operands.len() - self.inputs);
        if found == (inputs, outputs) { Ok(()) } else { Err(OpFault::Operands) }
    }

    /// Number of inputs.
    #[inline]
    pub(crate) fn input_count(&self) -> usize {
        self.inputs
    }

    /// Input `i`, which must exist.
    #[inline]
    pub(crate) fn input(&self, i: usize) -> Tensor<'a> {
        Tensor::new(&self.plan.tensors()[usize::from(self.operands[i])])
    }

    /// Output `i`, which must exist.
    #[inline]
    pub(crate) fn output(&self, i: usize) -> Tensor<'a> {
        Tensor::new(&self.plan.tensors()[usize::from(self.operands[self.inputs + i])])
    }

    /// The plan's weight order.
    #[inline]
    pub(crate) fn family(&self) -> Family {
        self.plan.family()
    }

    /// A slice of the data section as `T`s.
    ///
    /// # Errors
    /// [`OpFault::Data`] where it lies outside, is misaligned or does not hold whole `T`s.
    #[inline]
    pub(crate) fn data<T: AnyBitPattern>(&self, data: DataRef) -> Result<&'a [T], OpFault> {
        let start = data.offset as usize;
        let end = start.checked_add(data.bytes as usize).ok_or(OpFault::Data)?;
        let bytes = self.plan.data().get(start..end).ok_or(OpFault::Data)?;
        bytemuck::try_cast_slice(bytes).map_err(|_| OpFault::Data)
    }

    /// The arena range of scratch memory that must hold at least `need` bytes, 16-byte aligned.
    #[inline]
    pub(crate) fn check_scratch(
        &self,
        scratch: DataRef,
        need: usize,
    ) -> Result<core::ops::Range<usize>, OpFault> {
        let range = scratch_range(scratch);
        let fits =
            range.len() >= need && scratch.offset.is_multiple_of(16) && range.end <= self.plan.arena_bytes();
        if fits { Ok(range) } else { Err(OpFault::Scratch) }
    }
}

/// The arena range of scratch memory.
#[inline]
pub(crate) fn scratch_range(scratch: DataRef) -> core::ops::Range<usize> {
    scratch.offset as usize..(scratch.offset as usize).saturating_add(scratch.bytes as usize)
}

/// Refuses ranges of which any two share a byte.
#[inline]
pub(crate) fn check_disjoint(ranges: &[core::ops::Range<usize>]) -> Result<(), OpFault> {
    for (i, a) in ranges.iter().enumerate() {
        for b in &ranges[i + 1..] {
            if !a.is_empty() && !b.is_empty() && a.start < b.end && b.start < a.end {
                return Err(OpFault::Overlap);
            }
        }
    }
    Ok(())
}

/// Refuses ranges that share bytes without being the same.
#[inline]
pub(crate) fn check_in_place(
    input: &core::ops::Range<usize>,
    output: &core::ops::Range<usize>,
) -> Result<(), OpFault> {
    if input == output { Ok(()) } else { check_disjoint(&[input.clone(), output.clone()]) }
}

/// A tensor of a checked plan.
#[derive(Clone, Copy)]
pub(crate) struct Tensor<'a> {
    record: &'a TensorRecord,
}

impl<'a> Tensor<'a> {
    #[inline]
    pub(crate) fn new(record: &'a TensorRecord) -> Self {
        Self { record }
    }

    /// Shape `[n, h, w, c]`.
    #[inline]
    pub(crate) fn shape(&self) -> [usize; 4] {
        self.record.shape.map(|d| d as usize)
    }

    /// Number of elements.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Arena range of an int8 tensor.
    #[inline]
    pub(crate) fn range(&self) -> core::ops::Range<usize> {
        let start = self.record.offset as usize;
        start..start + self.len()
    }

    /// Zero point of an int8 tensor, as [`Self::expect_int8`] checked.
    #[inline]
    pub(crate) fn zero_point(&self) -> i8 {
        self.record.zero_point as i8
    }

    /// Refuses other types than int8, and tensors without elements.
    #[inline]
    pub(crate) fn expect_int8(&self) -> Result<(), OpFault> {
        let int8 = self.record.dtype == DataType::Int8 as u8 && i8::try_from(self.record.zero_point).is_ok();
        if !int8 {
            return Err(OpFault::DataType);
        }
        if self.len() == 0 { Err(OpFault::Shape) } else { Ok(()) }
    }

    /// Real value of one step.
    #[inline]
    pub(crate) fn scale(&self) -> f32 {
        self.record.scale
    }

    /// Whether the other tensor maps integers to the same reals.
    #[inline]
    pub(crate) fn same_quantization(&self, other: &Self) -> bool {
        self.record.zero_point == other.record.zero_point
            && self.record.scale.to_bits() == other.record.scale.to_bits()
    }
}
