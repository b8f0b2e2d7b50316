//! Files of a Linux process. Its unit of time is the nanosecond.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Instant;

use crate::runner::{Fault, Host, Kernels};

/// The fastest kernels for the core that the process runs on.
pub fn kernels() -> Kernels {
    #[cfg(all(target_arch = "aarch64", not(portable_kernels)))]
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        // SAFETY: the table is used only here, where the instructions were found.
        static OPERATORS: still8::OpTable = still8::OpTable::new(unsafe { still8::ops::all_dotprod() });
        return Kernels { name: "neon-dotprod", operators: &OPERATORS };
    }
    Kernels::BUILT
}

/// The three files, and the clock.
pub struct Linux {
    input: BufReader<File>,
    output: BufWriter<File>,
    report: File,
    start: Instant,
}

impl Linux {
    /// Opens `input`, creates `output` and `report`.
    ///
    /// # Errors
    /// [`Fault::File`] names the file.
    pub fn open(input: &Path, output: &Path, report: &Path) -> Result<Self, Fault> {
        Ok(Self {
            report: File::create(report).map_err(|_| Fault::File("report"))?,
            output: BufWriter::new(File::create(output).map_err(|_| Fault::File("output"))?),
            input: BufReader::new(File::open(input).map_err(|_| Fault::File("input"))?),
            start: Instant::now(),
        })
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// [`Fault::File`] where that fails.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.output.flush().map_err(|_| Fault::File("output"))
    }
}

impl Host for Linux {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Fault> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(_) => return Err(Fault::File("input")),
            }
        }
        Ok(filled)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.output.write_all(bytes).map_err(|_| Fault::File("output"))
    }

    fn report(&mut self, line: fmt::Arguments<'_>) -> Result<(), Fault> {
        writeln!(self.report, "{line}").map_err(|_| Fault::File("report"))
    }

    fn ticks(&mut self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn measure_stack(&mut self, run: &mut dyn FnMut()) -> Option<usize> {
        run();
        None
    }
}
