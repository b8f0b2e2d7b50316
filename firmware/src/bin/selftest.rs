//! The self-test image: `selftest SEED CASES [FIRST]`, the command line of a Linux process or of semihosting.
//!
//! Runs random cases of every operator with the portable kernels and with the build's. Exit status 0 where all agree, 1
//! with one log line on the first difference, 2 for another command line.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare {
    use semihosting::experimental::env;
    use still8_firmware::{memory, selftest};

    /// Longest command line, in bytes.
    const COMMAND_LINE: usize = 128;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let arguments = env::args::<COMMAND_LINE>().ok();
        let settings = arguments.and_then(|words| selftest::settings(words.filter_map(Result::ok).skip(1)));
        let Some(settings) = settings else {
            defmt::error!("{}", selftest::USAGE);
            semihosting::process::exit(2)
        };
        // SAFETY: `main` runs once and this is its only call.
        let memory = unsafe { memory::arena() };
        semihosting::process::exit(i32::from(!selftest::passes(settings, memory)))
    }
}

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    use still8::Align16;
    use still8::selftest::MEMORY_BYTES;
    use still8_firmware::selftest;

    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(settings) = selftest::settings(words.iter().map(String::as_str)) else {
        eprintln!("{}", selftest::USAGE);
        return ExitCode::from(2);
    };
    let bytes = MEMORY_BYTES.into_iter().max().unwrap_or_default();
    let mut memory = vec![Align16::ZERO; Align16::count(bytes)];
    ExitCode::from(u8::from(!selftest::passes(settings, &mut memory)))
}
