//! The runner image. On a board: `runner INPUT OUTPUT REPORT [marks | loop N | sequences]`, through semihosting; the
//! plan lies where `boards.toml` says. On Linux: `runner PLAN INPUT OUTPUT REPORT [marks]`.
//!
//! `loop N` and `sequences` run no plan. The one reports the ticks of 2 · N instructions, against which the clock is
//! checked; the other runs sequences of known cost between marks, against which the counter is checked.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare {
    use heapless::{CString, Vec};
    use semihosting::experimental::env;
    use still8_firmware::host::semihosting::Semihosting;
    use still8_firmware::mark::still8_mark;
    use still8_firmware::runner::{self, Fault, Host, Kernels};
    use still8_firmware::{clock, memory, sequences};

    /// Longest command line and longest file name, in bytes.
    const COMMAND_LINE: usize = 256;
    const FILE_NAME: usize = 64;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let status = match run() {
            Ok(()) => 0,
            Err(fault) => {
                defmt::error!("{}", defmt::Display2Format(&fault));
                1
            }
        };
        semihosting::process::exit(status)
    }

    fn run() -> Result<(), Fault> {
        let usage = Fault::File("command line's");
        let arguments = env::args::<COMMAND_LINE>().map_err(|_| usage)?;
        let words: Vec<&str, 6> = arguments.filter_map(Result::ok).take(6).collect();
        let [_, input, output, report, ref mode @ ..] = words[..] else {
            return Err(usage);
        };
        let name = |text: &str| {
            let mut name = CString::<FILE_NAME>::new();
            name.extend_from_bytes(text.as_bytes()).map(|()| name).map_err(|_| usage)
        };
        let (input, output, report) = (name(input)?, name(output)?, name(report)?);
        let peripherals = cortex_m::Peripherals::take().ok_or(usage)?;
        let mut host =
            Semihosting::open(input.as_c_str(), output.as_c_str(), report.as_c_str(), peripherals.SYST)?;
        match *mode {
            ["loop", iterations] => count_loop(&mut host, iterations.parse().map_err(|_| usage)?),
            ["sequences"] => run_sequences(&mut host),
            _ => {
                // SAFETY: `main` runs once and this is its only call.
                let arena = unsafe { memory::arena() };
                runner::serve(&mut host, Kernels::BUILT, memory::plan(), arena, *mode == ["marks"])
            }
        }
    }

    fn count_loop(host: &mut impl Host, iterations: u32) -> Result<(), Fault> {
        let start = host.ticks();
        let overhead = host.ticks() - start;
        let start = host.ticks();
        clock::run_loop(iterations);
        let ticks = host.ticks() - start - overhead;
        host.report(format_args!("ticks={ticks}"))
    }

    fn run_sequences(host: &mut impl Host) -> Result<(), Fault> {
        // What a mark itself costs.
        still8_mark();
        still8_mark();
        sequences::run(|index, name| host.report(format_args!("sequence.{index}={name}")))
    }
}

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    use std::path::Path;
    use std::process::ExitCode;

    use still8_firmware::host::linux::{self, Linux};
    use still8_firmware::runner;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plan, input, output, report, mode @ ..] = &arguments[..] else {
        eprintln!("usage: runner PLAN INPUT OUTPUT REPORT [marks]");
        return ExitCode::from(2);
    };
    let marks = mode.iter().any(|word| word == "marks");
    let run = || -> Result<(), Box<dyn std::error::Error>> {
        let mut host = Linux::open(Path::new(input), Path::new(output), Path::new(report))?;
        let file = std::fs::read(plan)?;
        let mut units = vec![still8::Align16::ZERO; still8::Align16::count(file.len())];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut units);
        bytes[..file.len()].copy_from_slice(&file);
        // The header says how large the arena must be; a file without one is refused before the arena matters.
        let need = runner::arena_bytes(&bytes[..file.len()]);
        let mut arena = vec![still8::Align16::ZERO; still8::Align16::count(need)];
        runner::serve(&mut host, linux::kernels(), &bytes[..file.len()], &mut arena, marks)?;
        Ok(host.finish()?)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
