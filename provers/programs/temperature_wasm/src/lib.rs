//! Count, sum, minimum and maximum of a window of signed 32-bit temperatures: what the circuit `temperature_window` proves,
//! so that both kinds of proof of one task have the same output.

use w3bstream_guest::{Reading, Window, Words, program};

program!(compute);

/// The payload: 4 bytes, two's complement, big-endian.
fn value(reading: &Reading) -> Option<i32> {
    Some(i32::from_be_bytes(reading.payload.try_into().ok()?))
}

/// Refuses an empty window and a payload of another size.
pub fn compute(window: &Window) -> Option<Words> {
    let values: Vec<i32> = window.readings.iter().map(value).collect::<Option<_>>()?;
    let sum: i64 = values.iter().copied().map(i64::from).sum();
    let (minimum, maximum) = (values.iter().min()?, values.iter().max()?);
    Some(
        Words::new()
            .unsigned(values.len() as u64)
            .signed(sum)
            .signed((*minimum).into())
            .signed((*maximum).into()),
    )
}
