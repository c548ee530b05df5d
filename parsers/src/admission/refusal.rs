//! Requests that are not judged: what they are answered, and what is logged.

use std::borrow::Cow;

use super::http::Status;

/// Why a request is not judged.
pub(super) struct Refusal {
    pub(super) status: Status,
    /// What the client is told.
    pub(super) text: Cow<'static, str>,
    /// What is logged; nothing where policy has logged it, or it is no denial.
    pub(super) reason: &'static str,
    /// A field of the answer, with the end of its line.
    pub(super) field: &'static str,
    /// Whether the connection ends with it.
    pub(super) close: bool,
}

impl Refusal {
    pub(super) fn new(status: Status, reason: &'static str) -> Self {
        Self { status, text: Cow::Borrowed(reason), reason, field: "", close: false }
    }

    pub(super) fn text(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), ..self }
    }

    pub(super) fn field(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    /// The answer to a question about health: no denial, whatever it says.
    pub(super) fn health(is_ready: bool) -> Self {
        if is_ready {
            Self { reason: "", ..Self::new(Status::OK, "ok") }
        } else {
            Self { reason: "", ..Self::new(Status::UNAVAILABLE, "no policy is in force yet") }
        }
    }

    /// Nobody knows who calls.
    pub(super) fn anonymous() -> Self {
        Self::new(Status::UNAUTHORIZED, "the caller is not authenticated")
            .text("the caller is not authenticated: a verified client certificate or a listed bearer token is needed")
            .field("WWW-Authenticate: Bearer\r\n")
    }

    /// Policy does not let the caller call the hook.
    pub(super) fn denied() -> Self {
        Self { reason: "", ..Self::new(Status::FORBIDDEN, "the policy does not allow this caller to call this hook") }
    }

    pub(super) fn method(allowed: &'static str) -> Self {
        Self::new(Status::METHOD, "a method that the path does not have").field(allowed)
    }

    pub(super) fn path<'p>(path: &str, known: impl Iterator<Item = &'p str>) -> Self {
        let (path, dots) = path.get(..MAX_SHOWN).map_or((path, ""), |path| (path, "…"));
        let mut text = format!("no hook at `{path}{dots}`; there are:");
        for known in known.chain(HEALTH) {
            text.push(' ');
            text.push_str(known);
        }
        Self::new(Status::NOT_FOUND, "a path that no hook has").text(text)
    }

    pub(super) fn media(what: &'static str) -> Self {
        Self::new(Status::MEDIA, what)
    }
}

/// Bytes of an unknown path that are told back.
const MAX_SHOWN: usize = 256;

/// The paths that say how the listener is: that it lives, and that it can judge.
pub(super) const HEALTH: [&str; 2] = ["/healthz", "/readyz"];
