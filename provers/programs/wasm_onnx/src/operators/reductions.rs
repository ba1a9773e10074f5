//! Operators that change the shape: ArgMax, Flatten.

use crate::model::Node;
use crate::tensor::{Data, Tensor};
use crate::{Refused, refused};

/// An axis, which counts from the end of the dimensions where it is negative, and is at most `last`.
fn axis_of(axis: i64, rank: usize, last: usize) -> Result<usize, Refused> {
    let from_start = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(from_start) {
        Ok(found) if found <= last => Ok(found),
        _ => refused(format!("axis {axis} is none of a tensor of rank {rank}")),
    }
}

/// A matrix: the dimensions before `axis` by those from it on.
pub fn flatten(a: &Tensor, axis: i64) -> Result<Tensor, Refused> {
    let axis = axis_of(axis, a.shape.len(), a.shape.len())?;
    let (before, after) = a.shape.split_at(axis);
    Tensor::new(vec![before.iter().product(), after.iter().product()], a.data.clone())
}

fn greatest<T: PartialOrd + Copy>(
    values: &[T],
    outer: usize,
    size: usize,
    inner: usize,
    last: bool,
) -> Vec<i64> {
    let mut found = Vec::with_capacity(outer * inner);
    for (before, after) in (0..outer).flat_map(|before| (0..inner).map(move |after| (before, after))) {
        let value = |place: usize| values[(before * size + place) * inner + after];
        let better = |new: T, old: T| new > old || (last && new == old);
        found.push(
            (1..size).fold(0, |best, place| if better(value(place), value(best)) { place } else { best })
                as i64,
        );
    }
    found
}

/// Where the greatest value lies along an axis: the first of equals, or the last with `select_last_index`.
pub fn arg_max(a: &Tensor, node: &Node) -> Result<Tensor, Refused> {
    let rank = a.shape.len();
    let Some(last) = rank.checked_sub(1) else { return refused("a scalar has no axis") };
    let axis = axis_of(node.int("axis", 0)?, rank, last)?;
    let (outer, inner) = (a.shape[..axis].iter().product(), a.shape[axis + 1..].iter().product());
    let (size, latest) = (a.shape[axis], node.int("select_last_index", 0)? != 0);
    if size == 0 {
        return refused("the axis is empty");
    }
    let places = match &a.data {
        Data::Float(values) if values.iter().any(|value| value.is_nan()) => {
            return refused("a value is no number");
        }
        Data::Float(values) => greatest(values, outer, size, inner, latest),
        Data::Uint8(values) => greatest(values, outer, size, inner, latest),
        Data::Int8(values) => greatest(values, outer, size, inner, latest),
        Data::Int32(values) => greatest(values, outer, size, inner, latest),
        Data::Int64(values) => greatest(values, outer, size, inner, latest),
    };
    let mut shape = a.shape.clone();
    if node.int("keepdims", 1)? != 0 {
        shape[axis] = 1;
    } else {
        shape.remove(axis);
    }
    Tensor::new(shape, Data::Int64(places))
}
