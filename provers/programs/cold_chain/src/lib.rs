//! The program is `program.py`, run by the interpreter of `w3bstream-python`.

use w3bstream_guest::{Window, Words, program};

program!(compute);

/// What `program.py` returns for the window.
pub fn compute(window: &Window) -> Option<Words> {
    w3bstream_python::compute(include_str!("../program.py"), window)
}
