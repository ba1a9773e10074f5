//! What an engine is: how it writes a scalar as digits, what it keeps of each base, and which buckets it fills.
//!
//! All engines share one shape. A scalar is Σ_j q^j·d_j over h windows; a digit names a bucket and a packed point. With
//! a stride s, window j = s·a + b takes the stored multiple q^(s·a) of its base and fills bucket set b: s = 1 is a table
//! for every window and one bucket set (BGMW), s = h is no table and a set for every window (Pippenger), and what lies
//! between divides the memory by s for s − 1 more bucket sets.

use crate::bgmw::Bgmw;
use crate::buckets::Buckets;
use crate::curve::Curve;
use crate::eisenstein::Eisenstein;
use crate::error::Error;
use crate::generalized_buckets::GeneralizedBuckets;
use crate::kernel::Entry;
use crate::luo_fu_gong::LuoFuGong;
use crate::pippenger::Pippenger;

/// The engines, each named after its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Pippenger's buckets with signed digits of both halves of a scalar; no table.
    Pippenger,
    /// Brickell, Gordon, McCurley and Wilson: every base times every power of the radix.
    Bgmw,
    /// Luo, Fu and Gong: those times 1, 2 and 3, and fewer buckets.
    LuoFuGong,
    /// FKSX: those times 1, 2 and 3, with the generalised bucket set.
    GeneralizedBuckets,
    /// Digits that are Eisenstein integers, six of which share a bucket.
    Eisenstein,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: [Self; 5] =
        [Self::Pippenger, Self::Bgmw, Self::LuoFuGong, Self::GeneralizedBuckets, Self::Eisenstein];

    /// As people and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pippenger => "pippenger",
            Self::Bgmw => "bgmw",
            Self::LuoFuGong => "luo-fu-gong",
            Self::GeneralizedBuckets => "generalized-buckets",
            Self::Eisenstein => "eisenstein",
        }
    }

    /// Its number in table files.
    pub(crate) fn id(self) -> u32 {
        self as u32 + 1
    }

    /// The windows c that it has, as bits of the radix q = 2^c.
    pub fn windows(self) -> impl Iterator<Item = u32> + Clone {
        // Below 4 bits nothing is gained; at 22 the lookups of a digit no longer fit a second-level cache, and the
        // buckets, 2^21 of them, want more than 2^22 points to pay.
        let step = if self == Self::Eisenstein { 2 } else { 1 };
        (4..=22).step_by(step)
    }
}

/// What is kept of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Packed points.
    pub columns: usize,
    /// Multiples 1, 2, … of each power of the radix.
    pub multiples: usize,
    /// 2 if each is kept with its image under λ as well.
    pub images: usize,
    /// Doublings from one power to the next.
    pub doublings: u32,
}

/// One addition of a packed point into a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The bucket, over all sets.
    pub bucket: u32,
    /// The column of the base's row, with the bits of an [`Entry`] that turn it.
    pub entry: Entry,
}

/// An engine with its window and stride.
pub(crate) trait Engine: Sync {
    /// What it keeps of a base.
    fn row(&self) -> Row;

    /// The most hits of a scalar.
    fn hits(&self) -> usize;

    /// Its buckets.
    fn buckets(&self) -> Buckets;

    /// Hands every hit of a scalar below the order to `emit`, [`Engine::hits`] at most.
    fn recode(&self, scalar: &[u64; 4], emit: impl FnMut(Hit));
}

/// Any of them.
pub(crate) enum AnyEngine {
    Pippenger(Pippenger),
    Bgmw(Bgmw),
    LuoFuGong(LuoFuGong),
    GeneralizedBuckets(GeneralizedBuckets),
    Eisenstein(Eisenstein),
}

/// The same expression for the engine inside.
macro_rules! with_engine {
    ($any:expr, $engine:ident => $body:expr) => {
        match $any {
            $crate::engine::AnyEngine::Pippenger($engine) => $body,
            $crate::engine::AnyEngine::Bgmw($engine) => $body,
            $crate::engine::AnyEngine::LuoFuGong($engine) => $body,
            $crate::engine::AnyEngine::GeneralizedBuckets($engine) => $body,
            $crate::engine::AnyEngine::Eisenstein($engine) => $body,
        }
    };
}
pub(crate) use with_engine;

impl AnyEngine {
    /// The engine with radix 2^window and the stride, which is 1 to the number of windows; Pippenger's is always the
    /// latter.
    ///
    /// # Errors
    /// [`Error::Plan`] for a window or stride that it does not have.
    pub fn new<C: Curve>(kind: EngineKind, window: u32, stride: u32) -> Result<Self, Error> {
        if !kind.windows().any(|has| has == window) {
            return Err(Error::Plan { what: "the window", value: u64::from(window) });
        }
        if stride == 0 || stride > windows::<C>(kind, window) {
            return Err(Error::Plan { what: "the stride", value: u64::from(stride) });
        }
        Ok(match kind {
            EngineKind::Pippenger => Self::Pippenger(Pippenger::new::<C>(window)),
            EngineKind::Bgmw => Self::Bgmw(Bgmw::new::<C>(window, stride)),
            EngineKind::LuoFuGong => Self::LuoFuGong(LuoFuGong::new::<C>(window, stride)),
            EngineKind::GeneralizedBuckets => {
                Self::GeneralizedBuckets(GeneralizedBuckets::new::<C>(window, stride))
            }
            EngineKind::Eisenstein => Self::Eisenstein(Eisenstein::new::<C>(window, stride)),
        })
    }

    pub fn row(&self) -> Row {
        with_engine!(self, engine => engine.row())
    }

    pub fn buckets(&self) -> Buckets {
        with_engine!(self, engine => engine.buckets())
    }
}

/// h, the number of windows.
pub(crate) fn windows<C: Curve>(kind: EngineKind, window: u32) -> u32 {
    match kind {
        EngineKind::Pippenger => Pippenger::windows(window),
        EngineKind::Bgmw | EngineKind::LuoFuGong => Bgmw::windows::<C>(window),
        // Digits above q/2 are negated in the leading window too, which carries into one more.
        EngineKind::GeneralizedBuckets => Bgmw::windows::<C>(window) + 1,
        EngineKind::Eisenstein => Eisenstein::windows::<C>(window),
    }
}
