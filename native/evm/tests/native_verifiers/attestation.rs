//! The answers of the verifiers of attestation evidence: genuine evidence, evidence under roots of nobody, damaged inputs.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use w3bstream_attestation::roots;
use w3bstream_evm::precompiles::evidence::MAX_INPUT_BYTES;
use w3bstream_evm::precompiles::{Refusal, Verifier, nitro, nvidia_h100, sev_snp};
use w3bstream_evm::{CallStatus, Chain, Fork, Forks};

use crate::devnet::{VERIFIER, advance, call, call_with, data_gas, genesis, signed_by, transaction};
use crate::genuine::{self, Vector};
use crate::hierarchy::{self, END, Key, TIME, frame};

/// A verifier with genuine evidence of its platform, the vendor's root, and the answer's number of words.
struct Case {
    verifier: &'static Verifier,
    vector: Vector,
    root: B256,
    words: usize,
}

impl Case {
    fn input_at(&self, time: i64) -> Vec<u8> {
        frame(time, &self.vector.evidence, &self.vector.certificates, &[])
    }

    fn input(&self) -> Vec<u8> {
        self.input_at(self.vector.time)
    }

    fn run(&self, input: &[u8]) -> Result<Answer, Refusal> {
        (self.verifier.run)(input).map(Answer)
    }
}

fn cases() -> [Case; 3] {
    [
        Case {
            verifier: &sev_snp::VERSION_1,
            vector: genuine::sev_snp(),
            root: roots::SEV_SNP[0].1.into(),
            words: 23,
        },
        Case {
            verifier: &nitro::VERSION_1,
            vector: genuine::nitro_enclave(),
            root: roots::NITRO[0].1.into(),
            words: 18,
        },
        Case {
            verifier: &nvidia_h100::VERSION_1,
            vector: genuine::nvidia_h100(),
            root: roots::NVIDIA_DEVICE[0].1.into(),
            words: 76,
        },
    ]
}

/// What came back, as words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer(Bytes);

impl Answer {
    fn word(&self, index: usize) -> B256 {
        B256::from_slice(&self.0[32 * index..32 * index + 32])
    }

    fn number(&self, index: usize) -> U256 {
        self.word(index).into()
    }

    /// Whether evidence is vouched for under this root.
    fn vouches(&self, root: B256) -> bool {
        self.0.len() > 32 && self.number(0) == U256::from(1) && self.word(1) == root
    }

    fn does_not_hold(&self) -> bool {
        self.0[..] == [0; 32]
    }
}

fn sha(bytes: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(bytes))
}

#[test]
fn genuine_evidence_holds_in_its_time_and_at_no_other() {
    for case in cases() {
        let (name, vector) = (case.verifier.name, &case.vector);
        for time in [vector.from, vector.time, vector.to] {
            let answer = case.run(&case.input_at(time)).expect("reads");
            assert!(answer.vouches(case.root), "{name} at {time}");
            assert_eq!(answer.0.len(), 32 * case.words, "{name}");
            assert_eq!(answer.number(2), U256::from(vector.to), "{name}: validUntil");
        }
        for time in [0, vector.from - 1, vector.to + 1, i64::MAX] {
            assert!(case.run(&case.input_at(time)).expect("reads").does_not_hold(), "{name} at {time}");
        }
        assert_eq!(case.run(&case.input_at(-1)), Err(Refusal("time: 2^63 or more".into())), "{name}");
    }
}

#[test]
fn the_words_of_a_sev_snp_report() {
    let [case, ..] = cases();
    let (answer, report) = (case.run(&case.input()).expect("reads"), &case.vector.evidence);
    assert_eq!(answer.number(3), U256::ZERO, "issuedAt");
    assert_eq!(answer.0[128..192], report[0x50..0x90], "report data");
    assert_eq!(answer.0[192..256], [&report[0x90..0xc0], &[0; 16]].concat(), "measurement");
    assert_eq!(answer.0[256..288], report[0xc0..0xe0], "host data");
    assert_eq!(answer.0[288..352], [&report[0xe0..0x110], &[0; 16]].concat(), "id key digest");
    assert_eq!(answer.number(11), U256::from(0x3_0000), "policy");
    // VMPL, guest SVN, platform, Milan, VCEK; bootloader, TEE, SNP, microcode, FMC.
    let numbers: Vec<u64> = (12..22).map(|index| answer.number(index).to()).collect();
    let platform = u64::from_le_bytes(report[0x40..0x48].try_into().expect("8 bytes"));
    assert_eq!(numbers, [0, 0, platform, 1, 0, 3, 0, 8, 0x73, 0]);
    assert_eq!(answer.word(22), sha(&report[0x1a0..0x1e0]), "chip");

    let debug = Case { vector: genuine::sev_snp_debug(), ..case };
    let answer = debug.run(&debug.input()).expect("reads");
    assert!(answer.vouches(debug.root), "debug is the caller's to refuse");
    assert_eq!(answer.number(11), U256::from(0xb_0000));
}

