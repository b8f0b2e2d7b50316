//! Host validation of still8 models.

pub mod error;

pub use error::{Failure, Result};
