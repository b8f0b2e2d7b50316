//! Random cases of every kernel against the portable one, on the core itself.

use still8::selftest::{Difference, Settings, Summary, run};
use still8::{Align16, kernels};

use crate::{constants, log_line};

/// What the image is called with.
pub const USAGE: &str = "usage: selftest SEED CASES [FIRST]";

/// The settings that a command line holds behind the program's name.
pub fn settings<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Settings> {
    let (seed, cases) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let first = words.next().map_or(Some(0), |word| word.parse().ok())?;
    Some(Settings { seed, first, cases })
}

/// Runs the cases; logs what ran, then that all passed or the first difference. Whether all passed. Where kernels are
/// chosen at run time, those of this core run as well.
pub fn passes(settings: Settings, memory: &mut [Align16]) -> bool {
    log_line!("still8 {} on {}, {} kernels", env!("CARGO_PKG_VERSION"), constants::NAME, kernels::NAME);
    #[cfg(all(target_arch = "aarch64", not(target_os = "none"), not(portable_kernels)))]
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        log_line!("dot-product kernels:");
        // SAFETY: the core has the instructions.
        let outcome = unsafe { still8::selftest::run_dotprod(settings, memory) };
        if !report(outcome) {
            return false;
        }
        log_line!("kernels for every core:");
    }
    report(run(settings, memory))
}

/// Logs an outcome. Whether all passed.
fn report(outcome: Result<Summary, Difference>) -> bool {
    match outcome {
        Ok(summary) => {
            log_line!(
                "selftest: PASS, {} cases, {} output bytes, {} within bounds",
                summary.cases,
                summary.bytes,
                summary.inner
            );
            true
        }
        Err(difference) => {
            #[cfg(target_os = "none")]
            let difference = defmt::Display2Format(&difference);
            log_line!("selftest: FAIL, {}", difference);
            false
        }
    }
}
