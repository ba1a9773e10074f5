//! Persistent (immutable, structurally shared) Merkle-Patricia trie.
//!
//! Yellow Paper appendix D: a node is a leaf, an extension or a branch; its reference is its RLP when that is shorter
//! than 32 bytes and keccak256 of it otherwise. Keys are keccak256 hashes, always 64 nibbles, so a branch never
//! carries a value. A change copies the path from the root only: an old root stays valid, which gives historical
//! state, rollback and incremental roots for the price of the changed nodes. References are computed when first
//! asked for and kept.

use std::sync::{Arc, OnceLock};

use alloy_primitives::{B256, b256, keccak256};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};

/// Root of a trie without entries: keccak256(0x80).
pub const EMPTY_ROOT: B256 = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

/// What a leaf can hold.
pub trait TrieValue: Clone {
    /// The leaf's value as it stands in the trie (RLP).
    fn encoded(&self) -> Vec<u8>;
}

/// Map from 32-byte hashed keys to values, with a Merkle root. Cloning is O(1).
#[derive(Clone, Debug)]
pub struct Trie<V> {
    root: Option<Arc<Node<V>>>,
}

#[derive(Debug)]
struct Node<V> {
    kind: Kind<V>,
    reference: OnceLock<Box<[u8]>>,
}

