//! Revocation lists (RFC 5280 §5), such as AMD's key distribution service has them: complete, direct, of one issuer.

use super::certificate::{Certificate, read_extension_list, require_understood};
use super::chain::Trust;
use crate::der::{self, Reader};
use crate::error::{Error, Reason, require, require_length};
use crate::signature::Algorithm;

/// Bytes of a list at most.
pub const MAX_REVOCATION_LIST_BYTES: usize = 131_072;
/// Lists in one call at most.
pub const MAX_REVOCATION_LISTS: usize = 8;
const VERSION_2: u8 = 1;

/// A parsed list. Nothing about it is verified yet.
#[derive(Clone, Debug)]
pub struct RevocationList<'a> {
    signed: &'a [u8],
    algorithm: Algorithm,
    signature: &'a [u8],
    issuer: &'a [u8],
    this_update: i64,
    next_update: i64,
    serials: Vec<&'a [u8]>,
}

impl<'a> RevocationList<'a> {
    /// Parses one list in DER.
    ///
    /// # Errors
    /// For anything but a complete list of version 2 with both times; a critical extension, such as that of a delta or a
    /// partial list, is not understood.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let field = "revocation_list";
        require_length(bytes, 1, MAX_REVOCATION_LIST_BYTES, field)?;
        let mut outer = Reader::new(bytes, field);
        let mut parts = outer.inside(der::SEQUENCE)?;
        outer.end()?;
        let to_be_signed = parts.value(der::SEQUENCE)?;
        let identifier = parts.contents(der::SEQUENCE)?;
        let signature = parts.bit_octets()?;
        parts.end()?;
        let algorithm = Algorithm::of_identifier(identifier, "revocation_list.signature_algorithm")?;

        let mut fields = Reader::new(to_be_signed.contents, field);
        require(fields.small()? == VERSION_2, Reason::Version, "revocation_list.version", "not version 2")?;
        let inner = fields.contents(der::SEQUENCE)?;
        let text = "the signed and the unsigned algorithm identifier differ";
        require(inner == identifier, Reason::Mismatch, "revocation_list.signature_algorithm", text)?;
        let issuer = fields.value(der::SEQUENCE)?.whole;
        let (this_update, next_update) = (fields.time()?, fields.time()?);
        let serials = match fields.optional(der::SEQUENCE)? {
            Some(entries) => read_entries(Reader::new(entries.contents, "revocation_list.entries"))?,
            None => Vec::new(),
        };
        if let Some(explicit) = fields.optional(der::context(0))? {
            let mut outer = Reader::new(explicit.contents, "revocation_list.extensions");
            let list = read_extension_list(outer.inside(der::SEQUENCE)?, "revocation_list.extensions")?;
            outer.end()?;
            require_understood(&list, &[], "revocation_list.extensions")?;
        }
        fields.end()?;
        let signed = to_be_signed.whole;
        Ok(Self { signed, algorithm, signature, issuer, this_update, next_update, serials })
    }

    /// Checks every list and that none names a certificate of the chain; the first second in which one is superseded, or
    /// the last there is.
    ///
    /// # Errors
    /// Also for a list by nobody in the chain: whoever gives one expects it to be looked at.
    pub(super) fn require_none_revoked(trust: Trust<'_>, chain: &[Certificate<'_>]) -> Result<i64, Error> {
        let most = trust.revocation_lists.len() <= MAX_REVOCATION_LISTS;
        require(most, Reason::Length, "revocation_lists", "more than 8 lists")?;
        let mut until = i64::MAX;
        for (index, der) in trust.revocation_lists.iter().enumerate() {
            let list = RevocationList::parse(der).map_err(|error| error.at("list", index))?;
            list.require_holds(trust.time, chain).map_err(|error| error.at("list", index))?;
            until = until.min(list.next_update);
        }
        Ok(until)
    }

    fn require_holds(&self, time: i64, chain: &[Certificate<'_>]) -> Result<(), Error> {
        let field = "revocation_list.validity";
        if time < self.this_update {
            let text = format!("issued at {}, checked at {time}", self.this_update);
            return Err(Error::new(Reason::NotYetValid, field, text));
        }
        if time > self.next_update {
            let text = format!("superseded at {}, checked at {time}", self.next_update);
            return Err(Error::new(Reason::Expired, field, text));
        }
        let issuer = chain.iter().find(|certificate| certificate.subject == self.issuer);
        let text = "issued by nobody in the chain";
        let issuer = issuer.ok_or_else(|| Error::new(Reason::Issuer, "revocation_list.issuer", text))?;
        issuer.require_list_signer()?;
        let field = "revocation_list.signature_algorithm";
        let text = "signed with another algorithm than its issuer's key";
        require(self.algorithm == issuer.key.algorithm(), Reason::Algorithm, field, text)?;
        let field = "revocation_list.signature";
        let holds = issuer.key.verifies(self.signed, self.signature, field)?;
        require(holds, Reason::Signature, field, "not signed by its issuer's key")?;
        for (index, certificate) in chain.iter().enumerate() {
            let named = certificate.issuer == self.issuer && self.serials.contains(&certificate.serial);
            let text = format!("certificate {index} is withdrawn by its issuer");
            require_not_named(named, text)?;
        }
        Ok(())
    }
}

fn require_not_named(named: bool, text: String) -> Result<(), Error> {
    if named { Err(Error::new(Reason::Revoked, "certificate.serial", text)) } else { Ok(()) }
}

/// Serial numbers of a list that, where it is there, is not empty.
fn read_entries(mut entries: Reader<'_>) -> Result<Vec<&[u8]>, Error> {
    let field = "revocation_list.entries";
    let mut serials = Vec::new();
    while !entries.is_empty() {
        let mut entry = entries.inside(der::SEQUENCE)?;
        serials.push(entry.unsigned()?);
        entry.time()?;
        if !entry.is_empty() {
            let extensions = read_extension_list(entry.inside(der::SEQUENCE)?, field)?;
            require_understood(&extensions, &[], field)?;
        }
        entry.end()?;
    }
    require(!serials.is_empty(), Reason::Encoding, field, "a list of no entries")?;
    Ok(serials)
}
