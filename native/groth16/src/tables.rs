//! The stored multiples of a proving key's points. They never change with the witness, so they are made once, kept beside
//! the key and mapped by every process that proves with it.

use std::path::Path;

use w3bstream_msm::Report;

use crate::curve::Curve;
use crate::key::Points;
use crate::msm::Msm;
use crate::{Error, Progress};

/// One table for each list of points that a proof sums.
pub struct Tables<E: Curve> {
    pub(crate) a: <E::G1 as Msm>::Table,
    pub(crate) b_g1: <E::G1 as Msm>::Table,
    pub(crate) b_g2: <E::G2 as Msm>::Table,
    pub(crate) l: <E::G1 as Msm>::Table,
    pub(crate) h: <E::G1 as Msm>::Table,
}

/// Parts of the memory that each list may take, in 32nds. The quotient's scalars are uniform, so its table saves most; a
/// witness is mostly bits and small words, of which most stored multiples are never read.
const SHARES: [u64; 5] = [4, 2, 8, 4, 14];

impl<E: Curve> Tables<E> {
    /// Tables of at most `bytes` bytes together: those of `folder` where they were made of these points, new ones where
    /// there are none or others, which are then saved there. Runs on the current thread pool.
    ///
    /// # Errors
    /// [`Error::Resources`] for too little memory, [`Error::Io`], [`Error::Cancelled`].
    pub fn prepare(
        points: &Points<E>,
        folder: Option<&Path>,
        bytes: u64,
        progress: Progress,
    ) -> Result<Self, Error> {
        let [a, b_g1, b_g2, l, h] = SHARES.map(|share| bytes / 32 * share);
        let at = |name: &str| folder.map(|folder| folder.join(name));
        let report = |part: f64, parts: f64| move |done: f64| progress("tables", part + done * parts);
        Ok(Self {
            a: one::<E::G1>(&points.a, at("a.msm").as_deref(), a, &report(0.0, 0.2))?,
            b_g1: one::<E::G1>(&points.b_g1, at("b1.msm").as_deref(), b_g1, &report(0.2, 0.1))?,
            b_g2: one::<E::G2>(&points.b_g2, at("b2.msm").as_deref(), b_g2, &report(0.3, 0.3))?,
            l: one::<E::G1>(&points.l, at("l.msm").as_deref(), l, &report(0.6, 0.2))?,
            h: one::<E::G1>(&points.h, at("h.msm").as_deref(), h, &report(0.8, 0.2))?,
        })
    }

    /// What the planner picked for each list, by name.
    pub fn plans(&self) -> [(&'static str, String); 5] {
        [
            ("a", <E::G1 as Msm>::plan(&self.a).to_string()),
            ("b1", <E::G1 as Msm>::plan(&self.b_g1).to_string()),
            ("b2", <E::G2 as Msm>::plan(&self.b_g2).to_string()),
            ("l", <E::G1 as Msm>::plan(&self.l).to_string()),
            ("h", <E::G1 as Msm>::plan(&self.h).to_string()),
        ]
    }
}

/// The table of one list of points.
fn one<G: Msm>(
    bases: &[G::Affine],
    path: Option<&Path>,
    bytes: u64,
    report: Report,
) -> Result<G::Table, Error> {
    let Some(path) = path else { return Ok(G::build(bases, bytes, report)?) };
    match G::open(path, bases) {
        Ok(table) if G::plan(&table).table_bytes <= bytes => return Ok(table),
        // Too large for what is allowed now, damaged, of another version or key, or not there: it can be made again.
        Ok(_) | Err(w3bstream_msm::Error::Table { .. } | w3bstream_msm::Error::Io(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let table = G::build(bases, bytes, report)?;
    G::save(&table, path)?;
    // The mapped file instead of what was built: every process that maps it shares the memory.
    drop(table);
    Ok(G::open(path, bases)?)
}
