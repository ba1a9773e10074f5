//! Stands in for wasm-bindgen where chrono asks for it: there is no JavaScript, hence no value of it.

/// A number, all that chrono makes of it.
#[derive(Clone, Copy, Debug)]
pub struct JsValue(pub f64);

impl JsValue {
    /// The value of a number.
    pub fn from_f64(value: f64) -> Self {
        Self(value)
    }
}
