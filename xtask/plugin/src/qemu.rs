//! The plugin interface of qemu (`qemu-plugin.h`), as much of it as is used here.
//!
//! qemu 7.2 to 8.2 take plugins of version 1; 9.0 takes version 2, from 9.1 on version 3 hands instructions out as
//! copies. `STILL8_QEMU_PLUGIN` sets the version at build time.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::fs;
use std::sync::OnceLock;

use crate::counter::{Block, Counter};
use crate::timing::Timing;

/// The version of the interface.
const VERSION: i32 = match option_env!("STILL8_QEMU_PLUGIN") {
    Some(text) => match text.as_bytes() {
        b"1" => 1,
        b"2" => 2,
        b"3" => 3,
        _ => panic!("STILL8_QEMU_PLUGIN is 1, 2 or 3"),
    },
    None => 1,
};

/// The version, where qemu looks for it.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = VERSION;

type Id = u64;

/// A block that is being translated.
#[repr(C)]
struct Translation {
    _private: [u8; 0],
}

/// One of its instructions.
#[repr(C)]
struct Insn {
    _private: [u8; 0],
}

/// A callback that reads and writes no register.
const NO_REGISTERS: c_int = 0;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: extern "C" fn(Id, *mut Translation));
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        translation: *mut Translation,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_atexit_cb(id: Id, callback: extern "C" fn(Id, *mut c_void), data: *mut c_void);
    fn qemu_plugin_tb_n_insns(translation: *const Translation) -> usize;
    fn qemu_plugin_tb_get_insn(translation: *const Translation, index: usize) -> *mut Insn;
    fn qemu_plugin_insn_size(insn: *const Insn) -> usize;
    fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
}

/// Versions 1 and 2: where the instruction's bytes are.
mod in_place {
    unsafe extern "C" {
        pub fn qemu_plugin_insn_data(insn: *const super::Insn) -> *const u8;
    }
}

/// Version 3: copies them, and returns how many.
mod copied {
    unsafe extern "C" {
        #[allow(clashing_extern_declarations)]
        pub fn qemu_plugin_insn_data(insn: *const super::Insn, to: *mut u8, length: usize) -> usize;
    }
}

/// What the arguments say.
struct Settings {
    /// `None` for a core without published timing.
    timing: Option<Timing>,
    /// Whether instructions are Thumb.
    thumb: bool,
    mark: u64,
    out: String,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// The counter of processor 0.
struct Shared(UnsafeCell<Counter<'static>>);

// SAFETY: only the thread of processor 0 touches the counter while the emulator runs, and the exit callback once it
// has stopped.
unsafe impl Sync for Shared {}

static COUNTER: Shared = Shared(UnsafeCell::new(Counter::new()));

/// What qemu calls when it loads the plugin.
///
/// # Safety
/// `arguments` are `count` C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let arguments = (0..usize::try_from(count).unwrap_or(0)).map(|i| {
        // SAFETY: by this function's contract.
        unsafe { CStr::from_ptr(*arguments.add(i)) }.to_string_lossy().into_owned()
    });
    match read_settings(arguments) {
        Ok(settings) => {
            // qemu installs a plugin once; a second set of settings would be another library.
            let _ = SETTINGS.set(settings);
        }
        Err(message) => {
            eprintln!("still8-counter: {message}");
            return -1;
        }
    }
    // SAFETY: qemu has this function, and the callbacks have the types that it calls.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
        qemu_plugin_register_atexit_cb(id, ended, std::ptr::null_mut());
    }
    0
}

