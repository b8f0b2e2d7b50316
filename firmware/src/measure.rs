//! Times one plan on its golden input, op by op, and logs what it finds: lines of `bench KEY=VALUE`.
//!
//! Keys: `kernels`, `counter`, `stack_bytes`, `op.INDEX` and `total` (cycles), `done` (1 where the network computes
//! what it computed on the host, else 0), which is the last.

use still8::session::SelfTest;
use still8::{Align16, ArenaTooSmall, Plan, Session, kernels};

use crate::cycles::Counter;
use crate::{boot, log_line, stack};

/// Runs and times the plan; false where its self-test fails.
///
/// # Errors
/// [`ArenaTooSmall`] with the bytes needed and given.
pub fn run(plan: &Plan<'_>, arena: &mut [Align16], counter: &mut Counter) -> Result<bool, ArenaTooSmall> {
    boot::log_plan(plan);
    let mut session = Session::new(plan, arena)?;
    let passed = boot::self_test(&mut session) == SelfTest::Passed;
    log_line!("bench kernels={}", kernels::NAME);
    log_line!("bench counter={}", counter.name());
    log_line!("bench stack_bytes={}", stack::measure(&mut || session.run()));
    session.reset();
    fill_inputs(&mut session);
    let start = counter.now();
    let overhead = counter.since(start);
    let mut total = 0;
    // What the log takes lies between two readings that belong to no op.
    let mut start = counter.now();
    session.run_observed(|op, _| {
        let cycles = counter.since(start).saturating_sub(overhead);
        total += cycles;
        log_line!("bench op.{}={}", op, cycles);
        start = counter.now();
    });
    log_line!("bench total={}", total);
    log_line!("bench done={}", u32::from(passed));
    Ok(passed)
}

/// Writes the plan's golden input into the inputs.
fn fill_inputs(session: &mut Session<'_, '_>) {
    let Some(golden) = session.plan().golden() else { return };
    let mut bytes = golden.input();
    for i in 0..session.plan().input_count() {
        for (to, byte) in session.input(i).unwrap_or_default().iter_mut().zip(&mut bytes) {
            *to = byte;
        }
    }
}
