//! The files that a script may read.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The files that a script may read: not those of the machine, but texts that were loaded with it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<BTreeMap<String, String>>);

impl Files {
    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.0.values().fold(0, |all, text| all.saturating_add(text.len()))
    }

    /// What a script reads at a path. Certificates and their keys are Envoy's: a script that asks for them to listen gets a
    /// text that is none.
    pub(crate) fn read(&self, path: &str) -> Option<&str> {
        if let Some(text) = self.0.get(path) {
            return Some(text);
        }
        let is_certificate = path.rsplit_once('.').is_some_and(|(_, ending)| CERTIFICATES.contains(&ending));
        is_certificate.then_some(STAND_IN)
    }
}

impl FromIterator<(String, String)> for Files {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(files: I) -> Self {
        Self(Arc::new(files.into_iter().collect()))
    }
}

/// How the names of certificates and keys end.
const CERTIFICATES: [&str; 4] = ["crt", "key", "pem", "cert"];

/// What stands for a certificate or a key.
const STAND_IN: &str = "the certificate is Envoy's";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_loaded_is_read() {
        let files: Files = [("/etc/list.txt".to_owned(), "a".to_owned())].into_iter().collect();
        assert_eq!(files.read("/etc/list.txt"), Some("a"));
        assert_eq!(files.read("/certs/tls.key"), Some(STAND_IN));
        assert_eq!(files.read("/etc/passwd"), None);
        assert_eq!(files.read("/etc/key"), None);
    }
}
