//! Python programs as WASM. The module holds Pydantic's Monty (MIT), an interpreter of a subset of Python in Rust without
//! clock, files, network or imports of modules from outside, and the program's source; both are what is measured.
//!
//! The source defines `compute(devices, readings)`: the number of devices in the project's set, and the window's readings
//! as tuples with the fields `device`, `sequence`, `timestamp` and `payload` (`bytes`). It returns a list of integers, one
//! for each output of the manifest; an exception refuses the window.

use monty::MontyRun;
use monty_types::{CompileOptions, MontyObject, PrintWriter, ResourceTracker};
use w3bstream_guest::{Reading, Window, Words};

const FIELDS: [&str; 4] = ["device", "sequence", "timestamp", "payload"];
const CALL: &str = "\ncompute(devices, readings)\n";

/// What the interpreter's hash tables take for randomness: the same bytes in every run, so that every run is the same.
/// The runtime's fuel bounds what a window that was made to collide can cost.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(at: *mut u8, len: usize) -> Result<(), getrandom::Error> {
    unsafe { core::ptr::write_bytes(at, 0x5a, len) };
    Ok(())
}

fn integer(value: u64) -> MontyObject {
    i64::try_from(value).map_or_else(|_| MontyObject::BigInt(value.into()), MontyObject::Int)
}

fn reading(reading: &Reading) -> MontyObject {
    MontyObject::NamedTuple {
        type_name: "Reading".into(),
        field_names: FIELDS.map(String::from).into(),
        values: vec![
            MontyObject::Int(reading.device.into()),
            integer(reading.sequence),
            integer(reading.timestamp),
            MontyObject::Bytes(reading.payload.into()),
        ],
    }
}

fn word(words: Words, value: MontyObject) -> Option<Words> {
    match value {
        MontyObject::Int(value) => Some(words.signed(value)),
        MontyObject::BigInt(value) => Some(words.unsigned(value.try_into().ok()?)),
        _ => None,
    }
}

/// The output of the Python program `source` for a window; `None` where it raises, or returns something else than a list
/// of integers from -2^63 to 2^64 - 1.
pub fn compute(source: &str, window: &Window) -> Option<Words> {
    let names = vec!["devices".into(), "readings".into()];
    let program =
        MontyRun::new(source.to_owned() + CALL, "program.py", names, CompileOptions::default()).ok()?;
    let readings = MontyObject::List(window.readings.iter().map(reading).collect());
    let inputs = vec![MontyObject::Int(window.devices.into()), readings];
    match program.run(inputs, ResourceTracker::default(), PrintWriter::Disabled).ok()? {
        MontyObject::List(values) => values.into_iter().try_fold(Words::new(), word),
        _ => None,
    }
}
