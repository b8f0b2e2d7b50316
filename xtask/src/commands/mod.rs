//! One file for each command of `cargo xtask`.

pub mod bench;
pub mod compare;
pub mod demo;
pub mod distill;
pub mod flash;
pub mod inspect;
pub mod ops;
pub mod quantize;
pub mod run;
pub mod setup;
pub mod tables;
pub mod test;
pub mod validate;

use std::path::PathBuf;

use still8::format::OpCode;

use crate::boards::root;

/// Folder of what commands make.
pub fn target_dir() -> PathBuf {
    root().join("target/still8")
}

/// Name of an operator in reports.
pub fn operator_name(code: OpCode) -> &'static str {
    still8::ops::ALL.iter().find(|entry| entry.code() == code).map_or("?", |entry| entry.name())
}
