//! A table file serves only if it is whole and made of the bases, for the group and the kernel that ask.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use support::{naive, points, scalars};
use w3bstream_msm::{
    BasesDigest, Bls12381G1, Bn254G1, Bn254G2, EngineKind, Error, Instructions, PlanRequest,
    PrecomputedBases, TableFault, unheard,
};

type Bases = PrecomputedBases<Bn254G1>;

/// A folder of one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old folder");
    }
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A small saved table.
fn saved(name: &str) -> (PathBuf, Bases) {
    let path = folder(name).join("bases.table");
    let request = PlanRequest { window: Some(8), ..Default::default() };
    let bases =
        Bases::build(&points::<Bn254G1>(20, &mut ark_std::test_rng()), &request, &unheard).expect("small");
    bases.save(&path).expect("room on disk");
    (path, bases)
}

fn open(path: &Path, digest: &BasesDigest) -> Result<Bases, Error> {
    Bases::open(path, digest, Instructions::Detect)
}

/// What opening says after `change` was made to the file.
fn fault(path: &Path, digest: &BasesDigest, change: impl FnOnce(&mut Vec<u8>)) -> TableFault {
    let whole = fs::read(path).expect("a saved table");
    let mut bytes = whole.clone();
    change(&mut bytes);
    let changed = path.with_extension("changed");
    fs::write(&changed, bytes).expect("room on disk");
    match open(&changed, digest) {
        Err(Error::Table { reason }) => reason,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("a changed table was opened"),
    }
}

#[test]
fn every_engines_table_gives_the_same_sums_from_disk() {
    let folder = folder("every-engine");
    let mut rng = ark_std::test_rng();
    let (points, scalars) = (points::<Bn254G1>(40, &mut rng), scalars::<Bn254G1>(40, &mut rng));
    for kind in EngineKind::ALL {
        let request = PlanRequest { engine: Some(kind), ..Default::default() };
        let built = Bases::build(&points, &request, &unheard).expect("small");
        let path = folder.join(kind.name());
        built.save(&path).expect("room on disk");
        built.save(&path).expect("a table that is there already is replaced");
        let opened = open(&path, &BasesDigest::of::<Bn254G1>(&points)).expect("as it was saved");
        assert_eq!(opened.plan(), built.plan());
        assert_eq!(opened.msm(&scalars, &unheard).expect("not stopped"), naive::<Bn254G1>(&points, &scalars));
    }
    let names = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(names.count(), EngineKind::ALL.len(), "nothing half written is left");
}

#[test]
fn a_table_of_no_bases_is_saved_and_opened() {
    let path = folder("empty").join("bases.table");
    let built = Bases::build(&[], &PlanRequest::default(), &unheard).expect("small");
    built.save(&path).expect("room on disk");
    assert!(open(&path, built.digest()).expect("as it was saved").is_empty());
}

#[test]
fn cut_and_lengthened_files_are_refused() {
    let (path, bases) = saved("cut");
    let whole = fs::metadata(&path).expect("a file").len();
    for length in [0, 1, 7, 4095, 4096, 4097, whole - 8, whole - 1] {
        let found = fault(&path, bases.digest(), |bytes| bytes.truncate(length as usize));
        assert!(matches!(found, TableFault::Size { found, .. } if found == length), "{length}: {found}");
    }
    let longer = fault(&path, bases.digest(), |bytes| bytes.push(0));
    assert!(matches!(longer, TableFault::Size { .. }), "{longer}");
}

#[test]
fn headers_of_another_kind_are_refused_by_name() {
    let (path, bases) = saved("header");
    let said = |at: usize, byte: u8| fault(&path, bases.digest(), |bytes| bytes[at] = byte);
    assert_eq!(said(0, b'X'), TableFault::Magic);
    assert_eq!(said(8, 9), TableFault::Version { expected: 1, found: 9 });
    assert_eq!(said(12, 3), TableFault::Curve { expected: 1, found: 3 });
    assert!(matches!(said(16, 7), TableFault::Layout { found: 7, .. }));
    assert_eq!(said(20, 77), TableFault::Header { field: "engine", value: 77 });
    assert!(matches!(said(24, 0), TableFault::Header { .. }));
    assert!(matches!(said(27, 255), TableFault::Header { .. }));
    assert!(matches!(said(28, 0), TableFault::Header { .. }));
    assert!(matches!(said(39, 255), TableFault::Header { field: "number of bases", .. }));
    assert!(matches!(said(33, 1), TableFault::Size { .. }));
    assert_eq!(said(4095, 1), TableFault::Header { field: "padding", value: 1 });
    assert_eq!(said(40, 0x5a), TableFault::Bases);
}

#[test]
fn every_flipped_bit_is_found() {
    let (path, bases) = saved("flipped");
    let whole = fs::metadata(&path).expect("a file").len() as usize;
    // Every byte of the fields, and bytes all over the rows.
    for at in (0..104).chain((4096..whole).step_by(997)).chain([whole - 1]) {
        let found = fault(&path, bases.digest(), |bytes| bytes[at] ^= 1 << (at % 8));
        assert!(at < 72 || found == TableFault::Checksum, "byte {at}: {found}");
    }
}

#[test]
fn words_that_no_kernel_writes_are_refused_although_the_checksum_is_right() {
    let (path, bases) = saved("made up");
    let whole = fs::metadata(&path).expect("a file").len() as usize;
    let with = |at: usize, word: u64| {
        fault(&path, bases.digest(), |bytes| {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            let checksum = blake3::Hasher::new().update(&bytes[..72]).update(&bytes[4096..]).finalize();
            bytes[72..104].copy_from_slice(checksum.as_bytes());
        })
    };
    // The highest word of a coordinate, in the first row and the last.
    for at in [4096 + 24, whole - 8] {
        assert_eq!(with(at, u64::MAX), TableFault::Coordinate);
    }
}

#[test]
fn a_table_does_not_serve_other_bases_or_groups() {
    let (path, bases) = saved("other");
    let mut others = points::<Bn254G1>(20, &mut ark_std::test_rng());
    assert_eq!(&BasesDigest::of::<Bn254G1>(&others), bases.digest());
    others.swap(0, 1);
    let swapped = BasesDigest::of::<Bn254G1>(&others);
    assert_eq!(fault(&path, &swapped, |_| ()), TableFault::Bases);
    let fewer = BasesDigest::of::<Bn254G1>(&others[1..]);
    assert_eq!(fault(&path, &fewer, |_| ()), TableFault::Bases);
    for error in [
        PrecomputedBases::<Bls12381G1>::open(&path, bases.digest(), Instructions::Detect).err(),
        PrecomputedBases::<Bn254G2>::open(&path, bases.digest(), Instructions::Detect).err(),
    ] {
        assert!(matches!(error, Some(Error::Table { reason: TableFault::Curve { found: 1, .. } })));
    }
}

#[test]
fn missing_files_and_folders_are_errors_of_the_file_system() {
    let (path, bases) = saved("missing");
    let gone = path.with_extension("gone");
    assert_eq!(open(&gone, bases.digest()).err().map(|error| error.kind()), Some("io"));
    let nowhere = path.join("below-a-file");
    assert_eq!(bases.save(&nowhere).err().map(|error| error.kind()), Some("io"));
}
