//! The board table `firmware/boards.toml`, and the cores that commands name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use still8::format::Family;
use still8_validation::{Failure, Result};

/// A core that plans run on, as commands name it. The host is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Core {
    CortexM0,
    CortexM3,
    CortexM4,
    CortexM7,
    CortexM33,
    CortexM55,
    Aarch64,
}

impl Core {
    /// Every core.
    pub const ALL: [Self; 7] = [
        Self::CortexM0,
        Self::CortexM3,
        Self::CortexM4,
        Self::CortexM7,
        Self::CortexM33,
        Self::CortexM55,
        Self::Aarch64,
    ];

    /// The name on command lines, in `STILL8_CORE` and, but for aarch64, in `-Ctarget-cpu`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CortexM0 => "cortex-m0",
            Self::CortexM3 => "cortex-m3",
            Self::CortexM4 => "cortex-m4",
            Self::CortexM7 => "cortex-m7",
            Self::CortexM33 => "cortex-m33",
            Self::CortexM55 => "cortex-m55",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Weight order that the core's kernels take; the same choice as in the runtime's `build.rs`.
    pub const fn family(self) -> Family {
        match self {
            Self::CortexM0 | Self::CortexM3 => Family::Scalar,
            Self::CortexM4 | Self::CortexM7 | Self::CortexM33 => Family::Dsp,
            Self::CortexM55 => Family::Helium,
            Self::Aarch64 => Family::Neon,
        }
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Core {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|core| core.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Failure::Usage(format!("there is no core `{text}`; known: host, {names}"))
        })
    }
}

/// One row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// How commands call it.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its core.
    pub core: Core,
    /// Rust's target triple.
    pub target: String,
    /// How log frames leave it; absent on Linux.
    pub log: Option<Log>,
    /// Module of the firmware crate with its LED and delay; absent on Linux.
    pub module: Option<String>,
    /// What the module takes for its LED.
    pub led: Option<u32>,
    /// What SysTick counts, in Hz; absent on Linux.
    pub clock_hz: Option<u32>,
    /// How an image is run.
    pub run: Run,
    /// Its memory; absent on Linux.
    pub memory: Option<Memory>,
    /// Images get the portable kernels, whatever the core has: what `bench` compares with.
    #[serde(skip)]
    pub portable_kernels: bool,
}

/// How log frames leave a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// Standard output of the emulator.
    Semihosting,
    /// Memory that the debugger reads.
    Rtt,
}

/// How an image is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Run {
    /// In a machine of `qemu-system-arm`.
    Qemu {
        /// The machine.
        machine: String,
        /// An instruction takes 2 to this power ns of virtual time.
        icount_shift: u32,
    },
    /// As a Linux process in `qemu-aarch64`.
    QemuUser {
        /// The emulated CPU.
        cpu: String,
    },
    /// On a real board, by `probe-rs`.
    ProbeRs {
        /// probe-rs's name of the chip.
        chip: String,
    },
}

/// Memory of a bare-metal board.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Where code and constants go.
    pub flash: Region,
    /// Where statics and stack go.
    pub ram: Region,
    /// End of the RAM that is kept for the stack.
    pub stack_bytes: u64,
    /// Where the runner finds a plan.
    pub plan: Region,
    /// Where the runner works; in the rest of the RAM where absent.
    pub arena: Option<Region>,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// First address.
    pub origin: u64,
    /// Bytes.
    pub length: u64,
}

impl Board {
    /// Whether an emulator runs it.
    pub fn is_emulated(&self) -> bool {
        !matches!(self.run, Run::ProbeRs { .. })
    }

    /// Weight order that its kernels take.
    pub fn family(&self) -> Family {
        if self.portable_kernels { Family::Portable } else { self.core.family() }
    }

    /// What the runtime's `STILL8_CORE` is for its images.
    pub fn kernels(&self) -> &'static str {
        if self.portable_kernels { "portable" } else { self.core.name() }
    }
}

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Every board, in the table's order.
///
/// # Errors
/// [`Failure::Data`] where the table cannot be read or has unknown keys.
pub fn load() -> Result<Vec<Board>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        board: Vec<Board>,
    }

    let path = root().join("firmware").join("boards.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::data(&path, error))?;
    let table: Table = toml::from_str(&text).map_err(|error| Failure::data(&path, error))?;
    Ok(table.board)
}

/// The board with this name.
///
/// # Errors
/// [`Failure::Usage`] lists the boards.
pub fn find(name: &str) -> Result<Board> {
    let boards = load()?;
    boards.iter().find(|board| board.name == name).cloned().ok_or_else(|| {
        let list: Vec<String> =
            boards.iter().map(|board| format!("  {:15} {}", board.name, board.description)).collect();
        Failure::Usage(format!("there is no board `{name}`; known:\n{}", list.join("\n")))
    })
}

/// The emulated boards of a core, in the order in which they are tried.
///
/// # Errors
/// As [`load`].
pub fn emulated(core: Core) -> Result<Vec<Board>> {
    Ok(load()?.into_iter().filter(|board| board.core == core && board.is_emulated()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_has_an_emulated_board() {
        for core in Core::ALL {
            assert!(!emulated(core).unwrap().is_empty(), "{core}");
            assert_eq!(core.name().parse::<Core>().unwrap(), core);
        }
    }

    #[test]
    fn names_are_unique_and_bare_metal_rows_are_complete() {
        let boards = load().unwrap();
        for (i, board) in boards.iter().enumerate() {
            assert!(boards[..i].iter().all(|other| other.name != board.name), "{}", board.name);
            let bare = board.target.ends_with("-eabi") || board.target.ends_with("-eabihf");
            assert_eq!(bare, board.memory.is_some() && board.clock_hz.is_some(), "{}", board.name);
            assert_eq!(bare, board.log.is_some() && board.module.is_some() && board.led.is_some());
        }
    }

    #[test]
    fn unknown_boards_and_cores_are_usage_errors() {
        let error = find("arduino").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("mps2-an386"));
        assert_eq!("z80".parse::<Core>().unwrap_err().exit_code(), 2);
    }
}
