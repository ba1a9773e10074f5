//! Tensors: a shape and values in row-major order.

use crate::protobuf::fields;
use crate::{Refused, refused};

/// Values of one of the supported element types.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// float
    Float(Vec<f32>),
    /// uint8
    Uint8(Vec<u8>),
    /// int8
    Int8(Vec<i8>),
    /// int32
    Int32(Vec<i32>),
    /// int64
    Int64(Vec<i64>),
}

impl Data {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Data::Float(values) => values.len(),
            Data::Uint8(values) => values.len(),
            Data::Int8(values) => values.len(),
            Data::Int32(values) => values.len(),
            Data::Int64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor of any rank; a scalar has rank 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The size of each dimension.
    pub shape: Vec<usize>,
    /// As many values as the product of the shape.
    pub data: Data,
}

impl Tensor {
    /// Refuses values that do not fill the shape.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, Refused> {
        let size = shape.iter().try_fold(1usize, |size, dimension| size.checked_mul(*dimension));
        if size == Some(data.len()) {
            Ok(Self { shape, data })
        } else {
            refused(format!("{} values do not fill the shape {shape:?}", data.len()))
        }
    }

    /// Rows and columns; refuses another rank than 2.
    pub fn matrix(&self) -> Result<(usize, usize), Refused> {
        if let [rows, columns] = self.shape[..] {
            Ok((rows, columns))
        } else {
            refused(format!("{:?} is no matrix", self.shape))
        }
    }

    /// A TensorProto with its name: dims (1), data_type (2), float_data (4), int32_data (5), int64_data (7), name (8),
    /// raw_data (9).
    pub fn parse(data: &[u8]) -> Result<(String, Self), Refused> {
        let (mut name, mut shape, mut element, mut raw) = (String::new(), Vec::new(), 0, None);
        let (mut floats, mut small, mut large) = (Vec::new(), Vec::new(), Vec::new());
        for (number, value) in fields(data)? {
            match number {
                1 => shape.extend(value.ints()?),
                2 => element = value.int()?,
                4 => floats.extend(value.floats()?),
                5 => small.extend(value.ints()?),
                7 => large.extend(value.ints()?),
                8 => name = value.text()?,
                9 => raw = Some(value.bytes()?),
                12 => {}
                other => return refused(format!("tensor field {other} is not supported")),
            }
        }
        let shape = shape.into_iter().map(usize::try_from).collect::<Result<_, _>>();
        let Ok(shape) = shape else { return refused("a dimension is negative") };
        let data = match (element, raw) {
            (1, None) => Data::Float(floats),
            (2, None) => Data::Uint8(narrowed(small)?),
            (3, None) => Data::Int8(narrowed(small)?),
            (6, None) => Data::Int32(narrowed(small)?),
            (7, None) => Data::Int64(large),
            (1, Some(raw)) => Data::Float(words(raw, f32::from_le_bytes)?),
            (2, Some(raw)) => Data::Uint8(raw.to_vec()),
            (3, Some(raw)) => Data::Int8(words(raw, i8::from_le_bytes)?),
            (6, Some(raw)) => Data::Int32(words(raw, i32::from_le_bytes)?),
            (7, Some(raw)) => Data::Int64(words(raw, i64::from_le_bytes)?),
            (other, _) => return refused(format!("element type {other} is not supported")),
        };
        Ok((name, Self::new(shape, data)?))
    }
}

fn narrowed<T: TryFrom<i64>>(values: Vec<i64>) -> Result<Vec<T>, Refused> {
    values
        .into_iter()
        .map(T::try_from)
        .collect::<Result<_, _>>()
        .or_else(|_| refused("a value is out of its type"))
}

fn words<T, const N: usize>(raw: &[u8], read: fn([u8; N]) -> T) -> Result<Vec<T>, Refused> {
    let (words, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(words.iter().map(|word| read(*word)).collect())
    } else {
        refused("raw data is cut off")
    }
}
