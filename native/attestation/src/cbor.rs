//! CBOR (RFC 8949) read strictly: definite lengths, arguments in the fewest bytes, and no nesting that was not asked for.
//! The caller says which item comes next, so nothing recurses and depth cannot be chosen from outside.

use crate::error::{Error, Reason, require};

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const NULL: u8 = 0xf6;

/// What is left of a run of items; every error names `field`.
pub struct Reader<'a> {
    rest: &'a [u8],
    field: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], field: &'static str) -> Self {
        Self { rest: bytes, field }
    }

    /// Names the field that is read from here on.
    pub fn reading(&mut self, field: &'static str) -> &mut Self {
        self.field = field;
        self
    }

    fn malformed(&self, text: &'static str) -> Error {
        Error::new(Reason::Encoding, self.field, text)
    }

    /// Errors if anything is left.
    pub fn end(self) -> Result<(), Error> {
        require(self.rest.is_empty(), Reason::Encoding, self.field, "bytes after the last CBOR item")
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Error> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let Some((taken, rest)) = split else {
            return Err(self.malformed("CBOR ends within an item"));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The argument of the next item, which must be of this major type.
    fn argument(&mut self, major: u8) -> Result<u64, Error> {
        let first = self.take(1)?[0];
        if first >> 5 != major {
            let text = format!("CBOR major type {}, expected {major}", first >> 5);
            return Err(Error::new(Reason::Encoding, self.field, text));
        }
        let (bytes, least) = match first & 0x1f {
            short @ 0..24 => return Ok(u64::from(short)),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            31 => return Err(self.malformed("CBOR item of indefinite length")),
            _ => return Err(self.malformed("CBOR item with a reserved argument")),
        };
        let argument = self.take(bytes)?.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        if argument < least {
            return Err(self.malformed("CBOR argument not in the fewest bytes"));
        }
        Ok(argument)
    }

    pub fn unsigned(&mut self) -> Result<u64, Error> {
        self.argument(UNSIGNED)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.argument(BYTES)?;
        self.take(length)
    }

    pub fn text(&mut self) -> Result<&'a str, Error> {
        let length = self.argument(TEXT)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("CBOR text that is not UTF-8"))
    }

    /// The number of items of an array; each has a byte at least, so the number is bounded by the input.
    pub fn array(&mut self) -> Result<u64, Error> {
        self.argument(ARRAY)
    }

    /// The number of pairs of a map.
    pub fn map(&mut self) -> Result<u64, Error> {
        self.argument(MAP)
    }

    /// Bytes or null.
    pub fn optional_bytes(&mut self) -> Result<Option<&'a [u8]>, Error> {
        if self.skip(NULL) { Ok(None) } else { self.bytes().map(Some) }
    }

    /// Whether the next byte is this one, which is then behind us.
    pub fn skip(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Reader<'_> {
        Reader::new(bytes, "test")
    }

    #[test]
    fn an_argument_has_one_encoding() {
        for (bytes, value) in [
            (&[0x17][..], 23),
            (&[0x18, 24], 24),
            (&[0x19, 1, 0], 256),
            (&[0x1a, 0, 1, 0, 0], 65_536),
            (&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0], 1 << 32),
        ] {
            assert_eq!(reader(bytes).unsigned(), Ok(value));
        }
        for bytes in [
            &[0x18, 23][..],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
            &[0x1c],
            &[0x1f],
            &[0x20],
            &[0x18],
            &[],
        ] {
            let refused = reader(bytes).unsigned().unwrap_err();
            assert_eq!((refused.reason(), refused.field()), (Reason::Encoding, "test"), "{bytes:02x?}");
        }
    }

    #[test]
    fn strings_are_definite_and_whole() {
        assert_eq!(reader(&[0x42, 1, 2]).bytes().unwrap(), [1, 2]);
        assert_eq!(reader(&[0x61, b'a']).text().unwrap(), "a");
        assert_eq!(reader(&[0xf6]).optional_bytes().unwrap(), None);
        for bytes in [&[0x5f, 0x41, 1, 0xff][..], &[0x42, 1], &[0x5b, 255, 255, 255, 255, 255, 255, 255, 255]]
        {
            assert!(reader(bytes).bytes().is_err(), "{bytes:02x?}");
        }
        assert!(reader(&[0x61, 0xff]).text().is_err());
        assert!(reader(&[0xf7]).optional_bytes().is_err());
        assert!(reader(&[0x9f, 0xff]).array().is_err());
        assert!(reader(&[0xbf, 0xff]).map().is_err());
        assert!(reader(&[0]).end().is_err());
    }
}
