//! Poseidon over BN254 (Grassi, Khovratovich, Rechberger, Roy, Schofnegger, USENIX Security 2021), alpha 5, R_F = 8.
//!
//! Constants and the Cauchy matrix come from the paper's Grain LFSR (appendices E and F). Partial rounds run in the
//! equivalent form with sparse matrices (appendix B): 2t - 1 products a round in place of t*t.

use std::sync::OnceLock;

use ark_ff::{AdditiveGroup, BigInt, Field, PrimeField};

use crate::Fr;

const FULL: usize = 8;
pub(crate) const HALF: usize = FULL / 2;
const FIELD_BITS: u32 = 254;

/// The permutation of width `T`: capacity element first and zero, then `T - 1` inputs. `E` is how constants are held.
pub struct Poseidon<const T: usize, E = Fr> {
    pub(crate) matrix: [[E; T]; T],
    /// Stands in for `matrix` in the last full round before the partial ones.
    pub(crate) entry: [[E; T]; T],
    pub(crate) first: [[E; T]; HALF],
    /// One a partial round, added to element 0.
    pub(crate) scalars: Vec<E>,
    pub(crate) rows: Vec<[E; T]>,
    pub(crate) columns: Vec<[E; T]>,
    pub(crate) last: [[E; T]; HALF],
}

/// The permutation of P2.
pub(crate) fn of_two() -> &'static Poseidon<3> {
    static P: OnceLock<Poseidon<3>> = OnceLock::new();
    P.get_or_init(|| Poseidon::generate(57))
}

/// The permutation of P5.
pub(crate) fn of_five() -> &'static Poseidon<6> {
    static P: OnceLock<Poseidon<6>> = OnceLock::new();
    P.get_or_init(|| Poseidon::generate(60))
}

/// P2: two inputs to one.
pub fn p2(inputs: &[Fr; 2]) -> Fr {
    of_two().hash([Fr::ZERO, inputs[0], inputs[1]])
}

/// P5: five inputs to one.
pub fn p5(inputs: &[Fr; 5]) -> Fr {
    let [a, b, c, d, e] = *inputs;
    of_five().hash([Fr::ZERO, a, b, c, d, e])
}

/// Bits of the Grain LFSR in self-shrinking mode (paper, appendix E): field 1 = prime, S-box 0 = x^alpha.
struct Grain {
    bits: [bool; 80],
    at: usize,
}

impl Grain {
    fn new(t: usize, partial: usize) -> Self {
        let mut bits = Vec::with_capacity(80);
        let fields: [(u64, u32); 7] = [
            (1, 2),
            (0, 4),
            (u64::from(FIELD_BITS), 12),
            (t as u64, 12),
            (FULL as u64, 10),
            (partial as u64, 10),
            ((1 << 30) - 1, 30),
        ];
        for (value, width) in fields {
            bits.extend((0..width).rev().map(|shift| value >> shift & 1 == 1));
        }
        let mut grain = Self { bits: bits.try_into().expect("80 bits"), at: 0 };
        for _ in 0..160 {
            grain.step();
        }
        grain
    }

    fn step(&mut self) -> bool {
        let bit =
            [62, 51, 38, 23, 13, 0].iter().fold(false, |sum, tap| sum ^ self.bits[(self.at + tap) % 80]);
        self.bits[self.at] = bit;
        self.at = (self.at + 1) % 80;
        bit
    }

    fn next_bit(&mut self) -> u64 {
        loop {
            let (keep, bit) = (self.step(), self.step());
            if keep {
                return u64::from(bit);
            }
        }
    }

    fn number(&mut self) -> BigInt<4> {
        let mut limbs = [0u64; 4];
        for _ in 0..FIELD_BITS {
            for at in (1..4).rev() {
                limbs[at] = limbs[at] << 1 | limbs[at - 1] >> 63;
            }
            limbs[0] = limbs[0] << 1 | self.next_bit();
        }
        BigInt::new(limbs)
    }

    /// A number below the field's order: those above are thrown away.
    fn constant(&mut self) -> Fr {
        loop {
            if let Some(value) = Fr::from_bigint(self.number()) {
                return value;
            }
        }
    }

    /// A number modulo the field's order.
    fn reduced(&mut self) -> Fr {
        let BigInt(limbs) = self.number();
        let bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        Fr::from_le_bytes_mod_order(&bytes)
    }
}

fn cauchy<const T: usize>(grain: &mut Grain) -> [[Fr; T]; T] {
    loop {
        let points: Vec<Fr> = (0..2 * T).map(|_| grain.reduced()).collect();
        let distinct = (0..2 * T).all(|i| (0..i).all(|j| points[i] != points[j]));
        let (xs, ys) = points.split_at(T);
        if distinct && xs.iter().all(|x| ys.iter().all(|y| *x + y != Fr::ZERO)) {
            return std::array::from_fn(|i| {
                std::array::from_fn(|j| (xs[i] + ys[j]).inverse().expect("the sum is not zero"))
            });
        }
    }
}

