//! What can go wrong on the host, by the exit code that tells scripts about it.

use std::fmt::Display;
use std::path::Path;

/// A failed command. The text names the thing and the fix.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A threshold or budget was missed.
    #[error("{0}")]
    Missed(String),
    /// The command line or a configuration file asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// The model cannot be quantized or run.
    #[error("{0}")]
    Unsupported(String),
    /// A file or its contents are not what they must be.
    #[error("{0}")]
    Data(String),
    /// A tool or fetched file is missing.
    #[error("{0}")]
    Missing(String),
}

/// Result of host code.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The process exit code: 1 missed, 2 usage, 3 model not supported, 4 bad data or file, 5 tool missing.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Missed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unsupported(_) => 3,
            Self::Data(_) => 4,
            Self::Missing(_) => 5,
        }
    }

    /// Bad data in the file at `path`.
    pub fn data(path: &Path, what: impl Display) -> Self {
        Self::Data(format!("{}: {what}", path.display()))
    }
}
