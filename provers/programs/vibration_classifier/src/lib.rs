//! The state of a machine from a window of its vibration: what `vibration_classifier.onnx` says of it.
//!
//! The model lies in the module, so it is measured with the code that runs it. Its weights and activations are integers:
//! every runtime gets the same scores.

use w3bstream_guest::{Reading, Window, Words, program};
use w3bstream_onnx::{Data, Model, Tensor};

program!(compute);

static MODEL: &[u8] = include_bytes!("../vibration_classifier.onnx");
/// Samples that the model takes: 16 readings of 4.
const SAMPLES: usize = 64;
/// A sensor at rest.
const REST: u8 = 128;

/// A payload is four samples, the earliest first.
fn samples(reading: &Reading) -> Option<[u8; 4]> {
    reading.payload.try_into().ok()
}

/// The model's class and the scores of all of them.
fn infer(samples: &[u8]) -> Option<(i64, Vec<i32>)> {
    let input = Tensor::new(vec![1, SAMPLES], Data::Uint8(samples.to_vec())).ok()?;
    let outputs = Model::parse(MODEL).ok()?.run(vec![input]).ok()?;
    let [Tensor { data: Data::Int64(state), .. }, Tensor { data: Data::Int32(scores), .. }] = &outputs[..]
    else {
        return None;
    };
    Some((*state.first()?, scores.clone()))
}

/// Refuses a window of more than one device, of more readings than the model takes, and payloads of another size. A
/// window with fewer readings is filled up with a sensor's rest.
pub fn compute(window: &Window) -> Option<Words> {
    let first = window.readings.first()?;
    let payloads: Vec<[u8; 4]> = window.readings.iter().map(samples).collect::<Option<_>>()?;
    let mut input = payloads.as_flattened().to_vec();
    if input.len() > SAMPLES || window.readings.iter().any(|reading| reading.device != first.device) {
        return None;
    }
    input.resize(SAMPLES, REST);
    let (state, scores) = infer(&input)?;
    let words = Words::new().unsigned(state.try_into().ok()?);
    Some(scores.into_iter().fold(words, |words, score| words.signed(score.into())))
}
