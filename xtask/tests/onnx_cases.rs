//! The operator cases of the `onnx` package, which is installed in an environment of the project's own. Without Python the
//! test says so and skips.

use still8_validation::Failure;
use xtask::commands::compare::onnx::{Options, run};
use xtask::conformance::Outcome;
use xtask::console::Console;

/// Cases that pass today: fewer is a loss.
const PASSED: usize = 352;

#[test]
fn no_operator_case_goes_wrong() {
    let report = match run(&Options::default(), Console::default()) {
        Ok(report) => report,
        Err(Failure::Missing(why)) => {
            println!("SKIPPED: {why}");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let right = |outcome: &Outcome| matches!(outcome, Outcome::Passed | Outcome::Refused(_));
    let wrong: Vec<_> = report.cases.iter().filter(|case| !right(&case.outcome)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let passed = report.cases.iter().filter(|case| case.outcome == Outcome::Passed).count();
    assert!(passed >= PASSED, "{passed} of {} cases passed", report.cases.len());
}
