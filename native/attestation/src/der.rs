//! DER (X.690 §10) read strictly: definite lengths in the fewest octets, tags of one octet, nothing after the last value.

use crate::error::{Error, Reason, require};

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OBJECT_IDENTIFIER: u8 = 0x06;
pub const IA5_STRING: u8 = 0x16;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;

/// The tag of an explicit `[number]`.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// One value: tag, contents, and the whole with tag and length.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub tag: u8,
    pub contents: &'a [u8],
    pub whole: &'a [u8],
}

/// What is left of a run of DER values; every error names `field`.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    field: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], field: &'static str) -> Self {
        Self { rest: bytes, field }
    }

    fn malformed(&self, text: &'static str) -> Error {
        Error::new(Reason::Encoding, self.field, text)
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Errors if anything is left.
    pub fn end(self) -> Result<(), Error> {
        require(self.rest.is_empty(), Reason::Encoding, self.field, "bytes after the last DER value")
    }

    fn octets(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.malformed("DER ends within a value"));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize, Error> {
        let first = self.octets(1)?[0];
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let octets = match first {
            0x81..=0x83 => self.octets(usize::from(first & 0x7f))?,
            _ => return Err(self.malformed("DER length is indefinite or above 16 MiB")),
        };
        let length = octets.iter().fold(0, |sum, &octet| sum << 8 | usize::from(octet));
        if octets[0] == 0 || length < 0x80 {
            return Err(self.malformed("DER length is not in the fewest octets"));
        }
        Ok(length)
    }

    /// The next value, whatever its tag.
    pub fn any(&mut self) -> Result<Value<'a>, Error> {
        let start = self.rest;
        let tag = self.octets(1)?[0];
        if tag & 0x1f == 0x1f {
            return Err(self.malformed("DER tag of more than one octet"));
        }
        let length = self.length()?;
        let contents = self.octets(length)?;
        let whole = &start[..start.len() - self.rest.len()];
        Ok(Value { tag, contents, whole })
    }

    /// The next value, which must have this tag.
    pub fn value(&mut self, tag: u8) -> Result<Value<'a>, Error> {
        let value = self.any()?;
        if value.tag != tag {
            let text = format!("DER tag 0x{:02x}, expected 0x{tag:02x}", value.tag);
            return Err(Error::new(Reason::Encoding, self.field, text));
        }
        Ok(value)
    }

    /// The contents of the next value, which must have this tag.
    pub fn contents(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        Ok(self.value(tag)?.contents)
    }

    /// The next value if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Value<'a>>, Error> {
        if self.rest.first() == Some(&tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// A reader of what is inside the next value.
    pub fn inside(&mut self, tag: u8) -> Result<Reader<'a>, Error> {
        Ok(Reader::new(self.contents(tag)?, self.field))
    }

    /// TRUE; FALSE is a default in everything read here, so DER leaves it out.
    pub fn optional_true(&mut self) -> Result<bool, Error> {
        match self.optional(BOOLEAN)? {
            None => Ok(false),
            Some(Value { contents: [0xff], .. }) => Ok(true),
            Some(_) => Err(self.malformed("BOOLEAN that is not TRUE where FALSE is the default")),
        }
    }

    /// The octets of an INTEGER of 0 or more, without the octet of its sign.
    pub fn unsigned(&mut self) -> Result<&'a [u8], Error> {
        match self.contents(INTEGER)? {
            [] => Err(self.malformed("INTEGER without octets")),
            [0] => Ok(&[]),
            [0, rest @ ..] if rest[0] >= 0x80 => Ok(rest),
            [0, ..] => Err(self.malformed("INTEGER not in the fewest octets")),
            [first, ..] if *first >= 0x80 => Err(self.malformed("INTEGER below 0")),
            octets => Ok(octets),
        }
    }

    /// An INTEGER from 0 to 255.
    pub fn small(&mut self) -> Result<u8, Error> {
        match self.unsigned()? {
            [] => Ok(0),
            [value] => Ok(*value),
            _ => Err(self.malformed("INTEGER above 255")),
        }
    }

    /// The octets of a BIT STRING of whole octets.
    pub fn bit_octets(&mut self) -> Result<&'a [u8], Error> {
        match self.contents(BIT_STRING)? {
            [0, octets @ ..] => Ok(octets),
            _ => Err(self.malformed("BIT STRING that is not whole octets")),
        }
    }

    /// UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 has them, in Unix seconds (below 0 before 1970).
    pub fn time(&mut self) -> Result<i64, Error> {
        let value = self.any()?;
        let digits = match value.contents.split_last() {
            Some((b'Z', digits)) if digits.iter().all(u8::is_ascii_digit) => digits,
            _ => return Err(self.malformed("time that is not digits and Z")),
        };
        let pair = |index: usize| i64::from(digits[index] - b'0') * 10 + i64::from(digits[index + 1] - b'0');
        let (year, rest) = match (value.tag, digits.len()) {
            (UTC_TIME, 12) => (if pair(0) < 50 { 2000 + pair(0) } else { 1900 + pair(0) }, 2),
            (GENERALIZED_TIME, 14) => (pair(0) * 100 + pair(2), 4),
            _ => return Err(self.malformed("time is neither UTCTime nor GeneralizedTime with seconds")),
        };
        let fields = [0, 2, 4, 6, 8].map(|offset| pair(rest + offset));
        unix_seconds(year, fields).ok_or_else(|| self.malformed("time that no calendar has"))
    }
}

