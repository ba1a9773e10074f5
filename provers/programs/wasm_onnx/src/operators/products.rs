//! Products of matrices: MatMul, MatMulInteger, Gemm. Sums are taken in the order of the index.

use crate::model::Node;
use crate::tensor::{Data, Tensor};
use crate::{Refused, refused};

/// Rows, columns and the strides between them.
struct View {
    rows: usize,
    columns: usize,
    down: usize,
    across: usize,
}

fn view(a: &Tensor, transposed: bool) -> Result<View, Refused> {
    let (rows, columns) = a.matrix()?;
    Ok(if transposed {
        View { rows: columns, columns: rows, down: 1, across: columns }
    } else {
        View { rows, columns, down: columns, across: 1 }
    })
}

fn product<A: Copy, B: Copy, S: Copy + Default>(
    a: (&[A], &View),
    b: (&[B], &View),
    add: impl Fn(S, A, B) -> S,
) -> Result<(Vec<usize>, Vec<S>), Refused> {
    let ((x, left), (y, right)) = (a, b);
    if left.columns != right.rows {
        return refused(format!("{} columns meet {} rows", left.columns, right.rows));
    }
    let mut sums = vec![S::default(); left.rows * right.columns];
    for row in 0..left.rows {
        let line = &mut sums[row * right.columns..][..right.columns];
        for inner in 0..left.columns {
            let value = x[row * left.down + inner * left.across];
            for (column, sum) in line.iter_mut().enumerate() {
                *sum = add(*sum, value, y[inner * right.down + column * right.across]);
            }
        }
    }
    Ok((vec![left.rows, right.columns], sums))
}

/// The product of two matrices of floats.
pub fn mat_mul(a: &Tensor, b: &Tensor) -> Result<Tensor, Refused> {
    let (Data::Float(x), Data::Float(y)) = (&a.data, &b.data) else {
        return refused("the operands are not floats");
    };
    let (shape, sums) =
        product((x.as_slice(), &view(a, false)?), (y.as_slice(), &view(b, false)?), |s: f32, x, y| {
            s + x * y
        })?;
    Tensor::new(shape, Data::Float(sums))
}

/// The product of two matrices of int8 or uint8, in int32. Zero points must be left out or 0.
pub fn mat_mul_integer(a: &Tensor, b: &Tensor, zero_points: &[Option<&Tensor>]) -> Result<Tensor, Refused> {
    for tensor in zero_points.iter().flatten() {
        let zero = match &tensor.data {
            Data::Uint8(values) => values.iter().all(|value| *value == 0),
            Data::Int8(values) => values.iter().all(|value| *value == 0),
            _ => false,
        };
        if !zero {
            return refused("zero points other than 0 are not supported");
        }
    }
    fn wide(data: &Data) -> Result<Vec<i32>, Refused> {
        match data {
            Data::Uint8(values) => Ok(values.iter().copied().map(i32::from).collect()),
            Data::Int8(values) => Ok(values.iter().copied().map(i32::from).collect()),
            _ => refused("the operands are not int8 or uint8"),
        }
    }
    let (x, y) = (wide(&a.data)?, wide(&b.data)?);
    let (shape, sums) =
        product((x.as_slice(), &view(a, false)?), (y.as_slice(), &view(b, false)?), |s: i32, x, y| {
            s.wrapping_add(x.wrapping_mul(y))
        })?;
    Tensor::new(shape, Data::Int32(sums))
}

/// alpha * A * B + beta * C of floats, A and B transposed where the attributes say so; C broadcasts to the product.
pub fn gemm(a: &Tensor, b: &Tensor, c: Option<&Tensor>, node: &Node) -> Result<Tensor, Refused> {
    let (Data::Float(x), Data::Float(y)) = (&a.data, &b.data) else {
        return refused("the operands are not floats");
    };
    let (left, right) = (view(a, node.int("transA", 0)? != 0)?, view(b, node.int("transB", 0)? != 0)?);
    let (shape, sums) = product((x.as_slice(), &left), (y.as_slice(), &right), |s: f32, x, y| s + x * y)?;
    let alpha = node.float("alpha", 1.0)?;
    let scaled = Tensor::new(shape, Data::Float(sums.into_iter().map(|sum| alpha * sum).collect()))?;
    let Some(c) = c else { return Ok(scaled) };
    let Data::Float(values) = &c.data else { return refused("C is not of floats") };
    let beta = node.float("beta", 1.0)?;
    let offset =
        Tensor::new(c.shape.clone(), Data::Float(values.iter().map(|value| beta * value).collect()))?;
    let sum = super::elementwise::binary(super::elementwise::Binary::Add, &scaled, &offset)?;
    if sum.shape == scaled.shape { Ok(sum) } else { refused("C is larger than the product") }
}
