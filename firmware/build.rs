//! Turns the board's row of `boards.toml` into linker memory and Rust constants.
//!
//! `STILL8_BOARD` names the board; without it, the first board of the target is taken, so that `cargo check` and
//! `clippy` need no setting.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use toml::{Table, Value};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=boards.toml");
    println!("cargo::rerun-if-env-changed=STILL8_BOARD");
    println!("cargo::rustc-check-cfg=cfg(board, values(\"mps2\", \"nrf51\", \"stm32f4\"))");
    emit_instruction_set();
    println!("cargo::rustc-check-cfg=cfg(portable_kernels)");
    println!("cargo::rerun-if-env-changed=STILL8_CORE");
    if env::var("STILL8_CORE").is_ok_and(|core| core == "portable") {
        println!("cargo::rustc-cfg=portable_kernels");
    }
    println!("cargo::rustc-check-cfg=cfg(task, values(\"classification\", \"anomaly\", \"regression\"))");
    println!("cargo::rerun-if-env-changed=STILL8_TASK");
    if let Ok(task) = env::var("STILL8_TASK") {
        println!("cargo::rustc-cfg=task={task:?}");
    }
    if let Err(message) = generate() {
        println!("cargo::error={message}");
    }
}

fn generate() -> Result<(), String> {
    let out_dir = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    let board = find_board()?;
    let name = text(&board, "name")?;
    let mut constants = format!("/// The board's name.\npub const NAME: &str = {name:?};\n");
    if let Some(memory) = board.get("memory").and_then(Value::as_table) {
        println!("cargo::rustc-cfg=board={:?}", text(&board, "module")?);
        emit_constants(&mut constants, &board, memory)?;
        emit_memory(&out_dir, memory)?;
    }
    write(&out_dir.join("constants.rs"), &constants)
}

/// `mainline` where the target has the whole Thumb instruction set, `dsp` where its name alone also tells the assembler
/// of the DSP extension.
fn emit_instruction_set() {
    println!("cargo::rustc-check-cfg=cfg(mainline)");
    println!("cargo::rustc-check-cfg=cfg(dsp)");
    let target = env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv7em") {
        println!("cargo::rustc-cfg=dsp");
    }
    if ["thumbv7", "thumbv8m.main"].iter().any(|family| target.starts_with(family)) {
        println!("cargo::rustc-cfg=mainline");
    }
}

fn find_board() -> Result<Table, String> {
    let source = fs::read_to_string("boards.toml").map_err(|e| format!("boards.toml: {e}"))?;
    let table: Table = source.parse().map_err(|e| format!("boards.toml: {e}"))?;
    let boards = table.get("board").and_then(Value::as_array).ok_or("boards.toml has no [[board]]")?;
    let (key, wanted) = match env::var("STILL8_BOARD") {
        Ok(name) => ("name", name),
        // A host build (`cargo clippy` without `--target`) stands for the hosted runner.
        Err(_) => match env::var("TARGET") {
            Ok(target) if target.contains("linux") => ("name", "aarch64-linux".into()),
            target => ("target", target.unwrap_or_default()),
        },
    };
    let row = boards.iter().filter_map(Value::as_table).find(|row| text(row, key) == Ok(&wanted));
    row.cloned().ok_or(format!("boards.toml has no board with {key} = \"{wanted}\""))
}

fn emit_constants(out: &mut String, board: &Table, memory: &Table) -> Result<(), String> {
    let plan = region(memory, "plan")?;
    let mut constant = |doc: &str, name: &str, ty: &str, value: &str| {
        writeln!(out, "/// {doc}\npub const {name}: {ty} = {value};").map_err(|e| e.to_string())
    };
    constant(
        "SysTick's and the core's clock, in Hz.",
        "CLOCK_HZ",
        "u32",
        &integer(board, "clock_hz")?.to_string(),
    )?;
    constant(
        "What the board module takes for its LED.",
        "LED",
        "usize",
        &integer(board, "led")?.to_string(),
    )?;
    constant(
        "Where the runner finds a plan: address, bytes.",
        "PLAN",
        "(usize, usize)",
        &format!("{plan:?}"),
    )?;
    let arena = if memory.contains_key("arena") { Some(region(memory, "arena")?) } else { None };
    constant(
        "Where the runner works: address, bytes; `None` for what statics and stack leave of the RAM.",
        "ARENA",
        "Option<(usize, usize)>",
        &format!("{arena:?}"),
    )
}

/// Writes `memory.x` for each image: the runner's code must end where its plan begins.
fn emit_memory(out_dir: &Path, memory: &Table) -> Result<(), String> {
    let (flash, flash_bytes) = region(memory, "flash")?;
    let (ram, ram_bytes) = region(memory, "ram")?;
    let (plan, _) = region(memory, "plan")?;
    let stack_bytes = integer(memory, "stack_bytes")?;
    let inside = (flash..flash + flash_bytes).contains(&plan);
    let code_bytes = if inside { plan - flash } else { flash_bytes };
    let images =
        [("runner", code_bytes), ("app", flash_bytes), ("bench", flash_bytes), ("selftest", flash_bytes)];
    for (image, flash_bytes) in images {
        let folder = out_dir.join(image);
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        // The RAM region ends below the stack, so that the linker refuses statics that would reach into it.
        let text = format!(
            "MEMORY\n{{\n  FLASH : ORIGIN = {flash:#x}, LENGTH = {flash_bytes:#x}\n  \
             RAM : ORIGIN = {ram:#x}, LENGTH = {:#x}\n}}\n\
             _stack_start = {:#x};\n_stack_end = {:#x};\n",
            ram_bytes - stack_bytes,
            ram + ram_bytes,
            ram + ram_bytes - stack_bytes,
        );
        write(&folder.join("memory.x"), &text)?;
        // Names of the chip's interrupts; `vectors.rs` has none.
        write(&folder.join("device.x"), "")?;
        println!("cargo::rustc-link-arg-bin={image}=-L{}", folder.display());
        println!("cargo::rustc-link-arg-bin={image}=-Tlink.x");
        // It asks for a logger, which an image without a log does not have.
        if env::var_os("CARGO_FEATURE_LOG").is_some() {
            println!("cargo::rustc-link-arg-bin={image}=-Tdefmt.x");
        }
    }
    Ok(())
}

fn region(memory: &Table, key: &str) -> Result<(usize, usize), String> {
    let region = memory.get(key).and_then(Value::as_table).ok_or(format!("boards.toml: no memory.{key}"))?;
    Ok((integer(region, "origin")?, integer(region, "length")?))
}

fn integer(table: &Table, key: &str) -> Result<usize, String> {
    let value = table.get(key).and_then(Value::as_integer).and_then(|value| usize::try_from(value).ok());
    value.ok_or(format!("boards.toml: `{key}` is missing or no whole number"))
}

fn text<'t>(table: &'t Table, key: &str) -> Result<&'t str, String> {
    table.get(key).and_then(Value::as_str).ok_or(format!("boards.toml: `{key}` is missing or no text"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
