//! The report's fields (AMD document 56860, table ATTESTATION_REPORT). Integers are little-endian, and so are r and s.

use std::fmt;

use crate::error::{Error, Reason, require, require_length};

/// Bytes of a report.
pub const REPORT_BYTES: usize = 1_184;
/// Bytes that the signature covers; r begins there.
pub const SIGNED_BYTES: usize = 0x2a0;
/// Bytes of r and of s, of which the 48 low ones may be other than 0.
const SCALAR_FIELD: usize = 72;
const SCALAR: usize = 48;
const ECDSA_P384_SHA384: u32 = 1;

/// A generation of processors, with a root and a TCB layout of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Milan,
    Genoa,
    Turin,
}

impl Product {
    /// As in a certificate's product name, before the stepping.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "Milan" => Some(Self::Milan),
            "Genoa" => Some(Self::Genoa),
            "Turin" => Some(Self::Turin),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product of a family and model (CPUID Fn0000_0001); Bergamo and Siena go under Genoa's root.
    fn of_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

/// Security patch levels of the firmware's parts (table TCB_VERSION).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcb {
    /// The eight bytes as an integer, as tools print them.
    pub raw: u64,
    /// Firmware of the coprocessor that Turin has.
    pub fmc: Option<u8>,
    pub bootloader: u8,
    pub tee: u8,
    pub snp: u8,
    pub microcode: u8,
}

impl Tcb {
    fn read(bytes: [u8; 8], product: Product, field: &'static str) -> Result<Self, Error> {
        let (fmc, bootloader, tee, snp, reserved) = match product {
            Product::Milan | Product::Genoa => (None, bytes[0], bytes[1], bytes[6], &bytes[2..6]),
            Product::Turin => (Some(bytes[0]), bytes[1], bytes[2], bytes[3], &bytes[4..7]),
        };
        require_zero(reserved, field)?;
        Ok(Self { raw: u64::from_le_bytes(bytes), fmc, bootloader, tee, snp, microcode: bytes[7] })
    }
}

/// Which kind of key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// Of one chip.
    Vcek,
    /// Of a cloud provider's machines.
    Vlek,
}

impl SigningKey {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }
}

/// A firmware version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firmware {
    pub major: u8,
    pub minor: u8,
    pub build: u8,
}

/// Every field of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub version: u32,
    pub guest_svn: u32,
    /// The guest's policy as it stands; see the methods for its bits.
    pub policy: u64,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    /// Privilege level that asked for the report, 0 to 3.
    pub vmpl: u32,
    pub current_tcb: Tcb,
    pub platform_info: u64,
    pub author_key_enabled: bool,
    pub chip_key_masked: bool,
    pub signing_key: SigningKey,
    /// The guest's own 64 bytes.
    pub report_data: [u8; 64],
    /// Launch digest.
    pub measurement: [u8; 48],
    /// The host's bytes, given at launch.
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    pub report_id: [u8; 32],
    pub report_id_migration_agent: [u8; 32],
    /// The TCB that the signing key was derived from.
    pub reported_tcb: Tcb,
    /// Family, model and stepping; from version 3.
    pub cpuid: Option<(u8, u8, u8)>,
    /// Zeros where the host masks it.
    pub chip_id: [u8; 64],
    pub committed_tcb: Tcb,
    pub current_firmware: Firmware,
    pub committed_firmware: Firmware,
    pub launch_tcb: Tcb,
    /// Mitigations verified at launch; from version 5.
    pub launch_mitigations: Option<u64>,
    /// Mitigations verified when the report was made; from version 5.
    pub current_mitigations: Option<u64>,
}

impl Report {
    /// Bit 19: the host may read the guest's memory.
    pub fn is_debug(&self) -> bool {
        self.policy_bit(19)
    }

    /// Bit 16: the guest may run with simultaneous multithreading.
    pub fn allows_smt(&self) -> bool {
        self.policy_bit(16)
    }

    /// Bit 18: a migration agent may be associated.
    pub fn allows_migration_agent(&self) -> bool {
        self.policy_bit(18)
    }

    /// Bit 20: the guest may run on one socket only.
    pub fn requires_single_socket(&self) -> bool {
        self.policy_bit(20)
    }

    /// Least ABI version that the guest asks for: major, minor.
    pub fn least_abi(&self) -> (u8, u8) {
        let [minor, major, ..] = self.policy.to_le_bytes();
        (major, minor)
    }

    fn policy_bit(&self, bit: u32) -> bool {
        self.policy >> bit & 1 == 1
    }
}

/// Bytes of the right number and version, read where the fields are.
pub(super) struct Layout<'a> {
    bytes: &'a [u8; REPORT_BYTES],
    version: u32,
}

