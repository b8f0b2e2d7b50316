//! How much flash and RAM a linked image takes.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use still8_validation::{Failure, Result};

/// Bytes of a linked image by kind. What a loader does not load (debug information, defmt's table) is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeReport {
    /// Code.
    pub text: u64,
    /// Constants and the vector table; in an application also its plan.
    pub rodata: u64,
    /// Statics with initial values: in flash and in RAM.
    pub data: u64,
    /// Statics that start as zero; in an application also its arena.
    pub bss: u64,
}

impl SizeReport {
    /// Flash, in bytes.
    pub fn flash_bytes(&self) -> u64 {
        self.text + self.rodata + self.data
    }

    /// RAM without the stack, in bytes.
    pub fn static_bytes(&self) -> u64 {
        self.data + self.bss
    }

    /// Flash without a plan of `plan_bytes`.
    pub fn code_bytes(&self, plan_bytes: u64) -> u64 {
        self.flash_bytes().saturating_sub(plan_bytes)
    }
}

/// Sizes of an ELF file's sections.
///
/// # Errors
/// [`Failure::Data`] where it is none.
pub fn size(elf: &Path) -> Result<SizeReport> {
    let bytes = std::fs::read(elf).map_err(|error| Failure::data(elf, error))?;
    let file = object::File::parse(&*bytes).map_err(|error| Failure::data(elf, error))?;
    let mut report = SizeReport::default();
    for section in file.sections() {
        let field = match section.kind() {
            SectionKind::Text => &mut report.text,
            SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => &mut report.rodata,
            SectionKind::Data => &mut report.data,
            SectionKind::UninitializedData => &mut report.bss,
            _ => continue,
        };
        *field += section.size();
    }
    Ok(report)
}

/// RAM that statics and stack leave, as the runner takes it.
pub(super) fn unused_ram(elf: &Path) -> Result<u64> {
    let bytes = std::fs::read(elf).map_err(|error| Failure::data(elf, error))?;
    let file = object::File::parse(&*bytes).map_err(|error| Failure::data(elf, error))?;
    let address = |name: &str| {
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        symbol.map(|symbol| symbol.address()).ok_or_else(|| Failure::data(elf, format!("no symbol {name}")))
    };
    Ok(address("_stack_end")?.saturating_sub(address("__sheap")?.next_multiple_of(16)))
}
