//! Hierarchies of nobody: certificates, revocation lists and evidence under keys that are made here, for what no vendor
//! signs. Tests ask what is refused of them; the benchmark, what the slowest input of a length takes.
#![allow(dead_code)] // tests and benchmark each take a part of it

use alloy_primitives::Uint;
use p384::ecdsa::SigningKey;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest, Sha384};

type Number = Uint<4096, 64>;

const SEQUENCE: u8 = 0x30;
const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
/// RFC 4055 §3.1 with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes, as AMD writes it for Turin.
const RSA_PSS: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa2\x03\x02\x01\x30";
const EC_P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// From 2020 to 2049.
const VALIDITY: &[u8] = b"\x30\x1e\x17\x0d200101000000Z\x17\x0d491231235959Z";
/// Within [`VALIDITY`], and its end.
pub const TIME: i64 = 1_700_000_000;
pub const END: i64 = 2_524_607_999;

pub fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        0x100..0x1_0000 => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        _ => vec![tag, 0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8],
    };
    [&head[..], contents].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    der(SEQUENCE, &parts.concat())
}

/// An INTEGER of these octets, not below 0.
fn integer(octets: &[u8]) -> Vec<u8> {
    let from = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
    let sign = if octets.get(from).is_none_or(|octet| *octet >= 0x80) { &[0][..] } else { &[] };
    der(2, &[sign, &octets[from..]].concat())
}

fn bit_string(octets: &[u8]) -> Vec<u8> {
    der(3, &[&[0], octets].concat())
}

/// A key that signs.
pub enum Key {
    P384(Box<SigningKey>),
    /// One modulus will do: who signs is told by the names.
    Rsa,
}

impl Key {
    pub fn p384(seed: u8) -> Self {
        Self::P384(Box::new(SigningKey::from_slice(&[seed; 48]).expect("a scalar")))
    }

    fn algorithm(&self) -> &'static [u8] {
        match self {
            Self::P384(_) => ECDSA_WITH_SHA384,
            Self::Rsa => RSA_PSS,
        }
    }

    fn info(&self) -> Vec<u8> {
        match self {
            Self::P384(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                sequence(&[EC_P384, &bit_string(point.as_bytes())])
            }
            Self::Rsa => {
                let modulus: [u8; 512] = modulus().to_be_bytes();
                let key = sequence(&[&integer(&modulus), &integer(&[1, 0, 1])]);
                sequence(&[RSA_ENCRYPTION, &bit_string(&key)])
            }
        }
    }

    /// r and s, big-endian, of a message.
    pub fn scalars(&self, message: &[u8]) -> [u8; 96] {
        let Self::P384(key) = self else { panic!("no key of an elliptic curve") };
        let signature: p384::ecdsa::Signature = key.sign_prehash(&Sha384::digest(message)).expect("signs");
        let mut bytes = [0; 96];
        bytes.copy_from_slice(&signature.to_bytes());
        bytes
    }

    /// As certificates write it.
    fn signature(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P384(_) => {
                let scalars = self.scalars(message);
                sequence(&[&integer(&scalars[..48]), &integer(&scalars[48..])])
            }
            Self::Rsa => pss(&Sha384::digest(message)),
        }
    }

    fn signed(&self, to_be_signed: &[u8]) -> Vec<u8> {
        sequence(&[to_be_signed, self.algorithm(), &bit_string(&self.signature(to_be_signed))])
    }
}

/// Mersenne primes' exponents with the sum 4096: a modulus of 4096 bits whose factors are known without a search.
const EXPONENTS: [usize; 4] = [7, 607, 1_279, 2_203];

fn mersenne(exponent: usize) -> Number {
    (Number::from(1) << exponent) - Number::from(1)
}

fn modulus() -> Number {
    EXPONENTS.iter().fold(Number::from(1), |product, exponent| product * mersenne(*exponent))
}

/// RSASSA-PSS-SIGN (RFC 8017 §8.1.1) with a salt of ones.
fn pss(digest: &[u8]) -> Vec<u8> {
    const SALT: [u8; 48] = [1; 48];
    let hash = Sha384::new().chain_update([0; 8]).chain_update(digest).chain_update(SALT).finalize();
    let mut block = [&[0; 414][..], &[1], &SALT].concat();
    for (counter, chunk) in (0u32..).zip(block.chunks_mut(48)) {
        let mask = Sha384::new().chain_update(hash).chain_update(counter.to_be_bytes()).finalize();
        chunk.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
    }
    block[0] &= 0x7f;
    let encoded = [&block[..], &hash[..], &[0xbc]].concat();
    let order = EXPONENTS
        .iter()
        .fold(Number::from(1), |product, exponent| product * (mersenne(*exponent) - Number::from(1)));
    let exponent = Number::from(65_537).inv_mod(order).expect("coprime");
    let value = Number::from_be_slice(&encoded).pow_mod(exponent, modulus());
    value.to_be_bytes::<512>().to_vec()
}

