//! A progress callback of Python's, called from any thread.

use std::sync::OnceLock;

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

/// The callback, if there is one, and what it raised first.
pub struct Callback {
    call: Option<Py<PyAny>>,
    raised: OnceLock<PyErr>,
}

impl Callback {
    pub fn new(call: Option<Py<PyAny>>) -> Self {
        Self { call, raised: OnceLock::new() }
    }

    /// Calls it; whether the work is to go on, which it is until the callback raises.
    pub fn tell(&self, arguments: impl for<'py> PyCallArgs<'py>) -> bool {
        let Some(call) = &self.call else { return true };
        Python::attach(|py| match call.call1(py, arguments) {
            Ok(_) => true,
            Err(error) => {
                self.raised.get_or_init(|| error);
                false
            }
        })
    }

    /// The work's result, or what the callback raised.
    pub fn result<T>(self, result: PyResult<T>) -> PyResult<T> {
        match self.raised.into_inner() {
            Some(error) => Err(error),
            None => result,
        }
    }
}
