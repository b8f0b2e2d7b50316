//! Serves any plan: reads samples, runs them, writes the outputs and a report.
//!
//! Input: int8 bytes in device layout, all inputs of a sample in order, sample after sample; the output likewise.
//! The report has one `key=value` a line: `kernels`, `plan`, `self_test`, `arena_bytes`, `stack_bytes`, `samples`,
//! `ticks` (all samples, inside [`Session::run`] alone), or `error`.
//!
//! With marks, the clock is left alone: [`still8_mark`] is called twice in a row, then for each sample before the
//! first op and after every op.

use core::fmt;

use still8::format::Header;
use still8::session::SelfTest;
use still8::{Align16, ArenaTooSmall, OpTable, Plan, PlanError, Session, kernels, ops};

use crate::boot;
use crate::mark::still8_mark;

/// What plans run by: every operator, since a runner does not know its plan.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// Name for the report.
    pub name: &'static str,
    /// The operators.
    pub operators: &'static OpTable,
}

impl Kernels {
    /// Those that every core of the build's target runs.
    pub const BUILT: Self = Self { name: kernels::NAME, operators: &OPERATORS };
}

static OPERATORS: OpTable = OpTable::new(ops::ALL);

/// What surrounds the runner.
pub trait Host {
    /// Fills `bytes` from the input; fewer only where the input ends.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Fault>;

    /// Appends to the output.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault>;

    /// Appends one line to the report.
    fn report(&mut self, line: fmt::Arguments<'_>) -> Result<(), Fault>;

    /// Time, in the host's unit.
    fn ticks(&mut self) -> u64;

    /// Calls `run`; the bytes of stack that it used, where the host can tell.
    fn measure_stack(&mut self, run: &mut dyn FnMut()) -> Option<usize>;
}

/// Why a run ended early.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// A file cannot be opened, read or written.
    File(&'static str),
    /// The plan is refused.
    Plan(PlanError),
    /// The plan needs more memory than the board has.
    Arena(ArenaTooSmall),
    /// The input ends within a sample.
    InputEnds {
        /// The sample.
        sample: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(what) => write!(f, "the {what} file cannot be opened, read or written"),
            Self::Plan(error) => error.fmt(f),
            Self::Arena(error) => error.fmt(f),
            Self::InputEnds { sample } => write!(f, "the input ends within sample {sample}"),
        }
    }
}

impl core::error::Error for Fault {}

impl From<PlanError> for Fault {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<ArenaTooSmall> for Fault {
    fn from(error: ArenaTooSmall) -> Self {
        Self::Arena(error)
    }
}

/// Runs the plan on every sample of the host's input, timed by the host's clock or, with `marks`, between marks.
///
/// # Errors
/// [`Fault`], which is also in the report if that can be written.
pub fn serve(
    host: &mut impl Host,
    kernels: Kernels,
    plan: &[u8],
    arena: &mut [Align16],
    marks: bool,
) -> Result<(), Fault> {
    let outcome = serve_samples(host, kernels, plan, arena, marks);
    if let Err(fault) = &outcome {
        host.report(format_args!("error={fault}"))?;
    }
    outcome
}

/// The arena that the plan's header asks for; 0 where there is no header.
pub fn arena_bytes(plan: &[u8]) -> usize {
    let header =
        plan.get(..size_of::<Header>()).and_then(|bytes| bytemuck::try_from_bytes::<Header>(bytes).ok());
    header.map_or(0, |header| header.arena_bytes as usize)
}

fn serve_samples(
    host: &mut impl Host,
    kernels: Kernels,
    plan: &[u8],
    arena: &mut [Align16],
    marks: bool,
) -> Result<(), Fault> {
    host.report(format_args!("kernels={}", kernels.name))?;
    let plan = Plan::from_bytes(plan, kernels.operators)?;
    boot::log_plan(&plan);
    host.report(format_args!("plan={}", plan.name()))?;
    host.report(format_args!("arena_bytes={}", plan.arena_bytes()))?;

    let units = Align16::count(plan.arena_bytes()).min(arena.len());
    let mut session = Session::new(&plan, &mut arena[..units])?;
    report_self_test(host, boot::self_test(&mut session))?;
    if let Some(bytes) = host.measure_stack(&mut || session.run()) {
        host.report(format_args!("stack_bytes={bytes}"))?;
    }
    session.reset();

    let mut samples = 0;
    let mut ticks = 0;
    let overhead = clock_overhead(host);
    if marks {
        // What a mark itself costs.
        still8_mark();
        still8_mark();
    }
    while read_sample(host, &mut session, samples)? {
        if marks {
            still8_mark();
            session.run_observed(|_, _| still8_mark());
        } else {
            let start = host.ticks();
            session.run();
            ticks += (host.ticks() - start).saturating_sub(overhead);
        }
        samples += 1;
        for i in 0..plan.output_count() {
            host.write(bytemuck::cast_slice(session.output(i).unwrap_or_default()))?;
        }
    }
    host.report(format_args!("samples={samples}"))?;
    if !marks {
        host.report(format_args!("ticks={ticks}"))?;
    }
    Ok(())
}

fn report_self_test(host: &mut impl Host, outcome: SelfTest) -> Result<(), Fault> {
    match outcome {
        SelfTest::Passed => host.report(format_args!("self_test=passed")),
        SelfTest::FailedAt { op } => host.report(format_args!("self_test=failed at op {op}")),
        SelfTest::OutputDiffers => host.report(format_args!("self_test=output differs")),
        SelfTest::Absent => host.report(format_args!("self_test=absent")),
    }
}

/// What two readings of the clock cost.
fn clock_overhead(host: &mut impl Host) -> u64 {
    // The first pair warms caches where there are any.
    host.ticks();
    let start = host.ticks();
    host.ticks() - start
}

/// Reads the inputs of one sample; false at the end of the input.
fn read_sample(host: &mut impl Host, session: &mut Session<'_, '_>, sample: usize) -> Result<bool, Fault> {
    for i in 0..session.plan().input_count() {
        let input = session.input(i).unwrap_or_default();
        let read = host.read(bytemuck::cast_slice_mut(input))?;
        if read == 0 && i == 0 {
            return Ok(false);
        }
        if read < input.len() {
            return Err(Fault::InputEnds { sample });
        }
    }
    Ok(true)
}
