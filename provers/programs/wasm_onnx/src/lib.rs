//! Inference of small ONNX models (https://onnx.ai/onnx/, opsets 13 to 21) in a WASM program: perceptrons and linear
//! models, in floats or quantised to integers.
//!
//! [`Model::parse`] reads an `.onnx` file, [`Model::run`] evaluates its nodes in the file's order. What it does not know,
//! an operator, a type or an attribute, it refuses; it never guesses. Sums of floats are taken in the order of the index, so
//! that every machine gets the same bits; integers wrap as ONNX leaves open, so a model should not let them.

mod model;
mod operators;
mod protobuf;
mod tensor;

pub use model::Model;
pub use tensor::{Data, Tensor};

/// Why a model or a run is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

pub(crate) fn refused<T>(reason: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(reason.into()))
}
