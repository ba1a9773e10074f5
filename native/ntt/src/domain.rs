//! The domain {w^0, …, w^(n-1)}, its coset {g·w^i}, and the transforms between coefficients and values on them.

use ark_ff::{MontConfig, PrimeField};
use w3bstream_field::{Element, Ifma};

use crate::portable::Portable;
use crate::{Error, MAX_LOG_SIZE};

/// A scalar field that transforms are made for.
pub trait Scalar: PrimeField {
    /// Its parameters.
    type Config: MontConfig<4>;

    /// The element as ark-ff names its type.
    fn element(self) -> Element<Self::Config>;

    /// The elements as ark-ff names their type.
    fn elements(values: &mut [Self]) -> &mut [Element<Self::Config>];
}

macro_rules! scalar {
    ($field:ty, $config:ty) => {
        impl Scalar for $field {
            type Config = $config;

            fn element(self) -> Element<$config> {
                self
            }

            fn elements(values: &mut [Self]) -> &mut [Element<$config>] {
                values
            }
        }
    };
}

scalar!(ark_bn254::Fr, ark_bn254::FrConfig);
scalar!(ark_bls12_381::Fr, ark_bls12_381::FrConfig);

/// Which kernel runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instructions {
    /// The fastest that this CPU has.
    #[default]
    Fastest,
    /// Those that every CPU has.
    Portable,
}

/// What a transform computes: X_k = scale · after^k · Σ_i before^i · x_i · root^(ik).
pub(crate) struct Formula<F> {
    /// Whether the root is the inverse of the domain's generator, or the generator itself.
    pub inverse: bool,
    pub before: F,
    pub after: F,
    pub scale: F,
}

/// The transforms of a domain.
#[derive(Clone, Copy)]
enum Kind {
    Forward,
    Inverse,
    CosetForward,
    CosetInverse,
    /// To coefficients times g^k: [`Kind::Forward`] takes them to values on the coset.
    ToShifted,
}

const KINDS: [Kind; 5] =
    [Kind::Forward, Kind::Inverse, Kind::CosetForward, Kind::CosetInverse, Kind::ToShifted];

enum Engine<F: Scalar> {
    Portable(Portable<F>),
    #[cfg(target_arch = "x86_64")]
    Ifma(Box<crate::lanes::Engine<F::Config>>),
}

/// n = 2^k points w^i, their coset g·w^i, and the tables that transforms use.
///
/// Tables take about 2^(k/2) times a few hundred bytes with AVX-512 IFMA, where a second column of n elements is kept
/// for the next call too (it is wiped when the domain is dropped), and n elements without it.
/// Transforms run on the current rayon thread pool.
pub struct Domain<F: Scalar> {
    log_size: u32,
    generator: F,
    shift: F,
    formulas: [Formula<F>; KINDS.len()],
    engine: Engine<F>,
}

impl<F: Scalar> Domain<F> {
    /// The domain of ark-ff's root of unity; the coset's shift is the root of order 2n, with g² = w and g^n = -1.
    /// Errors: [`Error::Size`].
    pub fn new(log_size: u32, instructions: Instructions) -> Result<Self, Error> {
        let shift =
            1u64.checked_shl(log_size + 1).and_then(F::get_root_of_unity).ok_or(Error::Size { log_size })?;
        Self::with_roots(log_size, shift.square(), shift, instructions)
    }

