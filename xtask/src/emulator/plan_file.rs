//! A plan file in aligned memory, and whether a core's kernels take it.

use std::path::{Path, PathBuf};

use still8::{Align16, OpTable, Plan, ops};
use still8_validation::{Failure, Result};

use crate::boards::Core;

static OPERATORS: OpTable = OpTable::new(ops::ALL);

/// A plan file, read.
pub struct PlanFile {
    path: PathBuf,
    units: Vec<Align16>,
    len: usize,
}

impl PlanFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Failure::Data`] where it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Failure::data(path, error))?;
        let mut units = vec![Align16::ZERO; Align16::count(bytes.len())];
        bytemuck::cast_slice_mut(&mut units)[..bytes.len()].copy_from_slice(&bytes);
        Ok(Self {
            path: path.to_owned(),
            units,
            len: bytes.len(),
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.units)[..self.len]
    }

    /// The checked plan.
    ///
    /// # Errors
    /// [`Failure::Data`] where it is none.
    pub fn plan(&self) -> Result<Plan<'_>> {
        Plan::from_bytes(self.bytes(), &OPERATORS).map_err(|error| Failure::data(&self.path, error))
    }

    /// The checked plan, for the kernels of `core`.
    ///
    /// # Errors
    /// As [`Self::plan`]; [`Failure::Usage`] names the family that a plan for `core` must have.
    pub fn plan_for(&self, core: Core) -> Result<Plan<'_>> {
        let plan = self.plan()?;
        let (family, wanted) = (plan.family().name(), core.family().name());
        if family == wanted {
            return Ok(plan);
        }
        Err(Failure::Usage(format!(
            "{} is packed for {family} kernels, {core} runs {wanted} ones; use `cargo xtask quantize --family {wanted}`",
            self.path.display()
        )))
    }
}
