//! `cargo xtask distill`: from a teacher to a student that is made to be int8.

pub mod augment;
pub mod checks;
pub mod command;
pub mod committee;
pub mod compare;
pub mod config;
pub mod engine;
pub mod export;
pub mod hints;
pub mod loss;
pub mod page;
pub mod quantized;
pub mod run;
pub mod samples;
pub mod search;
pub mod student;
pub mod teacher;
pub mod train;
pub mod units;
