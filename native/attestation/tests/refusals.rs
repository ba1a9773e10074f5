//! Each refusal by its reason and field.

mod vectors;

use vectors::{Vector, file, pem};
use w3bstream_attestation::x509::{MAX_CERTIFICATE_BYTES, Trust};
use w3bstream_attestation::{Error, Reason, nitro, nvidia_h100, sev_snp};

type Refusal = (Reason, &'static str);

fn refused(result: Result<(), Error>) -> Refusal {
    let error = result.expect_err("accepted");
    (error.reason(), error.field())
}

mod snp {
    use super::*;

    fn of(vector: &Vector, report: &[u8]) -> Refusal {
        refused(sev_snp::verify(report, &vector.chain(), vector.trust()).map(drop))
    }

    /// The report with these bytes from an offset.
    fn with(changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut report = vectors::sev_snp().evidence;
        for (offset, bytes) in changes {
            report[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        report
    }

    #[test]
    fn fields() {
        let vector = vectors::sev_snp();
        let version_3: (usize, &[u8]) = (0, &[3]);
        let version_5: (usize, &[u8]) = (0, &[5]);
        for (changes, expected) in [
            (&[(0, &[1][..])][..], (Reason::Version, "report.version")),
            (&[(0, &[6])], (Reason::Version, "report.version")),
            (&[(0, &[0, 0, 0, 2])], (Reason::Version, "report.version")),
            (&[(0x34, &[0])], (Reason::Algorithm, "report.signature_algorithm")),
            (&[(0x34, &[0, 0, 0, 1])], (Reason::Algorithm, "report.signature_algorithm")),
            (&[(0x0a, &[1])], (Reason::Value, "report.policy")),
            (&[(0x0b, &[4])], (Reason::Value, "report.policy")),
            (&[(0x0f, &[0x80])], (Reason::Value, "report.policy")),
            (&[(0x30, &[4])], (Reason::Value, "report.vmpl")),
            (&[(0x33, &[1])], (Reason::Value, "report.vmpl")),
            (&[(0x48, &[7 << 2])], (Reason::Signature, "report.signing_key")),
            (&[(0x48, &[2 << 2])], (Reason::Value, "report.signing_key")),
            (&[(0x48, &[1 << 5])], (Reason::Value, "report.signing_key")),
            (&[(0x48, &[1 << 2])], (Reason::Mismatch, "report.signing_key")),
            (&[(0x4c, &[1])], (Reason::Value, "report.reserved")),
            (&[(0x188, &[0x19])], (Reason::Value, "report.reserved")),
            (&[(0x19f, &[1])], (Reason::Value, "report.reserved")),
            (&[(0x1eb, &[1])], (Reason::Value, "report.reserved")),
            (&[(0x1ef, &[1])], (Reason::Value, "report.reserved")),
            (&[(0x1f8, &[1])], (Reason::Value, "report.reserved")),
            (&[(0x29f, &[1])], (Reason::Value, "report.reserved")),
            (&[version_3, (0x18b, &[1])], (Reason::Value, "report.reserved")),
            (&[version_3], (Reason::Mismatch, "report.cpuid")),
            (&[version_3, (0x188, &[0x19, 0x11])], (Reason::Mismatch, "report.cpuid")),
            (&[version_3, (0x188, &[0x1a, 0x02])], (Reason::Mismatch, "report.cpuid")),
            (&[version_3, (0x188, &[0x19, 0x01])], (Reason::Signature, "report.signature")),
            (&[version_5, (0x188, &[0x19, 0x01]), (0x1f8, &[1])], (Reason::Signature, "report.signature")),
            (&[version_5, (0x188, &[0x19, 0x01]), (0x208, &[1])], (Reason::Value, "report.reserved")),
            (&[(0x3a, &[1])], (Reason::Value, "report.current_tcb")),
            (&[(0x182, &[1])], (Reason::Value, "report.reported_tcb")),
            (&[(0x1e2, &[1])], (Reason::Value, "report.committed_tcb")),
            (&[(0x1f2, &[1])], (Reason::Value, "report.launch_tcb")),
            (&[(0x180, &[4])], (Reason::Mismatch, "report.reported_tcb")),
            (&[(0x187, &[0x72])], (Reason::Mismatch, "report.reported_tcb")),
            (&[(0x1a0, &[0])], (Reason::Mismatch, "report.chip_id")),
            (&[(0x1a0, &[0; 64])], (Reason::Mismatch, "report.chip_id")),
            (&[(0x50, &[1])], (Reason::Signature, "report.signature")),
            (&[(0x90, &[0; 48])], (Reason::Signature, "report.signature")),
        ] {
            assert_eq!(of(&vector, &with(changes)), expected, "{changes:02x?}");
        }
    }

    #[test]
    fn signatures() {
        let vector = vectors::sev_snp();
        let report = &vector.evidence;
        let (r, s) = (&report[0x2a0..0x2a0 + 72], &report[0x2e8..0x2e8 + 72]);
        let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
        let value = (Reason::Value, "report.signature");
        let wrong = (Reason::Signature, "report.signature");
        for (changes, expected) in [
            // Big-endian in the whole field, then in the 48 bytes that hold the number.
            (vec![(0x2a0, reversed(r)), (0x2e8, reversed(s))], value),
            (vec![(0x2a0, reversed(&r[..48])), (0x2e8, reversed(&s[..48]))], wrong),
            (vec![(0x2a0, s.to_vec()), (0x2e8, r.to_vec())], wrong),
            (vec![(0x2a0, vec![0; 144])], wrong),
            (vec![(0x2a0, vec![0xff; 48])], wrong),
            (vec![(0x2e8, vec![0xff; 48])], wrong),
            (vec![(0x2e8, vec![0; 48])], wrong),
            (vec![(0x2a0 + 48, vec![1])], value),
            (vec![(0x2e8 + 71, vec![1])], value),
            (vec![(0x330, vec![1])], value),
            (vec![(1183, vec![1])], value),
        ] {
            let borrowed: Vec<(usize, &[u8])> =
                changes.iter().map(|(offset, bytes)| (*offset, bytes.as_slice())).collect();
            assert_eq!(of(&vector, &with(&borrowed)), expected);
        }
    }

    #[test]
    fn sizes() {
        let vector = vectors::sev_snp();
        for length in [0, 1, 1_183, 1_185, 1 << 20] {
            let mut report = vector.evidence.clone();
            report.resize(length, 0);
            assert_eq!(of(&vector, &report), (Reason::Length, "report"));
        }
    }

    #[test]
    fn chains() {
        let vector = vectors::sev_snp();
        let debug = vectors::sev_snp_debug();
        let [vcek, ask, ark] = [0, 1, 2].map(|index| vector.certificates[index].clone());
        let vlek = pem("sev_snp/cert_chain_milan_vlek");
        let genoa = [pem("sev_snp/ask_genoa.pem"), pem("sev_snp/ark_genoa.pem")].concat();
        let turin = pem("sev_snp/cert_chain_turin");
        let of = |chain: &[&Vec<u8>]| {
            let chain: Vec<&[u8]> = chain.iter().map(|der| der.as_slice()).collect();
            refused(sev_snp::verify(&vector.evidence, &chain, vector.trust()).map(drop))
        };
        let count = (Reason::Length, "certificates");
        let anchor = (Reason::Anchor, "certificates");
        let issuer = (Reason::Issuer, "certificate.issuer");
        assert_eq!(of(&[]), count);
        assert_eq!(of(&[&vcek, &ask]), count);
        assert_eq!(of(&[&vcek, &ask, &ark, &ark]), count);
        assert_eq!(of(&[&ark, &ask, &vcek]), anchor);
        assert_eq!(of(&[&vcek, &ark, &ask]), anchor);
        assert_eq!(of(&[&vcek, &vlek[0], &ark]), issuer);
        assert_eq!(of(&[&vcek, &genoa[0], &genoa[1]]), issuer);
        assert_eq!(of(&[&vcek, &turin[0], &turin[1]]), issuer);
        assert_eq!(of(&[&vcek, &ask, &genoa[1]]), issuer);
        assert_eq!(of(&[&vcek, &ark, &ark]), issuer);
        // A CA as the signer, and the signer as a CA.
        assert_eq!(of(&[&ask, &ark, &ark]), (Reason::Algorithm, "certificate.key"));
        assert_eq!(of(&[&vcek, &vcek, &ark]), (Reason::Algorithm, "certificate.key"));
        // Another chip of the same product.
        let other = of(&[&debug.certificates[0], &ask, &ark]);
        assert!(
            [(Reason::Mismatch, "report.reported_tcb"), (Reason::Mismatch, "report.chip_id")]
                .contains(&other)
        );
        assert_eq!(of(&[&file("sev_snp/vcek_turin.der"), &turin[0], &turin[1]]).0, Reason::NotYetValid);
    }

    #[test]
    fn anchors() {
        let vector = vectors::sev_snp();
        let other = vectors::nvidia_h100();
        for anchors in [&[][..], &other.anchors, &vector.anchors[1..]] {
            let trust = Trust { anchors, ..vector.trust() };
            let result = sev_snp::verify(&vector.evidence, &vector.chain(), trust);
            assert_eq!(refused(result.map(drop)), (Reason::Anchor, "certificates"));
        }
    }

    #[test]
    fn certificate_sizes() {
        let vector = vectors::sev_snp();
        for certificate in [vec![], vec![0x30; MAX_CERTIFICATE_BYTES + 1]] {
            let mut chain = vector.chain();
            chain[0] = &certificate;
            let result = sev_snp::verify(&vector.evidence, &chain, vector.trust());
            assert_eq!(refused(result.map(drop)), (Reason::Length, "certificate"));
        }
    }

    #[test]
    fn revocation_lists() {
        let vector = vectors::sev_snp();
        let of = |lists: &[&[u8]]| {
            let trust = Trust { revocation_lists: lists, ..vector.trust() };
            refused(sev_snp::verify(&vector.evidence, &vector.chain(), trust).map(drop))
        };
        assert_eq!(of(&[&[]]), (Reason::Length, "revocation_list"));
        assert_eq!(of(&[&vec![0; 131_073]]), (Reason::Length, "revocation_list"));
        assert_eq!(of(&[&vector.certificates[2]]).0, Reason::Encoding);
        assert_eq!(of(&[&[0x30, 0][..]; 9]), (Reason::Length, "revocation_lists"));
    }
}

mod h100 {
    use super::*;

    fn of(vector: &Vector, report: &[u8]) -> Refusal {
        refused(nvidia_h100::verify(report, &vector.chain(), vector.trust()).map(drop))
    }

    /// The request and the answer's header have 45 bytes, the record of 64 blocks 64 · 55.
    const RECORD: usize = 45;
    const OPAQUE: usize = RECORD + 64 * 55 + 32;

    #[test]
    fn fields() {
        let vector = vectors::nvidia_h100();
        for (offset, bytes, expected) in [
            (0, &[0x12][..], (Reason::Version, "report.request")),
            (1, &[0xe1], (Reason::Version, "report.request")),
            (2, &[0], (Reason::Version, "report.request")),
            (3, &[1], (Reason::Version, "report.request")),
            (36, &[8], (Reason::Value, "report.slot")),
            (36, &[1], (Reason::Mismatch, "report.response")),
            (37, &[0x10], (Reason::Version, "report.response")),
            (38, &[0x61], (Reason::Version, "report.response")),
            (39, &[1], (Reason::Mismatch, "report.response")),
            (40, &[1], (Reason::Mismatch, "report.response")),
            (41, &[0], (Reason::Missing, "report.measurements")),
            (41, &[63], (Reason::Length, "report.measurements")),
            (41, &[65], (Reason::Length, "report.measurements")),
            // The record's length as a big-endian number.
            (42, &[0, 0x0d, 0xc0], (Reason::Length, "report.measurements")),
            (42, &[0xff, 0xff, 0xff], (Reason::Length, "report.measurements")),
            (RECORD, &[0], (Reason::Duplicate, "report.measurements")),
            (RECORD + 55, &[1], (Reason::Duplicate, "report.measurements")),
            (RECORD + 55, &[3], (Reason::Duplicate, "report.measurements")),
            (RECORD + 1, &[2], (Reason::Unknown, "report.measurements")),
            (RECORD + 2, &[52], (Reason::Length, "report.measurements")),
            (RECORD + 2, &[0, 51], (Reason::Length, "report.measurements")),
            (RECORD + 5, &[49], (Reason::Length, "report.measurements")),
            (RECORD + 5, &[47], (Reason::Length, "report.measurements")),
            (OPAQUE, &[0xff, 0xff], (Reason::Length, "report.opaque")),
            (OPAQUE, &[0, 4], (Reason::Length, "report.opaque")),
            (OPAQUE + 4, &[0xff, 0xff], (Reason::Length, "report.opaque")),
            // The second type again as the first one.
            (OPAQUE + 2, &[14], (Reason::Duplicate, "report.opaque")),
            (4, &[0; 32], (Reason::Signature, "report.signature")),
        ] {
            let mut report = vector.evidence.clone();
            report[offset..offset + bytes.len()].copy_from_slice(bytes);
            assert_eq!(of(&vector, &report), expected, "{bytes:02x?} at {offset}");
        }
    }

    #[test]
    fn signatures() {
        let vector = vectors::nvidia_h100();
        let (signed, signature) = vector.evidence.split_at(vector.evidence.len() - 96);
        let wrong = (Reason::Signature, "report.signature");
        let (r, s) = signature.split_at(48);
        let little = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
        for changed in [[s, r].concat(), [little(r), little(s)].concat(), vec![0; 96], vec![0xff; 96]] {
            assert_eq!(of(&vector, &[signed, &changed].concat()), wrong);
        }
        assert_eq!(of(&vector, &[signed, r].concat()), (Reason::Length, "report.signature"));
        assert_eq!(of(&vector, &[signed, r, s, &[0]].concat()), (Reason::Length, "report"));
        assert_eq!(of(&vector, &[]), (Reason::Length, "report"));
        assert_eq!(of(&vector, &vec![0x11; 16_385]), (Reason::Length, "report"));
    }

    /// The digest of the firmware must be the certificate's.
    #[test]
    fn firmware() {
        let vector = vectors::nvidia_h100();
        let place = vector.evidence.windows(4).rposition(|bytes| bytes == [20, 0, 48, 0]).unwrap();
        let mut report = vector.evidence.clone();
        report[place + 4] ^= 1;
        assert_eq!(of(&vector, &report), (Reason::Mismatch, "report.firmware_digest"));
        // Without it the report is another, and not signed.
        report[place] = 200;
        assert_eq!(of(&vector, &report), (Reason::Signature, "report.signature"));
    }

    #[test]
    fn chains() {
        let vector = vectors::nvidia_h100();
        let of = |indices: &[usize]| {
            let chain: Vec<&[u8]> =
                indices.iter().map(|&index| vector.certificates[index].as_slice()).collect();
            refused(nvidia_h100::verify(&vector.evidence, &chain, vector.trust()).map(drop))
        };
        let anchor = (Reason::Anchor, "certificates");
        let issuer = (Reason::Issuer, "certificate.issuer");
        assert_eq!(of(&[]), (Reason::Length, "certificates"));
        assert_eq!(of(&[4]), (Reason::Length, "certificates"));
        assert_eq!(of(&[0, 0, 0, 0, 0, 1, 2, 3, 4]), (Reason::Length, "certificates"));
        assert_eq!(of(&[0, 1, 2, 3]), anchor);
        assert_eq!(of(&[4, 3, 2, 1, 0]), anchor);
        assert_eq!(of(&[0, 2, 1, 3, 4]), issuer);
        assert_eq!(of(&[0, 1, 2, 4]), issuer);
        assert_eq!(of(&[0, 1, 3, 4]), issuer);
        assert_eq!(of(&[1, 2, 3, 4]), (Reason::Constraint, "certificate.basic_constraints"));
        assert_eq!(of(&[0, 0, 1, 2, 3, 4]), (Reason::Constraint, "certificate.basic_constraints"));
        // The root twice is a chain that holds.
        let chain: Vec<&[u8]> =
            [0, 1, 2, 3, 4, 4].iter().map(|&i| vector.certificates[i].as_slice()).collect();
        nvidia_h100::verify(&vector.evidence, &chain, vector.trust()).unwrap();
    }

    /// Evidence of one vendor under the roots of another.
    #[test]
    fn other_vendors() {
        let vector = vectors::nvidia_h100();
        let trust = Trust { anchors: &vectors::sev_snp().anchors, ..vector.trust() };
        let result = nvidia_h100::verify(&vector.evidence, &vector.chain(), trust);
        assert_eq!(refused(result.map(drop)), (Reason::Anchor, "certificates"));
        let document = vectors::nitro();
        let trust = Trust { anchors: &vector.anchors, ..document.trust() };
        let result = nitro::verify(&document.evidence, trust);
        assert_eq!(refused(result.map(drop)), (Reason::Anchor, "certificates"));
    }
}

mod documents {
    use super::*;

    fn head(major: u8, argument: usize) -> Vec<u8> {
        match argument {
            0..24 => vec![major << 5 | argument as u8],
            24..256 => vec![major << 5 | 24, argument as u8],
            256..65_536 => [&[major << 5 | 25][..], &(argument as u16).to_be_bytes()].concat(),
            _ => [&[major << 5 | 26][..], &(argument as u32).to_be_bytes()].concat(),
        }
    }

    fn text(characters: &str) -> Vec<u8> {
        [head(3, characters.len()), characters.into()].concat()
    }

    fn bytes(length: usize) -> Vec<u8> {
        [head(2, length), vec![7; length]].concat()
    }

    fn unsigned(value: usize) -> Vec<u8> {
        head(0, value)
    }

    /// A map or array of items that are encoded.
    fn list(major: u8, count: usize, items: &[Vec<u8>]) -> Vec<u8> {
        [head(major, count), items.concat()].concat()
    }

    fn document(payload: &[u8]) -> Vec<u8> {
        let payload = [head(2, payload.len()), payload.to_vec()].concat();
        list(4, 4, &[b"\x44\xa1\x01\x38\x22".to_vec(), vec![0xa0], payload, bytes(96)])
    }

    /// A payload of the right form; the chain in it is none.
    fn fields() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("module_id", text("i-0-enc0")),
            ("digest", text("SHA384")),
            ("timestamp", [&[0x1b][..], &1_725_911_352_400u64.to_be_bytes()].concat()),
            ("pcrs", list(5, 1, &[unsigned(0), bytes(48)])),
            ("certificate", bytes(600)),
            ("cabundle", list(4, 1, &[bytes(600)])),
            ("public_key", vec![0xf6]),
            ("user_data", bytes(512)),
            ("nonce", bytes(0)),
        ]
    }

    fn payload(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let items: Vec<Vec<u8>> = fields.iter().flat_map(|(key, value)| [text(key), value.clone()]).collect();
        list(5, fields.len(), &items)
    }

    fn of(document: &[u8]) -> Refusal {
        refused(nitro::verify(document, vectors::nitro().trust()).map(drop))
    }

    fn of_fields(fields: &[(&str, Vec<u8>)]) -> Refusal {
        of(&document(&payload(fields)))
    }

    fn with(key: &str, value: Vec<u8>) -> Refusal {
        let mut fields = fields();
        fields.iter_mut().find(|(found, _)| *found == key).unwrap().1 = value;
        of_fields(&fields)
    }

    const ANCHOR: Refusal = (Reason::Anchor, "certificates");

    #[test]
    fn the_base_form_reaches_the_chain() {
        assert_eq!(of_fields(&fields()), ANCHOR);
        let mut reordered = fields();
        reordered.reverse();
        assert_eq!(of_fields(&reordered), ANCHOR);
        let required = &fields()[..6];
        assert_eq!(of_fields(required), ANCHOR);
    }

    #[test]
    fn a_tag_may_stand_in_front() {
        let vector = vectors::nitro();
        nitro::verify(&[&[0xd2], &vector.evidence[..]].concat(), vector.trust()).unwrap();
        for tag in [&[0xd1][..], &[0xd2, 0xd2], &[0xd8, 18], &[0xd9, 0, 18]] {
            let tagged = [tag, &vector.evidence[..]].concat();
            assert_eq!(of(&tagged), (Reason::Encoding, "document"));
        }
    }

    #[test]
    fn keys_are_each_there_once() {
        let names = [
            "payload.module_id",
            "payload.digest",
            "payload.timestamp",
            "payload.pcrs",
            "payload.certificate",
            "payload.cabundle",
            "payload.public_key",
            "payload.user_data",
            "payload.nonce",
        ];
        for (index, name) in names.into_iter().enumerate() {
            let mut missing = fields();
            missing.remove(index);
            let expected = if index < 6 { (Reason::Missing, name) } else { ANCHOR };
            assert_eq!(of_fields(&missing), expected);
            let mut twice = fields();
            twice.remove((index + 1) % names.len());
            twice.push(fields()[index].clone());
            assert_eq!(of_fields(&twice), (Reason::Duplicate, name));
        }
        let mut more = fields();
        more.push(("more", vec![0]));
        assert_eq!(of_fields(&more), (Reason::Unknown, "payload"));
        let mut unknown = fields();
        unknown[8].0 = "Nonce";
        assert_eq!(of_fields(&unknown), (Reason::Unknown, "payload"));
    }

    #[test]
    fn values() {
        let register = |number: usize, length: usize| list(5, 1, &[unsigned(number), bytes(length)]);
        for (key, value, expected) in [
            ("module_id", text(""), (Reason::Length, "payload.module_id")),
            ("module_id", text(&"x".repeat(257)), (Reason::Length, "payload.module_id")),
            ("module_id", bytes(8), (Reason::Encoding, "payload.module_id")),
            ("module_id", vec![0x61, 0xff], (Reason::Encoding, "payload.module_id")),
            ("digest", text("SHA256"), (Reason::Algorithm, "payload.digest")),
            ("digest", text("sha384"), (Reason::Algorithm, "payload.digest")),
            ("timestamp", unsigned(0), (Reason::Value, "payload.timestamp")),
            ("timestamp", vec![0x20], (Reason::Encoding, "payload.timestamp")),
            ("timestamp", vec![0xf9, 0x3c, 0x00], (Reason::Encoding, "payload.timestamp")),
            ("timestamp", [&[0x1b][..], &[0xff; 8]].concat(), (Reason::NotYetValid, "document.timestamp")),
            ("timestamp", vec![0x1a, 0, 0, 0, 9], (Reason::Encoding, "payload.timestamp")),
            ("pcrs", list(5, 0, &[]), (Reason::Length, "payload.pcrs")),
            ("pcrs", list(5, 33, &[]), (Reason::Length, "payload.pcrs")),
            ("pcrs", register(0, 32), (Reason::Length, "payload.pcrs")),
            ("pcrs", register(0, 49), (Reason::Length, "payload.pcrs")),
            ("pcrs", register(32, 48), (Reason::Value, "payload.pcrs")),
            ("pcrs", register(256, 48), (Reason::Value, "payload.pcrs")),
            (
                "pcrs",
                [vec![0xbf], register(0, 48)[1..].to_vec(), vec![0xff]].concat(),
                (Reason::Encoding, "payload.pcrs"),
            ),
            (
                "pcrs",
                list(5, 2, &[unsigned(3), bytes(48), unsigned(3), bytes(48)]),
                (Reason::Duplicate, "payload.pcrs"),
            ),
            ("certificate", bytes(0), (Reason::Length, "payload.certificate")),
            ("certificate", bytes(1_025), (Reason::Length, "payload.certificate")),
            ("certificate", vec![0xf6], (Reason::Encoding, "payload.certificate")),
            ("cabundle", list(4, 0, &[]), (Reason::Length, "payload.cabundle")),
            ("cabundle", list(4, 8, &[]), (Reason::Length, "payload.cabundle")),
            ("cabundle", list(4, 1, &[bytes(1_025)]), (Reason::Length, "payload.cabundle")),
            ("cabundle", list(4, 1, &[text("x")]), (Reason::Encoding, "payload.cabundle")),
            ("cabundle", vec![0x9f, 0x41, 7, 0xff], (Reason::Encoding, "payload.cabundle")),
            ("public_key", bytes(0), (Reason::Length, "payload.public_key")),
            ("public_key", bytes(1_025), (Reason::Length, "payload.public_key")),
            ("public_key", vec![0xf7], (Reason::Encoding, "payload.public_key")),
            ("user_data", bytes(513), (Reason::Length, "payload.user_data")),
            ("user_data", vec![0x5f, 0x41, 7, 0xff], (Reason::Encoding, "payload.user_data")),
            ("nonce", bytes(513), (Reason::Length, "payload.nonce")),
            ("nonce", vec![0xc2, 0x41, 7], (Reason::Encoding, "payload.nonce")),
            ("nonce", vec![0x58, 1, 7], (Reason::Encoding, "payload.nonce")),
        ] {
            assert_eq!(with(key, value.clone()), expected, "{key}: {value:02x?}");
        }
    }

    #[test]
    fn envelopes() {
        let payload = payload(&fields());
        let whole = document(&payload);
        let replaced = |from: &[u8], to: &[u8]| {
            let place = whole.windows(from.len()).position(|bytes| bytes == from).unwrap();
            [&whole[..place], to, &whole[place + from.len()..]].concat()
        };
        let protected = (Reason::Algorithm, "document.protected");
        let header = b"\x44\xa1\x01\x38\x22";
        // ES256, ES512, none, another map with the same meaning, and no header.
        for other in [
            &b"\x43\xa1\x01\x26"[..],
            b"\x44\xa1\x01\x38\x23",
            b"\x43\xa1\x01\x00",
            b"\x45\xbf\x01\x38\x22\xff",
            b"\x40",
        ] {
            assert_eq!(of(&replaced(header, other)), protected);
        }
        let unprotected = [&header[..], b"\xa1\x01\x38\x22"].concat();
        assert_eq!(
            of(&replaced(b"\x44\xa1\x01\x38\x22\xa0", &unprotected)),
            (Reason::Unknown, "document.unprotected")
        );
        assert_eq!(of(&[&[0x83][..], &whole[1..]].concat()), (Reason::Encoding, "document"));
        assert_eq!(of(&[&[0x9f][..], &whole[1..], &[0xff]].concat()), (Reason::Encoding, "document"));
        assert_eq!(of(&[&whole[..], &[0]].concat()), (Reason::Encoding, "document"));
        assert_eq!(of(&document(&[&payload[..], &[0]].concat())), (Reason::Encoding, "payload"));
        let short = [&whole[..whole.len() - 98], &bytes(95)[..]].concat();
        assert_eq!(of(&short), (Reason::Length, "document.signature"));
        assert_eq!(of(&[]), (Reason::Length, "document"));
        assert_eq!(of(&vec![0; 16_385]), (Reason::Length, "document"));
    }

    /// Depth and counts that a reader which recurses or allocates by them would not survive.
    #[test]
    fn bombs() {
        for opening in [0x81, 0x9f, 0xa1, 0xbf, 0xc0, 0xd2, 0x5f, 0x7f] {
            assert_eq!(of(&[opening; 16_384]).0, Reason::Encoding);
            let nested = [vec![opening; 3_000], vec![0; 3_000]].concat();
            assert_eq!(of(&document(&nested)).0, Reason::Encoding);
            for (key, _) in fields() {
                assert_ne!(with(key, vec![opening; 4_000]), ANCHOR, "{key}: {opening:02x}");
            }
        }
        for huge in [0x5b, 0x7b, 0x9b, 0xbb] {
            let item = [&[huge][..], &[0xff; 8]].concat();
            assert_eq!(of(&item).0, Reason::Encoding);
            assert_ne!(of(&document(&item)), ANCHOR);
            for (key, _) in fields() {
                assert_ne!(with(key, item.clone()), ANCHOR);
            }
        }
    }

    #[test]
    fn signatures() {
        let vector = vectors::nitro();
        let (signed, signature) = vector.evidence.split_at(vector.evidence.len() - 96);
        let (r, s) = signature.split_at(48);
        let little = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
        for changed in [[s, r].concat(), [little(r), little(s)].concat(), vec![0; 96], vec![0xff; 96]] {
            assert_eq!(of(&[signed, &changed].concat()), (Reason::Signature, "document.signature"));
        }
    }
}
