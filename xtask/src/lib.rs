//! The still8 compiler, in modules that follow the data's way, and the commands around it.

pub mod evaluate;
pub mod graph;
pub mod import;
pub mod simplify;
pub mod calibrate;
pub mod emit;
pub mod network;
pub mod pack;
pub mod plan;
pub mod quantize;
pub mod boards;
pub mod emulator;
pub mod process;
pub mod commands;
pub mod console;
pub mod lineage;
pub mod engine;
