//! What the linked images hold: the multiplications that their cores are for, no floating point, and no model card.

mod support;

#[path = "support/image.rs"]
mod image;

use std::fs;
use std::io::Write;
use std::path::Path;

use image::instructions::{Word, a64_is_float, is_sdot, is_smlad, is_vmladav_s8, thumb, thumb_is_float};
use image::{Code, is_soft_float};
use still8_validation::model::Model;
use support::emulator_available;
use xtask::boards::{self, Core};
use xtask::card::file::MAGIC;
use xtask::commands::quantize;
use xtask::console::Console;
use xtask::emulator::{self, Image};

/// The runner for the first board of a core, which holds every operator.
fn runner(core: Core) -> Option<Code> {
    if !emulator_available(core) {
        return None;
    }
    let board = &boards::emulated(core).unwrap()[0];
    Some(Code::read(&emulator::build(board, Image::Runner).unwrap()))
}

/// Asserts that the runner holds more than `few` of an instruction, where its family has kernels of its own.
#[track_caller]
fn holds(core: Core, name: &str, is: fn(Word) -> bool, few: usize) {
    if still8::kernels::variants(core.family()).is_empty() {
        let family = core.family().name();
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name} on {core}: {family} has no kernels yet");
        return;
    }
    if let Some(code) = runner(core) {
        let found = code.count(is);
        assert!(found > few, "{found} {name} instructions in the runner for {core}");
    }
}

#[test]
fn cores_with_the_dsp_extension_multiply_two_weights_at_once() {
    for core in [Core::CortexM4, Core::CortexM7, Core::CortexM33] {
        holds(core, "SMLAD", is_smlad, 10);
    }
}

#[test]
fn the_cortex_m55_multiplies_sixteen_weights_at_once() {
    holds(Core::CortexM55, "VMLADAV.S8", is_vmladav_s8, 0);
}

#[test]
fn aarch64_has_dot_products() {
    holds(Core::Aarch64, "SDOT", is_sdot, 0);
}

#[test]
fn the_model_card_stays_in_the_file_and_the_teachers_hash_is_flashed() {
    if !emulator_available(Core::CortexM4) {
        return;
    }
    let board = &boards::emulated(Core::CortexM4).unwrap()[0];
    let folder = tempfile::tempdir().unwrap();
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/motion"));
    let mut options = quantize::Options::new(model.to_owned(), board.family());
    options.out = Some(folder.path().join("motion.s8"));
    let plan = quantize::run(&options, Console { quiet: true, json: false }).unwrap().plan;
    let elf = emulator::build(board, Image::App(&plan)).unwrap();
    let holds =
        |path: &Path, what: &[u8]| fs::read(path).unwrap().windows(what.len()).any(|part| part == what);
    assert!(holds(&plan, &MAGIC) && !holds(&elf, &MAGIC));
    let teacher = Model::open(model).unwrap().recipe().teacher.clone().unwrap();
    assert!(holds(&elf, teacher.sha256.as_str().as_bytes()));
}

/// Asserts that nothing on the way of an inference computes in floating point. A bare-metal runner is that way and
/// semihosting; in a Linux process the standard library is left out.
fn is_integer_only(core: Core) {
    let Some(code) = runner(core) else { return };
    let is_float: fn(Word) -> bool = if code.is_a64 { a64_is_float } else { thumb_is_float };
    let looked_at = |function: &str| !code.is_a64 || function.contains("still8");
    let checked = code.instructions.iter().filter(|place| looked_at(&place.function)).count();
    assert!(checked > 3000, "{checked} instructions in the runner for {core}");
    let floats: Vec<String> = code
        .instructions
        .iter()
        .filter(|place| is_float(place.word) && looked_at(&place.function))
        .map(|place| format!("{:08x} at {:#x} in {}", place.word, place.address, place.function))
        .collect();
    assert!(floats.is_empty(), "{core}: {} instructions\n{}", floats.len(), floats.join("\n"));
    if !code.is_a64 {
        let soft: Vec<_> = code.functions.iter().filter(|name| is_soft_float(name)).collect();
        assert!(soft.is_empty(), "{core}: {soft:?}");
    }
}

macro_rules! integer_only {
    ($($test:ident = $core:ident),*) => {
        $(
            #[test]
            fn $test() {
                is_integer_only(Core::$core);
            }
        )*

        #[test]
        fn every_core_is_tested() {
            assert_eq!(Core::ALL.as_slice(), [$(Core::$core),*]);
        }
    };
}

integer_only!(
    cortex_m0_is_integer_only = CortexM0,
    cortex_m3_is_integer_only = CortexM3,
    cortex_m4_is_integer_only = CortexM4,
    cortex_m7_is_integer_only = CortexM7,
    cortex_m33_is_integer_only = CortexM33,
    cortex_m55_is_integer_only = CortexM55,
    aarch64_is_integer_only = Aarch64
);

