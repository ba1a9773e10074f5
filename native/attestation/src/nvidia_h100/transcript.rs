//! The request and its answer (DSP0274 1.1.0 tables 38, 40, 41 and 44). Lengths are little-endian, r and s big-endian.

use crate::error::{Error, Reason, require, require_length};

/// Bytes of a report at most; with 64 blocks it has 4,117.
pub const MAX_REPORT_BYTES: usize = 16_384;
/// Bytes of the request: header, nonce, slot.
pub const REQUEST_BYTES: usize = 37;
/// Bytes of the signature: r, s.
pub const SIGNATURE_BYTES: usize = 96;
const NONCE: usize = 32;
/// SPDM 1.1, GET_MEASUREMENTS, a signature is asked for, all measurements.
const REQUEST_HEADER: [u8; 4] = [0x11, 0xe0, 0x01, 0xff];
/// SPDM 1.1, MEASUREMENTS.
const RESPONSE_HEADER: [u8; 2] = [0x11, 0x60];
/// MeasurementSpecification: bit 0, DMTF.
const DMTF: u8 = 1;
/// OpaqueLength at most.
const MAX_OPAQUE: usize = 1_024;

/// One measurement block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// From 1.
    pub index: u8,
    /// DMTFSpecMeasurementValueType; bit 7 for a raw value in place of a digest.
    pub kind: u8,
    pub value: Vec<u8>,
}

/// A report, borrowed.
pub(super) struct Transcript<'a> {
    pub nonce: &'a [u8; NONCE],
    pub slot: u8,
    pub measurements: Vec<Measurement>,
    pub response_nonce: &'a [u8; NONCE],
    pub opaque: Vec<(u16, &'a [u8])>,
    /// Everything before the signature.
    pub signed: &'a [u8],
    signature: &'a [u8; SIGNATURE_BYTES],
}

impl<'a> Transcript<'a> {
    pub fn read(report: &'a [u8]) -> Result<Self, Error> {
        require_length(report, 1, MAX_REPORT_BYTES, "report")?;
        let mut rest = Rest { bytes: report };
        require_header(rest.array::<4>("report.request")? == REQUEST_HEADER, "report.request")?;
        let nonce = rest.array_ref("report.nonce")?;
        let [slot] = rest.array("report.slot")?;
        require(slot < 8, Reason::Value, "report.slot", "a slot above 7")?;

        require_header(rest.array::<2>("report.response")? == RESPONSE_HEADER, "report.response")?;
        let [first, second] = rest.array("report.response")?;
        let text = "the answer's parameters are not those of all measurements from the slot asked for";
        require(first == 0 && second == slot, Reason::Mismatch, "report.response", text)?;
        let [blocks] = rest.array("report.measurements")?;
        let [low, middle, high] = rest.array("report.measurements")?;
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let record = rest.take(length, "report.measurements")?;
        let measurements = read_measurements(blocks, record)?;
        let response_nonce = rest.array_ref("report.response_nonce")?;
        let length = usize::from(u16::from_le_bytes(rest.array("report.opaque")?));
        require(length <= MAX_OPAQUE, Reason::Length, "report.opaque", "more than 1,024 bytes")?;
        let opaque = read_opaque(rest.take(length, "report.opaque")?)?;
        let signed = &report[..report.len() - rest.bytes.len()];
        let signature = rest.array_ref("report.signature")?;
        require(rest.bytes.is_empty(), Reason::Length, "report", "bytes after the signature")?;
        Ok(Self { nonce, slot, measurements, response_nonce, opaque, signed, signature })
    }

    /// The value of this type of opaque data.
    pub fn opaque(&self, kind: u16) -> Option<&'a [u8]> {
        self.opaque.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value)
    }

    /// r and s.
    pub fn signature(&self) -> ([u8; 48], [u8; 48]) {
        let (mut r, mut s) = ([0; 48], [0; 48]);
        r.copy_from_slice(&self.signature[..48]);
        s.copy_from_slice(&self.signature[48..]);
        (r, s)
    }
}

fn require_header(holds: bool, field: &'static str) -> Result<(), Error> {
    let text = "not SPDM 1.1 with all measurements and a signature";
    require(holds, Reason::Version, field, text)
}

/// Blocks as many as announced, their indices ascending from 1 or more, filling the record.
fn read_measurements(blocks: u8, record: &[u8]) -> Result<Vec<Measurement>, Error> {
    let field = "report.measurements";
    require(blocks > 0, Reason::Missing, field, "no measurement")?;
    let mut rest = Rest { bytes: record };
    let mut measurements: Vec<Measurement> = Vec::new();
    for _ in 0..blocks {
        let [index, specification, low, high] = rest.array(field)?;
        let last = measurements.last().map_or(0, |measurement| measurement.index);
        require(index > last, Reason::Duplicate, field, "indices do not ascend from 1")?;
        require(specification == DMTF, Reason::Unknown, field, "a measurement not of DMTF's specification")?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        let mut block = Rest { bytes: rest.take(length, field)? };
        let [kind, low, high] = block.array(field)?;
        let value = block.take(usize::from(u16::from_le_bytes([low, high])), field)?;
        require(block.bytes.is_empty(), Reason::Length, field, "a block longer than its value")?;
        require(!value.is_empty(), Reason::Length, field, "a measurement without a value")?;
        measurements.push(Measurement { index, kind, value: value.to_vec() });
    }
    require(rest.bytes.is_empty(), Reason::Length, field, "a record longer than its blocks")?;
    Ok(measurements)
}

/// Type, length, value; each type once.
fn read_opaque(data: &[u8]) -> Result<Vec<(u16, &[u8])>, Error> {
    let field = "report.opaque";
    let mut rest = Rest { bytes: data };
    let mut entries: Vec<(u16, &[u8])> = Vec::new();
    while !rest.bytes.is_empty() {
        let [kind_low, kind_high, low, high] = rest.array(field)?;
        let kind = u16::from_le_bytes([kind_low, kind_high]);
        let value = rest.take(usize::from(u16::from_le_bytes([low, high])), field)?;
        let fresh = entries.iter().all(|(earlier, _)| *earlier != kind);
        require(fresh, Reason::Duplicate, field, "a type is there twice")?;
        entries.push((kind, value));
    }
    Ok(entries)
}

/// What is left to read.
struct Rest<'a> {
    bytes: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Error> {
        let Some((taken, bytes)) = self.bytes.split_at_checked(count) else {
            return Err(self.short(count, field));
        };
        self.bytes = bytes;
        Ok(taken)
    }

    fn array_ref<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], Error> {
        let Some((taken, bytes)) = self.bytes.split_first_chunk() else { return Err(self.short(N, field)) };
        self.bytes = bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        self.array_ref(field).copied()
    }

    fn short(&self, count: usize, field: &'static str) -> Error {
        let text = format!("{} bytes left, {count} expected", self.bytes.len());
        Error::new(Reason::Length, field, text)
    }
}
