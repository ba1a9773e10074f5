//! Operators that take value by value: Add, Sub, Mul, Div, Relu, Clip, Cast.

use crate::tensor::{Data, Tensor};
use crate::{Refused, refused};

#[derive(Clone, Copy)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

/// The shape that two shapes broadcast to.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Refused> {
    let rank = a.len().max(b.len());
    let size =
        |shape: &[usize], place: usize| (place + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|place| match (size(a, place), size(b, place)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => refused(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

/// For each place of `shape` the place in a tensor of shape `from` that broadcasts to it.
fn places(from: &[usize], shape: &[usize]) -> Vec<usize> {
    let mut found = vec![0];
    let lead = shape.len() - from.len();
    for (axis, size) in shape.iter().enumerate() {
        let own = axis.checked_sub(lead).map_or(1, |at| from[at]);
        found = found
            .iter()
            .flat_map(|at| (0..*size).map(move |i| at * own + if own == 1 { 0 } else { i }))
            .collect();
    }
    found
}

fn pairs<T: Copy, E>(
    a: (&[usize], &[T]),
    b: (&[usize], &[T]),
    shape: &[usize],
    apply: impl Fn(T, T) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    places(a.0, shape).into_iter().zip(places(b.0, shape)).map(|(i, j)| apply(a.1[i], b.1[j])).collect()
}

macro_rules! integers {
    ($operation:expr, $a:expr, $b:expr, $shape:expr, $x:expr, $y:expr) => {
        pairs((&$a.shape, $x), (&$b.shape, $y), $shape, |x, y| match $operation {
            Binary::Add => Ok(x.wrapping_add(y)),
            Binary::Sub => Ok(x.wrapping_sub(y)),
            Binary::Mul => Ok(x.wrapping_mul(y)),
            Binary::Div if y == 0 => refused("an integer is divided by zero"),
            Binary::Div => Ok(x.wrapping_div(y)),
        })?
    };
}

/// Add, Sub, Mul or Div; integers divide towards zero.
pub fn binary(operation: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor, Refused> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let data = match (&a.data, &b.data) {
        (Data::Float(x), Data::Float(y)) => {
            Data::Float(pairs((&a.shape, x), (&b.shape, y), &shape, |x, y| {
                Ok::<_, Refused>(match operation {
                    Binary::Add => x + y,
                    Binary::Sub => x - y,
                    Binary::Mul => x * y,
                    Binary::Div => x / y,
                })
            })?)
        }
        (Data::Int32(x), Data::Int32(y)) => Data::Int32(integers!(operation, a, b, &shape, x, y)),
        (Data::Int64(x), Data::Int64(y)) => Data::Int64(integers!(operation, a, b, &shape, x, y)),
        _ => return refused("the operands are not both floats, int32 or int64"),
    };
    Tensor::new(shape, data)
}

/// The greater of a value and 0.
pub fn relu(a: &Tensor) -> Result<Tensor, Refused> {
    let data = match &a.data {
        Data::Float(values) => Data::Float(values.iter().map(|v| if *v < 0.0 { 0.0 } else { *v }).collect()),
        Data::Int8(values) => Data::Int8(values.iter().map(|v| *v.max(&0)).collect()),
        Data::Int32(values) => Data::Int32(values.iter().map(|v| *v.max(&0)).collect()),
        Data::Int64(values) => Data::Int64(values.iter().map(|v| *v.max(&0)).collect()),
        Data::Uint8(_) => return refused("uint8 is not among its types"),
    };
    Tensor::new(a.shape.clone(), data)
}

fn clipped<T: PartialOrd + Copy>(values: &[T], low: Option<T>, high: Option<T>) -> Vec<T> {
    let raised = |value| low.map_or(value, |low| if value < low { low } else { value });
    values
        .iter()
        .map(|value| raised(*value))
        .map(|v| high.map_or(v, |high| if v > high { high } else { v }))
        .collect()
}

macro_rules! bound {
    ($kind:path, $tensor:expr) => {
        match $tensor.map(|tensor: &Tensor| &tensor.data) {
            None => None,
            Some($kind(values)) if values.len() == 1 => Some(values[0]),
            _ => return refused("a bound is no scalar of the input's type"),
        }
    };
}

/// Each value, but not below `low` nor above `high`.
pub fn clip(a: &Tensor, low: Option<&Tensor>, high: Option<&Tensor>) -> Result<Tensor, Refused> {
    macro_rules! clip_as {
        ($kind:path, $values:expr) => {
            $kind(clipped($values, bound!($kind, low), bound!($kind, high)))
        };
    }
    let data = match &a.data {
        Data::Float(values) => clip_as!(Data::Float, values),
        Data::Uint8(values) => clip_as!(Data::Uint8, values),
        Data::Int8(values) => clip_as!(Data::Int8, values),
        Data::Int32(values) => clip_as!(Data::Int32, values),
        Data::Int64(values) => clip_as!(Data::Int64, values),
    };
    Tensor::new(a.shape.clone(), data)
}

/// Values as another element type. From a float to an integer they are cut towards zero; a value that its new type does not
/// hold is refused, for what becomes of it ONNX leaves open.
pub fn cast(a: &Tensor, to: i64) -> Result<Tensor, Refused> {
    const EXACT: f32 = 9_007_199_254_740_992.0;
    let whole: Vec<i64> = match &a.data {
        Data::Float(values) if to == 1 => return Tensor::new(a.shape.clone(), Data::Float(values.clone())),
        Data::Float(values) if values.iter().all(|value| value.abs() <= EXACT) => {
            values.iter().map(|value| *value as i64).collect()
        }
        Data::Float(_) => return refused("a float is too large for an integer"),
        Data::Uint8(values) => values.iter().copied().map(i64::from).collect(),
        Data::Int8(values) => values.iter().copied().map(i64::from).collect(),
        Data::Int32(values) => values.iter().copied().map(i64::from).collect(),
        Data::Int64(values) => values.clone(),
    };
    fn fit<T: TryFrom<i64>>(values: Vec<i64>) -> Result<Vec<T>, Refused> {
        values
            .into_iter()
            .map(T::try_from)
            .collect::<Result<_, _>>()
            .or_else(|_| refused("a value does not fit"))
    }
    let data = match to {
        1 => Data::Float(whole.into_iter().map(|value| value as f32).collect()),
        2 => Data::Uint8(fit(whole)?),
        3 => Data::Int8(fit(whole)?),
        6 => Data::Int32(fit(whole)?),
        7 => Data::Int64(whole),
        other => return refused(format!("element type {other} is not supported")),
    };
    Tensor::new(a.shape.clone(), data)
}