/// Encodings as GNU's assembler makes them.
#[test]
fn instructions_are_told_apart() {
    let all = |words: &[Word], is: fn(Word) -> bool| words.iter().all(|&word| is(word));
    let none = |words: &[Word], is: fn(Word) -> bool| !words.iter().any(|&word| is(word));
    // smlad r0, r1, r2, r3; smuad r0, r1, r2; smladx r0, r1, r2, r3; smlsd r0, r1, r2, r3
    assert!(is_smlad(0xfb21_3002) && none(&[0xfb21_f002, 0xfb21_3012, 0xfb41_3002], is_smlad));
    // vmladava.s8, vmladav.s8; the same unsigned, of 16 bits, and vmlsdava.s8
    assert!(all(&[0xeefe_ef2e, 0xeef0_0f02], is_vmladav_s8));
    assert!(none(&[0xfef0_0f22, 0xeef0_0e22, 0xfef0_0e23], is_vmladav_s8));
    // sdot v0.4s, v1.16b, v2.16b, and with one element; udot
    assert!(all(&[0x4e82_9420, 0x4f82_e020], is_sdot) && none(&[0x6e82_9420], is_sdot));
    // vadd.f32 s0, s1, s2; vmul.f64 d0, d1, d2; vcvt.f32.s32 s0, s1; vcmp.f32 s0, #0; vfma.f32 s0, s1, s2;
    // vadd.f32 q0, q1, q2; vmul.f32 q0, q1, r2; vcvt.f32.s32 q0, q1
    let floats = [
        0xee30_0a81,
        0xee21_0b02,
        0xeeb8_0ae0,
        0xeeb5_0a40,
        0xeea0_0a81,
        0xef02_0d44,
        0xee33_0e62,
        0xffbb_0642,
    ];
    assert!(all(&floats, thumb_is_float));
    // vmov s0, r0; vmov.f32 s0, s1; vmov.f32 s0, #1.0; vldr s0, [r0]; vmrs r0, fpscr; vadd.i32 q0, q1, q2;
    // vmladava.s8 r0, q0, q1; vpst; vpsel q0, q5, q3; vqrdmulh.s32 q0, q1, q2; smlad r0, r1, r2, r3
    let integers = [
        0xee00_0a10,
        0xeeb0_0a60,
        0xeeb7_0a00,
        0xed90_0a00,
        0xeef1_0a10,
        0xef22_0844,
        0xeef0_0f22,
        0xfe71_0f4d,
        0xfe3b_0f07,
        0xff22_0b44,
        0xfb21_3002,
    ];
    assert!(none(&integers, thumb_is_float));
    // fadd s0, s1, s2; fmadd d0, d1, d2, d3; scvtf s0, w0; fcmp s0, s1; fmla v0.4s, v1.4s, v2.4s; fmul v0.4s, v1.4s,
    // v2.s[0]; scvtf v0.4s, v1.4s; fcvtzs v0.4s, v1.4s, #3; faddp s0, v1.2s; fadd v0.8h, v1.8h, v2.8h
    let floats = [
        0x1e22_2820,
        0x1f42_0c20,
        0x1e22_0000,
        0x1e21_2000,
        0x4e22_cc20,
        0x4f82_9020,
        0x4e21_d820,
        0x4f3d_fc20,
        0x7e30_d820,
        0x4e42_1420,
    ];
    assert!(all(&floats, a64_is_float));
    // fmov s0, w0; fmov s0, s1; fmov s0, #1.0; smlal v0.8h, v1.8b, v2.8b; sadalp v0.4s, v1.8h; sqrdmulh v0.4s, v1.4s,
    // v2.4s; srshl v0.4s, v1.4s, v2.4s; sdot v0.4s, v1.16b, v2.16b; addv s0, v1.4s; mla v0.4s, v1.4s, v2.s[0]
    let integers = [
        0x1e27_0000,
        0x1e20_4020,
        0x1e2e_1000,
        0x0e22_8020,
        0x4e60_6820,
        0x6ea2_b420,
        0x4ea2_5420,
        0x4e82_9420,
        0x4eb1_b820,
        0x6f82_0020,
    ];
    assert!(none(&integers, a64_is_float));
    // smlad, then a 16-bit instruction, then half of one that is cut off.
    let code = [0x21, 0xfb, 0x02, 0x30, 0x00, 0xbf, 0x21, 0xfb];
    assert_eq!(thumb(&code).collect::<Vec<_>>(), [(0, 0xfb21_3002), (4, 0xbf00_0000)]);
}

#[test]
fn soft_float_functions_are_told_apart() {
    for name in
        ["__aeabi_fadd", "__aeabi_dmul", "__aeabi_cfcmple", "__aeabi_ui2f", "__aeabi_f2iz", "__mulsf3"]
    {
        assert!(is_soft_float(name), "{name}");
    }
    for name in ["__floatsisf", "__fixdfsi", "__eqsf2", "__extendhfsf2", "__truncdfsf2", "__subdf3"] {
        assert!(is_soft_float(name), "{name}");
    }
    for name in
        ["__aeabi_memcpy", "__aeabi_lmul", "__aeabi_uidivmod", "__aeabi_idiv", "__muldi3", "__udivsi3"]
    {
        assert!(!is_soft_float(name), "{name}");
    }
}
