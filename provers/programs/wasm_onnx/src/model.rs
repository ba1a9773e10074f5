//! The file: ModelProto, GraphProto, NodeProto and AttributeProto of onnx.proto3.

use std::collections::BTreeMap;

use crate::protobuf::fields;
use crate::tensor::Tensor;
use crate::{Refused, operators, refused};

/// One node: an operator with its inputs, outputs and attributes.
#[derive(Debug, Default)]
pub struct Node {
    pub operator: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: BTreeMap<String, Attribute>,
}

/// The kinds of attribute that the operators take.
#[derive(Clone, Copy, Debug)]
pub enum Attribute {
    Int(i64),
    Float(f32),
}

/// A model that can be run.
#[derive(Debug)]
pub struct Model {
    nodes: Vec<Node>,
    constants: BTreeMap<String, Tensor>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Model {
    /// Read an `.onnx` file. Refuses another opset or domain, subgraphs, functions and data outside of the file.
    pub fn parse(data: &[u8]) -> Result<Self, Refused> {
        let mut graph = None;
        for (number, value) in fields(data)? {
            match number {
                7 => graph = Some(value.bytes()?),
                8 => check_opset(value.bytes()?)?,
                1..=6 | 14 => {}
                other => return refused(format!("model field {other} is not supported")),
            }
        }
        let Some(graph) = graph else { return refused("the file has no graph") };
        Self::graph(graph)
    }

    fn graph(data: &[u8]) -> Result<Self, Refused> {
        let mut model = Self { nodes: vec![], constants: BTreeMap::new(), inputs: vec![], outputs: vec![] };
        for (number, value) in fields(data)? {
            match number {
                1 => model.nodes.push(Node::parse(value.bytes()?)?),
                5 => {
                    let (name, tensor) = Tensor::parse(value.bytes()?)?;
                    model.constants.insert(name, tensor);
                }
                11 => model.inputs.push(first_text(value.bytes()?)?),
                12 => model.outputs.push(first_text(value.bytes()?)?),
                2 | 10 | 13 | 14 | 16 => {}
                other => return refused(format!("graph field {other} is not supported")),
            }
        }
        model.inputs.retain(|name| !model.constants.contains_key(name));
        Ok(model)
    }

    /// The model's outputs for its inputs, both in the file's order.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Refused> {
        if inputs.len() != self.inputs.len() {
            return refused(format!("the model takes {} inputs, not {}", self.inputs.len(), inputs.len()));
        }
        let mut values: BTreeMap<&str, Tensor> = self.inputs.iter().map(String::as_str).zip(inputs).collect();
        for node in &self.nodes {
            let given =
                node.inputs.iter().map(|name| self.value(&values, name)).collect::<Result<Vec<_>, _>>()?;
            let made = operators::run(node, &given)
                .map_err(|Refused(why)| Refused(format!("{}: {why}", node.operator)))?;
            let [output] = &node.outputs[..] else {
                return refused(format!("{} has not one output", node.operator));
            };
            values.insert(output, made);
        }
        self.outputs
            .iter()
            .map(|name| self.value(&values, name)?.cloned().ok_or(Refused("an output has no name".into())))
            .collect()
    }

    /// An input of no name is one that is left out.
    fn value<'a>(
        &'a self,
        values: &'a BTreeMap<&str, Tensor>,
        name: &str,
    ) -> Result<Option<&'a Tensor>, Refused> {
        if name.is_empty() {
            return Ok(None);
        }
        match values.get(name).or_else(|| self.constants.get(name)) {
            Some(tensor) => Ok(Some(tensor)),
            None => refused(format!("no node before gives {name:?}")),
        }
    }
}

impl Node {
    fn parse(data: &[u8]) -> Result<Self, Refused> {
        let mut node = Self::default();
        for (number, value) in fields(data)? {
            match number {
                1 => node.inputs.push(value.text()?),
                2 => node.outputs.push(value.text()?),
                4 => node.operator = value.text()?,
                5 => {
                    let (name, attribute) = attribute(value.bytes()?)?;
                    node.attributes.insert(name, attribute);
                }
                7 if !value.bytes()?.is_empty() => {
                    return refused("operators of other domains are not supported");
                }
                3 | 6 | 7 => {}
                other => return refused(format!("node field {other} is not supported")),
            }
        }
        Ok(node)
    }
}

fn attribute(data: &[u8]) -> Result<(String, Attribute), Refused> {
    let (mut name, mut found) = (String::new(), None);
    for (number, value) in fields(data)? {
        match number {
            1 => name = value.text()?,
            2 => found = Some(Attribute::Float(value.float()?)),
            3 => found = Some(Attribute::Int(value.int()?)),
            13 | 20 => {}
            other => return refused(format!("attribute field {other} is not supported")),
        }
    }
    match found {
        Some(value) => Ok((name, value)),
        None => refused(format!("attribute {name} has no value")),
    }
}

fn first_text(data: &[u8]) -> Result<String, Refused> {
    match fields(data)?.into_iter().find(|(number, _)| *number == 1) {
        Some((_, value)) => value.text(),
        None => refused("an input or output has no name"),
    }
}

fn check_opset(data: &[u8]) -> Result<(), Refused> {
    let (mut domain, mut version) = (String::new(), 0);
    for (number, value) in fields(data)? {
        match number {
            1 => domain = value.text()?,
            2 => version = value.int()?,
            _ => {}
        }
    }
    if domain.is_empty() && !(13..=21).contains(&version) {
        return refused(format!("opset {version} is not in 13 to 21"));
    }
    Ok(())
}
