//! What was seen: who asked what of whom.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use portcullis_policy::{Fields, Identity, KnownBy, Labels, Snapshot, Traffic};
use portcullis_proxylib::{Asked, Entry, Meta};

use super::lesson::Lesson;
use super::patterns::Names;
use crate::accesslog::{Record, Value, address_of};
use crate::commands::replay::follow::{Counts, Ear, Known};

/// Labels by their keys, with their sources.
pub(super) type LabelMap = BTreeMap<String, String>;

/// Whose policy, and for which connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) endpoint: LabelMap,
    pub(super) egress: bool,
    pub(super) port: u16,
}

/// A peer, as a rule can name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    /// The field of `fromPeers`, and the name.
    Certificate(&'static str, String),
    Labels(LabelMap),
    Entity(String),
    Address(IpAddr),
}

/// What a peer did: names by word.
pub(super) type Uses = BTreeMap<String, Names>;

/// All that was seen.
pub(super) struct Observed {
    lesson: &'static Lesson,
    /// Names side by side before they become a prefix.
    pub(super) most: usize,
    pub(super) seen: BTreeMap<Place, BTreeMap<Peer, Uses>>,
    pub(super) requests: u64,
    /// Requests that were denied, or refused by the parser.
    pub(super) left_out: u64,
    /// Requests of which the log does not show all keys.
    pub(super) not_shown: u64,
    /// Requests whose command may do several things, and the log does not say which.
    pub(super) unclear: u64,
    /// Requests of nobody a rule could name.
    pub(super) nameless: u64,
    /// Tells which words a request needs, one policy for each word that lacks just it.
    pub(super) probes: Vec<(&'static str, Snapshot)>,
}

impl Observed {
    pub(super) fn new(lesson: &'static Lesson, most: usize) -> Self {
        Self {
            lesson,
            most,
            seen: BTreeMap::new(),
            requests: 0,
            left_out: 0,
            not_shown: 0,
            unclear: 0,
            nameless: 0,
            probes: Vec::new(),
        }
    }

    fn add(&mut self, place: Place, peer: Peer, words: &[String], objects: &Objects) {
        self.requests = self.requests.saturating_add(1);
        let uses = self.seen.entry(place).or_default().entry(peer).or_default();
        for word in words {
            let names = uses.entry(word.clone()).or_default();
            if objects.0.is_empty() {
                names.add_nothing();
            }
            objects.0.iter().for_each(|(name, whole)| names.add(name, *whole, self.most));
        }
    }

    /// Takes a record of a log.
    pub(super) fn record(&mut self, record: &Record<'_>, endpoint: &LabelMap) {
        let Some(peer) = peer_of(record) else {
            self.nameless = self.nameless.saturating_add(1);
            return;
        };
        let place = Place { endpoint: endpoint.clone(), egress: &*record.direction == "egress", port: record.port };
        let mut objects = Objects::default();
        for (name, value) in record.fields.iter() {
            let hidden = name.strip_suffix("NotShown").is_some_and(|name| self.lesson.objects.contains(&name));
            self.not_shown = self.not_shown.saturating_add(u64::from(hidden));
            if !self.lesson.objects.contains(&name) {
                continue;
            }
            match value {
                Value::Text(text) => objects.add_logged(text),
                Value::List(texts) => {
                    for text in texts {
                        if is_more(text.as_bytes()) {
                            self.not_shown = self.not_shown.saturating_add(1);
                        } else {
                            objects.add_logged(text);
                        }
                    }
                }
                Value::Number(_) => {}
            }
        }
        let mut roles = Roles::default();
        for (_, value) in record.fields.iter().filter(|(name, _)| self.lesson.roles == Some(name)) {
            match value {
                Value::Text(text) => roles.add(text.as_bytes()),
                Value::List(texts) => texts.iter().for_each(|text| roles.add(text.as_bytes())),
                Value::Number(_) => {}
            }
        }
        let command = record.command();
        let words = (self.lesson.needs)(command);
        self.unclear = self.unclear.saturating_add(u64::from(words.len() > 1));
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let words = if words.is_empty() { vec![command.to_owned()] } else { words };
        let words = Lesson::with_roles(words, &roles.known());
        self.add(place, peer, &words, &objects);
    }
}

impl Ear for Observed {
    fn request(&mut self, known: &Known, counts: &mut Counts, _passed: bool, request: &dyn Asked) {
        counts.allowed = counts.allowed.saturating_add(1);
        let mut heard = HeardFields {
            lesson: self.lesson,
            command: String::new(),
            objects: Objects::default(),
            roles: Roles::default(),
            not_shown: false,
        };
        request.fields().describe(&mut heard);
        let HeardFields { command, objects, roles, not_shown, .. } = heard;
        self.not_shown = self.not_shown.saturating_add(u64::from(not_shown));
        let known_words = (self.lesson.needs)(&command);
        let words = match known_words.as_slice() {
            [] => vec![command],
            [word] => vec![(*word).to_owned()],
            // What is denied where just this word is missing needs it.
            _ => {
                let probes = self.probes.iter().zip(&known.views);
                let needed = probes.filter(|((_, probe), view)| {
                    request.judge(probe, view).outcome == portcullis_policy::Outcome::Deny
                });
                needed.map(|((word, _), _)| (*word).to_owned()).collect()
            }
        };
        let words = Lesson::with_roles(words, &roles.known());
        let Meta { endpoint, traffic, remote, port, .. } = &known.meta;
        let place = Place { endpoint: label_map(endpoint), egress: *traffic == Traffic::Egress, port: *port };
        match peer_of_identity(remote) {
            Some(peer) => self.add(place, peer, &words, &objects),
            None => self.nameless = self.nameless.saturating_add(1),
        }
    }

