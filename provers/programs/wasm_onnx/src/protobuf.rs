//! Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding/), as far as ONNX files have it.

use crate::{Refused, refused};

/// A field's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 5.
    Fixed32([u8; 4]),
    /// Wire type 2: bytes, text, a message or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited field.
    pub fn bytes(self) -> Result<&'a [u8], Refused> {
        if let Value::Bytes(bytes) = self {
            Ok(bytes)
        } else {
            refused("a field that should be bytes is a number")
        }
    }

    /// The text of a length-delimited field.
    pub fn text(self) -> Result<String, Refused> {
        String::from_utf8(self.bytes()?.to_vec()).or_else(|_| refused("a text is not UTF-8"))
    }

    /// The number of a varint field, as an int64.
    pub fn int(self) -> Result<i64, Refused> {
        if let Value::Varint(value) = self {
            Ok(value as i64)
        } else {
            refused("a field that should be a number is not")
        }
    }

    /// The number of a float field.
    pub fn float(self) -> Result<f32, Refused> {
        if let Value::Fixed32(bytes) = self {
            Ok(f32::from_le_bytes(bytes))
        } else {
            refused("a field that should be a float is not")
        }
    }

    /// The numbers of a repeated int64 field, packed or single.
    pub fn ints(self) -> Result<Vec<i64>, Refused> {
        let Value::Bytes(mut data) = self else { return Ok(vec![self.int()?]) };
        let mut found = Vec::new();
        while !data.is_empty() {
            found.push(varint(&mut data)? as i64);
        }
        Ok(found)
    }

    /// The numbers of a repeated float field, packed or single.
    pub fn floats(self) -> Result<Vec<f32>, Refused> {
        let Value::Bytes(data) = self else { return Ok(vec![self.float()?]) };
        let (words, rest) = data.as_chunks::<4>();
        if rest.is_empty() {
            Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
        } else {
            refused("packed floats do not fill their field")
        }
    }
}

fn varint(data: &mut &[u8]) -> Result<u64, Refused> {
    let mut value = 0u64;
    for place in 0..10 {
        let Some((byte, rest)) = data.split_first() else { return refused("a number is cut off") };
        *data = rest;
        value |= u64::from(byte & 0x7f).wrapping_shl(7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    refused("a number is longer than 10 bytes")
}

fn take<'a>(data: &mut &'a [u8], size: u64) -> Result<&'a [u8], Refused> {
    match usize::try_from(size).ok().and_then(|size| data.split_at_checked(size)) {
        Some((taken, rest)) => {
            *data = rest;
            Ok(taken)
        }
        None => refused("a field is longer than its message"),
    }
}

/// The fields of a message in their order: number and value. Doubles and groups, which ONNX files need not have, are
/// refused.
pub fn fields(mut data: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Refused> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let tag = varint(&mut data)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut data)?),
            2 => {
                let size = varint(&mut data)?;
                Value::Bytes(take(&mut data, size)?)
            }
            5 => Value::Fixed32(take(&mut data, 4)?.try_into().unwrap_or_default()),
            other => return refused(format!("wire type {other} is not supported")),
        };
        found.push((tag >> 3, value));
    }
    Ok(found)
}
