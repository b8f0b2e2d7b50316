//! The still8 compiler, in modules that follow the data's way, and the commands around it.
//!
//! - The compiler: [`import`] (ONNX to [`graph`]), [`simplify`], [`calibrate`], [`quantize`] (to [`network`]), [`plan`]
//!   (arena), [`pack`] (weight order), [`emit`] (bytes of a plan, and back). [`evaluate`] is the float graph's slow truth,
//!   [`float`] its fast run.
//!   [`function`], [`expression`] and [`mod@quantization`] are what both sides of quantize name: functions of one element,
//!   and what integers mean.
//! - [`qdq`]: a quantized network as standard ONNX.
//! - [`report`]: everything that was measured and decided, as JSON and as one page; [`card`]: what of it goes with the plan.
//! - Running: [`engine`] (host or emulated core), [`emulator`] (images under qemu), [`boards`] (the board table).
//! - What to compare with: [`python`] (other engines), [`conformance`] (the `onnx` package's operator cases).
//! - Networks to measure with: [`mod@reference`], built in code.
//! - Commands: [`commands`] (one file each), [`console`], [`lineage`], [`process`].

pub mod boards;
pub mod calibrate;
pub mod card;
pub mod commands;
pub mod conformance;
pub mod console;
pub mod emit;
pub mod emulator;
pub mod engine;
pub mod evaluate;
pub mod expression;
pub mod float;
pub mod function;
pub mod graph;
pub mod import;
pub mod lineage;
pub mod network;
pub mod pack;
pub mod plan;
pub mod process;
pub mod python;
pub mod qdq;
pub mod quantization;
pub mod quantize;
pub mod recover;
pub mod reference;
pub mod report;
pub mod simplify;
