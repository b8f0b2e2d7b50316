//! A plan file in aligned memory, and whether a core's kernels take it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use still8::Plan;
use still8::format::Family;
use still8_validation::host::HostRunner;
use still8_validation::recipe::Task;
use still8_validation::{Failure, Result, files};
use tempfile::NamedTempFile;

use crate::card;

/// A plan file, read and checked.
pub struct PlanFile {
    path: PathBuf,
    runner: HostRunner,
}

impl PlanFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Failure::Data`] where it cannot be read or is no plan.
    pub fn read(path: &Path) -> Result<Self> {
        let runner = HostRunner::new(&files::read(path)?).map_err(|error| Failure::data(path, error))?;
        Ok(Self { path: path.to_owned(), runner })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.runner.bytes()
    }

    /// The plan, whatever its family.
    pub fn plan(&self) -> Plan<'_> {
        self.runner.plan()
    }

    /// What its model does, where the card behind it says so.
    pub fn task(&self) -> Option<Task> {
        Task::named(&card::file::read(self.bytes(), &self.plan()).card.task?)
    }

    /// The checked plan, for kernels of `family`.
    ///
    /// # Errors
    /// [`Failure::Usage`] names the family that the plan must have.
    pub fn plan_for(&self, family: Family) -> Result<Plan<'_>> {
        let plan = self.plan();
        if family.runs(plan.family()) {
            return Ok(plan);
        }
        let (found, wanted) = (plan.family().name(), family.name());
        Err(Failure::Usage(format!(
            "{} is packed for {found} kernels, this core runs {wanted} ones; use `cargo xtask quantize --family {wanted}`",
            self.path.display()
        )))
    }
}

/// A plan in a temporary file, which goes away with the value.
///
/// # Errors
/// [`Failure::Data`] where it cannot be written.
pub fn temporary_plan(bytes: &[u8]) -> Result<NamedTempFile> {
    let unwritable =
        |error: io::Error| Failure::Data(format!("a temporary plan file cannot be written: {error}"));
    let mut file = tempfile::Builder::new().suffix(".s8").tempfile().map_err(unwritable)?;
    file.write_all(bytes).map_err(unwritable)?;
    Ok(file)
}