fn read_settings(arguments: impl Iterator<Item = String>) -> Result<Settings, String> {
    let (mut core, mut mark, mut out) = (None, None, None);
    for argument in arguments {
        match argument.split_once('=') {
            Some(("core", value)) => core = Some(value.to_owned()),
            Some(("mark", value)) => {
                let digits = value.strip_prefix("0x").unwrap_or(value);
                mark = Some(u64::from_str_radix(digits, 16).map_err(|error| format!("{argument}: {error}"))?);
            }
            Some(("out", value)) => out = Some(value.to_owned()),
            _ => return Err(format!("`{argument}` is none of core=NAME, mark=0xADDRESS, out=FILE")),
        }
    }
    let core = core.ok_or("core=NAME is missing")?;
    let timing = Timing::for_core(&core).map_err(|_| format!("there is no core `{core}`"))?;
    Ok(Settings {
        timing,
        thumb: core != "aarch64",
        mark: mark.ok_or("mark=0xADDRESS is missing")?,
        out: out.ok_or("out=FILE is missing")?,
    })
}

/// Makes a block of translated code, and has it counted whenever it runs.
extern "C" fn translated(_id: Id, translation: *mut Translation) {
    let Some(settings) = SETTINGS.get() else { return };
    // SAFETY: qemu calls this with a translation that lives until this returns, and so do its instructions; the
    // indices are below the number of instructions.
    let insns: Vec<*mut Insn> = unsafe {
        let count = qemu_plugin_tb_n_insns(translation);
        (0..count).map(|i| qemu_plugin_tb_get_insn(translation, i)).collect()
    };
    // SAFETY: as above.
    let address = |&insn: &*mut Insn| unsafe { qemu_plugin_insn_vaddr(insn) };
    let Some(start) = insns.first().map(address) else { return };
    let block = if settings.thumb {
        let code: Vec<(u64, [u8; 4], usize)> = insns
            .iter()
            .map(|insn| (address(insn), bytes(*insn)))
            .map(|(address, (bytes, size))| (address, bytes, size))
            .collect();
        let code = code.iter().map(|(address, bytes, size)| (*address, &bytes[..*size]));
        Block::new(settings.timing, settings.mark, code)
    } else {
        Block::counted(settings.mark, start, insns.len() as u64)
    };
    // It lives as long as the translation may run, which qemu does not tell.
    let block: &'static Block = Box::leak(Box::new(block));
    // SAFETY: as above; the callback gets back the reference to a block that is never freed.
    unsafe {
        let data = std::ptr::from_ref(block).cast_mut().cast();
        qemu_plugin_register_vcpu_tb_exec_cb(translation, entered, NO_REGISTERS, data);
    }
}

/// The bytes of a Thumb instruction, 2 or 4.
fn bytes(insn: *mut Insn) -> ([u8; 4], usize) {
    let mut bytes = [0; 4];
    // SAFETY: the instruction is one of a translation that lives; at most 4 bytes are written, and no more are read
    // than the instruction has.
    unsafe {
        let size = qemu_plugin_insn_size(insn).min(4);
        if VERSION < 3 {
            let data = in_place::qemu_plugin_insn_data(insn);
            std::ptr::copy_nonoverlapping(data, bytes.as_mut_ptr(), size);
        } else {
            copied::qemu_plugin_insn_data(insn, bytes.as_mut_ptr(), size);
        }
        (bytes, size)
    }
}

/// A block is about to run.
extern "C" fn entered(processor: c_uint, data: *mut c_void) {
    if processor != 0 {
        return;
    }
    // SAFETY: `translated` passed a block that is never freed; the counter is processor 0's alone.
    unsafe { (*COUNTER.0.get()).enter(&*data.cast::<Block>()) }
}

/// The emulator ends.
extern "C" fn ended(_id: Id, _data: *mut c_void) {
    let Some(settings) = SETTINGS.get() else { return };
    // SAFETY: processors have stopped.
    let marks = unsafe { (*COUNTER.0.get()).marks() };
    let mut text = String::new();
    for mark in marks {
        // Writing to a string cannot fail.
        let _ = match settings.timing {
            Some(_) => writeln!(text, "{} {}", mark.instructions, mark.cycles),
            None => writeln!(text, "{} -", mark.instructions),
        };
    }
    if let Err(error) = fs::write(&settings.out, text) {
        eprintln!("still8-counter: {}: {error}", settings.out);
    }
}