/// Unix seconds of a time of the Gregorian calendar: year, then month, day, hour, minute, second.
fn unix_seconds(year: i64, [month, day, hour, minute, second]: [i64; 5]) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1 March of year 0, counted in years that begin with March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1;
    const DAYS_TO_1970: i64 = 719_468;
    Some((days - DAYS_TO_1970) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(read: Result<T, Error>) -> bool {
        read.is_err_and(|error| error.reason() == Reason::Encoding && error.field() == "test")
    }

    fn reader(bytes: &[u8]) -> Reader<'_> {
        Reader::new(bytes, "test")
    }

    #[test]
    fn a_length_has_one_encoding() {
        assert_eq!(reader(&[4, 1, 7]).contents(OCTET_STRING).unwrap(), [7]);
        let long: Vec<u8> = [&[4, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(reader(&long).contents(OCTET_STRING).unwrap(), [7; 0x80]);
        for bytes in [
            &[4, 0x81, 1, 7][..],
            &[4, 0x82, 0, 0x80],
            &[4, 0x80, 7, 0, 0],
            &[4, 0x84, 0, 0, 0, 1, 7],
            &[4, 0xff],
            &[4, 2, 7],
            &[4],
            &[],
            &[0x1f, 1, 7],
            &[5, 1, 7],
        ] {
            assert!(refused(reader(bytes).contents(OCTET_STRING)), "{bytes:02x?}");
        }
        assert!(refused(reader(&[7]).end()));
    }

    #[test]
    fn an_integer_has_one_encoding() {
        assert_eq!(reader(&[2, 1, 0]).unsigned().unwrap(), [0u8; 0]);
        assert_eq!(reader(&[2, 2, 0, 0x80]).unsigned().unwrap(), [0x80]);
        assert_eq!(reader(&[2, 2, 0, 0xff]).small().unwrap(), 255);
        for bytes in [&[2, 0][..], &[2, 2, 0, 0x7f], &[2, 1, 0x80], &[2, 2, 0xff, 0xff], &[2, 2, 0, 0]] {
            assert!(refused(reader(bytes).unsigned()), "{bytes:02x?}");
        }
        assert!(refused(reader(&[2, 2, 1, 0]).small()));
    }

    #[test]
    fn booleans_and_bits_are_strict() {
        assert!(reader(&[1, 1, 0xff]).optional_true().unwrap());
        assert!(!reader(&[2, 1, 1]).optional_true().unwrap());
        assert!(refused(reader(&[1, 1, 0]).optional_true()));
        assert!(refused(reader(&[1, 1, 1]).optional_true()));
        assert_eq!(reader(&[3, 2, 0, 9]).bit_octets().unwrap(), [9]);
        assert!(refused(reader(&[3, 2, 1, 8]).bit_octets()));
        assert!(refused(reader(&[3, 0]).bit_octets()));
    }

    fn time_of(tag: u8, text: &str) -> Result<i64, Error> {
        reader(&[&[tag, text.len() as u8], text.as_bytes()].concat()).time()
    }

    #[test]
    fn times_are_unix_seconds() {
        // `date -u -d … +%s`
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "240909194909Z", 1_725_911_349),
            (UTC_TIME, "000229235959Z", 951_868_799),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (UTC_TIME, "500101000000Z", -631_152_000),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
            (GENERALIZED_TIME, "20000301000000Z", 951_868_800),
            (GENERALIZED_TIME, "00000101000000Z", -62_167_219_200),
        ] {
            assert_eq!(time_of(tag, text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn times_that_no_calendar_has_are_refused() {
        for text in [
            "230229000000Z",
            "231301000000Z",
            "230001000000Z",
            "230100000000Z",
            "230431000000Z",
            "230101240000Z",
            "230101006000Z",
            "230101000060Z",
            "2301010000Z",
            "230101000000",
            "230101000000+0000",
            "23010100000 Z",
            "",
        ] {
            assert!(refused(time_of(UTC_TIME, text)), "{text}");
        }
        for text in ["21000229000000Z", "20230101000000.5Z", "230101000000Z"] {
            assert!(refused(time_of(GENERALIZED_TIME, text)), "{text}");
        }
    }
}
