//! Tables on disk: one page of header, then the rows as they lie in memory, so that a file is mapped and not read.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `W3BMSMT` and a zero byte |
//! | 8..12, 12..16, 16..20 | format version, group, layout |
//! | 20..24, 24..28, 28..32 | engine, window, stride |
//! | 32..40 | bases |
//! | 40..72 | digest of the bases |
//! | 72..104 | BLAKE3 of the header before this field and of the rows |
//! | 104..4096 | zero |
//!
//! Numbers are little-endian. A file is written beside its place and renamed into it, so that it is whole or not there,
//! and never changed afterwards. The checksum finds damage, not forgery: whoever may write the folder may write tables,
//! so the folder is to be as trusted as the program.

use crate::curve::{Curve, Point};
use crate::engine::EngineKind;
use crate::error::{Error, TableFault};
use crate::kernel::Layout;
use crate::memory::Storage;
use crate::planner::Plan;
use ark_ec::AffineRepr;
use ark_ff::{Field, PrimeField};
use memmap2::Mmap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const MAGIC: [u8; 8] = *b"W3BMSMT\0";
/// Raised whenever a table of before would be read wrongly.
const VERSION: u32 = 1;
/// One page: the rows behind it start on a page, so on a cache line.
const HEADER: usize = 4096;
/// Bytes of the header that the checksum covers.
const CHECKED: usize = 72;
/// End of the checksum.
const FIELDS: usize = 104;

/// Names a list of bases: BLAKE3 over the group's name and every point's canonical coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BasesDigest(pub [u8; 32]);

impl BasesDigest {
    /// That of points in their order.
    pub fn of<C: Curve>(points: &[Point<C>]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(C::NAME.as_bytes()).update(&(points.len() as u64).to_le_bytes());
        let mut bytes = Vec::new();
        for points in points.chunks(1024) {
            bytes.clear();
            for point in points {
                point_bytes::<C>(point, &mut bytes);
            }
            hasher.update(&bytes);
        }
        Self(hasher.finalize().into())
    }
}

/// Appends a point's canonical little-endian coordinates, zeros for infinity.
pub(crate) fn point_bytes<C: Curve>(point: &Point<C>, bytes: &mut Vec<u8>) {
    let Some((x, y)) = point.xy() else {
        bytes.resize(bytes.len() + C::POINT_WORDS * 8, 0);
        return;
    };
    for element in x.to_base_prime_field_elements().chain(y.to_base_prime_field_elements()) {
        for word in element.into_bigint().as_ref() {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }
}

fn layout_id(layout: Layout) -> u32 {
    match layout {
        Layout::Words => 1,
        Layout::Radix52 => 2,
    }
}

/// What a header says.
pub(crate) struct Header {
    pub engine: EngineKind,
    pub window: u32,
    pub stride: u32,
    pub points: usize,
}

/// The header of a plan's table, its checksum still zero.
fn header<C: Curve>(plan: &Plan, bases: &BasesDigest) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    let numbers = [VERSION, C::ID, layout_id(plan.layout), plan.engine.id(), plan.window, plan.stride];
    for (at, number) in numbers.iter().enumerate() {
        bytes[8 + 4 * at..12 + 4 * at].copy_from_slice(&number.to_le_bytes());
    }
    bytes[32..40].copy_from_slice(&(plan.points as u64).to_le_bytes());
    bytes[40..CHECKED].copy_from_slice(&bases.0);
    bytes
}

fn checksum(header: &[u8], rows: &[u8]) -> [u8; 32] {
    blake3::Hasher::new().update(&header[..CHECKED]).update(rows).finalize().into()
}

