//! The output of a program: words of 32 bytes, as Solidity's ABI encodes static values (big-endian, sign-extended).

/// A program's output in the making, one word for each of the manifest's outputs but the four of completeness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<u8>);

impl Words {
    /// No words yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Add an unsigned integer of any width up to 64 bits.
    pub fn unsigned(mut self, value: u64) -> Self {
        self.0.extend([0; 24]);
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Add a signed integer of any width up to 64 bits.
    pub fn signed(mut self, value: i64) -> Self {
        self.0.extend([if value < 0 { 0xff } else { 0 }; 24]);
        self.0.extend(value.to_be_bytes());
        self
    }

    /// The words' bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_32_bytes_and_keep_the_sign() {
        let bytes = Words::new().unsigned(7).signed(-2).signed(i64::MAX).into_bytes();
        assert_eq!(bytes.len(), 96);
        assert_eq!(bytes[31], 7);
        assert_eq!((&bytes[32..63], bytes[63]), (&[0xff; 31][..], 0xfe));
        assert_eq!((bytes[64], bytes[88], bytes[95]), (0, 0x7f, 0xff));
    }
}
