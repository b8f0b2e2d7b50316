//! Host validation of still8 models: the teacher against the float student against the int8 student.
//!
//! What quantizing, validating and the regression tests share about models, data and metrics:
//!
//! - [`recipe`]: `model.toml`, which says what a model is; [`model`] opens its networks and data with their
//!   hashes checked.
//! - [`data`]: samples and labels from `.npy` and `.npz` files, or made at [`random`], smooth ones by
//!   [`fields`]; [`npy`] is the format, [`stream`] reads long files sample by sample.
//! - [`onnx`] and [`oracle`]: float networks, read and run by tract.
//! - [`run`]: a float network over a data set; [`host`]: a plan's very bytes over one. [`transfer`] quantizes
//!   samples and brings them from the source graph's [`layout`] into the device's, and outputs back.
//! - [`metrics`]: accuracy, agreement, KL, F1, AUC, R², SQNR as pure functions; [`validate`]: the three-way report and
//!   its limits; [`anomaly`]: scores of networks that give back their input; [`regression`]: errors of quantities;
//!   [`render`]: the report as text.
//! - [`files`]: hashes and atomic writes; [`error`]: failures by exit code.
//!
//! Invariant: nothing here knows the compiler, which depends on this crate.

pub mod anomaly;
pub mod data;
pub mod error;
pub mod fields;
pub mod files;
pub mod host;
pub mod layout;
pub mod metrics;
pub mod model;
pub mod npy;
pub mod onnx;
pub mod oracle;
pub mod random;
pub mod recipe;
pub mod regression;
pub mod render;
pub mod run;
pub mod stream;
pub mod transfer;
pub mod validate;

pub use error::{Failure, Result};