impl<'a> Layout<'a> {
    /// Checks the size, the version and the algorithm.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        require_length(bytes, REPORT_BYTES, REPORT_BYTES, "report")?;
        let text = "not the size of a report";
        let bytes = bytes.try_into().map_err(|_| Error::new(Reason::Length, "report", text))?;
        let mut layout = Self { bytes, version: 0 };
        layout.version = layout.u32(0x00);
        if !(2..=5).contains(&layout.version) {
            let text = format!("version {}, known are 2 to 5", layout.version);
            return Err(Error::new(Reason::Version, "report.version", text));
        }
        let known = layout.u32(0x34) == ECDSA_P384_SHA384;
        require(known, Reason::Algorithm, "report.signature_algorithm", "not 1, ECDSA P-384 with SHA-384")?;
        Ok(layout)
    }

    /// What the signature covers.
    pub fn signed(&self) -> &'a [u8] {
        &self.bytes[..SIGNED_BYTES]
    }

    /// r and s, big-endian.
    pub fn signature(&self) -> Result<([u8; SCALAR], [u8; SCALAR]), Error> {
        let field = "report.signature";
        let scalar = |offset: usize| {
            require_zero(&self.bytes[offset + SCALAR..offset + SCALAR_FIELD], field)?;
            let mut bytes: [u8; SCALAR] = self.array(offset);
            bytes.reverse();
            Ok(bytes)
        };
        require_zero(&self.bytes[SIGNED_BYTES + 2 * SCALAR_FIELD..], field)?;
        Ok((scalar(SIGNED_BYTES)?, scalar(SIGNED_BYTES + SCALAR_FIELD)?))
    }

    /// Every field, with the TCB layout of this product.
    pub fn interpret(&self, product: Product) -> Result<Report, Error> {
        self.require_reserved()?;
        let tcb = |offset, field| Tcb::read(self.array(offset), product, field);
        let (author_key_enabled, chip_key_masked, signing_key) = self.signer()?;
        Ok(Report {
            version: self.version,
            guest_svn: self.u32(0x04),
            policy: self.policy()?,
            family_id: self.array(0x10),
            image_id: self.array(0x20),
            vmpl: self.vmpl()?,
            current_tcb: tcb(0x38, "report.current_tcb")?,
            platform_info: self.u64(0x40),
            author_key_enabled,
            chip_key_masked,
            signing_key,
            report_data: self.array(0x50),
            measurement: self.array(0x90),
            host_data: self.array(0xc0),
            id_key_digest: self.array(0xe0),
            author_key_digest: self.array(0x110),
            report_id: self.array(0x140),
            report_id_migration_agent: self.array(0x160),
            reported_tcb: tcb(0x180, "report.reported_tcb")?,
            cpuid: self.cpuid(product)?,
            chip_id: self.array(0x1a0),
            committed_tcb: tcb(0x1e0, "report.committed_tcb")?,
            current_firmware: self.firmware(0x1e8),
            committed_firmware: self.firmware(0x1ec),
            launch_tcb: tcb(0x1f0, "report.launch_tcb")?,
            launch_mitigations: (self.version >= 5).then(|| self.u64(0x1f8)),
            current_mitigations: (self.version >= 5).then(|| self.u64(0x200)),
        })
    }

    /// Bytes that are 0 in this version; a later version that gives them a meaning has another number.
    fn require_reserved(&self) -> Result<(), Error> {
        let cpuid = if self.version >= 3 { 0x18b } else { 0x188 };
        let tail = if self.version >= 5 { 0x208 } else { 0x1f8 };
        for range in [0x4c..0x50, cpuid..0x1a0, 0x1eb..0x1ec, 0x1ef..0x1f0, tail..SIGNED_BYTES] {
            require_zero(&self.bytes[range], "report.reserved")?;
        }
        Ok(())
    }

    /// Bit 17 is always 1; bits 26 to 63 are reserved.
    fn policy(&self) -> Result<u64, Error> {
        let policy = self.u64(0x08);
        let holds = policy >> 17 & 1 == 1 && policy >> 26 == 0;
        require(holds, Reason::Value, "report.policy", "reserved bits are not as they must be")?;
        Ok(policy)
    }

    fn vmpl(&self) -> Result<u32, Error> {
        let vmpl = self.u32(0x30);
        if vmpl > 3 {
            let text = format!("privilege level {vmpl}, there are 0 to 3");
            return Err(Error::new(Reason::Value, "report.vmpl", text));
        }
        Ok(vmpl)
    }

    fn signer(&self) -> Result<(bool, bool, SigningKey), Error> {
        let field = "report.signing_key";
        let flags = self.u32(0x48);
        require(flags >> 5 == 0, Reason::Value, field, "reserved bits are set")?;
        let key = match flags >> 2 & 7 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            7 => return Err(Error::new(Reason::Signature, field, "the report was not signed")),
            _ => return Err(Error::new(Reason::Value, field, "neither VCEK nor VLEK")),
        };
        Ok((flags & 1 == 1, flags >> 1 & 1 == 1, key))
    }

    /// Family, model and stepping, which must be the product's.
    fn cpuid(&self, product: Product) -> Result<Option<(u8, u8, u8)>, Error> {
        if self.version < 3 {
            return Ok(None);
        }
        let [family, model, stepping] = self.array(0x188);
        if Product::of_cpuid(family, model) != Some(product) {
            let text = format!("family 0x{family:02x}, model 0x{model:02x} is not {product}");
            return Err(Error::new(Reason::Mismatch, "report.cpuid", text));
        }
        Ok(Some((family, model, stepping)))
    }

    fn firmware(&self, offset: usize) -> Firmware {
        let [build, minor, major] = self.array(offset);
        Firmware { major, minor, build }
    }

    /// The bytes from a constant offset: every caller's range lies within the report.
    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[offset..offset + N]);
        field
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.array(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.array(offset))
    }
}

fn require_zero(bytes: &[u8], field: &'static str) -> Result<(), Error> {
    let zero = bytes.iter().all(|&byte| byte == 0);
    require(zero, Reason::Value, field, "a byte that is reserved is not 0")
}
