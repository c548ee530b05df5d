//! Names in certificates, and what policies say of them.

use std::fmt;

use crate::node::shorten;

/// What a TLS peer's certificate says of it. Only of a certificate that was verified against a trusted authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    spiffe: Option<String>,
    dns_names: Vec<String>,
    subject: Option<String>,
}

/// Names of one kind in one certificate that are looked at. Public authorities issue 100 at most.
const MAX_NAMES: usize = 100;

impl Certificate {
    /// The certificate's URI and DNS names (subject alternative names), and its subject as RFC 2253 writes it. DNS names
    /// beyond the hundredth are not looked at.
    ///
    /// A certificate with several URIs has no SPIFFE id: "An X.509 SVID MUST contain exactly one URI SAN" (SPIFFE
    /// X509-SVID, section 2). Neither has one whose URI is not a SPIFFE id as the standard writes it.
    pub fn new<S: Into<String>>(
        uris: impl IntoIterator<Item = S>,
        dns_names: impl IntoIterator<Item = S>,
        subject: Option<String>,
    ) -> Self {
        let mut uris = uris.into_iter();
        let uri = uris.next().map(Into::into).filter(|_| uris.next().is_none());
        let spiffe = uri.filter(|uri| matches!(PeerName::spiffe(uri), Ok(PeerName::Spiffe(_))));
        let dns_names = dns_names.into_iter().take(MAX_NAMES).map(|name| name.into().to_ascii_lowercase()).collect();
        Self { spiffe, dns_names, subject: subject.filter(|subject| !subject.is_empty()) }
    }

    /// The SPIFFE id.
    pub fn spiffe(&self) -> Option<&str> {
        self.spiffe.as_deref()
    }

    /// The DNS names, in lower case.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The subject.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Everything that a policy can name this peer by.
    pub(crate) fn names(&self) -> impl Iterator<Item = PeerName> {
        let spiffe = self.spiffe().map(|id| PeerName::Spiffe(id.to_owned()));
        let within = self.spiffe().into_iter().flat_map(|id| {
            let ends = id.match_indices('/').map(|(at, _)| at).filter(|at| *at > SCHEME.len());
            ends.filter_map(move |at| id.get(..at)).map(|above| PeerName::SpiffeBelow(above.to_owned()))
        });
        let dns = self.dns_names().iter().flat_map(|name| {
            let parent = name.split_once('.').map(|(_, parent)| PeerName::DnsBelow(parent.to_owned()));
            std::iter::once(PeerName::Dns(name.clone())).chain(parent)
        });
        let subject = self.subject().map(|subject| PeerName::Subject(subject.to_owned()));
        spiffe.into_iter().chain(within).chain(dns).chain(subject)
    }
}

/// A name that a rule gives a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PeerName {
    Spiffe(String),
    /// All ids below this one.
    SpiffeBelow(String),
    Dns(String),
    /// All names with one label more.
    DnsBelow(String),
    Subject(String),
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(id) => write!(f, "{id}"),
            Self::SpiffeBelow(id) => write!(f, "{id}/*"),
            Self::Dns(name) => write!(f, "{name}"),
            Self::DnsBelow(name) => write!(f, "*.{name}"),
            Self::Subject(subject) => write!(f, "{subject}"),
        }
    }
}

const SCHEME: &str = "spiffe://";
/// The longest id that the standard allows (SPIFFE-ID, section 2.3).
const MAX_SPIFFE_BYTES: usize = 2048;
/// RFC 1035, section 2.3.4.
const MAX_DNS_BYTES: usize = 255;
/// RFC 1035, section 2.3.4.
const MAX_LABEL_BYTES: usize = 63;
/// Far more than the subjects of certificates have.
const MAX_SUBJECT_BYTES: usize = 4096;

impl PeerName {
    /// A SPIFFE id as a policy writes it.
    pub(crate) fn spiffe(text: &str) -> Result<Self, String> {
        let fault = |why: &str| Err(format!("`{}` is not a SPIFFE id: {why}", shorten(text)));
        if text.len() > MAX_SPIFFE_BYTES {
            return fault("it is longer than 2048 bytes");
        }
        let Some(rest) = text.strip_prefix(SCHEME) else { return fault("it does not begin with `spiffe://`") };
        let (below, rest) = rest.strip_suffix("/*").map_or((false, rest), |above| (true, above));
        let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
        let of_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        if domain.is_empty() || !domain.bytes().all(of_domain) {
            return fault("a trust domain has lower-case letters, digits, `-`, `.` and `_`");
        }
        let of_path = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(of_path);
        if path.is_some_and(|path| !path.split('/').all(segment)) {
            return fault(
                "its path has letters, digits, `-`, `.` and `_` between single slashes; a `*` only as the last part",
            );
        }
        let id = format!("{SCHEME}{rest}");
        Ok(if below { Self::SpiffeBelow(id) } else { Self::Spiffe(id) })
    }

    /// A DNS name as a policy writes it.
    pub(crate) fn dns(text: &str) -> Result<Self, String> {
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |parent| (true, parent));
        let of_label = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let label = |label: &str| (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(of_label);
        if name.len() > MAX_DNS_BYTES || !name.split('.').all(label) {
            let text = shorten(text);
            return Err(format!(
                "`{text}` is not a DNS name; write `db.example.com`, or `*.example.com` for all names with one label more"
            ));
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { Self::DnsBelow(name) } else { Self::Dns(name) })
    }

    /// A certificate's subject as a policy writes it.
    pub(crate) fn subject(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_SUBJECT_BYTES || !text.contains('=') {
            let text = shorten(text);
            return Err(format!("`{text}` is not a subject; write it as RFC 2253 does: `CN=fleet,O=Rebel Alliance`"));
        }
        Ok(Self::Subject(text.to_owned()))
    }
}

impl fmt::Display for Certificate {
    /// The name by which people know the peer best.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dns = self.dns_names.first().map(String::as_str);
        f.write_str(self.spiffe().or(dns).or(self.subject()).unwrap_or_default())
    }
}
