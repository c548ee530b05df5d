//! Who the two sides are, as people say it on a command line or in a suite.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, anyhow};
use portcullis_policy::{Certificate, Identities, Identity, KnownBy, Labels};

use crate::exit::Usage;

/// One side: labels, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Address(IpAddr),
    Labels(BTreeMap<String, String>),
}

/// The names in a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) spiffe: Option<String>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) subject: Option<String>,
}

impl std::str::FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let mut labels = BTreeMap::new();
        for label in text.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            if !key.contains(':') && !label.contains('=') {
                return Err(format!(
                    "`{label}` is no label and no address; write `key=value`, `source:key=value`, `reserved:world`, or an address as `10.1.2.3`"
                ));
            }
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("the label `{key}` stands here twice"));
            }
        }
        Ok(Self::Labels(labels))
    }
}

impl Who {
    /// Its labels.
    pub(crate) fn labels(&self, identities: &Identities) -> anyhow::Result<Labels> {
        match self {
            Self::Address(address) => Ok(identities.identify(*address).labels),
            Self::Labels(labels) => Ok(Labels::new(labels)?),
        }
    }
}

/// The remote side.
pub(crate) fn remote(
    who: Option<&Who>,
    address: Option<IpAddr>,
    named: &Named,
    identities: &Identities,
) -> anyhow::Result<Identity> {
    let identity = match (who, address) {
        (Some(Who::Address(address)), None) => identities.identify(*address),
        (None, Some(address)) => identities.identify(address),
        (Some(Who::Labels(labels)), address) => {
            let labels = Labels::new(labels)?;
            Identity { labels, address, known_by: KnownBy::Address, ..Identity::default() }
        }
        (Some(Who::Address(_)), Some(_)) => return Err(Usage("an address twice; give one".to_owned()).into()),
        (None, None) => Identity::unknown(None),
    };
    let Named { spiffe, dns_names, subject } = named;
    if spiffe.is_none() && dns_names.is_empty() && subject.is_none() {
        return Ok(identity);
    }
    let certificate = Certificate::new(spiffe.clone(), dns_names.clone(), subject.clone());
    if let Some(id) = spiffe
        && certificate.spiffe() != Some(id)
    {
        return Err(Usage(format!("`{id}` is no SPIFFE id; write `spiffe://trust-domain/path`")).into());
    }
    Ok(identity.with_certificate(certificate))
}

/// Reads an identities file.
pub(crate) fn load_identities(path: &Path) -> anyhow::Result<Identities> {
    let text = std::fs::read(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    Identities::load(&path.to_string_lossy(), &text).map_err(|errors| anyhow!("{errors}"))
}