#[derive(Debug)]
enum Kind<V> {
    Leaf { path: Box<[u8]>, value: V },
    Extension { path: Box<[u8]>, child: Arc<Node<V>> },
    Branch { children: Box<[Option<Arc<Node<V>>>; 16]> },
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<V: TrieValue> Trie<V> {
    /// The value under a hashed key.
    pub fn get(&self, key: &B256) -> Option<&V> {
        let path = nibbles(key);
        let mut rest = &path[..];
        let mut node = self.root.as_deref()?;
        loop {
            match &node.kind {
                Kind::Leaf { path, value } => return (**path == *rest).then_some(value),
                Kind::Extension { path, child } => {
                    rest = rest.strip_prefix(&**path)?;
                    node = child;
                }
                Kind::Branch { children } => {
                    node = children[rest[0] as usize].as_deref()?;
                    rest = &rest[1..];
                }
            }
        }
    }

    /// Sets the value under a hashed key.
    pub fn insert(&mut self, key: &B256, value: V) {
        let path = nibbles(key);
        self.root = Some(insert(self.root.as_ref(), &path, value));
    }

    /// Removes a hashed key; an absent key is no error.
    pub fn remove(&mut self, key: &B256) {
        let path = nibbles(key);
        if let Some(root) = &self.root
            && let Removal::Changed(node) = remove(root, &path)
        {
            self.root = node;
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The Merkle root.
    pub fn root(&self) -> B256 {
        match &self.root {
            None => EMPTY_ROOT,
            Some(node) => match node.reference() {
                // A reference of 33 bytes is 0xa0 and the hash; a shorter one is the node itself.
                hashed if hashed.len() == 33 => B256::from_slice(&hashed[1..]),
                inline => keccak256(inline),
            },
        }
    }

    /// RLP of the nodes from the root down to the key or to where it would be (EIP-1186). Nodes shorter than 32 bytes
    /// stand inside their parent and are not listed again.
    pub fn proof(&self, key: &B256) -> Vec<Vec<u8>> {
        let path = nibbles(key);
        let mut rest = &path[..];
        let mut listed = Vec::new();
        let mut next = self.root.as_ref();
        while let Some(node) = next {
            if listed.is_empty() || node.reference().len() == 33 {
                listed.push(node.encoded());
            }
            next = match &node.kind {
                Kind::Leaf { .. } => None,
                Kind::Extension { path, child } => rest.strip_prefix(&**path).map(|after| {
                    rest = after;
                    child
                }),
                Kind::Branch { children } => {
                    let child = children[rest[0] as usize].as_ref();
                    rest = &rest[1..];
                    child
                }
            };
        }
        listed
    }

    /// Calls `visit` with every (hashed key, value), in key order.
    pub fn for_each(&self, visit: &mut dyn FnMut(B256, &V)) {
        if let Some(root) = &self.root {
            walk(root, &mut Vec::with_capacity(64), visit);
        }
    }
}

impl<V: TrieValue> Node<V> {
    fn new(kind: Kind<V>) -> Arc<Self> {
        Arc::new(Self { kind, reference: OnceLock::new() })
    }

    fn leaf(path: &[u8], value: V) -> Arc<Self> {
        Self::new(Kind::Leaf { path: path.into(), value })
    }

    /// The child itself where the path is empty.
    fn extension(path: &[u8], child: Arc<Self>) -> Arc<Self> {
        if path.is_empty() { child } else { Self::new(Kind::Extension { path: path.into(), child }) }
    }

    fn encoded(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(128);
        match &self.kind {
            Kind::Leaf { path, value } => {
                hex_prefix(path, true).encode(&mut payload);
                value.encoded().as_slice().encode(&mut payload);
            }
            Kind::Extension { path, child } => {
                hex_prefix(path, false).encode(&mut payload);
                payload.extend_from_slice(child.reference());
            }
            Kind::Branch { children } => {
                for child in children.iter() {
                    match child {
                        Some(child) => payload.extend_from_slice(child.reference()),
                        None => payload.push(EMPTY_STRING_CODE),
                    }
                }
                payload.push(EMPTY_STRING_CODE);
            }
        }
        let mut out = Vec::with_capacity(payload.len() + 3);
        Header { list: true, payload_length: payload.len() }.encode(&mut out);
        out.extend_from_slice(&payload);
        out
    }

    /// What the parent holds: the node's RLP if shorter than 32 bytes, else RLP of its hash.
    fn reference(&self) -> &[u8] {
        self.reference.get_or_init(|| {
            let encoded = self.encoded();
            if encoded.len() < 32 {
                return encoded.into();
            }
            let mut hashed = Vec::with_capacity(33);
            keccak256(&encoded).encode(&mut hashed);
            hashed.into()
        })
    }
}

fn nibbles(key: &B256) -> [u8; 64] {
    let mut path = [0; 64];
    for (index, byte) in key.iter().enumerate() {
        path[2 * index] = byte >> 4;
        path[2 * index + 1] = byte & 0x0f;
    }
    path
}

/// Yellow Paper appendix C: flag nibble 2 for a leaf, plus 1 when the path is of odd length.
fn hex_prefix(path: &[u8], leaf: bool) -> Box<[u8]> {
    let flag = if leaf { 0x20 } else { 0 };
    let (first, pairs) = match path.len() % 2 {
        1 => (flag | 0x10 | path[0], &path[1..]),
        _ => (flag, path),
    };
    std::iter::once(first)
        .chain(pairs.chunks(2).map(|pair| pair[0] << 4 | pair[1]))
        .collect::<Vec<u8>>()
        .into()
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn no_children<V>() -> Box<[Option<Arc<Node<V>>>; 16]> {
    Box::new([const { None }; 16])
}

fn insert<V: TrieValue>(node: Option<&Arc<Node<V>>>, path: &[u8], value: V) -> Arc<Node<V>> {
    let Some(node) = node else { return Node::leaf(path, value) };
    match &node.kind {
        Kind::Leaf { path: own, .. } if **own == *path => Node::leaf(path, value),
        Kind::Leaf { path: own, value: kept } => {
            let shared = shared_prefix(own, path);
            let mut children = no_children();
            children[own[shared] as usize] = Some(Node::leaf(&own[shared + 1..], kept.clone()));
            children[path[shared] as usize] = Some(Node::leaf(&path[shared + 1..], value));
            Node::extension(&path[..shared], Node::new(Kind::Branch { children }))
        }
        Kind::Extension { path: own, child } => {
            let shared = shared_prefix(own, path);
            if shared == own.len() {
                return Node::extension(own, insert(Some(child), &path[shared..], value));
            }
            let mut children = no_children();
            children[own[shared] as usize] = Some(Node::extension(&own[shared + 1..], child.clone()));
            children[path[shared] as usize] = Some(Node::leaf(&path[shared + 1..], value));
            Node::extension(&path[..shared], Node::new(Kind::Branch { children }))
        }
        Kind::Branch { children } => {
            let mut children = children.clone();
            let slot = &mut children[path[0] as usize];
            *slot = Some(insert(slot.as_ref(), &path[1..], value));
            Node::new(Kind::Branch { children })
        }
    }
}

enum Removal<V> {
    Absent,
    Changed(Option<Arc<Node<V>>>),
}

fn remove<V: TrieValue>(node: &Arc<Node<V>>, path: &[u8]) -> Removal<V> {
    match &node.kind {
        Kind::Leaf { path: own, .. } if **own == *path => Removal::Changed(None),
        Kind::Leaf { .. } => Removal::Absent,
        Kind::Extension { path: own, child } => {
            let Some(rest) = path.strip_prefix(&**own) else { return Removal::Absent };
            match remove(child, rest) {
                Removal::Absent => Removal::Absent,
                Removal::Changed(child) => Removal::Changed(child.map(|child| prepend(own, &child))),
            }
        }
        Kind::Branch { children } => {
            let Some(child) = &children[path[0] as usize] else { return Removal::Absent };
            let Removal::Changed(child) = remove(child, &path[1..]) else { return Removal::Absent };
            let mut children = children.clone();
            children[path[0] as usize] = child;
            Removal::Changed(Some(collapse(children)))
        }
    }
}

/// A branch needs two children: one left alone moves up.
fn collapse<V: TrieValue>(children: Box<[Option<Arc<Node<V>>>; 16]>) -> Arc<Node<V>> {
    let mut present = children.iter().enumerate().filter_map(|(index, child)| Some((index, child.as_ref()?)));
    match (present.next(), present.next()) {
        (Some((index, only)), None) => prepend(&[index as u8], only),
        _ => Node::new(Kind::Branch { children }),
    }
}

/// `node` reached through `prefix`: a short node takes the prefix into its own path.
fn prepend<V: TrieValue>(prefix: &[u8], node: &Arc<Node<V>>) -> Arc<Node<V>> {
    match &node.kind {
        Kind::Leaf { path, value } => Node::leaf(&[prefix, path].concat(), value.clone()),
        Kind::Extension { path, child } => Node::extension(&[prefix, path].concat(), child.clone()),
        Kind::Branch { .. } => Node::extension(prefix, node.clone()),
    }
}

fn walk<V>(node: &Node<V>, path: &mut Vec<u8>, visit: &mut dyn FnMut(B256, &V)) {
    let depth = path.len();
    match &node.kind {
        Kind::Leaf { path: own, value } => {
            path.extend_from_slice(own);
            let key: Vec<u8> = path.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            visit(B256::from_slice(&key), value);
        }
        Kind::Extension { path: own, child } => {
            path.extend_from_slice(own);
            walk(child, path, visit);
        }
        Kind::Branch { children } => {
            for (index, child) in children.iter().enumerate().filter_map(|(i, c)| Some((i, c.as_ref()?))) {
                path.push(index as u8);
                walk(child, path, visit);
                path.truncate(depth);
            }
        }
    }
    path.truncate(depth);
}
