//! ONNX files as both the compiler's import and the float runs read them: decoding, fixed input shapes; and
//! models built in code.

#[doc(hidden)]
pub mod blocks;
pub mod build;
mod pin;
mod read;

#[doc(hidden)]
pub mod testing;

pub use pin::pin_inputs;
pub use prost::Message;
pub use read::{decode, locate, read};
pub use tract_onnx::pb;
