//! The still8 compiler, in modules that follow the data's way, and the commands around it.

pub mod boards;
pub mod calibrate;
pub mod commands;
pub mod console;
pub mod emit;
pub mod emulator;
pub mod engine;
pub mod evaluate;
pub mod graph;
pub mod import;
pub mod lineage;
pub mod network;
pub mod pack;
pub mod plan;
pub mod process;
pub mod quantize;
pub mod simplify;