    fn refused(&mut self, _known: &Known, _entry: &Entry<'_>) {
        self.left_out = self.left_out.saturating_add(1);
    }
}

/// Names of what a request is about, and whether they are whole.
#[derive(Debug, Default)]
struct Objects(Vec<(Vec<u8>, bool)>);

impl Objects {
    /// A name from the log: cut at 256 bytes, and bytes that are no text written by number.
    fn add_logged(&mut self, text: &str) {
        let escaped = |at: usize| {
            text.get(at..at.saturating_add(4))
                .is_some_and(|code| code.bytes().skip(2).all(|digit| digit.is_ascii_hexdigit()))
        };
        let doubtful = text.match_indices("\\x").map(|(at, _)| at).find(|at| escaped(*at));
        let cut = text.strip_suffix("...").filter(|kept| kept.len() >= LOGGED);
        let (name, whole) = match (doubtful, cut) {
            (Some(at), _) => (text.get(..at).unwrap_or_default(), false),
            (None, Some(kept)) => (kept, false),
            (None, None) => (text, true),
        };
        self.0.push((name.as_bytes().to_vec(), whole));
    }
}

/// Bytes after which the log cuts a value.
const LOGGED: usize = 250;

struct HeardFields {
    lesson: &'static Lesson,
    command: String,
    objects: Objects,
    roles: Roles,
    /// Whether there are more objects than are told.
    not_shown: bool,
}

impl Fields for HeardFields {
    fn text(&mut self, name: &'static str, value: &[u8]) {
        if self.command.is_empty() {
            self.command = String::from_utf8_lossy(value).into_owned();
        } else if self.lesson.objects.contains(&name) {
            self.objects.0.push((value.to_vec(), true));
        } else if self.lesson.roles == Some(name) {
            self.roles.add(value);
        }
    }

    fn list(&mut self, name: &'static str, values: &mut dyn Iterator<Item = &[u8]>) {
        if self.lesson.objects.contains(&name) {
            for value in values {
                if is_more(value) {
                    self.not_shown = true;
                } else {
                    self.objects.0.push((value.to_vec(), true));
                }
            }
        } else if self.lesson.roles == Some(name) {
            values.for_each(|value| self.roles.add(value));
        }
    }
}

/// The roles that a request is about.
#[derive(Debug, Default)]
struct Roles {
    names: Vec<Vec<u8>>,
    /// Some of them are not told, or not as they are.
    unclear: bool,
}

impl Roles {
    fn add(&mut self, name: &[u8]) {
        self.unclear |= is_more(name) || name.len() >= LOGGED || name.contains(&b'\\');
        self.names.push(name.to_vec());
    }

    /// All of them, or none if they cannot be told.
    fn known(self) -> Vec<Vec<u8>> {
        if self.unclear { Vec::new() } else { self.names }
    }
}

/// Whether this stands for names of which there is no room: a name of Cassandra has no spaces.
fn is_more(name: &[u8]) -> bool {
    let count = name.strip_prefix(b"and ").and_then(|rest| rest.strip_suffix(b" more"));
    count.is_some_and(|count| !count.is_empty() && count.iter().all(u8::is_ascii_digit))
}

pub(super) fn label_map(labels: &Labels) -> LabelMap {
    let key = |label: &portcullis_policy::Label| match label.source.as_str() {
        "" => label.key.clone(),
        source => format!("{source}:{}", label.key),
    };
    labels.iter().map(|label| (key(label), label.value.clone())).collect()
}

fn peer_of_identity(identity: &Identity) -> Option<Peer> {
    match (&identity.known_by, identity.address) {
        (KnownBy::Nothing, Some(address)) => Some(Peer::Address(address.to_canonical())),
        _ => peer_of_labels(label_map(&identity.labels)),
    }
}

fn peer_of(record: &Record<'_>) -> Option<Peer> {
    let known_by = record.remote.known_by.as_deref().unwrap_or_default();
    if let Some(name) = record.remote.name.as_deref().filter(|_| known_by == "tls") {
        let field = match name {
            name if name.starts_with("spiffe://") => "spiffe",
            name if name.contains('=') => "subject",
            _ => "dnsName",
        };
        return Some(Peer::Certificate(field, name.to_owned()));
    }
    let address = record.peer_address();
    if known_by == "nothing"
        && let Some(address) = address
    {
        let parsed = address.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| address_of(address).parse());
        return parsed.ok().map(|address| Peer::Address(address.to_canonical()));
    }
    let labels = record.remote.labels.texts().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    peer_of_labels(labels)
}

fn peer_of_labels(labels: LabelMap) -> Option<Peer> {
    let entity = labels.keys().find_map(|key| key.strip_prefix("reserved:"));
    match entity {
        Some(entity) => Some(Peer::Entity(entity.to_owned())),
        None if labels.is_empty() => None,
        None => Some(Peer::Labels(labels)),
    }
}
