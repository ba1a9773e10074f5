//! The vendors' roots: SHA-256 of each certificate's DER.

use crate::Fingerprint;

/// A vendor's root under the name that its product or its subject has.
pub type Root = (&'static str, Fingerprint);

/// Reads 64 hexadecimal digits at compile time.
const fn fingerprint(hex: &str) -> Fingerprint {
    const fn digit(character: u8) -> u8 {
        match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => panic!("not a lower-case hexadecimal digit"),
        }
    }
    let hex = hex.as_bytes();
    assert!(hex.len() == 64, "a fingerprint has 64 digits");
    let mut bytes = [0; 32];
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = digit(hex[2 * index]) << 4 | digit(hex[2 * index + 1]);
        index += 1;
    }
    bytes
}

/// AMD Root Keys (ARK), as <https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain> gives them out; compared with the
/// copies in crate `sev` 8.0.0 (`src/certs/snp/builtin`) and in go-sev-guest v0.15.0 (`verify/trust`).
pub const SEV_SNP: [Root; 3] = [
    ("Milan", fingerprint("69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd")),
    ("Genoa", fingerprint("4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1")),
    ("Turin", fingerprint("1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a")),
];

/// AWS Nitro Enclaves root G1: the fingerprint that AWS publishes in "Verifying the root of trust" of its Nitro Enclaves user
/// guide.
pub const NITRO: [Root; 1] =
    [("aws.nitro-enclaves", fingerprint("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"))];

/// NVIDIA Device Identity CA, root of every GPU's certificate chain: `verifier/certs/verifier_device_root.pem` of PyPI
/// nv-local-gpu-verifier 2.7.3.
pub const NVIDIA_DEVICE: [Root; 1] = [(
    "NVIDIA Device Identity CA",
    fingerprint("102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"),
)];

/// NVIDIA CoRIM signing Root CA, root of the reference integrity manifests: `verifier/certs/verifier_RIM_root.pem` of the same
/// package.
pub const NVIDIA_RIM: [Root; 1] = [(
    "NVIDIA CoRIM signing Root CA",
    fingerprint("12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"),
)];
