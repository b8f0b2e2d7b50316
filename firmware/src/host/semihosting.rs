//! Files and exit code of an emulated board, through semihosting.

use core::ffi::CStr;
use core::fmt;

use cortex_m::peripheral::SYST;
use semihosting::fs::File;
use semihosting::io::{Read, Write};

use crate::clock::Clock;
use crate::runner::{Fault, Host};
use crate::stack;

/// The three files in the emulator's working directory, and SysTick.
pub struct Semihosting {
    input: File,
    output: File,
    report: File,
    clock: Clock,
}

impl Semihosting {
    /// Opens `input`, creates `output` and `report`, and starts the clock.
    ///
    /// # Errors
    /// [`Fault::File`] names the file.
    pub fn open(input: &CStr, output: &CStr, report: &CStr, syst: SYST) -> Result<Self, Fault> {
        let report = File::create(report).map_err(|_| Fault::File("report"))?;
        let output = File::create(output).map_err(|_| Fault::File("output"))?;
        let input = File::open(input).map_err(|_| Fault::File("input"))?;
        Ok(Self { input, output, report, clock: Clock::start(syst) })
    }
}

impl Host for Semihosting {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Fault> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(_) => return Err(Fault::File("input")),
            }
        }
        Ok(filled)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.output.write_all(bytes).map_err(|_| Fault::File("output"))
    }

    fn report(&mut self, line: fmt::Arguments<'_>) -> Result<(), Fault> {
        let written = self.report.write_fmt(line).and_then(|()| self.report.write_all(b"\n"));
        written.map_err(|_| Fault::File("report"))
    }

    fn ticks(&mut self) -> u64 {
        self.clock.ticks()
    }

    fn measure_stack(&mut self, run: &mut dyn FnMut()) -> Option<usize> {
        Some(stack::measure(run))
    }
}
