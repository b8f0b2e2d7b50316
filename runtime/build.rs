//! Chooses the kernel variant. Stable Rust shows no `target_feature` of 32-bit Arm to `cfg`, so the choice
//! rests on the target triple and, where the triple leaves it open, on the core named in `STILL8_CORE`.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(kernels_dsp)");
    println!("cargo::rustc-check-cfg=cfg(dsp_unknown_to_assembler)");
    println!("cargo::rustc-check-cfg=cfg(narrow_multiply)");
    println!("cargo::rerun-if-env-changed=STILL8_CORE");
    let target = env::var("TARGET").unwrap_or_default();
    let core = env::var("STILL8_CORE").unwrap_or_default();
    let dsp = match core.as_str() {
        // A stranger's build names no core: the triple decides. Every thumbv7em core has the DSP extension.
        "" => target.starts_with("thumbv7em"),
        "cortex-m4" | "cortex-m7" | "cortex-m33" | "cortex-m55" => true,
        "portable" | "cortex-m0" | "cortex-m3" | "aarch64" => false,
        other => {
            println!(
                "cargo::error=STILL8_CORE is `{other}`; known: portable, cortex-m0, cortex-m3, cortex-m4, \
                 cortex-m7, cortex-m33, cortex-m55, aarch64"
            );
            return;
        }
    };
    if dsp && !target.starts_with("thumbv7em") && !target.starts_with("thumbv8m.main") {
        println!("cargo::error=STILL8_CORE is `{core}`, which the target {target} does not build for");
    }
    if dsp {
        println!("cargo::rustc-cfg=kernels_dsp");
        // The DSP extension is optional in Armv8-M, so that the assembler must be told that this core has it.
        if target.starts_with("thumbv8m") {
            println!("cargo::rustc-cfg=dsp_unknown_to_assembler");
        }
    }
    // Armv6-M and Armv8-M Baseline have no instruction for a 64-bit product.
    if target.starts_with("thumbv6m") || target.starts_with("thumbv8m.base") {
        println!("cargo::rustc-cfg=narrow_multiply");
    }
}
