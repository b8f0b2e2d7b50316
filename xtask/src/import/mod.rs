//! From an ONNX file to the float graph: `read → order → check → build`.
//!
//! Everything constant is folded, shapes are inferred from the inputs alone, and every node that cannot be quantized is
//! listed in one failure. The file is hostile until shown otherwise: nothing in it makes import panic.

mod build;
mod call;
mod check;
mod constant;
mod external;
mod fold;
mod microsoft;
mod model;
mod operators;
mod ops;
mod order;
mod quantized;
mod scope;
mod shapes;
mod sums;
mod window;

pub(crate) use constant::{Constant, read_tensor};
pub(crate) use fold::knows as folds;
pub use microsoft::MICROSOFT;
pub use model::{Imported, import, import_bytes};
pub use operators::{OPERATORS, Operator, find};
