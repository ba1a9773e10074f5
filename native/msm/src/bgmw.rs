//! Every base times every power of the radix: fixed bases, one bucket set.
//!
//! Source: Brickell, Gordon, McCurley and Wilson, "Fast exponentiation with precomputation" (EUROCRYPT 1992, LNCS 658;
//! revised 1995), section 2, with the signed digits of section 3, for many bases at once.
//!
//! Cost: h·n + s·q/2 additions and h/s·n stored points, h = ⌈bits of r / c⌉, stride s. The table has no image under λ:
//! a stride of 2 saves as much memory as halves turned on the fly and costs q/2 additions, 3 % at 2^16 points, where the
//! turning costs a product for half of all the hits, 8 %.

use crate::buckets::Buckets;
use crate::curve::Curve;
use crate::digits::{Order, SignedDigits, centred_bits};
use crate::engine::{Engine, Hit, Row};
use crate::kernel::NEGATIVE;

/// The engine for one radix and stride.
pub(crate) struct Bgmw {
    order: Order,
    digits: SignedDigits,
    stride: u32,
}

impl Bgmw {
    pub fn new<C: Curve>(window: u32, stride: u32) -> Self {
        Self { order: Order::of::<C>(), digits: SignedDigits::new(window, centred_bits::<C>()), stride }
    }

    /// h.
    pub fn windows<C: Curve>(window: u32) -> u32 {
        SignedDigits::new(window, centred_bits::<C>()).count
    }
}

impl Engine for Bgmw {
    fn row(&self) -> Row {
        let columns = self.digits.count.div_ceil(self.stride) as usize;
        Row { columns, multiples: 1, images: 1, doublings: self.digits.window * self.stride }
    }

    fn hits(&self) -> usize {
        self.digits.count as usize
    }

    fn buckets(&self) -> Buckets {
        Buckets::consecutive(self.stride as usize, self.digits.buckets(), self.digits.window)
    }

    #[inline]
    fn recode(&self, scalar: &[u64; 4], mut emit: impl FnMut(Hit)) {
        let (magnitude, negative) = self.order.centred(scalar);
        // Counted, not divided: a division for every digit would cost more than the digit.
        let (mut column, mut set) = (0, 0);
        self.digits.each(&magnitude, negative, |magnitude, minus| {
            if magnitude != 0 {
                let bucket = (set << (self.digits.window - 1)) + magnitude - 1;
                emit(Hit { bucket, entry: column | if minus { NEGATIVE } else { 0 } });
            }
            set += 1;
            if set == self.stride {
                (set, column) = (0, column + 1);
            }
        });
    }
}
