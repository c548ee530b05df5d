//! Who may call hooks: whoever shows a certificate that was verified, or a token that is listed here by its digest.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_policy::{Dialect, Node, NodeError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

/// Bytes of a digest.
const DIGEST: usize = 32;

/// Tokens of all documents together: every call compares with all of them.
const MAX_TOKENS: usize = 1024;

/// The callers that tokens are known of.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    tokens: Vec<([u8; DIGEST], Arc<str>)>,
}

impl Callers {
    /// `apiVersion` and `kind` of the documents.
    pub const KIND: (&'static str, &'static str) = ("portcullis.dev/v1", "AdmissionCallers");

    /// Compiles all documents of [`KIND`](Self::KIND) together.
    ///
    /// # Errors
    /// Documents that are not of the kind, a digest that is none, a name or a token that is there twice.
    pub fn compile(documents: &[Node]) -> Result<Self, Vec<NodeError>> {
        let mut callers = Self::default();
        let mut errors = Vec::new();
        let mut names = BTreeSet::new();
        for node in documents {
            let document = match node.read::<Document>(Dialect::Strict) {
                Ok(document) => document,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            for (index, Token { name, sha256 }) in document.spec.tokens.into_iter().enumerate() {
                let path = format!("spec.tokens[{index}]");
                if let Err(message) = callers.add(&name, &sha256, &mut names) {
                    errors.push(NodeError::new(&node.place, path, message));
                }
            }
        }
        if errors.is_empty() { Ok(callers) } else { Err(errors) }
    }

    fn add(&mut self, name: &str, sha256: &str, names: &mut BTreeSet<String>) -> Result<(), String> {
        if name.is_empty() {
            return Err("`name` is empty: name the caller as logs shall".to_owned());
        }
        if !names.insert(name.to_owned()) {
            return Err(format!("`{}` is there twice: give each token a `name` of its own", name.escape_debug()));
        }
        let digest =
            read_digest(sha256).ok_or("`sha256` is not 64 hexadecimal digits: `printf %s TOKEN | sha256sum`")?;
        if digest == <[u8; DIGEST]>::from(Sha256::digest(b"")) {
            return Err("`sha256` is that of an empty token: `printf %s TOKEN | sha256sum`".to_owned());
        }
        if self.tokens.iter().any(|(known, _)| *known == digest) {
            return Err("the token of this `sha256` is there twice".to_owned());
        }
        if self.tokens.len() >= MAX_TOKENS {
            return Err(format!("more than {MAX_TOKENS} tokens"));
        }
        self.tokens.push((digest, name.into()));
        Ok(())
    }

    /// Whether no token is known.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The name of the caller whose token this is. How long it takes tells nothing of the digests.
    pub fn find(&self, token: &[u8]) -> Option<&Arc<str>> {
        let digest: [u8; DIGEST] = Sha256::digest(token).into();
        let mut found = None;
        for (known, name) in &self.tokens {
            if is_equal(known, &digest) {
                found = Some(name);
            }
        }
        found
    }
}

/// Compares to the end, whatever the difference.
fn is_equal(a: &[u8; DIGEST], b: &[u8; DIGEST]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

fn read_digest(text: &str) -> Option<[u8; DIGEST]> {
    let digits = text.as_bytes();
    let mut digest = [0; DIGEST];
    if digits.len() != DIGEST.saturating_mul(2) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        let (high, low) = (char::from(high).to_digit(16)?, char::from(low).to_digit(16)?);
        *byte = u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?;
    }
    Some(digest)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "metadata")]
    _metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metadata {
    #[serde(rename = "name")]
    _name: String,
    #[serde(default, rename = "labels")]
    _labels: Option<IgnoredAny>,
    #[serde(default, rename = "annotations")]
    _annotations: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    tokens: Vec<Token>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Token {
    name: String,
    sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str) -> Result<Callers, Vec<NodeError>> {
        Callers::compile(&Node::load("callers.yaml", text.as_bytes()).unwrap())
    }

    fn document(tokens: &str) -> String {
        format!(
            "apiVersion: portcullis.dev/v1\nkind: AdmissionCallers\nmetadata: {{name: c}}\nspec: {{tokens: [{tokens}]}}\n"
        )
    }

    /// `printf %s R2-D2 | sha256sum` and `printf %s C-3PO | sha256sum`.
    const R2D2: &str = "{name: r2d2, sha256: 1e43d02dc7a48ddd6c70bfa8dcd5d9b58a9ff9cd6ea1bdbbf8a1a0eab1a8a0bf}";

    fn token(name: &str, token: &str) -> String {
        let digest = Sha256::digest(token.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{name: {name}, sha256: {hex}}}")
    }

    #[test]
    fn a_caller_is_known_by_its_token_and_by_nothing_else() {
        let text = document(&[token("r2d2", "beep"), token("c3po", "six million forms")].join(", "));
        let callers = compile(&text).unwrap();
        assert_eq!(callers.find(b"beep").map(|name| &**name), Some("r2d2"));
        assert_eq!(callers.find(b"six million forms").map(|name| &**name), Some("c3po"));
        for stranger in [&b""[..], b"bee", b"beep ", b"Beep", b"beepbeep"] {
            assert_eq!(callers.find(stranger), None, "{stranger:?}");
        }
        assert_eq!(Callers::default().find(b"beep"), None);
        // Upper case is hexadecimal, too.
        let upper = document("{name: known, sha256: 2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824}");
        assert_eq!(compile(&upper).unwrap().find(b"hello").map(|name| &**name), Some("known"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let twice = [token("r2d2", "beep"), token("r2d2", "boop")].join(", ");
        let same = [token("r2d2", "beep"), token("c3po", "beep")].join(", ");
        for (tokens, words) in [
            ("{name: a, sha256: abc}", "64 hexadecimal digits"),
            (&R2D2.replace("1e43", "xe43"), "64 hexadecimal digits"),
            (&token("a", ""), "empty token"),
            (&token("''", "beep"), "`name` is empty"),
            (&twice, "`r2d2` is there twice"),
            (&same, "is there twice"),
            ("{name: a, token: beep}", "token"),
        ] {
            let errors = compile(&document(tokens)).unwrap_err();
            let text = errors[0].to_string();
            assert!(errors.len() == 1 && text.contains(words) && text.starts_with("callers.yaml:"), "{tokens}: {text}");
            assert!(!text.contains("1e43"), "{text}");
        }
        let both = compile(&format!("{}---\n{}", document(R2D2), document(&token("x", "beep")))).unwrap();
        assert_eq!(both.tokens.len(), 2);
    }
}
