//! Fuzzes the MSM crate's table files: a valid table of fixed bases, changed and cut. Without its own checksum a changed
//! file is refused. With the checksum made right, for it finds damage and no forgery, a file whose words are in bounds may
//! be accepted: then nothing panics, and the bases whose rows are as they were still give their sums.
#![no_main]

mod groups;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use ark_ff::{Field, Zero};
use groups::{in_group, logarithms, naive};
use w3bstream_msm::{
    BasesDigest, Curve, EngineKind, Error, Instructions, PlanRequest, Point, PrecomputedBases, Scalar,
    TableFault, unheard,
};

/// Bytes of the header, of its part under the checksum, and the checksum's end (`msm/src/table_file.rs`).
const HEADER: usize = 4096;
const CHECKED: usize = 72;
const FIELDS: usize = 104;
/// Bases of a table, the last of them infinity.
const BASES: usize = 5;

/// Bytes written over the file's from a place on; places count the fields first and the rows behind the header next.
#[derive(Arbitrary, Debug)]
struct Edit {
    at: u16,
    bytes: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Case {
    group: u8,
    engine: u8,
    instructions: bool,
    wide: bool,
    checksum: bool,
    /// A number put in a header field: where, and what.
    field: Option<(u8, u32)>,
    edits: Vec<Edit>,
    cut: Option<u16>,
    tail: Vec<u8>,
}

/// A table that was built and saved.
#[derive(Clone)]
struct Valid {
    file: Vec<u8>,
    digest: BasesDigest,
}

fn path() -> PathBuf {
    std::env::temp_dir().join(format!("w3bstream-fuzz-table-{}", std::process::id()))
}

fn instructions(case: &Case) -> Instructions {
    if case.instructions { Instructions::Detect } else { Instructions::Portable }
}

fn points<C: Curve>() -> Vec<Point<C>> {
    let known = logarithms::<C>();
    let mut points: Vec<_> = known[known.len() - (BASES - 1)..].iter().map(|(_, point)| *point).collect();
    points.push(known[0].1);
    points
}

fn scalars<C: Curve>() -> Vec<Scalar<C>> {
    (1..=BASES as u64).map(|at| Scalar::<C>::from(u64::MAX - at).pow([5])).collect()
}

/// What is made once for the process under a group and a number.
fn once<T: Clone + Send + Sync + 'static>(group: TypeId, number: usize, make: impl FnOnce() -> T) -> T {
    type Made = HashMap<(TypeId, usize), Box<dyn Any + Send>>;
    static ALL: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let mut all = ALL.lock().expect("no one panicked");
    let made = all.entry((group, number)).or_insert_with(|| Box::new(make()));
    made.downcast_ref::<T>().expect("one type under a number").clone()
}

/// The table of an engine, with a stride above 1 where the engine has one.
fn valid<C: Curve>(case: &Case) -> Valid {
    let engine = usize::from(case.engine) % EngineKind::ALL.len();
    let number = 1 + engine * 4 + usize::from(case.instructions) * 2 + usize::from(case.wide);
    once(TypeId::of::<C>(), number, || {
        let request = PlanRequest {
            memory_bytes: u64::MAX,
            instructions: instructions(case),
            engine: Some(EngineKind::ALL[engine]),
            window: Some(8),
        };
        let points = points::<C>();
        let build = |request| PrecomputedBases::<C>::build(&points, &request, &unheard);
        let mut bases = build(request).expect("small");
        if !case.wide {
            let memory_bytes = bases.plan().table_bytes / 4;
            bases = build(PlanRequest { memory_bytes, ..request }).unwrap_or(bases);
        }
        bases.save(&path()).expect("room on disk");
        Valid { file: std::fs::read(path()).expect("was saved"), digest: *bases.digest() }
    })
}

/// The file that a case asks for.
fn changed(case: &Case, valid: &[u8]) -> Vec<u8> {
    let mut file = valid.to_vec();
    if let Some((field, number)) = case.field {
        let at = 8 + 4 * (usize::from(field) % 8);
        file[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    for edit in &case.edits {
        let at = usize::from(edit.at);
        let at = if at < FIELDS { at } else { at - FIELDS + HEADER };
        for (byte, new) in file.iter_mut().skip(at).zip(&edit.bytes) {
            *byte = *new;
        }
    }
    file.truncate(case.cut.map_or(file.len(), usize::from));
    file.extend_from_slice(&case.tail);
    if case.checksum && file.len() >= HEADER {
        let checksum = blake3::Hasher::new().update(&file[..CHECKED]).update(&file[HEADER..]).finalize();
        file[CHECKED..FIELDS].copy_from_slice(checksum.as_bytes());
    }
    file
}

/// The sums of a table that was accepted though the file is not the one that was saved.
fn forged<C: Curve>(bases: &PrecomputedBases<C>, file: &[u8], valid: &[u8]) {
    let header = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    let plan = bases.plan();
    assert_eq!(header(20), plan.engine as u32 + 1);
    assert_eq!((header(24), header(28)), (plan.window, plan.stride));
    assert_eq!(u64::from(header(32)) + (u64::from(header(36)) << 32), bases.len() as u64);
    assert_eq!(HEADER as u64 + bases.table_bytes(), file.len() as u64);
    let mut scalars = scalars::<C>();
    if file[..CHECKED] != valid[..CHECKED] {
        // The sum is as right as the header: that there is one is all that can be asked.
        scalars.truncate(bases.len());
        let _ = bases.msm(&scalars, &unheard).expect("not stopped");
        return;
    }
    // With the changed rows the sum may be anything; without them, below, it is known.
    let _ = bases.msm(&scalars, &unheard).expect("not stopped");
    let row = (file.len() - HEADER) / BASES;
    let rows = file[HEADER..].chunks_exact(row).zip(valid[HEADER..].chunks_exact(row));
    for (scalar, (found, expected)) in scalars.iter_mut().zip(rows) {
        if found != expected {
            *scalar = Scalar::<C>::zero();
        }
    }
    let points = points_once::<C>();
    assert_eq!(bases.msm(&scalars, &unheard), Ok(naive::<C>(&points, &scalars)), "{plan}");
}

fn points_once<C: Curve>() -> Vec<Point<C>> {
    once(TypeId::of::<C>(), 0, points::<C>)
}

fn open<C: Curve>(case: &Case) {
    let valid = valid::<C>(case);
    let file = changed(case, &valid.file);
    // No table is open: the last one's map went with it.
    std::fs::write(path(), &file).expect("room on disk");
    let opened = PrecomputedBases::<C>::open(&path(), &valid.digest, instructions(case));
    match opened {
        Ok(bases) if file == valid.file => {
            let (points, scalars) = (points_once::<C>(), scalars::<C>());
            assert_eq!(bases.msm(&scalars, &unheard), Ok(naive::<C>(&points, &scalars)), "{}", bases.plan());
        }
        Ok(bases) => {
            assert!(case.checksum, "a changed file was opened");
            forged::<C>(&bases, &file, &valid.file);
        }
        Err(Error::Table { reason }) => {
            assert_ne!(file, valid.file, "{reason}");
            let sealed = case.checksum && file.len() >= HEADER;
            assert!(!(sealed && reason == TableFault::Checksum), "the checksum is right");
        }
        Err(error) => panic!("another error: {error}"),
    }
}

libfuzzer_sys::fuzz_target!(|case: Case| in_group!(case.group, open(&case)));