/// Writes a table whole or not at all.
///
/// # Errors
/// [`Error::Io`]; [`Error::Table`] on a big-endian machine.
pub(crate) fn save<C: Curve>(
    path: &Path,
    plan: &Plan,
    bases: &BasesDigest,
    rows: &[u64],
) -> Result<(), Error> {
    if cfg!(target_endian = "big") {
        return Err(TableFault::Endian.into());
    }
    // SAFETY: words are bytes, and bytes may lie anywhere.
    let rows = unsafe { std::slice::from_raw_parts(rows.as_ptr().cast::<u8>(), std::mem::size_of_val(rows)) };
    let mut header = header::<C>(plan, bases);
    let checksum = checksum(&header, rows);
    header[CHECKED..FIELDS].copy_from_slice(&checksum);
    let beside = beside(path)?;
    let written = write(&beside, &header, rows).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = written {
        // The first error is the one to tell; a file that cannot be removed either is harmless.
        let _ = std::fs::remove_file(&beside);
        return Err(error.into());
    }
    // The rename itself is only durable once the folder is.
    #[cfg(unix)]
    File::open(beside.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

fn write(path: &Path, header: &[u8], rows: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(header)?;
    file.write_all(rows)?;
    file.sync_all()
}

/// A name beside `path` that no other thread or process writes.
fn beside(path: &Path) -> Result<PathBuf, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or_else(|| Error::Io(format!("{} names no file", path.display())))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.join(beside))
}

/// Maps a table after its header, size, bases and checksum were found right. `words` says how many words the rows of a
/// header's plan take.
///
/// # Errors
/// [`Error::Table`], [`Error::Io`], and what `words` returns.
pub(crate) fn open<C: Curve>(
    path: &Path,
    layout: Layout,
    bases: &BasesDigest,
    words: impl FnOnce(&Header) -> Result<u64, Error>,
) -> Result<(Header, Storage), Error> {
    if cfg!(target_endian = "big") {
        return Err(TableFault::Endian.into());
    }
    let mut file = File::open(path)?;
    let found = file.metadata()?.len();
    let mut bytes = [0; HEADER];
    if found < HEADER as u64 {
        return Err(TableFault::Size { expected: HEADER as u64, found }.into());
    }
    file.read_exact(&mut bytes)?;
    let header = parse::<C>(&bytes, layout, bases)?;
    let expected = words(&header)? * 8 + HEADER as u64;
    if found != expected {
        return Err(TableFault::Size { expected, found }.into());
    }
    // SAFETY: the map is only read, and table files are never changed in place: `save` renames a new file over an old
    // one, whose pages stay. A program that truncates one all the same is killed by the system at the next read.
    let map = unsafe { Mmap::map(&file)? };
    if map.len() as u64 != expected {
        return Err(TableFault::Size { expected, found: map.len() as u64 }.into());
    }
    if checksum(&map, &map[HEADER..]) != map[CHECKED..FIELDS] || map[..HEADER] != bytes {
        return Err(TableFault::Checksum.into());
    }
    // Refused by some file systems, which costs time and nothing else.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok((header, Storage::Mapped { map, skip: HEADER }))
}

/// The header's fields, each in its range.
fn parse<C: Curve>(bytes: &[u8; HEADER], layout: Layout, bases: &BasesDigest) -> Result<Header, Error> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    if bytes[..8] != MAGIC {
        return Err(TableFault::Magic.into());
    }
    if number(8) != VERSION {
        return Err(TableFault::Version { expected: VERSION, found: number(8) }.into());
    }
    if number(12) != C::ID {
        return Err(TableFault::Curve { expected: C::ID, found: number(12) }.into());
    }
    if number(16) != layout_id(layout) {
        return Err(TableFault::Layout { expected: layout_id(layout), found: number(16) }.into());
    }
    let out_of_range = |field, value: u64| Error::from(TableFault::Header { field, value });
    let engine = EngineKind::ALL.into_iter().find(|kind| kind.id() == number(20));
    let engine = engine.ok_or_else(|| out_of_range("engine", number(20).into()))?;
    let points = u64::from_le_bytes(bytes[32..40].try_into().expect("eight bytes"));
    let points = usize::try_from(points).map_err(|_| out_of_range("number of bases", points))?;
    if bytes[FIELDS..].iter().any(|&byte| byte != 0) {
        return Err(out_of_range("padding", 1));
    }
    if bytes[40..CHECKED] != bases.0 {
        return Err(TableFault::Bases.into());
    }
    Ok(Header { engine, window: number(24), stride: number(28), points })
}
