//! Baby Jubjub in extended twisted Edwards coordinates (Hisil, Wong, Carter, Dawson, ASIACRYPT 2008, §3.1).
//!
//! EIP-2494's a = 168700 is a square, so x' = sqrt(a) * x maps the curve onto x'^2 + y^2 = 1 + (d/a) x'^2 y^2, where one
//! multiplication a point operation falls away. d is no square: the addition law is complete, no pair of points is an
//! exception. Multiples come from tables of signed windows: 4 bits for a device's key (48 KiB, made in about 0.1 ms),
//! 8 bits for the base point (384 KiB, made once).

use std::sync::OnceLock;

use ark_ff::{AdditiveGroup, BigInt, Field, MontFp, PrimeField};

use crate::Fr;

pub(crate) const A: Fr = MontFp!("168700");
pub(crate) const D: Fr = MontFp!("168696");
const BASE: Affine = Affine {
    x: MontFp!("5299619240641551281634865583518297030282874472190772894086521144482721001553"),
    y: MontFp!("16950150798460657717958625567821834550301663161624707787222815936182638968203"),
};

/// Order of the prime-order subgroup, 2736030358979909402780800718157159386076813972158567259200215660948447373041.
pub const ORDER: BigInt<4> =
    BigInt::new([0x677297DC392126F1, 0xAB3EEDB83920EE0A, 0x370A08B6D0302B0B, 0x060C89CE5C263405]);

pub(crate) fn root_of_a() -> Fr {
    static ROOT: OnceLock<Fr> = OnceLock::new();
    *ROOT.get_or_init(|| A.sqrt().expect("168700 is a square"))
}

fn mapped_d() -> Fr {
    static VALUE: OnceLock<Fr> = OnceLock::new();
    *VALUE.get_or_init(|| D * A.inverse().expect("168700 is not zero"))
}

/// A point of the curve as EIP-2494 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    pub x: Fr,
    pub y: Fr,
}

impl Affine {
    /// Whether a*x^2 + y^2 = 1 + d*x^2*y^2.
    pub fn on_curve(&self) -> bool {
        let (xx, yy) = (self.x.square(), self.y.square());
        A * xx + yy == Fr::ONE + D * xx * yy
    }

    /// Whether the point is (0, 1).
    pub fn is_identity(&self) -> bool {
        self.x == Fr::ZERO && self.y == Fr::ONE
    }

    /// The point with coordinate `y` whose x is above r/2 when `negative`; `None` where EIP-2494 has no such point.
    pub fn decompress(y: Fr, negative: bool) -> Option<Self> {
        let yy = y.square();
        // The denominator is never 0, because a/d is no square.
        let x = ((Fr::ONE - yy) * (A - D * yy).inverse()?).sqrt()?;
        if negative && x == Fr::ZERO {
            return None;
        }
        let high = x.into_bigint() > Fr::MODULUS_MINUS_ONE_DIV_TWO;
        Some(Self { x: if high == negative { x } else { -x }, y })
    }

    /// Whether the point, which lies on the curve, times the subgroup's order is the identity.
    pub fn in_subgroup(&self) -> bool {
        let own = Extended::from(self);
        let mut total = Extended::IDENTITY;
        for bit in (0..251).rev() {
            total = total.add(&total);
            if ORDER.0[bit / 64] >> (bit % 64) & 1 == 1 {
                total = total.add(&own);
            }
        }
        total.x == Fr::ZERO && total.y == total.z
    }
}

/// (X : Y : Z : T) on the mapped curve, x' = X/Z, y = Y/Z, T = XY/Z.
#[derive(Clone, Copy)]
pub struct Extended {
    x: Fr,
    y: Fr,
    z: Fr,
    t: Fr,
}

/// An affine point of the mapped curve, prepared to be added: x', y and d' * x' * y.
#[derive(Clone, Copy)]
pub(crate) struct Prepared {
    pub(crate) x: Fr,
    pub(crate) y: Fr,
    pub(crate) dt: Fr,
}

#[cfg(target_arch = "x86_64")]
impl Prepared {
    pub(crate) const IDENTITY: Self = Self { x: Fr::ZERO, y: Fr::ONE, dt: Fr::ZERO };
}

impl From<&Affine> for Extended {
    fn from(point: &Affine) -> Self {
        let x = root_of_a() * point.x;
        Self { x, y: point.y, z: Fr::ONE, t: x * point.y }
    }
}

impl Extended {
    pub const IDENTITY: Self = Self { x: Fr::ZERO, y: Fr::ONE, z: Fr::ONE, t: Fr::ZERO };

