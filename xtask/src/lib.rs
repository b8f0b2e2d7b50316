//! The still8 compiler, in modules that follow the data's way, and the commands around it.

pub mod graph;