    /// The domain of this generator, which must have order n, and the coset of this shift, which must not be 0.
    /// Errors: [`Error::Size`], [`Error::Root`].
    pub fn with_roots(
        log_size: u32,
        generator: F,
        shift: F,
        instructions: Instructions,
    ) -> Result<Self, Error> {
        if !(1..=MAX_LOG_SIZE).contains(&log_size) {
            return Err(Error::Size { log_size });
        }
        let refused = |what| Error::Root { what, log_size };
        // Of order n exactly: the (n/2)-th power is the one element whose square is 1 and that is not 1.
        if generator.pow([1 << (log_size - 1)]) != -F::one() {
            return Err(refused("generator"));
        }
        let unshift = shift.inverse().ok_or(refused("shift"))?;
        let scale = F::from(1u64 << log_size).inverse().ok_or(Error::Size { log_size })?;
        let formulas = KINDS.map(|kind| {
            let one = F::one();
            let forward = Formula { inverse: false, before: one, after: one, scale: one };
            let back = Formula { inverse: true, before: one, after: one, scale };
            match kind {
                Kind::Forward => forward,
                Kind::Inverse => back,
                Kind::CosetForward => Formula { before: shift, ..forward },
                Kind::CosetInverse => Formula { after: unshift, ..back },
                Kind::ToShifted => Formula { after: shift, ..back },
            }
        });
        let engine = engine(log_size, generator, &formulas, instructions);
        Ok(Self { log_size, generator, shift, formulas, engine })
    }

    /// Number of points.
    pub fn size(&self) -> usize {
        1 << self.log_size
    }

    /// w.
    pub fn generator(&self) -> F {
        self.generator
    }

    /// g.
    pub fn shift(&self) -> F {
        self.shift
    }

    /// Whether AVX-512 IFMA is used.
    pub fn vectorized(&self) -> bool {
        !matches!(self.engine, Engine::Portable(_))
    }

    /// From coefficients to values on the domain. Errors: [`Error::Length`] unless there are `size()` of them.
    pub fn forward(&self, values: &mut [F]) -> Result<(), Error> {
        self.run(&[Kind::Forward], values)
    }

    /// From values on the domain to coefficients. Errors: [`Error::Length`].
    pub fn inverse(&self, values: &mut [F]) -> Result<(), Error> {
        self.run(&[Kind::Inverse], values)
    }

    /// From coefficients to values on the coset. Errors: [`Error::Length`].
    pub fn coset_forward(&self, values: &mut [F]) -> Result<(), Error> {
        self.run(&[Kind::CosetForward], values)
    }

    /// From values on the coset to coefficients. Errors: [`Error::Length`].
    pub fn coset_inverse(&self, values: &mut [F]) -> Result<(), Error> {
        self.run(&[Kind::CosetInverse], values)
    }

    /// From values on the domain to those on the coset, as a Groth16 prover needs them: the work of two transforms,
    /// the shift and 1/n at no cost. Errors: [`Error::Length`].
    pub fn to_coset(&self, values: &mut [F]) -> Result<(), Error> {
        self.run(&[Kind::ToShifted, Kind::Forward], values)
    }

    fn run(&self, kinds: &[Kind], values: &mut [F]) -> Result<(), Error> {
        if values.len() != self.size() {
            return Err(Error::Length { expected: self.size(), actual: values.len() });
        }
        for &kind in kinds {
            match &self.engine {
                Engine::Portable(portable) => portable.run(&self.formulas[kind as usize], values),
                #[cfg(target_arch = "x86_64")]
                Engine::Ifma(engine) => engine.run(kind as usize, F::elements(values)),
            }
        }
        Ok(())
    }
}

fn engine<F: Scalar>(
    log_size: u32,
    generator: F,
    formulas: &[Formula<F>],
    instructions: Instructions,
) -> Engine<F> {
    #[cfg(target_arch = "x86_64")]
    if let (Instructions::Fastest, Some(ifma)) = (instructions, Ifma::detect())
        && log_size >= crate::lanes::LEAST_LOG_SIZE
    {
        let formulas = formulas.iter().map(|formula| Formula {
            inverse: formula.inverse,
            before: formula.before.element(),
            after: formula.after.element(),
            scale: formula.scale.element(),
        });
        let engine = crate::lanes::Engine::new(ifma, log_size, generator.element(), formulas.collect());
        return Engine::Ifma(Box::new(engine));
    }
    // Other CPUs have one engine to choose from.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (formulas, instructions, Ifma::detect());
    Engine::Portable(Portable::new(log_size, generator))
}
