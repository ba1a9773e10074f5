//! The registry's own order, and that the reference page says what it says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use w3bstream_evm::precompiles::{REGISTRY, native_address};
use w3bstream_evm::{Fork, Forks};

#[test]
fn an_address_has_one_name_and_its_versions_count_up() {
    let mut seen: BTreeMap<_, (&str, u32)> = BTreeMap::new();
    for entry in REGISTRY {
        assert_eq!(entry.address, native_address(entry.address[19]), "{}: outside the range", entry.name);
        let earlier = seen.insert(entry.address, (entry.name, entry.version));
        match earlier {
            None => assert_eq!(entry.version, 1, "{}", entry.name),
            Some((name, version)) => assert_eq!((entry.name, entry.version), (name, version + 1)),
        }
    }
    assert!(!seen.is_empty());
}

#[test]
fn addresses_are_far_from_those_of_ethereum() {
    let short = native_address(0);
    assert_eq!(format!("{short:?}"), "0x0000000000000000000000000000000000573300");
    for entry in REGISTRY {
        assert!(entry.address > short && entry.address[..17] == [0; 17]);
    }
}

#[test]
fn forks_have_names_and_hold_from_their_block_on() {
    for fork in Fork::ALL {
        assert_eq!(Fork::named(fork.name()), Some(fork));
        let forks = Forks::default().with(fork, 12);
        assert_eq!([11, 12, u64::MAX].map(|block| forks.active(fork, block)), [false, true, true]);
        assert!(!Forks::default().active(fork, u64::MAX));
    }
    assert_eq!(Fork::named("osaka"), None);
}

#[test]
fn the_reference_page_lists_every_entry() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/precompiles.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let rows = REGISTRY.iter().map(|entry| {
        let (address, name, version) = (entry.address, entry.name, entry.version);
        format!("| `{address:?}` | `{name}` | {version} | `{}` |", entry.fork.name())
    });
    let listed: Vec<_> = page.lines().filter(|line| line.starts_with("| `0x")).collect();
    let wanted: Vec<_> = rows.collect();
    assert_eq!(listed.len(), wanted.len(), "{listed:?}");
    for (line, row) in listed.iter().zip(&wanted) {
        assert!(line.starts_with(row), "{line} should start with {row}");
    }
}

proptest! {
    #[test]
    fn a_longer_input_never_costs_less(length in 0usize..300_000, more in 0usize..300) {
        for entry in REGISTRY {
            prop_assert!((entry.gas)(length) <= (entry.gas)(length + more));
            prop_assert!((entry.gas)(length) > 0);
        }
    }
}