#[test]
fn the_words_of_a_nitro_document() {
    let [_, case, _] = cases();
    let answer = case.run(&case.input()).expect("reads");
    assert_eq!(answer.number(3), U256::from(1_734_707_282), "issuedAt");
    assert_eq!(answer.0[128..132], [0xa6, 0xa7, 0x4c, 0x6b], "PCR0");
    for register in 0..3 {
        assert_eq!(answer.0[176 + 64 * register..192 + 64 * register], [0; 16]);
        assert_ne!(answer.0[128 + 64 * register..176 + 64 * register], [0; 48]);
    }
    // Debug; no user data, no nonce, a key of 32 bytes.
    let numbers: Vec<u64> = [10, 11, 13, 15].map(|index| answer.number(index).to()).to_vec();
    assert_eq!(numbers, [0, 0, 0, 32]);
    assert_eq!((answer.word(12), answer.word(14)), (B256::ZERO, B256::ZERO));
    assert_ne!(answer.word(16), B256::ZERO);

    let debug = Case { vector: genuine::nitro(), ..case };
    let answer = debug.run(&debug.input()).expect("reads");
    assert!(answer.vouches(debug.root), "debug is the caller's to refuse");
    let numbers: Vec<u64> = [10, 11, 13, 15].map(|index| answer.number(index).to()).to_vec();
    assert_eq!(numbers, [1, 68, 20, 5]);
    assert_eq!(answer.0[128..192], [0; 64], "PCR0");
    assert_eq!(answer.word(16), sha(b"dummy"), "public key");
    assert_eq!(answer.word(17), sha(b"i-0bbf1bfe232b8c2ce-enc0191ba35c9d1b77a"), "module");
}

#[test]
fn the_words_of_an_h100_report() {
    let [.., case] = cases();
    let (answer, report) = (case.run(&case.input()).expect("reads"), &case.vector.evidence);
    assert_eq!(answer.number(3), U256::ZERO, "issuedAt");
    assert_eq!(answer.0[128..160], report[4..36], "nonce");
    assert_eq!((answer.word(5), answer.word(6)), (sha(b"550.90.07"), sha(b"96.00.9F.00.01")));
    assert_ne!(answer.0[224..272], [0; 48], "firmware");
    assert_eq!(answer.0[272..288], [0; 16]);
    assert_eq!(answer.word(9), sha(&case.vector.certificates[0]), "device");
    assert_eq!(answer.number(10), U256::from(64));
    // Each block: index, specification, length, kind, length, 48 bytes; the first behind 37 + 8 bytes.
    let blocks: Vec<&[u8]> = report[45..45 + 64 * 55].chunks(55).collect();
    for (index, block) in blocks.iter().enumerate() {
        assert_eq!(block[0], index as u8 + 1);
        assert_eq!(answer.word(12 + index), sha(&block[7..]), "block {}", block[0]);
    }
    let every: Vec<u8> = blocks.iter().flat_map(|b| [&[b[0], b[4], 0, 48], &b[7..]].concat()).collect();
    assert_eq!(answer.word(11), sha(&every));
}

/// The answer names the root, and nothing else tells a vendor's evidence from this.
#[test]
fn a_root_of_nobody_is_answered_with_its_own_name() {
    for (verifier, input, root) in hierarchies() {
        let answer = Answer((verifier.run)(&input).expect("reads"));
        assert!(answer.vouches(sha(&root)), "{}", verifier.name);
        assert_eq!(answer.number(2), U256::from(END), "{}", verifier.name);
        for vendor in [&roots::SEV_SNP[..], &roots::NITRO, &roots::NVIDIA_DEVICE].concat() {
            assert!(!answer.vouches(vendor.1.into()), "{}", verifier.name);
        }
    }
}

