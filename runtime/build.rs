//! Chooses the kernel variant. Stable Rust shows no `target_feature` of 32-bit Arm to `cfg`, so the choice
//! rests on the target triple and, where the triple leaves it open, on the core named in `STILL8_CORE`.

use std::env;

fn main() {
    for variant in ["dsp", "helium", "neon", "scalar"] {
        println!("cargo::rustc-check-cfg=cfg(kernels_{variant})");
    }
    println!("cargo::rustc-check-cfg=cfg(dsp_unknown_to_assembler)");
    println!("cargo::rustc-check-cfg=cfg(narrow_multiply)");
    println!("cargo::rerun-if-env-changed=STILL8_CORE");
    let target = env::var("TARGET").unwrap_or_default();
    let core = env::var("STILL8_CORE").unwrap_or_default();
    let armv7em = target.starts_with("thumbv7em");
    let armv8m_main = target.starts_with("thumbv8m.main");
    let aarch64 = target.starts_with("aarch64");
    let (variant, fits) = match core.as_str() {
        // A stranger's build names no core: the triple decides. Every thumbv7em core has the DSP extension, a
        // thumbv8m.main core need not have it.
        "" if armv7em => ("dsp", true),
        "" if target.starts_with("thumb") => ("scalar", true),
        "" if aarch64 => ("neon", true),
        "" | "portable" => ("portable", true),
        "cortex-m0" | "cortex-m3" => ("scalar", target.starts_with("thumb")),
        "cortex-m4" | "cortex-m7" => ("dsp", armv7em),
        "cortex-m33" => ("dsp", armv8m_main),
        "cortex-m55" => ("helium", armv8m_main),
        "aarch64" => ("neon", aarch64),
        other => {
            println!(
                "cargo::error=STILL8_CORE is `{other}`; known: portable, cortex-m0, cortex-m3, cortex-m4, \
                 cortex-m7, cortex-m33, cortex-m55, aarch64"
            );
            return;
        }
    };
    if !fits {
        println!("cargo::error=STILL8_CORE is `{core}`, which the target {target} does not build for");
    }
    if variant != "portable" {
        println!("cargo::rustc-cfg=kernels_{variant}");
    }
    // The DSP extension is optional in Armv8-M, so that the assembler must be told that this core has it.
    if matches!(variant, "dsp" | "helium") && armv8m_main {
        println!("cargo::rustc-cfg=dsp_unknown_to_assembler");
    }
    // Armv6-M and Armv8-M Baseline have no instruction for a 64-bit product.
    if target.starts_with("thumbv6m") || target.starts_with("thumbv8m.base") {
        println!("cargo::rustc-cfg=narrow_multiply");
    }
}
