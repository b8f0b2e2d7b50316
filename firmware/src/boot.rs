//! The lines of every boot: what runs here, and whether it computes what the host computed.

use still8::session::SelfTest;
use still8::{Plan, Session, kernels};

use crate::{constants, log_line};

/// First 32 bits of the SHA-256 of the plan's source file.
pub fn source_hash(plan: &Plan<'_>) -> u32 {
    let [a, b, c, d, ..] = plan.header().source_sha256;
    u32::from_be_bytes([a, b, c, d])
}

/// Logs version, board, kernel variant and plan.
pub fn log_plan(plan: &Plan<'_>) {
    log_line!("still8 {} on {}, {} kernels", env!("CARGO_PKG_VERSION"), constants::NAME, kernels::NAME);
    log_line!(
        "plan {}: source {:08x}, crc {:08x}, {} bytes, arena {} bytes",
        plan.name(),
        source_hash(plan),
        plan.header().crc32,
        plan.file_bytes(),
        plan.arena_bytes()
    );
}

/// Runs the golden self-test, logs its outcome, and clears the state that it left.
pub fn self_test(session: &mut Session<'_, '_>) -> SelfTest {
    let outcome = session.self_test();
    match outcome {
        SelfTest::Passed => log_line!("golden: PASS"),
        SelfTest::FailedAt { op } => log_line!("golden: FAIL at op {} ({})", op, op_name(session.plan(), op)),
        SelfTest::OutputDiffers => log_line!("golden: FAIL at the output, all ops agree"),
        SelfTest::Absent => log_line!("golden: the plan has none"),
    }
    session.reset();
    outcome
}

/// The layer's name in the source graph.
pub fn op_name<'p>(plan: &Plan<'p>, op: usize) -> &'p str {
    plan.ops().get(op).map_or("", |record| plan.text(record.name))
}
