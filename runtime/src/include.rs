//! A plan in the image: aligned, with its arena's size as a constant, and with only the kernels that it names.

use crate::format::{ALIGNMENT, MAGIC, section};
use crate::operator::OpEntry;
use crate::ops;

/// Bytes at a 16-byte boundary.
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

const fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

const fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

const HEADER_BYTES: usize = size_of::<crate::format::Header>();

/// The arena that a plan needs, in bytes, at compile time.
///
/// # Panics
/// At compile time where the bytes are not a plan.
pub const fn arena_bytes(plan: &[u8]) -> usize {
    assert!(plan.len() >= HEADER_BYTES, "the file is too short for a still8 plan");
    let mut i = 0;
    while i < MAGIC.len() {
        assert!(plan[i] == MAGIC[i], "the file is not a still8 plan");
        i += 1;
    }
    u32_at(plan, core::mem::offset_of!(crate::format::Header, arena_bytes)) as usize
}

/// The length of a plan, in bytes, at compile time: what stands behind it in its file is for people.
///
/// # Panics
/// At compile time where the bytes are not a plan.
pub const fn plan_bytes(file: &[u8]) -> usize {
    assert!(arena_bytes(file) < usize::MAX / ALIGNMENT);
    u32_at(file, core::mem::offset_of!(crate::format::Header, file_bytes)) as usize
}

/// The first `BYTES` bytes of a plan's file.
///
/// # Panics
/// At compile time where the file has fewer.
pub const fn plan<const BYTES: usize>(file: &[u8]) -> [u8; BYTES] {
    match file.first_chunk() {
        Some(plan) => *plan,
        None => panic!("the plan is cut short"),
    }
}

/// Whether an op of the plan has this operator.
const fn names_operator(plan: &[u8], code: u16) -> bool {
    let sections = u32_at(plan, core::mem::offset_of!(crate::format::Header, sections)) as usize;
    let mut i = 0;
    while i < sections {
        let record = HEADER_BYTES + i * size_of::<crate::format::SectionRecord>();
        if u32_at(plan, record) == section::OPS {
            let start = u32_at(plan, record + 8) as usize;
            let end = start + u32_at(plan, record + 12) as usize;
            let mut at = start;
            while at < end {
                if u16_at(plan, at) == code {
                    return true;
                }
                at += size_of::<crate::format::OpRecord>();
            }
        }
        i += 1;
    }
    false
}

/// How many operators a plan names.
///
/// # Panics
/// At compile time where the bytes are not a plan.
pub const fn op_count(plan: &[u8]) -> usize {
    assert!(arena_bytes(plan) < usize::MAX / ALIGNMENT);
    let mut count = 0;
    let mut i = 0;
    while i < ops::ALL.len() {
        count += names_operator(plan, ops::ALL[i].code() as u16) as usize;
        i += 1;
    }
    count
}

/// The operators of a plan: just those [`op_count`] that it names, so that the linker drops all other kernels.
///
/// # Panics
/// At compile time where the bytes are not a plan, or name another number of operators.
pub const fn op_entries<const COUNT: usize>(plan: &[u8]) -> [OpEntry; COUNT] {
    let mut entries = [const { OpEntry::of::<ops::FullyConnected>() }; COUNT];
    let mut count = 0;
    let mut i = 0;
    while i < ops::ALL.len() {
        if names_operator(plan, ops::ALL[i].code() as u16) {
            entries[count] = ops::ALL[i];
            count += 1;
        }
        i += 1;
    }
    assert!(count == COUNT);
    entries
}

/// Includes a plan file as a module.
///
/// `include_plan!(mod NAME = PATH)` makes `NAME::BYTES`, `NAME::ARENA_BYTES`, `NAME::OPS` (the operators that the
/// plan names) and `NAME::plan()`. The model card, which stands behind the plan in its file, is left out.
#[macro_export]
macro_rules! include_plan {
    ($visibility:vis mod $name:ident = $path:expr) => {
        $visibility mod $name {
            const PLAN_BYTES: usize = $crate::include::plan_bytes(include_bytes!($path));
            static ALIGNED: $crate::include::Aligned<[u8; PLAN_BYTES]> =
                $crate::include::Aligned($crate::include::plan(include_bytes!($path)));
            /// The plan's bytes, 16-byte aligned.
            pub static BYTES: &[u8] = &ALIGNED.0;
            /// The arena that a session needs, in bytes.
            pub const ARENA_BYTES: usize = $crate::include::arena_bytes(include_bytes!($path));
            /// The operators that the plan names.
            pub static OPS: $crate::OpTable = $crate::OpTable::new(&ENTRIES);
            static ENTRIES: [$crate::OpEntry; $crate::include::op_count(include_bytes!($path))] =
                $crate::include::op_entries(include_bytes!($path));

            /// Reads and checks the plan.
            ///
            /// # Errors
            /// [`PlanError`]($crate::PlanError) where the file is damaged or packed for another kernel family.
            pub fn plan() -> Result<$crate::Plan<'static>, $crate::PlanError> {
                $crate::Plan::from_bytes(BYTES, &OPS)
            }
        }
    };
}