/// What a certificate says.
pub struct Certified<'a> {
    pub subject: u8,
    pub issuer: u8,
    pub key: &'a Key,
    /// A CA's certificate, or one of a signer of evidence; either may sign revocation lists here.
    pub authority: bool,
    /// Contents of the identifier, and the value.
    pub extensions: Vec<(Vec<u8>, Vec<u8>)>,
}

fn name(of: u8) -> Vec<u8> {
    // One attribute, commonName: a letter.
    let value = der(0x0c, &[of]);
    sequence(&[&der(0x31, &sequence(&[b"\x06\x03\x55\x04\x03", &value]))])
}

fn extension(identifier: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
    sequence(&[&der(6, identifier), critical, &der(4, value)])
}

/// A certificate signed by the issuer's key.
pub fn certificate(says: &Certified<'_>, issuer: &Key) -> Vec<u8> {
    let mut extensions = Vec::new();
    // KeyUsage: keyCertSign and cRLSign, or digitalSignature and cRLSign.
    let usage: &[u8] = if says.authority { b"\x03\x02\x01\x06" } else { b"\x03\x02\x01\x82" };
    if says.authority {
        extensions.push(extension(b"\x55\x1d\x13", true, b"\x30\x03\x01\x01\xff"));
    }
    extensions.push(extension(b"\x55\x1d\x0f", true, usage));
    extensions.extend(says.extensions.iter().map(|(identifier, value)| extension(identifier, false, value)));
    let to_be_signed = sequence(&[
        b"\xa0\x03\x02\x01\x02",
        &integer(&[says.subject]),
        issuer.algorithm(),
        &name(says.issuer),
        VALIDITY,
        &name(says.subject),
        &says.key.info(),
        &der(0xa3, &der(SEQUENCE, &extensions.concat())),
    ]);
    issuer.signed(&to_be_signed)
}

/// A revocation list of an issuer; the entries are DER, one after the other.
pub fn revocation_list(issuer: u8, key: &Key, entries: &[u8]) -> Vec<u8> {
    let listed = if entries.is_empty() { Vec::new() } else { der(SEQUENCE, entries) };
    let times = &VALIDITY[2..];
    let parts = [b"\x02\x01\x01", key.algorithm(), &name(issuer), times, &listed];
    key.signed(&sequence(&parts))
}

/// An entry that revokes a serial number, with so many extensions.
pub fn revoked(serial: &[u8], extensions: u8) -> Vec<u8> {
    let listed: Vec<u8> = (0..extensions).flat_map(|index| extension(&[index], false, b"")).collect();
    let listed = if listed.is_empty() { listed } else { der(SEQUENCE, &listed) };
    sequence(&[&integer(serial), b"\x17\x0d200101000000Z", &listed])
}

/// A chain of so many P-384 certificates, leaf first, named from 'a', the root by itself; their keys.
pub fn p384_chain(count: u8, extensions: &[(Vec<u8>, Vec<u8>)]) -> (Vec<Vec<u8>>, Vec<Key>) {
    let keys: Vec<Key> = (0..count).map(|index| Key::p384(index + 1)).collect();
    let certified = |index: u8| {
        let above = (index + 1).min(count - 1);
        let says = Certified {
            subject: b'a' + index,
            issuer: b'a' + above,
            key: &keys[usize::from(index)],
            authority: index > 0,
            extensions: extensions.to_vec(),
        };
        certificate(&says, &keys[usize::from(above)])
    };
    ((0..count).map(certified).collect(), keys)
}

/// 1.3.6.1.4.1.3704.1 and what comes behind it.
fn amd(behind: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([b"\x2b\x06\x01\x04\x01\x9c\x78\x01", behind].concat(), value.to_vec())
}

/// A Milan report and its chain, in which the leaf's key signs and RSA issues; `fill` is put into each certificate besides.
pub fn sev_snp(fill: &[(Vec<u8>, Vec<u8>)]) -> (Vec<u8>, Vec<Vec<u8>>, Key) {
    let leaf = Key::p384(1);
    let mut claims = vec![amd(&[2], b"\x16\x08Milan-B0"), amd(&[4], &[7; 64])];
    claims.extend([&[3, 1][..], &[3, 2], &[3, 3], &[3, 8]].map(|level| amd(level, &[2, 1, 0])));
    let certified = |subject, issuer, key, authority, mut extensions: Vec<_>| {
        extensions.extend_from_slice(fill);
        certificate(&Certified { subject, issuer, key, authority, extensions }, &Key::Rsa)
    };
    let chain = vec![
        certified(b'a', b'b', &leaf, false, claims),
        certified(b'b', b'c', &Key::Rsa, true, Vec::new()),
        certified(b'c', b'c', &Key::Rsa, true, Vec::new()),
    ];
    let mut report = vec![0; 1_184];
    report[0] = 2;
    report[0x0a] = 2; // policy, bit 17
    report[0x34] = 1;
    report[0x1a0..0x1e0].copy_from_slice(&[7; 64]);
    sign_report(&mut report, &leaf);
    (report, chain, leaf)
}

