//! Thousands of random cases of every operator: the portable kernel against this build's kernel, byte for byte.
//!
//! Not part of the crate's interface: it may change in any release. The `selftest` feature shows it to the self-test
//! images of the firmware, which run it on every core; the crate's own tests run it over every variant's models.
//!
//! A case draws all that a checked plan may hold: shapes, strides, paddings, dilations, groups, zero points, bounds,
//! multipliers, shifts, biases at the ends of 32 bits, windows wholly in padding, and places in the arena at any byte.
//! Buffers are exactly as long as they must be; behind and before those that a kernel writes lie guard bytes. What a
//! kernel must not let count (filling weights, contents of scratch memory and output) is random, or differs between
//! the two runs.
//!
//! Case i of a seed is the same whatever ran before it, for equal sizes of memory.

#![allow(
    clippy::result_large_err,
    reason = "there is no heap to box into, and a difference is returned once"
)]

mod case;
mod convolution;
mod elementwise;
mod fully_connected;
mod kernels;
mod memory;
mod movement;
pub(crate) mod random;
mod reduce;
mod report;
#[cfg(test)]
mod tests;

pub use report::{Difference, Summary};

use crate::Align16;
use case::Case;
use kernels::Kernels;
use random::Bytes;

/// Memory, in bytes, that cases are drawn for: the least of boards with 16 KB of RAM, and that of all others. Only two
/// sizes, so that a case of one board is found again on another, and on the host.
pub const MEMORY_BYTES: [usize; 2] = [8 << 10, 64 << 10];

/// Which cases run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Decides everything that is random.
    pub seed: u64,
    /// The first case.
    pub first: u32,
    /// Number of cases.
    pub cases: u32,
}

/// Runs cases with this build's kernels, in the front of the caller's memory: the largest of [`MEMORY_BYTES`] that it holds.
///
/// # Errors
/// The first [`Difference`].
///
/// # Panics
/// With less memory than the least of [`MEMORY_BYTES`].
pub fn run(settings: Settings, memory: &mut [Align16]) -> Result<Summary, Difference> {
    run_kernels(settings, memory, &kernels::PORTABLE, &kernels::BUILD)
}

/// Like [`run`], with the kernels for AArch64's dot-product instructions.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`].
///
/// # Safety
/// As [`ops::all_dotprod`](crate::ops::all_dotprod).
#[cfg(kernels_neon)]
#[allow(unsafe_code)]
pub unsafe fn run_dotprod(settings: Settings, memory: &mut [Align16]) -> Result<Summary, Difference> {
    run_kernels(settings, memory, &kernels::PORTABLE, &kernels::DOTPROD)
}

/// Runs cases with `variant` against `reference`.
fn run_kernels(
    settings: Settings,
    memory: &mut [Align16],
    reference: &Kernels,
    variant: &Kernels,
) -> Result<Summary, Difference> {
    let bytes = MEMORY_BYTES.into_iter().rfind(|&bytes| bytes <= size_of_val(memory));
    let bytes = bytes.expect("a self-test needs the least of MEMORY_BYTES");
    let memory = &mut memory[..Align16::count(bytes)];
    let Settings { seed, first, cases } = settings;
    let mut summary = Summary::default();
    for case in first..first.saturating_add(cases) {
        // A stream of its own, far from the neighbours' by the seed's mixing.
        let random = Bytes::new(Bytes::new(seed ^ u64::from(case).rotate_left(32)).next());
        let mut drawn = Case::new(random, memory, reference, variant);
        let op = drawn.op();
        let compared = drawn.run(op).map_err(|(parameters, wrong)| Difference {
            seed,
            case,
            op,
            kernels: variant.name,
            parameters,
            wrong,
        })?;
        summary.cases += 1;
        summary.bytes += compared.0;
        summary.inner += compared.1;
    }
    Ok(summary)
}