/// Each verifier with an input under a root that was made here, and the root.
fn hierarchies() -> [(&'static Verifier, Vec<u8>, Vec<u8>); 3] {
    let (report, snp, _) = hierarchy::sev_snp(&[]);
    let (chain, keys) = hierarchy::p384_chain(6, &[]);
    let blocks = [(1, vec![5; 48]), (3, vec![6]), (200, vec![7; 9])];
    let gpu = hierarchy::nvidia_h100(&keys[0], &[8; 32], &blocks, b"\x03\x00\x02\x001\x00");
    let (enclave, signers) = hierarchy::p384_chain(8, &[]);
    let document = hierarchy::nitro(&enclave, &signers[0], &[0, 1, 2, 31]);
    [
        (&sev_snp::VERSION_1, frame(TIME, &report, &snp, &[]), snp[2].clone()),
        (&nitro::VERSION_1, frame(TIME, &document, &[], &[]), enclave[7].clone()),
        (&nvidia_h100::VERSION_1, frame(TIME, &gpu, &chain, &[]), chain[5].clone()),
    ]
}

#[test]
fn what_is_absent_is_zero_and_blocks_beyond_64_are_in_the_digest() {
    let [_, (nitro, document, _), (h100, report, _)] = hierarchies();
    let answer = Answer((nitro.run)(&document).expect("reads"));
    assert_eq!((answer.number(10), answer.0[128..176].to_vec()), (U256::from(1), vec![0; 48]), "debug");
    assert_eq!((answer.number(11), answer.word(12)), (U256::from(512), sha(&[4; 512])));
    assert_eq!((answer.number(13), answer.word(14)), (U256::ZERO, B256::ZERO), "no nonce");
    assert_eq!((answer.number(15), answer.word(16)), (U256::from(1_024), sha(&[3; 1_024])));

    let answer = Answer((h100.run)(&report).expect("reads"));
    assert_eq!((answer.word(4), answer.word(5)), (B256::repeat_byte(8), sha(b"1")));
    assert_eq!((answer.word(6), answer.0[224..288].to_vec()), (B256::ZERO, vec![0; 64]));
    assert_eq!(answer.number(10), U256::from(3));
    let every = [&[1, 1, 0, 48][..], &[5; 48], &[3, 1, 0, 1, 6], &[200, 1, 0, 9], &[7; 9]].concat();
    assert_eq!(answer.word(11), sha(&every));
    assert_eq!((answer.word(12), answer.word(13), answer.word(14)), (sha(&[5; 48]), B256::ZERO, sha(&[6])));
    assert!((15..76).all(|index| answer.word(index).is_zero()));
}

#[test]
fn a_document_without_one_of_the_first_three_registers_is_refused() {
    let (chain, keys) = hierarchy::p384_chain(2, &[]);
    for (registers, missing) in [(&[1, 2][..], 0), (&[0, 2], 1), (&[0, 1, 3], 2)] {
        let document = hierarchy::nitro(&chain, &keys[0], registers);
        let refusal = (nitro::VERSION_1.run)(&frame(TIME, &document, &[], &[])).expect_err("refused");
        assert_eq!(refusal.0, format!("payload.pcrs: register {missing} is missing"));
    }
}

/// Of the parts one byte in so many is changed here; the crate's own tests change each.
const STRIDE: usize = 17;

/// No byte but the time's can be changed without losing the vendor's word.
#[test]
fn every_byte_counts() {
    for case in cases() {
        let input = case.input();
        let mut changed = input.clone();
        let frame = (0..15).filter(|place| !(1..9).contains(place));
        for place in frame.chain((15..input.len()).step_by(STRIDE)) {
            changed[place] ^= 1 << (place % 8);
            let answer = case.run(&changed);
            assert!(
                answer.is_err() || answer.is_ok_and(|answer| !answer.vouches(case.root)),
                "{}: byte {place}",
                case.verifier.name
            );
            changed[place] = input[place];
        }
        assert!(case.run(&changed).expect("reads").vouches(case.root));
    }
}

#[test]
fn no_length_but_the_right_one_is_read() {
    for case in cases() {
        let input = case.input();
        for length in 0..input.len() {
            case.run(&input[..length]).expect_err("cut");
        }
        for more in [&[0][..], &[0; 4], &input] {
            let refusal = case.run(&[&input[..], more].concat()).expect_err("longer");
            assert_eq!(
                refusal.0,
                format!("{} bytes after the last part", more.len()),
                "{}",
                case.verifier.name
            );
        }
        let mut longest = input.clone();
        longest.resize(MAX_INPUT_BYTES + 1, 0);
        let refusal = case.run(&longest).expect_err("too long");
        assert_eq!(refusal.0, "65537 bytes of input, at most 65536");
    }
}

#[test]
fn frames_that_are_none() {
    for case in cases() {
        let input = case.input();
        let with = |place: usize, value: u8| {
            let mut changed = input.clone();
            changed[place] = value;
            case.run(&changed).expect_err("refused").0
        };
        assert_eq!(with(0, 0), "version 0, expected 1");
        assert_eq!(with(0, 2), "version 2, expected 1");
        let count = input[9];
        for other in [count + 7, 255] {
            assert!(with(9, other).starts_with(&format!("{other} certificates, expected ")));
        }
        assert!(with(10, 2).starts_with("2 revocation lists, expected 0 to "));
        assert!(with(11, 0xff).starts_with("evidence: the input ends within it"));
    }
    let [snp, enclave, _] = cases();
    let extra = frame(snp.vector.time, &snp.vector.evidence, &snp.vector.certificates[1..], &[]);
    assert_eq!(snp.run(&extra).expect_err("two").0, "2 certificates, expected 3 to 3");
    let listed = frame(enclave.vector.time, &enclave.vector.evidence, &[], &[vec![0]]);
    assert_eq!(enclave.run(&listed).expect_err("a list").0, "1 revocation lists, expected 0 to 0");
}

#[test]
fn chains_in_another_order_or_of_another_platform() {
    let [snp, enclave, gpu] = cases();
    for case in [&snp, &gpu] {
        let certificates = &case.vector.certificates;
        let with = |chain: &[Vec<u8>]| case.run(&frame(case.vector.time, &case.vector.evidence, chain, &[]));
        for first in 0..certificates.len() {
            for second in 0..first {
                let mut chain = certificates.clone();
                chain.swap(first, second);
                let answer = with(&chain);
                assert!(answer.is_err() || answer.is_ok_and(|answer| answer.does_not_hold()));
            }
        }
        let mut doubled = certificates.clone();
        doubled[0] = doubled[1].clone();
        let answer = with(&doubled);
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.does_not_hold()));
    }
    for (verifier, other) in
        [(&snp, &gpu), (&snp, &enclave), (&gpu, &snp), (&enclave, &snp), (&enclave, &gpu)]
    {
        verifier.run(&other.input()).expect_err("another platform's");
    }
    // A chain that ends below the vendor's root names what it ends in.
    let shorter = &gpu.vector.certificates[..4];
    let answer = gpu.run(&frame(gpu.vector.time, &gpu.vector.evidence, shorter, &[])).expect("reads");
    assert!(!answer.vouches(gpu.root) && answer.vouches(sha(&shorter[3])));
}

