//! Records as `cilium.LogEntry`, the protobuf message that the agent reads: field numbers of `cilium/api/accesslog.proto`.

use std::fmt::Write as _;

use portcullis_policy::{Fields, Traffic};
use portcullis_proxylib::{Entry, Meta, Status};

use super::sheet::Sheet;

/// Bytes of a packet at most. The agent reads into 4096 bytes and discards what does not fit
/// (`pkg/envoy/accesslog_server.go`).
pub const MAX_PACKET: usize = 4095;

/// Bytes of one field's value at most, as it is shown: the other fields of a request have room then too.
const MAX_VALUE: usize = 1536;

/// Bytes of a rule's name at most: namespace, policy and path take less.
const MAX_RULE: usize = 768;

/// Bytes of a policy's name at most. The agent gives IP addresses, the longest of which has 45.
const MAX_POLICY_NAME: usize = 256;

/// Bytes at the end of a packet that are for the names of what was cut.
const RESERVE: usize = 256;

/// Names of cut fields that are told; requests have fewer fields.
const MAX_CUT: usize = 8;

/// What all records of a connection have in common, as protobuf. `policy_name` is what Cilium calls the endpoint.
pub(super) fn write_connection(meta: &Meta, policy_name: &str, out: &mut Sheet) {
    out.delimited(&[4 << 3 | 2], |out| out.text(policy_name.as_bytes(), MAX_POLICY_NAME));
    let ingress = meta.traffic == Traffic::Ingress;
    let (source, destination) =
        if ingress { (meta.remote.id, meta.endpoint_id) } else { (meta.endpoint_id, meta.remote.id) };
    out.number(&[6 << 3], source.into());
    for (tag, address) in [(7 << 3 | 2, meta.source), (8 << 3 | 2, meta.destination)] {
        if let Some(address) = address {
            // Rust writes addresses as Go does, which is how the agent reads them: `1.2.3.4:5`, `[2001:db8::1]:5`.
            let _ = out.delimited(&[tag], |out| write!(out, "{address}"));
        }
    }
    out.number(&[15 << 3], ingress.into());
    out.number(&[0x80, 0x01], destination.into());
}

/// Appends a record: what [`write_connection`] wrote, and the rest. `time` is in nanoseconds since 1970.
pub(super) fn write(entry: &Entry<'_>, connection: &[u8], time: u64, out: &mut Sheet) {
    let end = out.len() + MAX_PACKET;
    out.put(connection);
    out.number(&[1 << 3], time);
    // What a watched rule would deny has passed: to the agent, a denial is a request that did not.
    let kind = match entry.status {
        Status::Forwarded | Status::Audited => 0,
        Status::Reply => 1,
        Status::Denied | Status::Error => 2,
    };
    out.number(&[3 << 3], kind);
    if let Some(rule) = entry.rule {
        out.delimited(&[5 << 3 | 2], |out| out.text(rule.name.as_bytes(), MAX_RULE));
    }
    // generic_l7 = 102, with proto = 1 and fields = 2.
    out.delimited(&[0xb2, 0x06], |out| {
        out.delimited(&[1 << 3 | 2], |out| out.put(entry.protocol.as_bytes()));
        // Its length may take one byte more than it has yet.
        let mut map = Map { out, end: end - RESERVE - 1, cut: [""; MAX_CUT] };
        map.status(entry);
        if let Some(described) = entry.fields {
            described.describe(&mut map);
        }
        map.say_what_was_cut();
    });
}

/// Writes the fields of a request, until there is no more room.
struct Map<'a> {
    out: &'a mut Sheet,
    end: usize,
    cut: [&'static str; MAX_CUT],
}

impl Map<'_> {
    /// Why it is denied, and what the agent's three kinds of entries cannot say.
    fn status(&mut self, entry: &Entry<'_>) {
        match entry.status {
            Status::Forwarded | Status::Reply => {}
            Status::Audited => {
                self.text("verdict", entry.status.as_str().as_bytes());
                self.reason(entry.reason);
            }
            Status::Denied => self.reason(entry.reason),
            Status::Error => match entry.reason.strip_prefix("panic: ") {
                // The word that dashboards look for since the library before this one.
                Some(text) => self.list("status", ": ", &mut [&b"Panic"[..], text.as_bytes()].into_iter()),
                None => self.text("status", entry.reason.as_bytes()),
            },
        }
    }

    fn reason(&mut self, reason: &str) {
        if !reason.is_empty() {
            self.text("reason", reason.as_bytes());
        }
    }

    /// One member of the map, if there is room for its name and anything. `write` gets the room for the value and says
    /// whether it was enough.
    fn member(&mut self, name: &'static str, write: impl FnOnce(&mut Sheet, usize) -> bool) {
        let room = self.end.saturating_sub(self.out.len() + name.len() + MEMBER).min(MAX_VALUE);
        let whole = room >= MORE + MIN_VALUE
            && self.out.delimited(&[2 << 3 | 2], |out| {
                out.delimited(&[1 << 3 | 2], |out| out.put(name.as_bytes()));
                out.delimited(&[2 << 3 | 2], |out| write(out, room))
            });
        if !whole && let Some(free) = self.cut.iter_mut().find(|cut| cut.is_empty()) {
            *free = name;
        }
    }

    fn list(&mut self, name: &'static str, separator: &str, values: &mut dyn Iterator<Item = &[u8]>) {
        self.member(name, |out, room| {
            let end = out.len() + room - MORE;
            let (mut first, mut whole, mut hidden) = (true, true, 0);
            for value in &mut *values {
                if out.len() + separator.len() + MIN_VALUE > end {
                    hidden = 1;
                    break;
                }
                if !std::mem::take(&mut first) {
                    out.put(separator.as_bytes());
                }
                whole = out.text(value, end - out.len());
                if !whole {
                    break;
                }
            }
            hidden += values.count() as u64;
            if hidden > 0 {
                out.put(b", ... ");
                out.decimal(hidden);
                out.put(b" more");
            }
            whole && hidden == 0
        });
    }

    fn say_what_was_cut(&mut self) {
        if self.cut.first().is_some_and(|first| first.is_empty()) {
            return;
        }
        self.end += RESERVE;
        let cut = self.cut;
        let mut names = cut.iter().filter(|name| !name.is_empty()).map(|name| name.as_bytes());
        self.list("truncated", ", ", &mut names);
    }
}

impl Fields for Map<'_> {
    fn text(&mut self, name: &'static str, value: &[u8]) {
        let is_near_end = self.out.len() + name.len() + value.len() + MEMBER > self.end;
        if !is_near_end && self.out.pair(name, value) {
            return;
        }
        self.member(name, |out, room| out.text(value, room));
    }

    fn list(&mut self, name: &'static str, values: &mut dyn Iterator<Item = &[u8]>) {
        Self::list(self, name, ", ", values);
    }
}

/// Bytes of a member besides name and value: three tags, a length of one byte for the name and two of two bytes.
const MEMBER: usize = 3 + 1 + 2 * 2;

/// Bytes of `, ... 9999 more`, with as many digits as there are.
const MORE: usize = 6 + 20 + 5;

/// Room for a value that is worth starting it: the mark that it was cut, and some of it.
const MIN_VALUE: usize = 16;
