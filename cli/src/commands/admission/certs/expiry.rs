//! What a certificate in a file says, and when it expires.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// A certificate in a file.
pub(super) struct Known {
    pub(super) file: PathBuf,
    pub(super) subject: String,
    pub(super) names: Vec<String>,
    pub(super) is_authority: bool,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Known {
    /// Whole days, below 0 where it has expired.
    pub(super) fn days_left(&self, now: OffsetDateTime) -> i64 {
        const DAY: i64 = 24 * 60 * 60;
        (self.not_after - now).whole_seconds().div_euclid(DAY)
    }
}

/// All certificates of a directory: its files that end with `.crt` or `.pem`, in the order of their names.
pub(super) fn load_directory(dir: &Path) -> anyhow::Result<Vec<Known>> {
    let unreadable = || format!("`{}` cannot be read", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "crt" || end == "pem") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    let mut known = Vec::new();
    for file in &files {
        known.extend(load(file)?);
    }
    if known.is_empty() {
        bail!("`{}` holds no certificates: files that end with `.crt` or `.pem` are looked at", dir.display());
    }
    Ok(known)
}

/// The certificates in a file; keys beside them are not looked at.
pub(super) fn load(path: &Path) -> anyhow::Result<Vec<Known>> {
    let text = std::fs::read(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let mut known = Vec::new();
    for block in Pem::iter_from_buffer(&text) {
        let block = block.with_context(|| format!("`{}` is not PEM", path.display()))?;
        if block.label == "CERTIFICATE" {
            known.push(read(path, &block).with_context(|| format!("`{}` holds no X.509 certificate", path.display()))?);
        }
    }
    if known.is_empty() {
        bail!("`{}` holds no certificate", path.display());
    }
    Ok(known)
}

fn read(path: &Path, block: &Pem) -> anyhow::Result<Known> {
    let certificate = block.parse_x509()?;
    let names =
        certificate.subject_alternative_name()?.map(|names| names.value.general_names.iter().map(name).collect());
    let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds);
    Ok(Known {
        file: path.to_owned(),
        subject: certificate.subject().to_string(),
        names: names.unwrap_or_default(),
        is_authority: certificate.is_ca(),
        not_before: time(certificate.validity().not_before.timestamp())?,
        not_after: time(certificate.validity().not_after.timestamp())?,
    })
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => name.escape_debug().to_string(),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(bytes), _) => std::net::Ipv4Addr::from(bytes).to_string(),
            (_, Ok(bytes)) => std::net::Ipv6Addr::from(bytes).to_string(),
            _ => "an address of neither kind".to_owned(),
        },
        _ => "a name of another kind".to_owned(),
    }
}