/// Puts the key's signature into a report.
pub fn sign_report(report: &mut [u8], key: &Key) {
    let scalars = key.scalars(&report[..0x2a0]);
    for (index, scalar) in scalars.chunks(48).enumerate() {
        let at = 0x2a0 + 72 * index;
        report[at..at + 48].copy_from_slice(scalar);
        report[at..at + 48].reverse();
    }
}

/// An SPDM transcript of blocks (index, value) and opaque data, signed.
pub fn nvidia_h100(key: &Key, nonce: &[u8; 32], blocks: &[(u8, Vec<u8>)], opaque: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    for (index, value) in blocks {
        let length = value.len() as u16;
        record.extend_from_slice(&[*index, 1]);
        record.extend_from_slice(&(length + 3).to_le_bytes());
        record.push(1);
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(value);
    }
    let mut report =
        [b"\x11\xe0\x01\xff", &nonce[..], b"\x00\x11\x60\x00\x00", &[blocks.len() as u8]].concat();
    report.extend_from_slice(&(record.len() as u32).to_le_bytes()[..3]);
    report.extend_from_slice(&record);
    report.extend_from_slice(&[9; 32]);
    report.extend_from_slice(&(opaque.len() as u16).to_le_bytes());
    report.extend_from_slice(opaque);
    let signature = key.scalars(&report);
    report.extend_from_slice(&signature);
    report
}

/// A CBOR head: major type and argument.
fn head(major: u8, argument: u64) -> Vec<u8> {
    let major = major << 5;
    match argument {
        0..24 => vec![major | argument as u8],
        24..0x100 => vec![major | 24, argument as u8],
        0x100..0x1_0000 => [&[major | 25][..], &(argument as u16).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &argument.to_be_bytes()].concat(),
    }
}

fn cbor(major: u8, contents: &[u8]) -> Vec<u8> {
    [&head(major, contents.len() as u64)[..], contents].concat()
}

/// A document with this chain, leaf first, registers by number, and as much user data and key as there may be.
pub fn nitro(chain: &[Vec<u8>], key: &Key, registers: &[u8]) -> Vec<u8> {
    let text = |text: &str| cbor(3, text.as_bytes());
    let bundle: Vec<u8> = chain[1..].iter().rev().flat_map(|der| cbor(2, der)).collect();
    let pcrs: Vec<u8> = registers
        .iter()
        .flat_map(|number| [head(0, (*number).into()), cbor(2, &[*number; 48])].concat())
        .collect();
    let fields = [
        (text("module_id"), cbor(3, &[b'm'; 256])),
        (text("digest"), text("SHA384")),
        (text("timestamp"), head(0, TIME as u64 * 1_000 + 7)),
        (text("pcrs"), [head(5, registers.len() as u64), pcrs].concat()),
        (text("certificate"), cbor(2, &chain[0])),
        (text("cabundle"), [head(4, chain.len() as u64 - 1), bundle].concat()),
        (text("public_key"), cbor(2, &[3; 1_024])),
        (text("user_data"), cbor(2, &[4; 512])),
        (text("nonce"), vec![0xf6]),
    ];
    let items: Vec<u8> = fields.iter().flat_map(|(name, value)| [&name[..], value].concat()).collect();
    let payload = [head(5, fields.len() as u64), items].concat();
    let protected = b"\x44\xa1\x01\x38\x22";
    let signed = [&b"\x84\x6aSignature1"[..], protected, b"\x40", &cbor(2, &payload)].concat();
    let signature = cbor(2, &key.scalars(&signed));
    [&b"\x84"[..], protected, b"\xa0", &cbor(2, &payload), &signature].concat()
}

/// A verifier's input of these parts.
pub fn frame(time: i64, evidence: &[u8], certificates: &[Vec<u8>], lists: &[Vec<u8>]) -> Vec<u8> {
    let mut input = vec![1];
    input.extend_from_slice(&time.to_be_bytes());
    input.extend_from_slice(&[certificates.len() as u8, lists.len() as u8]);
    let parts = std::iter::once(evidence).chain(certificates.iter().chain(lists).map(Vec::as_slice));
    for part in parts {
        input.extend_from_slice(&(part.len() as u32).to_be_bytes());
        input.extend_from_slice(part);
    }
    input
}
