//! The golden self-test: what the portable kernels make of one input, op by op.

use still8::crc32::crc32;
use still8::format::Family;
use still8::{Align16, Session};
use still8_validation::host::HostRunner;
use still8_validation::transfer::Transfer;
use still8_validation::{Failure, Result};

use crate::emit::emit;
use crate::network::{Golden, Network};

/// The longest input, in bytes, that a plan holds whole.
const WHOLE: usize = 1024;

/// What it holds of a longer one. A prime, so that what repeats falls elsewhere in every row and pixel: each op still
/// sees its whole shape at work.
const FRONT: usize = 251;

/// A run of the network on the host.
pub struct Outputs {
    /// Every op's output.
    pub ops: Vec<Vec<i8>>,
    /// The run as a self-test.
    pub golden: Golden,
}

/// A network ready to run on the host with the portable kernels.
pub struct Reference {
    runner: HostRunner,
}

impl Reference {
    /// # Errors
    /// [`Failure::Unsupported`] where the network has no valid plan.
    pub fn new(network: &Network) -> Result<Self> {
        let plan = emit(network, Family::Portable)?.bytes;
        let invalid = |error| Failure::Unsupported(format!("`{}`: {error}", network.name));
        Ok(Self { runner: HostRunner::new(&plan).map_err(invalid)? })
    }

    /// The edge of the network: quantizes samples and brings them into the device's layout.
    pub fn transfer(&self) -> Transfer {
        Transfer::new(&self.runner.plan())
    }

    /// The self-test on a sample, or on its front, repeated, where it is long.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn golden(&self, sample: &[i8]) -> Result<Golden> {
        let stored = if sample.len() > WHOLE { &sample[..FRONT] } else { sample };
        let input: Vec<i8> = stored.iter().copied().cycle().take(sample.len()).collect();
        Ok(Golden { input: stored.to_vec(), ..self.run(&input)?.golden })
    }

    /// Runs the network on `input`: all inputs in the device's layout, one behind the other.
    ///
    /// # Errors
    /// [`Failure::Data`] where the input is shorter than the network's.
    pub fn run(&self, input: &[i8]) -> Result<Outputs> {
        let plan = self.runner.plan();
        let mut arena = vec![Align16::ZERO; Align16::count(plan.arena_bytes())];
        let mut session =
            Session::new(&plan, &mut arena).map_err(|error| Failure::Data(error.to_string()))?;
        let mut rest = input;
        for i in 0..plan.input_count() {
            let tensor = session.input(i).unwrap_or_default();
            let (bytes, tail) = rest
                .split_at_checked(tensor.len())
                .ok_or_else(|| Failure::Data(format!("{} input bytes are too few", input.len())))?;
            tensor.copy_from_slice(bytes);
            rest = tail;
        }
        let mut ops = Vec::new();
        session.run_observed(|_, output| ops.push(output.to_vec()));
        let outputs = (0..plan.output_count()).filter_map(|i| session.output(i));
        let golden = Golden {
            input: input.to_vec(),
            output: outputs.flatten().copied().collect(),
            op_crcs: ops.iter().map(|bytes| crc32(bytemuck::cast_slice(bytes))).collect(),
        };
        Ok(Outputs { ops, golden })
    }
}
