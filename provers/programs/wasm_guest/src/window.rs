//! The input of a program: a header of 16 bytes, then the readings, everything little-endian.

const MAGIC: [u8; 4] = *b"W3BI";
const VERSION: u32 = 1;
const RECORD: usize = 24;

/// One accepted reading of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The device's place in the project's device set.
    pub device: u32,
    /// Strictly increasing for a device.
    pub sequence: u64,
    /// Milliseconds since 1970, as the device signed it.
    pub timestamp: u64,
    /// As the device signed it.
    pub payload: &'a [u8],
}

/// A window's readings in the scheme's order: by device, then by sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window<'a> {
    /// How many devices the project's set has.
    pub devices: u32,
    /// At least one in a window that the runtime gives.
    pub readings: Vec<Reading<'a>>,
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(data.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

impl<'a> Window<'a> {
    /// Magic, version, number of devices, number of readings; then per reading: device, payload length, sequence,
    /// timestamp, and the payload padded with zeros to a multiple of 8. `None` for anything else.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        if data.get(..4)? != MAGIC || u32_at(data, 4)? != VERSION {
            return None;
        }
        let (devices, count) = (u32_at(data, 8)?, u32_at(data, 12)? as usize);
        if count > data.len() / RECORD {
            return None;
        }
        let (mut at, mut readings) = (16, Vec::with_capacity(count));
        for _ in 0..count {
            let (start, size) = (at + RECORD, u32_at(data, at + 4)? as usize);
            let payload = data.get(start..start.checked_add(size)?)?;
            readings.push(Reading {
                device: u32_at(data, at)?,
                sequence: u64_at(data, at + 8)?,
                timestamp: u64_at(data, at + 16)?,
                payload,
            });
            at = start + size.checked_next_multiple_of(8)?;
        }
        (at == data.len()).then_some(Self { devices, readings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut data = b"W3BI".to_vec();
        for word in [1u32, 3, 2] {
            data.extend(word.to_le_bytes());
        }
        for (device, sequence, payload) in [(0u32, 5u64, &b"abcd"[..]), (2, 1, &b"12345678"[..])] {
            data.extend(device.to_le_bytes());
            data.extend((payload.len() as u32).to_le_bytes());
            data.extend(sequence.to_le_bytes());
            data.extend(1_700_000_000_000u64.to_le_bytes());
            data.extend(payload);
            data.resize(data.len().next_multiple_of(8), 0);
        }
        data
    }

    #[test]
    fn reads_what_the_runtime_writes() {
        let data = sample();
        let window = Window::parse(&data).unwrap();
        assert_eq!((window.devices, window.readings.len()), (3, 2));
        assert_eq!(
            window.readings[1],
            Reading { device: 2, sequence: 1, timestamp: 1_700_000_000_000, payload: b"12345678" }
        );
    }

    #[test]
    fn refuses_every_truncation_and_every_extra_byte() {
        let mut data = sample();
        assert!((0..data.len()).all(|end| Window::parse(&data[..end]).is_none()));
        data.extend([0; 8]);
        assert!(Window::parse(&data).is_none());
    }

    #[test]
    fn refuses_another_magic_or_version_and_counts_that_do_not_fit() {
        for (at, value) in [(0, b'X'), (4, 2), (12, 3), (15, 0xff), (20, 25), (23, 0xff)] {
            let mut data = sample();
            data[at] = value;
            assert!(Window::parse(&data).is_none(), "byte {at}");
        }
    }
}
