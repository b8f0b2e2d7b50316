//! Runs a plan on samples: on the host, or in the firmware under the emulator.

use std::fmt;
use std::str::FromStr;

use still8::InputReport;
use still8_validation::data::Dataset;
use still8_validation::host::HostRunner;
use still8_validation::transfer::{PlanOutputs, Transfer};
use still8_validation::{Failure, Result};

use crate::boards::Core;
use crate::console::Console;
use crate::emit::repack;
use crate::emulator::{self, RunReport};
use crate::quantize::Progress;

/// Where a plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This machine.
    Host,
    /// An emulated core.
    Core(Core),
}

impl Place {
    /// The name on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Core(core) => core.name(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Place {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self> {
        if name == "host" { Ok(Self::Host) } else { name.parse().map(Self::Core) }
    }
}

/// What a run brought.
pub struct Execution {
    /// Outputs in the source's layout.
    pub outputs: PlanOutputs,
    /// What quantizing the inputs had to change.
    pub inputs: InputReport,
    /// Measurements of the emulated core.
    pub report: Option<RunReport>,
}

/// Runs all samples of `data`. For a core with kernels of another family the plan is repacked, and that is said.
///
/// # Errors
/// [`Failure::Data`] where the data do not fit the plan; those of [`emulator::run_plan`].
pub fn run(place: Place, runner: &HostRunner, data: &Dataset, console: Console) -> Result<Execution> {
    let plan = runner.plan();
    let transfer = Transfer::new(&plan);
    let inputs = transfer.to_device(data)?;
    let (bytes, report) = match place {
        Place::Host => {
            let bar = console.progress("running on the host");
            bar.start(inputs.samples);
            (runner.run_device(&inputs, |_| bar.step()), None)
        }
        Place::Core(core) => {
            let report = run_on_core(core, runner, &inputs.bytes, console)?;
            (report.outputs.clone(), Some(report))
        }
    };
    let outputs = transfer.to_source(inputs.samples, &bytes)?;
    Ok(Execution { outputs, inputs: inputs.report, report })
}

/// Runs samples in the device's layout on an emulated core.
///
/// # Errors
/// Those of [`emulator::run_plan`].
fn run_on_core(core: Core, runner: &HostRunner, inputs: &[i8], console: Console) -> Result<RunReport> {
    let plan = runner.plan();
    let bytes = if plan.family() == core.family() {
        runner.bytes().to_vec()
    } else {
        console.note(format!(
            "repacked the plan from {} to {} order for {core}, in a temporary file",
            plan.family().name(),
            core.family().name()
        ));
        repack(&plan, core.family())?
    };
    let file = emulator::temporary_plan(&bytes)?;
    emulator::run_plan(core, file.path(), inputs, false)
}
