//! Passes the plan's path on, and the linker script.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=STILL8_PLAN");
    println!("cargo::rerun-if-changed=memory.x");
    let Ok(plan) = env::var("STILL8_PLAN") else {
        println!("cargo::error=set STILL8_PLAN to the absolute path of a plan (.s8)");
        return;
    };
    if !Path::new(&plan).is_absolute() || !Path::new(&plan).is_file() {
        println!("cargo::error=STILL8_PLAN is `{plan}`, which is no absolute path of a file");
        return;
    }
    println!("cargo::rerun-if-changed={plan}");
    println!("cargo::rustc-env=STILL8_PLAN={plan}");
    if let Ok(folder) = env::var("CARGO_MANIFEST_DIR") {
        println!("cargo::rustc-link-search={folder}");
    }
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
}
