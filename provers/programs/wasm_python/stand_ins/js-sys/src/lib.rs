//! Stands in for js-sys where chrono asks for it: there is no JavaScript. A program that asks what time it is traps; a date
//! that it has can be told in UTC only.

use wasm_bindgen::JsValue;

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Date(f64);

impl Date {
    /// Now, which a program does not know: panics.
    pub fn new_0() -> Self {
        panic!("a program has no clock")
    }

    /// The date of a number of milliseconds.
    pub fn new(milliseconds: &JsValue) -> Self {
        Self(milliseconds.0)
    }

    /// A local date: only its offset from UTC is ever asked for, and that is 0.
    pub fn new_with_year_month_day_hr_min_sec(_: u32, _: i32, _: i32, _: i32, _: i32, _: i32) -> Self {
        Self(0.0)
    }

    /// Milliseconds since 1970.
    pub fn get_time(&self) -> f64 {
        self.0
    }

    /// Minutes between UTC and local time.
    pub fn get_timezone_offset(&self) -> f64 {
        0.0
    }
}
