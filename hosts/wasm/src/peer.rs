//! Who the client is, as its certificate says.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use portcullis_policy::Certificate;

use crate::abi::{self, Refused};

/// What the certificate of a TLS client says of it; `None` without one, and for one that names nobody. The host does not say
/// whether it has verified it.
///
/// # Errors
/// The host does not tell whether there is a certificate, or what stands in it.
pub(crate) fn certificate() -> Result<Option<Certificate>, Refused> {
    if abi::property(&["connection", "mtls"]).ok_or(Refused)? != [1] {
        return Ok(None);
    }
    let text = |name: &str| Some(to_text(&abi::property(&["connection", name])?)).filter(|text| !text.is_empty());
    let subject = text("subject_peer_certificate");
    let names = match abi::property(&["connection", "peer_certificate"]).filter(|pem| !pem.is_empty()) {
        Some(pem) => {
            let der = read_pem(&pem).ok_or(Refused)?;
            read_names(&der).ok_or(Refused)?
        }
        // Older hosts show the first names alone. The first URI may be one of several, so that it is no SPIFFE id.
        None => Names { uris: Vec::new(), dns_names: text("dns_san_peer_certificate").into_iter().collect() },
    };
    let Names { uris, dns_names } = names;
    let named = !uris.is_empty() || !dns_names.is_empty() || subject.is_some();
    Ok(named.then(|| Certificate::new(uris, dns_names, subject)))
}

/// The alternative names of a certificate's subject.
#[derive(Debug, Default)]
struct Names {
    uris: Vec<String>,
    dns_names: Vec<String>,
}

/// The first certificate of a PEM text, whose special characters are `%` and two digits.
fn read_pem(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digits = [*bytes.next()?, *bytes.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    let text = str::from_utf8(&plain).ok()?;
    let (_, text) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (text, _) = text.split_once("-----END CERTIFICATE-----")?;
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(digits).ok()
}

/// The names in a certificate: RFC 5280, sections 4.1 and 4.2.1.6. The host has read it before, so that nothing is checked but
/// that it can be read.
fn read_names(der: &[u8]) -> Option<Names> {
    let mut names = Names::default();
    let (_, certificate, _) = take(der)?;
    let (_, mut fields, _) = take(certificate)?;
    while !fields.is_empty() {
        let (tag, value, rest) = take(fields)?;
        fields = rest;
        if tag == EXTENSIONS {
            let (_, mut extensions, _) = take(value)?;
            while !extensions.is_empty() {
                let (_, extension, rest) = take(extensions)?;
                extensions = rest;
                read_extension(extension, &mut names)?;
            }
        }
    }
    Some(names)
}

fn read_extension(extension: &[u8], names: &mut Names) -> Option<()> {
    let (_, id, mut rest) = take(extension)?;
    if id != ALTERNATIVE_NAMES {
        return Some(());
    }
    let (mut tag, mut value);
    (tag, value, rest) = take(rest)?;
    if tag == BOOLEAN {
        (tag, value, _) = take(rest)?;
    }
    let (_, mut general, _) = take(value).filter(|_| tag == OCTETS)?;
    while !general.is_empty() {
        (tag, value, general) = take(general)?;
        match tag {
            DNS_NAME => names.dns_names.push(to_text(value)),
            URI => names.uris.push(to_text(value)),
            _ => {}
        }
    }
    Some(())
}

/// The first value: its tag, what it holds, and what is behind it. Of lengths, there are those of DER with up to four bytes.
fn take(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length =
                digits.iter().try_fold(0_usize, |sum, &digit| sum.checked_mul(256)?.checked_add(digit.into()))?;
            (length, rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// What is no UTF-8 gets characters that no name in a policy has.
fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `subjectAltName`: 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Tags: RFC 5280, appendix A.
const EXTENSIONS: u8 = 0xa3;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
