//! What an operator is to the executor: a number, a check that runs once, and a run that cannot fail.
//!
//! Dispatch goes through an [`OpTable`] that names the operators of an image, so that the linker drops the kernels
//! of all others.

use core::ops::{Deref, Range};

use bytemuck::{AnyBitPattern, Pod};

use crate::error::OpFault;
use crate::format::{DataRef, DataType, Family, OpCode, OpRecord, TensorRecord};
use crate::ops;
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
pub struct OpEntry(&'static Functions);

/// What the executor calls, once for each operator of an image.
struct Functions {
    code: OpCode,
    check: for<'a> fn(&'a [u8], &'a Operands<'a>) -> Result<(), OpFault>,
    run: for<'a> fn(&'a [u8], &'a Operands<'a>, &mut [i8]),
}

impl OpEntry {
    /// The entry of operator `O`.
    pub const fn of<O: Operator>() -> Self {
        const {
            Self(&Functions {
                code: O::CODE,
                check: |params, operands| O::check(&Node::new(params, operands)?),
                run: |params, operands, arena| {
                    // A checked op always has a node.
                    if let Ok(node) = Node::new(params, operands) {
                        O::run(&node, arena);
                    }
                },
            })
        }
    }

    /// The operator's number.
    pub const fn code(&self) -> OpCode {
        self.0.code
    }

    /// The operator's name.
    pub const fn name(&self) -> &'static str {
        ops::name(self.0.code)
    }

    #[inline]
    pub(crate) fn check(&self, plan: &Plan<'_>, op: &OpRecord) -> Result<(), OpFault> {
        let (params, operands) = Operands::with_params(plan, op)?;
        (self.0.check)(params, &operands)
    }

    #[inline]
    pub(crate) fn run(&self, plan: &Plan<'_>, op: &OpRecord, arena: &mut [i8]) {
        // A checked op always has parameters and operands.
        if let Ok((params, operands)) = Operands::with_params(plan, op) {
            (self.0.run)(params, &operands, arena);
        }
    }
}

/// The operators that an image links. Made by [`ops!`](crate::ops!) or [`include_plan!`](crate::include_plan).
///
/// A list, not an array by code: an image holds what its plan names, however many operators there are.
pub struct OpTable {
    entries: &'static [OpEntry],
}

impl OpTable {
    /// A table of these operators.
    pub const fn new(operators: &'static [OpEntry]) -> Self {
        Self { entries: operators }
    }

    /// The operator with this code.
    #[inline]
    pub fn get(&self, code: u16) -> Option<&OpEntry> {
        self.entries.iter().find(|entry| entry.code() as u16 == code)
    }

    /// All operators of the table.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &OpEntry> {
        self.entries.iter()
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
        $crate::OpTable::new(const { &[$($crate::OpEntry::of::<$crate::ops::$operator>()),*] })
    };
}

/// One op of a plan with its parameters and operands.
pub struct Node<'a, P> {
    /// The parameters.
    pub params: &'a P,
    operands: &'a Operands<'a>,
}

impl<'a, P: AnyBitPattern> Node<'a, P> {
    /// # Errors
    /// [`OpFault::Params`] where the bytes are of another size.
    #[inline]
    fn new(params: &'a [u8], operands: &'a Operands<'a>) -> Result<Self, OpFault> {
        let params = bytemuck::try_from_bytes(params).map_err(|_| OpFault::Params)?;
        Ok(Self { params, operands })
    }
}

impl<'a, P> Deref for Node<'a, P> {
    type Target = Operands<'a>;

    #[inline]
    fn deref(&self) -> &Operands<'a> {
        self.operands
    }
}

/// The operands of one op: all of a [`Node`] that does not depend on its parameters' type, so that it is compiled
/// once.
pub struct Operands<'a> {
    plan: &'a Plan<'a>,
    tensors: &'a [u16],
    inputs: usize,
}

impl<'a> Operands<'a> {
    /// The bytes of an op's parameter struct, and its operands.
    #[inline]
    fn with_params(plan: &'a Plan<'a>, op: &OpRecord) -> Result<(&'a [u8], Self), OpFault> {
        let start = op.params as usize;
        let params = start.checked_add(op.params_bytes.into()).and_then(|end| plan.params().get(start..end));
        let tensors = plan.operands_of(op).ok_or(OpFault::Operands)?;
        Ok((params.ok_or(OpFault::Params)?, Self { plan, tensors, inputs: op.inputs.into() }))
    }

    /// Refuses another number of operands, types other than int8 and tensors without elements.
    #[inline]
    pub(crate) fn expect_int8(&self, inputs: usize, outputs: usize) -> Result<(), OpFault> {
        if self.inputs != inputs || self.tensors.len() != inputs + outputs {
            return Err(OpFault::Operands);
        }
        (0..self.tensors.len()).try_for_each(|i| self.operand(i).expect_int8())
    }

    /// [`Self::expect_int8`] for int16.
    #[inline]
    pub(crate) fn expect_int16(&self, inputs: usize, outputs: usize) -> Result<(), OpFault> {
        if self.inputs != inputs || self.tensors.len() != inputs + outputs {
            return Err(OpFault::Operands);
        }
        (0..self.tensors.len()).try_for_each(|i| self.operand(i).expect_int16())
    }

