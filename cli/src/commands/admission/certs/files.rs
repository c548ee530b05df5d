//! The files: who needs which, and how they are written.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use super::issue::Issued;

/// A certificate and its key, by the names of their files.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) certificate: &'static str,
    pub(super) key: &'static str,
}

/// Who certifies servers: the API server is told as `caBundle`.
pub(super) const SERVER_CA: Pair = Pair { certificate: "ca.crt", key: "ca.key" };
/// What Envoy shows, by the names that Secrets of type `kubernetes.io/tls` use.
pub(super) const SERVER: Pair = Pair { certificate: "tls.crt", key: "tls.key" };
/// Who certifies callers: Envoy is told as `trusted_ca`.
pub(super) const CALLERS_CA: Pair = Pair { certificate: "callers-ca.crt", key: "callers-ca.key" };
/// What the API server shows.
pub(super) const CLIENT: Pair = Pair { certificate: "client.crt", key: "client.key" };

/// Nothing is written over without being told.
pub(super) fn refuse_existing(dir: &Path, pairs: &[Pair]) -> anyhow::Result<()> {
    let names = pairs.iter().flat_map(|pair| [pair.certificate, pair.key]);
    let there: Vec<_> = names.filter(|name| dir.join(name).symlink_metadata().is_ok()).collect();
    if !there.is_empty() {
        let there = there.join("`, `");
        bail!("`{}` holds `{there}` already; `--renew` keeps the authorities, `--force` makes all anew", dir.display());
    }
    Ok(())
}

pub(super) fn write(dir: &Path, pair: Pair, issued: &Issued) -> anyhow::Result<()> {
    // The key first: a certificate without its key would be shown and could not be used.
    write_file(&dir.join(pair.key), &issued.key, 0o600)?;
    write_file(&dir.join(pair.certificate), &issued.certificate, 0o644)
}

/// Writes beside it and renames: who reads meanwhile finds the old file or the new one, and never a key that others may read.
fn write_file(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let write = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("`{}` cannot be written", path.display()))
}