#[test]
fn revocation_lists_are_obeyed() {
    let (report, chain, leaf) = hierarchy::sev_snp(&[]);
    let ask = b"b";
    let (none, other, named) = (Vec::new(), hierarchy::revoked(b"x", 0), hierarchy::revoked(ask, 0));
    let with = |list: Vec<u8>| (sev_snp::VERSION_1.run)(&frame(TIME, &report, &chain, &[list])).map(Answer);
    let by_root = |entries: &[u8]| with(hierarchy::revocation_list(b'c', &Key::Rsa, entries)).expect("reads");
    for entries in [&none, &other] {
        let answer = by_root(entries);
        assert!(answer.vouches(sha(&chain[2])));
        assert_eq!(answer.number(2), U256::from(END), "the list's end and the certificates'");
    }
    assert!(by_root(&named).does_not_hold());
    assert!(
        with(hierarchy::revocation_list(b'z', &Key::Rsa, &none)).expect("reads").does_not_hold(),
        "nobody's"
    );
    with(hierarchy::revocation_list(b'c', &leaf, &none)).expect_err("another algorithm than the root's");
    let by_leaf = |key: &Key| with(hierarchy::revocation_list(b'a', key, &none)).expect("reads");
    assert!(by_leaf(&leaf).vouches(sha(&chain[2])));
    assert!(by_leaf(&Key::p384(9)).does_not_hold(), "another key's");
    let mut forged = hierarchy::revocation_list(b'c', &Key::Rsa, &none);
    *forged.last_mut().expect("bytes") ^= 1;
    assert!(with(forged).expect("reads").does_not_hold());
    with(b"\x30\x00".to_vec()).expect_err("no list");
}

#[test]
fn a_signature_by_another_key_does_not_hold() {
    let (mut report, chain, leaf) = hierarchy::sev_snp(&[]);
    hierarchy::sign_report(&mut report, &Key::p384(9));
    let run =
        |report: &[u8]| Answer((sev_snp::VERSION_1.run)(&frame(TIME, report, &chain, &[])).expect("reads"));
    assert!(run(&report).does_not_hold());
    // The certificate's level is 0: signed by the right key, of another TCB.
    report[0x180] = 1;
    hierarchy::sign_report(&mut report, &leaf);
    assert!(run(&report).does_not_hold());
    report[0x180] = 0;
    hierarchy::sign_report(&mut report, &leaf);
    assert!(run(&report).vouches(sha(&chain[2])));
}

