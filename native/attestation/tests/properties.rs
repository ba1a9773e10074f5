//! Bytes from anywhere, and damaged evidence: never a panic, never accepted.

mod readers;
mod vectors;

use proptest::prelude::*;
use readers::BODIES;

#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Copy(prop::sample::Index, prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, value)| Damage::Set(at, value)),
        place().prop_map(Damage::Cut),
        (place(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, more)| Damage::Insert(at, more)),
        (place(), place(), 1..200usize).prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match damage {
            Damage::Set(at, value) => bytes[at.index(length)] = *value,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Copy(from, to, count) => {
                let (from, to) = (from.index(length), to.index(length));
                let count = (*count).min(length - from).min(length - to);
                bytes.copy_within(from..from + count, to);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        for (vector, body) in BODIES {
            body(&vector(), &bytes);
        }
    }

    #[test]
    fn damaged_evidence(damages in prop::collection::vec(damage(), 1..6)) {
        for (vector, body) in BODIES {
            let vector = vector();
            body(&vector, &damaged(vector.evidence.clone(), &damages));
        }
    }

    #[test]
    fn damaged_certificates(damages in prop::collection::vec(damage(), 1..6), which in 0..5usize) {
        let vector = vectors::nvidia_h100();
        let bytes = damaged(vector.certificates[which].clone(), &damages);
        readers::certificate(&vector, &bytes);
        readers::revocation_list(&vectors::sev_snp(), &bytes);
    }
}
