//! The operators (https://onnx.ai/onnx/operators/), each by its name there.

mod elementwise;
mod products;
mod reductions;

use crate::model::{Attribute, Node};
use crate::tensor::Tensor;
use crate::{Refused, refused};

/// The output of one node. `given` are its inputs, `None` where one is left out.
pub fn run(node: &Node, given: &[Option<&Tensor>]) -> Result<Tensor, Refused> {
    let inputs = Inputs { given };
    let known: &[&str] = match node.operator.as_str() {
        "ArgMax" => &["axis", "keepdims", "select_last_index"],
        "Cast" => &["to"],
        "Flatten" => &["axis"],
        "Gemm" => &["alpha", "beta", "transA", "transB"],
        _ => &[],
    };
    if let Some(name) = node.attributes.keys().find(|name| !known.contains(&name.as_str())) {
        return refused(format!("attribute {name} is not supported"));
    }
    match node.operator.as_str() {
        "Add" => elementwise::binary(elementwise::Binary::Add, inputs.get(0)?, inputs.get(1)?),
        "Sub" => elementwise::binary(elementwise::Binary::Sub, inputs.get(0)?, inputs.get(1)?),
        "Mul" => elementwise::binary(elementwise::Binary::Mul, inputs.get(0)?, inputs.get(1)?),
        "Div" => elementwise::binary(elementwise::Binary::Div, inputs.get(0)?, inputs.get(1)?),
        "Relu" => elementwise::relu(inputs.get(0)?),
        "Clip" => elementwise::clip(inputs.get(0)?, inputs.optional(1), inputs.optional(2)),
        "Cast" => elementwise::cast(inputs.get(0)?, node.int("to", 0)?),
        "Flatten" => reductions::flatten(inputs.get(0)?, node.int("axis", 1)?),
        "ArgMax" => reductions::arg_max(inputs.get(0)?, node),
        "MatMul" => products::mat_mul(inputs.get(0)?, inputs.get(1)?),
        "MatMulInteger" => {
            products::mat_mul_integer(inputs.get(0)?, inputs.get(1)?, given.get(2..).unwrap_or(&[]))
        }
        "Gemm" => products::gemm(inputs.get(0)?, inputs.get(1)?, inputs.optional(2), node),
        _ => refused("the operator is not supported"),
    }
}

struct Inputs<'a> {
    given: &'a [Option<&'a Tensor>],
}

impl<'a> Inputs<'a> {
    fn optional(&self, place: usize) -> Option<&'a Tensor> {
        self.given.get(place).copied().flatten()
    }

    fn get(&self, place: usize) -> Result<&'a Tensor, Refused> {
        self.optional(place).ok_or_else(|| Refused(format!("input {place} is missing")))
    }
}

impl Node {
    /// An attribute that is an integer, or its default.
    fn int(&self, name: &str, default: i64) -> Result<i64, Refused> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(Attribute::Float(_)) => refused(format!("attribute {name} is a float")),
        }
    }

    /// An attribute that is a float, or its default.
    fn float(&self, name: &str, default: f32) -> Result<f32, Refused> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(Attribute::Int(_)) => refused(format!("attribute {name} is an integer")),
        }
    }
}
