//! Lets the linker leave qemu's functions open: qemu's own executable supplies them when it loads the plugin.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // GNU's linker and lld do so by themselves for a shared object.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-undefined,dynamic_lookup");
    }
}
