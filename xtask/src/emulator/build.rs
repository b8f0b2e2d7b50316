//! Builds an image of the firmware crate for one board.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use still8_validation::{Failure, Result};

use super::REMEDY;
use super::plan_file::PlanFile;
use super::toolchain::{find_std, linker_variable};
use crate::boards::{self, Board, Log};
use crate::process;

/// A cold build takes one or two minutes on a small machine.
const LIMIT: Duration = Duration::from_secs(1800);

/// An image of the firmware crate.
#[derive(Clone, Copy, Debug)]
pub enum Image<'p> {
    /// Serves any plan.
    Runner,
    /// The application with this plan inside.
    App(&'p Path),
    /// What times this plan by the board's own counter.
    Bench(&'p Path),
    /// The application without a log: what a product would ship. Its LED alone shows what it does.
    SilentApp(&'p Path),
    /// Random cases of every kernel.
    SelfTest,
}

/// Builds an image for a board; returns its ELF file. Safe to call from several threads and processes.
///
/// # Errors
/// [`Failure::Missing`] without compiler, standard library or linker; [`Failure::Missed`] where the image exceeds
/// the board's memory; [`Failure::Data`] with the compiler's messages for everything else.
pub fn build(board: &Board, image: Image<'_>) -> Result<PathBuf> {
    match image {
        Image::Runner => build_once(board, "runner"),
        Image::SelfTest => build_once(board, "selftest"),
        Image::App(plan) => build_around(board, "app", plan, true),
        Image::SilentApp(plan) => build_around(board, "app", plan, false),
        Image::Bench(plan) => build_around(board, "bench", plan, true),
    }
}

/// Images without a plan do not change while a command runs, so each is built once a process.
fn build_once(board: &Board, binary: &'static str) -> Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<(PathBuf, &str), PathBuf>>> = Mutex::new(None);
    // A thread that panicked inside left the map as it was.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    let key = (target_dir(board), binary);
    if let Some(elf) = built.get(&key) {
        return Ok(elf.clone());
    }
    let elf = run_cargo(board, binary, None, true)?;
    built.insert(key, elf.clone());
    Ok(elf)
}

/// Builds the binary with the plan inside.
fn build_around(board: &Board, binary: &str, plan: &Path, log: bool) -> Result<PathBuf> {
    let plan = plan.canonicalize().map_err(|error| Failure::data(plan, error))?;
    let bytes = fs::read(&plan).map_err(|error| Failure::data(&plan, error))?;
    let folder = target_dir(board);
    let kind = if log { binary } else { "silent" };
    let image = folder.join(format!("{kind}-{:08x}.elf", still8::crc32::crc32(&bytes)));
    // Images of one board share a file name: whoever builds holds the lock until it has its copy.
    let copy = || -> std::io::Result<(File, tempfile::NamedTempFile)> {
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("app.lock"))?;
        lock.lock()?;
        Ok((lock, tempfile::NamedTempFile::new_in(&folder)?))
    };
    let (_lock, copy) = copy().map_err(|error| Failure::data(&folder, error))?;
    let elf = run_cargo(board, binary, Some(&plan), log)?;
    fs::copy(&elf, copy.path()).map_err(|error| Failure::data(&elf, error))?;
    copy.persist(&image).map_err(|error| Failure::data(&image, error))?;
    Ok(image)
}

fn target_dir(board: &Board) -> PathBuf {
    let suffix = if board.portable_kernels { "-portable" } else { "" };
    boards::root().join("target/firmware").join(format!("{}{suffix}", board.name))
}

/// Builds the binary and returns its path.
fn run_cargo(board: &Board, binary: &str, plan: Option<&Path>, log: bool) -> Result<PathBuf> {
    let std = find_std(&board.target)?;
    let target_dir = target_dir(board);
    let mut command = std.cargo(&board.target);
    let transport = if board.log == Some(Log::Rtt) { "rtt" } else { "semihosting" };
    // But for the runner, the image's own feature has its name.
    let features = [(binary != "runner").then_some(binary), log.then_some(transport)].into_iter().flatten();
    let features = features.collect::<Vec<_>>().join(",");
    // The firmware's own configuration is read only by a cargo that runs in its folder.
    command.current_dir(boards::root().join("firmware"));
    command.args(["build", "--release", "--no-default-features", "--features", &features]);
    command.args(["--bin", binary, "--target", &board.target]).arg("--target-dir").arg(&target_dir);
    command.env("STILL8_BOARD", &board.name).env("STILL8_CORE", board.kernels());
    match plan {
        Some(plan) => command.env("STILL8_PLAN", plan),
        None => command.env_remove("STILL8_PLAN"),
    };
    match plan.map(PlanFile::read).transpose()?.as_ref().and_then(PlanFile::task) {
        Some(task) => command.env("STILL8_TASK", task.name()),
        None => command.env_remove("STILL8_TASK"),
    };
    // Places of panics are in the image: it shall be the same, and as small, wherever the project lies.
    let mut flags = vec![format!("--remap-path-prefix={}/=", boards::root().display())];
    flags.push(match board.memory {
        Some(_) => format!("-Ctarget-cpu={}", board.core),
        // The counter finds a Linux process's functions by their linked addresses, so that it must not be moved.
        None => "-Crelocation-model=static".into(),
    });
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if board.memory.is_none() {
        // A Linux process need not be small.
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3");
        command.env(linker_variable(&board.target), "aarch64-linux-gnu-gcc");
    }
    // These describe the host's build, which may have started this one.
    command.env_remove("CARGO_BUILD_TARGET").env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");

    let finished = process::run(&mut command, LIMIT, REMEDY)?;
    if finished.success() {
        return Ok(target_dir.join(&board.target).join("release").join(binary));
    }
    let text = finished.text();
    if let Some(failure) = memory_excess(board, &text) {
        return Err(failure);
    }
    if text.contains("linker `") && text.contains("not found") {
        return Err(Failure::Missing(format!(
            "the linker for {} is not installed; {REMEDY}\n{text}",
            board.target
        )));
    }
    Err(Failure::Data(format!(
        "the image for {} does not build; `{}` {}\n{text}",
        board.name,
        process::command_line(&command),
        finished.ending()
    )))
}

/// What the linker says where sections do not fit, as bytes by region.
fn memory_excess(board: &Board, text: &str) -> Option<Failure> {
    let mut excess: [(&str, u64); 2] = [("FLASH", 0), ("RAM", 0)];
    for (region, bytes) in &mut excess {
        // As lld and as GNU's linker say it.
        for quote in ["region '", "region `"] {
            for (at, mark) in text.match_indices(&format!("{quote}{region}'")) {
                let rest = text[at + mark.len()..].trim_start_matches(':');
                let digits = rest.strip_prefix(" overflowed by ").and_then(|rest| rest.split(' ').next());
                let digits = digits.map(|digits| digits.trim_end_matches(|c: char| !c.is_ascii_digit()));
                let overflow = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
                // Sections follow one another, so that the last one's excess is the region's.
                *bytes = overflow.max(*bytes);
            }
        }
    }
    let memory = board.memory.as_ref()?;
    let parts: Vec<String> = excess
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(region, bytes)| {
            let (what, have) = match region {
                "FLASH" => ("code and plan exceed the flash", memory.flash.length),
                _ => ("arena and statics exceed the RAM", memory.ram.length - memory.stack_bytes),
            };
            format!("{what} ({have} bytes) by {bytes} bytes")
        })
        .collect();
    if parts.is_empty() {
        return None;
    }
    Some(Failure::Missed(format!("{}: {}", board.name, parts.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_overflow_becomes_bytes() {
        let board = boards::find("microbit").unwrap();
        let text = "rust-lld: error: section '.rodata' will not fit in region 'FLASH': overflowed by 12 bytes\n\
                    rust-lld: error: section '.data' will not fit in region 'FLASH': overflowed by 76 bytes";
        let failure = memory_excess(&board, text).unwrap();
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(
            failure.to_string(),
            "microbit: code and plan exceed the flash (262144 bytes) by 76 bytes"
        );
        let text = "ld: section `.bss' will not fit in region `RAM'\nld: region `RAM' overflowed by 5 bytes";
        let failure = memory_excess(&board, text).unwrap();
        assert_eq!(
            failure.to_string(),
            "microbit: arena and statics exceed the RAM (14336 bytes) by 5 bytes"
        );
        assert!(memory_excess(&board, "error: something else").is_none());
    }
}
