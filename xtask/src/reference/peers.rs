//! What the strongest other engines need for the same networks.
//!
//! **Cortex-M**: TensorFlow Lite Micro with CMSIS-NN. Sources of November 2026, arm-none-eabi-gcc 12.2, `qemu-system-arm`:
//! executed instructions of one inference of the benchmark's int8 models, counted as `bench` counts, the best of six builds
//! on the Cortex-M4; estimated cycles by the weights that the plugin has for the core; the arena that the interpreter
//! uses; the flash of the smallest build without the model (error texts stripped, only the needed operators).
//!
//! **AArch64**: tract 0.23 on the benchmark's float models, optimized, on one thread, with its kernels for the Cortex-A72.
//! It needs more for the QDQ models, and on a core with dot product at most 1 % less; `tests/tract-aarch64` says how it was
//! measured.

use crate::boards::Core;

/// Counts of one inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Executed instructions.
    pub instructions: u64,
    /// Estimated cycles, where they were.
    pub cycles: Option<u64>,
}

/// What the peers need for a network.
#[derive(Debug)]
pub struct Peer {
    /// Name of the [`Reference`](super::Reference).
    pub network: &'static str,
    /// Arena on Cortex-M in bytes.
    pub arena_bytes: u64,
    /// Flash of the Cortex-M4's image without the model, in bytes.
    pub code_bytes: u64,
    cores: &'static [(Core, Counts)],
}

impl Peer {
    /// Counts on a core, `None` where they were not measured. A Cortex-M33 with DSP runs what a Cortex-M4 runs.
    pub fn counts(&self, core: Core) -> Option<Counts> {
        let core = if core == Core::CortexM33 { Core::CortexM4 } else { core };
        self.cores.iter().find(|(measured, _)| *measured == core).map(|(_, counts)| *counts)
    }
}

/// The peer's figures for the network of this name.
pub fn peer(network: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.network == network)
}

const fn counted(core: Core, instructions: u64) -> (Core, Counts) {
    (core, Counts { instructions, cycles: None })
}

const fn timed(core: Core, instructions: u64, cycles: u64) -> (Core, Counts) {
    (core, Counts { instructions, cycles: Some(cycles) })
}

/// All networks.
pub const PEERS: [Peer; 5] = [
    Peer {
        network: "kws",
        arena_bytes: 22_820,
        code_bytes: 47_308,
        cores: &[
            timed(Core::CortexM4, 7_318_787, 9_136_000),
            counted(Core::CortexM7, 7_759_535),
            counted(Core::CortexM3, 10_543_728),
            timed(Core::CortexM0, 28_998_727, 41_726_000),
            counted(Core::CortexM55, 1_783_544),
            counted(Core::Aarch64, 1_562_048),
        ],
    },
    Peer {
        network: "ic",
        arena_bytes: 54_996,
        code_bytes: 44_472,
        cores: &[
            timed(Core::CortexM4, 29_001_174, 35_446_000),
            counted(Core::CortexM7, 29_940_350),
            counted(Core::CortexM3, 41_759_962),
            timed(Core::CortexM0, 97_578_164, 141_946_000),
            counted(Core::CortexM55, 4_812_961),
            counted(Core::Aarch64, 6_036_087),
        ],
    },
    Peer {
        network: "ad",
        arena_bytes: 2_580,
        code_bytes: 23_108,
        cores: &[
            timed(Core::CortexM4, 579_059, 719_000),
            counted(Core::CortexM7, 582_543),
            counted(Core::CortexM3, 955_905),
            timed(Core::CortexM0, 1_763_209, 2_463_000),
            counted(Core::CortexM55, 149_894),
            counted(Core::Aarch64, 226_403),
        ],
    },
    Peer {
        network: "vww",
        arena_bytes: 100_708,
        code_bytes: 47_308,
        cores: &[
            timed(Core::CortexM4, 22_905_264, 28_950_000),
            counted(Core::CortexM7, 24_483_397),
            counted(Core::CortexM3, 32_083_017),
            timed(Core::CortexM0, 86_877_512, 125_156_000),
            counted(Core::CortexM55, 6_433_111),
            counted(Core::Aarch64, 5_633_643),
        ],
    },
    Peer {
        network: "sww",
        arena_bytes: 16_596,
        code_bytes: 58_712,
        cores: &[counted(Core::CortexM4, 2_225_744)],
    },
];
