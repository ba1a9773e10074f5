//! Circuits written as `.r1cs` bytes, so that the tests cover the reader too.

use ark_bn254::Fr;
use ark_ff::{BigInteger, One, PrimeField};
use w3bstream_groth16::encoding::write_word;
use w3bstream_groth16::key::ProvingKey;
use w3bstream_groth16::r1cs::ConstraintSystem;
use w3bstream_groth16::{ceremony, setup};

type Terms = Vec<(u32, Fr)>;

/// A constraint system under construction with its witness.
pub struct Circuit {
    pub outputs: u32,
    pub inputs: u32,
    pub witness: Vec<Fr>,
    pub rows: Vec<[Terms; 3]>,
}

impl Circuit {
    /// y = x^length + x + constant, with y public, x private, and a second public signal that no row mentions.
    pub fn power_chain(length: u32, x: u64) -> Self {
        let x = Fr::from(x);
        // wires: 0 one, 1 y, 2 unused public, 3 x, then the powers x^2, x^3, …
        let mut witness = vec![Fr::one(), Fr::one(), Fr::from(77u64), x];
        let mut rows = Vec::new();
        let mut last = 3u32;
        for _ in 1..length {
            let next = witness.len() as u32;
            witness.push(witness[last as usize] * x);
            rows.push([vec![(last, Fr::one())], vec![(3, Fr::one())], vec![(next, Fr::one())]]);
            last = next;
        }
        let y = witness[last as usize] + x + Fr::from(5u64);
        witness[1] = y;
        rows.push([
            vec![(last, Fr::one()), (3, Fr::one()), (0, Fr::from(5u64))],
            vec![(0, Fr::one())],
            vec![(1, Fr::one())],
        ]);
        Self { outputs: 1, inputs: 1, witness, rows }
    }

    /// The `.r1cs` file.
    pub fn to_r1cs(&self) -> Vec<u8> {
        let wires = self.witness.len() as u32;
        let mut header = vec![32, 0, 0, 0];
        header.extend(Fr::MODULUS.to_bytes_le());
        for value in [wires, self.outputs, self.inputs, 1] {
            header.extend(value.to_le_bytes());
        }
        header.extend(u64::from(wires).to_le_bytes());
        header.extend((self.rows.len() as u32).to_le_bytes());
        let mut body = Vec::new();
        for terms in self.rows.iter().flatten() {
            body.extend((terms.len() as u32).to_le_bytes());
            for (wire, coefficient) in terms {
                body.extend(wire.to_le_bytes());
                body.extend(coefficient.into_bigint().to_bytes_le());
            }
        }
        let mut file = b"r1cs\x01\0\0\0\x02\0\0\0".to_vec();
        for (kind, section) in [(1u32, header), (2, body)] {
            file.extend(kind.to_le_bytes());
            file.extend((section.len() as u64).to_le_bytes());
            file.extend(section);
        }
        file
    }

    pub fn system(&self) -> ConstraintSystem {
        ConstraintSystem::read(&self.to_r1cs()).unwrap()
    }

    /// The initial key and the key after one contribution.
    pub fn keys(&self) -> (ProvingKey, ProvingKey) {
        let initial = setup::setup(self.system(), setup::DEVELOPMENT_LABEL, &|_, _| true).unwrap();
        let key = ceremony::contribute(&initial, "first", &|_, _| true).unwrap();
        (initial, key)
    }

    pub fn signals(&self) -> Vec<Fr> {
        self.witness[1..=(self.outputs + self.inputs) as usize].to_vec()
    }

    /// The public signals as the verifier takes them: 32 big-endian bytes each.
    #[allow(dead_code, reason = "each test file compiles this module for itself")]
    pub fn signal_bytes(&self) -> Vec<u8> {
        self.signals().iter().flat_map(write_word).collect()
    }
}
