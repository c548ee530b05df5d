//! The statements of one request.

use std::sync::Arc;

use portcullis_proxylib::{Context, Grant};

use super::answer::Code;
use super::cql::{Action, Script};
use super::frame::opcode;
use super::judge::Refused;
use super::prepared::Statement;
use super::request::Request;
use super::rules::Rules;

/// The statements of a request.
#[derive(Default)]
pub(super) struct Statements {
    /// Kept from request to request, so that reading does not allocate.
    pub(super) scripts: Vec<Script>,
    pub(super) entries: Vec<Entry>,
    /// What the entries of a batch name.
    objects: usize,
    /// Scripts in use,
    texts: usize,
    /// and the bytes of text read into them.
    pub(super) read: usize,
}

/// One statement, or text of several.
pub(super) enum Entry {
    Text(usize),
    Known(Arc<Statement>),
}

impl Statements {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.texts = 0;
        self.read = 0;
        self.objects = 0;
    }

    /// Whether the last entry may stand in a batch, as servers have it.
    pub(super) fn check_batch(&mut self) -> Result<(), Refused> {
        let Some(script) = self.entries.last().and_then(|entry| self.script(entry)) else { return Ok(()) };
        if script.is_batch() {
            return Err(Refused::Told(Code::Invalid, "Only INSERT, UPDATE and DELETE are allowed in a batch", ""));
        }
        self.objects = self.objects.saturating_add(script.object_count());
        if self.objects > MAX_OBJECTS {
            return Err(Refused::Told(Code::Invalid, "The batch is too large to be judged", ""));
        }
        Ok(())
    }

    pub(super) fn script<'s>(&'s self, entry: &'s Entry) -> Option<&'s Script> {
        match entry {
            Entry::Text(at) => self.scripts.get(*at),
            Entry::Known(statement) => Some(&statement.script),
        }
    }

    pub(super) fn read(&mut self, text: &[u8]) -> Result<(), Refused> {
        let at = self.texts;
        self.entries.push(Entry::Text(at));
        self.texts = at.saturating_add(1);
        self.read = self.read.saturating_add(text.len());
        if self.scripts.len() <= at {
            self.scripts.push(Script::default());
        }
        let Some(script) = self.scripts.get_mut(at) else { return Err(Refused::Close("too many statements")) };
        script
            .read(text)
            .map_err(|error| Refused::Told(Code::Syntax, "Policy could not read the statement: ", error.reason))
    }

    /// The first script, no larger than it must be.
    pub(super) fn take_first(&self) -> Script {
        self.scripts.first().cloned().unwrap_or_default()
    }

    pub(super) fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.entries.iter().filter_map(|entry| self.script(entry))
    }

    pub(super) fn has_use(&self) -> bool {
        self.scripts().any(|script| script.statements().any(|statement| statement.action == Action::Use))
    }

    /// Whether a text depends on the keyspace. What is prepared has its own.
    pub(super) fn needs_keyspace(&self) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Text(at) => self.scripts.get(*at).is_some_and(Script::needs_keyspace),
            Entry::Known(_) => false,
        })
    }

    /// Whether there is a text in which the server looks for a name in the connection's keyspace when the statement runs,
    /// whatever keyspace the request names (`AuthorizationStatement.maybeCorrectResource`, `DescribeStatement`).
    pub(super) fn resolve_late(&self) -> bool {
        let late = |action| {
            matches!(
                action,
                Action::GrantPermission | Action::RevokePermission | Action::ListPermissions | Action::Describe
            )
        };
        let texts = self.entries.iter().filter_map(|entry| match entry {
            Entry::Text(at) => self.scripts.get(*at),
            Entry::Known(_) => None,
        });
        texts
            .filter(|script| script.needs_keyspace())
            .any(|script| script.statements().any(|statement| late(statement.action)))
    }

    pub(super) fn admit<'c>(
        &self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        opcode: u8,
        keyspace: Option<&str>,
    ) -> Result<Grant<'c>, Refused> {
        let requests = self.requests(opcode, keyspace);
        let mut first = requests.clone();
        match (first.next(), first.next()) {
            (None, _) => Err(Refused::Told(Code::Invalid, "A batch without statements", "")),
            (Some(request), None) => Ok(cx.admit(frame_len, &request)?),
            (Some(_), Some(_)) => Ok(cx.admit_all(frame_len, requests)?),
        }
    }

    pub(super) fn requests<'r>(
        &'r self,
        opcode: u8,
        keyspace: Option<&'r str>,
    ) -> impl Iterator<Item = Request<'r>> + Clone {
        let message = opcode::name(opcode);
        self.entries.iter().flat_map(move |entry| {
            let (script, keyspace) = match entry {
                Entry::Text(at) => (self.scripts.get(*at), keyspace),
                Entry::Known(statement) => (Some(&statement.script), statement.keyspace.as_deref()),
            };
            let prepared = matches!(entry, Entry::Known(_));
            script.into_iter().flat_map(move |script| {
                let batch = opcode == opcode::BATCH || script.is_batch();
                script.statements().map(move |statement| Request { statement, keyspace, message, prepared, batch })
            })
        })
    }
}

/// Objects that the statements of a request name together: each is judged, and a batch may have 65,535 statements.
const MAX_OBJECTS: usize = 1 << 17;
