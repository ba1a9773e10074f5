//! The guest's side of the ABI of WASM programs (docs/how-to/write-a-tee-program.md): a window in, ABI words out.
//!
//! A program is one function from a [`Window`] to its output, given to [`program!`]. It has no imports: no clock, no
//! randomness, no files; what it returns depends on the window alone.

mod window;
mod words;

pub use window::{Reading, Window};
pub use words::Words;

/// Room for `len` bytes, aligned to 8; it is never given back, for an instance serves one window.
pub fn room(len: usize) -> *mut u8 {
    Vec::leak(vec![0u64; len.div_ceil(8)]).as_mut_ptr().cast()
}

/// Where the output lies and how long it is, as `run` returns it: address << 32 | length; 0 refuses the window.
pub fn answer(output: Option<Words>) -> u64 {
    let Some(words) = output else { return 0 };
    let bytes: &'static [u8] = Vec::leak(words.into_bytes());
    (bytes.as_ptr() as u64) << 32 | bytes.len() as u64
}

/// Export `$compute`, a `fn(&Window) -> Option<Words>`, as the program of this crate; `None` refuses the window.
#[macro_export]
macro_rules! program {
    ($compute:path) => {
        /// Room for `len` bytes of input.
        #[unsafe(no_mangle)]
        pub extern "C" fn input(len: u32) -> *mut u8 {
            $crate::room(len as usize)
        }

        /// The program's output for the window of `len` bytes at `ptr`: address << 32 | length, or 0.
        ///
        /// # Safety
        /// `ptr` is what `input(len)` gave.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn run(ptr: *const u8, len: u32) -> u64 {
            let bytes = unsafe { core::slice::from_raw_parts(ptr, len as usize) };
            $crate::answer($crate::Window::parse(bytes).and_then(|window| $compute(&window)))
        }
    };
}