/// These answers stand in blocks: another version of a library must not change one.
#[test]
fn answers_are_fixed() {
    let hashes = cases().map(|case| keccak256(&case.run(&case.input()).expect("reads").0).to_string());
    assert_eq!(
        hashes,
        [
            "0x8b8642f812953c5eb5b51ff7968aac11ce53600c99f65b31d3b838c7812b65c3",
            "0x45f7ef98cfd26e7840ff6d1dc4d6ca0d87c193bd7b420188f7b93df8a2b9faef",
            "0x72cfda280780bbb9af57d569c122825a78b780f16fdaa98734a11950bbec38af",
        ]
    );
}

#[test]
fn the_fork_brings_all_three_and_gas_is_the_schedules_to_the_unit() {
    let forks = Forks::default().with(Fork::Attestation, 2);
    let mut chain = Chain::new(&genesis(forks)).expect("genesis");
    let inputs = cases().map(|case| (case.verifier, case.input(), case.run(&case.input()).expect("reads").0));
    advance(&mut chain, &[]);
    for (verifier, input, _) in &inputs {
        let before = call(&chain, verifier.address, input);
        assert_eq!((before.status, before.output), (CallStatus::Success, Bytes::new()), "{}", verifier.name);
    }
    advance(&mut chain, &[]);
    for (verifier, input, answer) in &inputs {
        // The floor of EIP-7623 is below what the verifiers take.
        let needed = data_gas(input).0 + (verifier.gas)(input.len());
        assert!(needed > data_gas(input).1);
        let exact = call_with(&chain, verifier.address, input, needed);
        assert_eq!((exact.status, &exact.output, exact.gas_used), (CallStatus::Success, answer, needed));
        let short = call_with(&chain, verifier.address, input, needed - 1);
        assert_eq!((short.status, short.output), (CallStatus::Halt("out of gas".into()), Bytes::new()));
        let mut late = input.clone();
        late[1..9].copy_from_slice(&i64::MAX.to_be_bytes());
        let late = call(&chain, verifier.address, &late);
        assert_eq!((late.status, &late.output[..]), (CallStatus::Success, &[0; 32][..]), "{}", verifier.name);
        let cut = call_with(&chain, verifier.address, &input[1..], needed);
        let CallStatus::Halt(reason) = cut.status else { panic!("{:?}", cut.status) };
        assert!(reason.contains(verifier.name), "{reason}");
        assert_eq!((cut.output, cut.gas_used), (Bytes::new(), needed));
    }
    // The other fork's verifier is not there.
    assert_eq!(call(&chain, VERIFIER, &signed_by(1)).output, Bytes::new());
}

#[test]
fn a_block_that_asks_is_built_and_imported_alike() {
    let mut chain = Chain::new(&genesis(Forks::default().with(Fork::Attestation, 0))).expect("genesis");
    let [case, ..] = cases();
    let input = case.input();
    let block = advance(&mut chain, &[transaction(0, case.verifier.address, 0, &input)]);
    assert!(block.receipts[0].status());
    let gas = data_gas(&input).0 + (case.verifier.gas)(input.len());
    assert_eq!(block.block.header.gas_used, gas);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_answered_the_same_twice(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        counts in (0u8..8, 0u8..3),
    ) {
        for case in cases() {
            let evidence = frame(TIME, &bytes, &vec![bytes.clone(); counts.0.into()], &vec![bytes.clone(); counts.1.into()]);
            for input in [&bytes, &evidence] {
                let answer = case.run(input);
                prop_assert_eq!(&answer, &case.run(input));
                prop_assert!(answer.is_err() || answer.is_ok_and(|answer| answer.does_not_hold()));
            }
        }
    }

    #[test]
    fn damaged_inputs_never_name_the_vendor(
        which in 0usize..3,
        at in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        count in 1usize..300,
    ) {
        let case = &cases()[which];
        let input = case.input();
        let (at, from) = (9 + at.index(input.len() - 9), from.index(input.len()));
        let count = count.min(input.len() - at.max(from));
        let mut changed = input.clone();
        changed.copy_within(from..from + count, at);
        prop_assume!(changed != input);
        let answer = case.run(&changed);
        prop_assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.vouches(case.root)));
    }
}