fn product<const T: usize>(left: &[[Fr; T]; T], right: &[[Fr; T]; T]) -> [[Fr; T]; T] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..T).map(|k| left[i][k] * right[k][j]).sum()))
}

/// The row vector w with w * hat = v, where hat is `matrix` without its first row and column and v its first row
/// without the first element. Gauss-Jordan; every square part of a Cauchy matrix is invertible.
fn solve<const T: usize>(matrix: &[[Fr; T]; T]) -> Vec<Fr> {
    let size = T - 1;
    // Transposed system: hat^T * w^T = v^T.
    let mut work: Vec<Vec<Fr>> = (0..size)
        .map(|i| (0..size).map(|j| matrix[j + 1][i + 1]).chain([matrix[0][i + 1]]).collect())
        .collect();
    for i in 0..size {
        let pivot = (i..size).find(|k| work[*k][i] != Fr::ZERO).expect("an invertible matrix");
        work.swap(i, pivot);
        let scale = work[i][i].inverse().expect("the pivot is not zero");
        work[i].iter_mut().for_each(|value| *value *= scale);
        let row = work[i].clone();
        for (k, other) in work.iter_mut().enumerate() {
            let factor = other[i];
            if k != i && factor != Fr::ZERO {
                other.iter_mut().zip(&row).for_each(|(value, own)| *value -= factor * own);
            }
        }
    }
    work.into_iter().map(|row| row[size]).collect()
}

impl<const T: usize> Poseidon<T> {
    fn generate(partial: usize) -> Self {
        let mut grain = Grain::new(T, partial);
        let mut constants: Vec<[Fr; T]> =
            (0..FULL + partial).map(|_| std::array::from_fn(|_| grain.constant())).collect();
        let matrix = cauchy::<T>(&mut grain);
        let mut scalars = Vec::with_capacity(partial);
        // Elements 1.. pass a partial S-box unchanged, so their constants move through the matrix to the next round.
        for k in HALF..HALF + partial {
            let own = constants[k];
            scalars.push(own[0]);
            for (i, row) in matrix.iter().enumerate() {
                constants[k + 1][i] += (1..T).map(|j| row[j] * own[j]).sum::<Fr>();
            }
        }
        // M = S * diag(1, M^), and diag(1, M^) commutes with the S-box of element 0: walk back, leaving S in each.
        let (mut rows, mut columns, mut entry) = (Vec::new(), Vec::new(), matrix);
        for _ in 0..partial {
            let solved = solve(&entry);
            rows.push(std::array::from_fn(|j| if j == 0 { entry[0][0] } else { solved[j - 1] }));
            columns.push(std::array::from_fn(|i| if i == 0 { Fr::ZERO } else { entry[i][0] }));
            let block: [[Fr; T]; T] = std::array::from_fn(|i| {
                std::array::from_fn(|j| match (i, j) {
                    (0, 0) => Fr::ONE,
                    (0, _) | (_, 0) => Fr::ZERO,
                    _ => entry[i][j],
                })
            });
            entry = product(&block, &matrix);
        }
        rows.reverse();
        columns.reverse();
        let first = std::array::from_fn(|k| constants[k]);
        let last = std::array::from_fn(|k| constants[HALF + partial + k]);
        Self { matrix, entry, first, scalars, rows, columns, last }
    }

    /// The same permutation with its constants held another way.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn held<E>(&self, hold: impl Fn(Fr) -> E) -> Poseidon<T, E> {
        let each = |row: &[Fr; T]| row.map(&hold);
        Poseidon {
            matrix: self.matrix.each_ref().map(each),
            entry: self.entry.each_ref().map(each),
            first: self.first.each_ref().map(each),
            scalars: self.scalars.iter().map(|scalar| hold(*scalar)).collect(),
            rows: self.rows.iter().map(each).collect(),
            columns: self.columns.iter().map(each).collect(),
            last: self.last.each_ref().map(each),
        }
    }

    fn hash(&self, mut state: [Fr; T]) -> Fr {
        for (k, constants) in self.first.iter().enumerate() {
            state = full_round(&state, constants, if k + 1 == HALF { &self.entry } else { &self.matrix });
        }
        for ((scalar, row), column) in self.scalars.iter().zip(&self.rows).zip(&self.columns) {
            let boxed = fifth(state[0] + scalar);
            state[0] = boxed;
            let head = Fr::sum_of_products(row, &state);
            for i in 1..T {
                state[i] += boxed * column[i];
            }
            state[0] = head;
        }
        for constants in &self.last {
            state = full_round(&state, constants, &self.matrix);
        }
        state[0]
    }
}

fn fifth(value: Fr) -> Fr {
    value.square().square() * value
}

fn full_round<const T: usize>(state: &[Fr; T], constants: &[Fr; T], matrix: &[[Fr; T]; T]) -> [Fr; T] {
    let boxed: [Fr; T] = std::array::from_fn(|i| fifth(state[i] + constants[i]));
    std::array::from_fn(|i| Fr::sum_of_products(&matrix[i], &boxed))
}