    /// Refuses another number of operands.
    #[inline]
    pub(crate) fn expect_operands(&self, inputs: usize, outputs: usize) -> Result<(), OpFault> {
        let as_many = self.inputs == inputs && self.tensors.len() == inputs + outputs;
        if as_many { Ok(()) } else { Err(OpFault::Operands) }
    }

    /// Number of inputs.
    #[inline]
    pub(crate) fn input_count(&self) -> usize {
        self.inputs
    }

    /// Operand `i`, inputs first; of a checked op with its operands this is always one of the plan's tensors.
    #[inline(never)]
    fn operand(&self, i: usize) -> Tensor<'a> {
        let index = self.tensors.get(i).copied().unwrap_or_default();
        Tensor::new(self.plan.tensors().get(usize::from(index)).unwrap_or(&Tensor::NONE))
    }

    /// Input `i`, which must exist.
    #[inline]
    pub(crate) fn input(&self, i: usize) -> Tensor<'a> {
        self.operand(i)
    }

    /// Output `i`, which must exist.
    #[inline]
    pub(crate) fn output(&self, i: usize) -> Tensor<'a> {
        self.operand(self.inputs + i)
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
        let bytes = self.bytes(data).ok_or(OpFault::Data)?;
        bytemuck::try_cast_slice(bytes).map_err(|_| OpFault::Data)
    }

    #[inline]
    fn bytes(&self, data: DataRef) -> Option<&'a [u8]> {
        let start = data.offset as usize;
        self.plan.data().get(start..start.checked_add(data.bytes as usize)?)
    }

    /// The arena range of scratch memory that must hold at least `need` bytes, 16-byte aligned.
    #[inline]
    pub(crate) fn check_scratch(&self, scratch: DataRef, need: usize) -> Result<(), OpFault> {
        let range = scratch_range(scratch);
        let fits =
            range.len() >= need && scratch.offset.is_multiple_of(16) && range.end <= self.plan.arena_bytes();
        if fits { Ok(()) } else { Err(OpFault::Scratch) }
    }
}

/// The arena range of scratch memory.
#[inline]
pub(crate) fn scratch_range(scratch: DataRef) -> Range<usize> {
    scratch.offset as usize..(scratch.offset as usize).saturating_add(scratch.bytes as usize)
}

/// Input, scratch memory and output of an op that [`check_disjoint`] accepted; none is ever missing then.
#[inline]
pub(crate) fn split(arena: &mut [i8], ranges: [Range<usize>; 3]) -> Option<(&[i8], &mut [i8], &mut [i8])> {
    let [input, scratch, output] = arena.get_disjoint_mut(ranges).ok()?;
    Some((input, scratch, output))
}

/// Whether two ranges share a byte.
#[inline]
fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}

/// Refuses ranges of input, scratch memory and output of which any two share a byte.
#[inline]
pub(crate) fn check_disjoint([a, b, c]: &[Range<usize>; 3]) -> Result<(), OpFault> {
    if overlap(a, b) || overlap(a, c) || overlap(b, c) { Err(OpFault::Overlap) } else { Ok(()) }
}

/// Refuses ranges that share bytes without being the same.
#[inline]
pub(crate) fn check_in_place(input: &Range<usize>, output: &Range<usize>) -> Result<(), OpFault> {
    if input != output && overlap(input, output) { Err(OpFault::Overlap) } else { Ok(()) }
}

/// A tensor of a checked plan.
#[derive(Clone, Copy)]
pub(crate) struct Tensor<'a> {
    record: &'a TensorRecord,
}

impl<'a> Tensor<'a> {
    /// Of no type and without elements, so that every check refuses it.
    const NONE: TensorRecord = TensorRecord {
        offset: 0,
        shape: [0; 4],
        zero_point: 0,
        scale: 0.0,
        dtype: u8::MAX,
        reserved: [0; 3],
    };

    #[inline]
    pub(crate) fn new(record: &'a TensorRecord) -> Self {
        Self { record }
    }

    /// Shape `[n, h, w, c]`.
    #[inline]
    pub(crate) fn shape(&self) -> [usize; 4] {
        let [n, h, w, c] = self.record.shape;
        [n as usize, h as usize, w as usize, c as usize]
    }

    /// Number of elements.
    #[inline(never)]
    pub(crate) fn len(&self) -> usize {
        let [n, h, w, c] = self.shape();
        // The tensor's bytes lie in the arena, as the plan's check found.
        n.wrapping_mul(h).wrapping_mul(w).wrapping_mul(c)
    }

    /// Arena range of an int8 or int16 tensor.
    #[inline(never)]
    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.record.offset as usize;
        let doubling = usize::from(self.record.dtype == DataType::Int16 as u8);
        start..start.wrapping_add(self.len() << doubling)
    }

    /// Refuses other types than int16, tensors without elements, and those at odd places.
    #[inline]
    pub(crate) fn expect_int16(&self) -> Result<(), OpFault> {
        let int16 = self.record.dtype == DataType::Int16 as u8 && self.record.zero_point == 0;
        if !int16 {
            return Err(OpFault::DataType);
        }
        if self.len() == 0 || !self.record.offset.is_multiple_of(2) { Err(OpFault::Shape) } else { Ok(()) }
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

    /// Number of the type, one of [`DataType`]'s in a checked plan.
    #[inline]
    pub(crate) fn dtype(&self) -> u8 {
        self.record.dtype
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