    /// The unified addition, `add-2008-hwcd` with a = 1; it doubles as well.
    pub fn add(&self, other: &Self) -> Self {
        let (a, b) = (self.x * other.x, self.y * other.y);
        let (c, d) = (self.t * mapped_d() * other.t, self.z * other.z);
        self.finish(a, b, c, d, other.x + other.y)
    }

    fn add_prepared(&self, other: &Prepared, negative: bool) -> Self {
        let (x, dt) = if negative { (-other.x, -other.dt) } else { (other.x, other.dt) };
        self.finish(self.x * x, self.y * other.y, self.t * dt, self.z, x + other.y)
    }

    fn finish(&self, a: Fr, b: Fr, c: Fr, d: Fr, sum: Fr) -> Self {
        let e = (self.x + self.y) * sum - a - b;
        let (f, g, h) = (d - c, d + c, b - a);
        Self { x: e * f, y: g * h, z: f * g, t: e * h }
    }

    /// The point as EIP-2494 writes it.
    pub fn to_affine(&self) -> Affine {
        let inverse = self.z.inverse().expect("Z is never 0: the addition law is complete");
        let root = root_of_a().inverse().expect("the root is not zero");
        Affine { x: self.x * inverse * root, y: self.y * inverse }
    }

    /// Whether it is this point.
    pub fn is(&self, point: &Affine) -> bool {
        self.x == root_of_a() * point.x * self.z && self.y == point.y * self.z
    }
}

/// Multiples 1 to 2^(BITS-1) of 2^(BITS * i) times a point, for i below 256 / BITS.
pub struct Table<const BITS: usize> {
    entries: Vec<Prepared>,
}

impl<const BITS: usize> Table<BITS> {
    const ROW: usize = 1 << (BITS - 1);
    pub(crate) const ROWS: usize = 256 / BITS;

    fn new(point: Extended) -> Self {
        let mut points = Vec::with_capacity(Self::ROW * Self::ROWS);
        let mut start = point;
        for _ in 0..Self::ROWS {
            let mut multiple = start;
            for _ in 0..Self::ROW {
                points.push(multiple);
                multiple = multiple.add(&start);
            }
            let top = points[points.len() - 1];
            start = top.add(&top);
        }
        let mut inverses: Vec<Fr> = points.iter().map(|point| point.z).collect();
        ark_ff::batch_inversion(&mut inverses);
        let entries = points
            .iter()
            .zip(&inverses)
            .map(|(point, inverse)| {
                let (x, y) = (point.x * inverse, point.y * inverse);
                Prepared { x, y, dt: mapped_d() * x * y }
            })
            .collect();
        Self { entries }
    }

    /// What row `row` adds for the scalar, and whether it is subtracted; nothing for a digit 0. A digit above half the
    /// window is written as what is missing to the next one, with a carry: rows go up from 0 with the same `carry`.
    pub(crate) fn pick(
        &self,
        scalar: &BigInt<4>,
        row: usize,
        carry: &mut usize,
    ) -> Option<(&Prepared, bool)> {
        let at = row * BITS;
        let digit = ((scalar.0[at / 64] >> (at % 64)) as usize & ((1 << BITS) - 1)) + *carry;
        let minus = digit > Self::ROW;
        *carry = usize::from(minus);
        let size = if minus { (1 << BITS) - digit } else { digit };
        (size > 0).then(|| (&self.entries[row * Self::ROW + size - 1], minus))
    }

    /// `total` plus, or minus, `scalar` times the table's point; the scalar is below 2^255.
    pub fn accumulate(&self, mut total: Extended, scalar: &BigInt<4>, negative: bool) -> Extended {
        let mut carry = 0;
        for row in 0..Self::ROWS {
            if let Some((entry, minus)) = self.pick(scalar, row, &mut carry) {
                total = total.add_prepared(entry, minus != negative);
            }
        }
        total
    }
}

/// Multiples of EIP-2494's base point B8.
pub fn base_table() -> &'static Table<8> {
    static TABLE: OnceLock<Table<8>> = OnceLock::new();
    TABLE.get_or_init(|| Table::new(Extended::from(&BASE)))
}

/// Multiples of 8 * `point`.
pub fn table_of_eightfold(point: &Affine) -> Table<4> {
    let mut eightfold = Extended::from(point);
    for _ in 0..3 {
        eightfold = eightfold.add(&eightfold);
    }
    Table::new(eightfold)
}
