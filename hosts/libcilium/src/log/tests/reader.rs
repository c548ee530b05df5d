//! The agent's side: a socket that takes packets, and what is in them as an independent decoder reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::net::{self, AddressFamily, RecvFlags, SocketAddrUnix, SocketType};

/// `cilium.LogEntry`, of `cilium/api/accesslog.proto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LogEntry {
    #[prost(uint64, tag = "1")]
    pub(super) timestamp: u64,
    #[prost(enumeration = "EntryType", tag = "3")]
    pub(super) entry_type: i32,
    #[prost(string, tag = "4")]
    pub(super) policy_name: String,
    #[prost(string, tag = "5")]
    pub(super) cilium_rule_ref: String,
    #[prost(uint32, tag = "6")]
    pub(super) source_security_id: u32,
    #[prost(string, tag = "7")]
    pub(super) source_address: String,
    #[prost(string, tag = "8")]
    pub(super) destination_address: String,
    #[prost(bool, tag = "15")]
    pub(super) is_ingress: bool,
    #[prost(uint32, tag = "16")]
    pub(super) destination_security_id: u32,
    #[prost(uint32, tag = "17")]
    pub(super) proxy_id: u32,
    #[prost(message, optional, tag = "102")]
    pub(super) generic_l7: Option<L7LogEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct L7LogEntry {
    #[prost(string, tag = "1")]
    pub(super) proto: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) fields: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
pub(super) enum EntryType {
    Request = 0,
    Response = 1,
    Denied = 2,
}

impl LogEntry {
    pub(super) fn fields(&self) -> &BTreeMap<String, String> {
        &self.generic_l7.as_ref().unwrap().fields
    }
}

/// A socket that the agent listens on.
pub(super) struct Listener(OwnedFd);

/// One connection of a log to it.
pub(super) struct Reader(OwnedFd);

impl Listener {
    pub(super) fn bind(path: &Path) -> Self {
        let socket = net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        net::listen(&socket, 16).unwrap();
        Self(socket)
    }

    /// Waits for a log to connect.
    pub(super) fn accept(&self) -> Reader {
        assert!(readable(&self.0, PATIENCE), "no log connected");
        Reader(net::accept(&self.0).unwrap())
    }
}

impl Reader {
    /// The next entry. It must come, and fit the agent's buffer.
    pub(super) fn next(&self) -> LogEntry {
        self.next_within(PATIENCE).expect("no entry came")
    }

    /// The next entry, if one comes in time.
    pub(super) fn next_within(&self, time: Duration) -> Option<LogEntry> {
        if !readable(&self.0, time) {
            return None;
        }
        let mut buffer = [0; 4096];
        let (len, whole) = net::recv(&self.0, &mut buffer[..], RecvFlags::TRUNC).unwrap();
        assert_eq!(len, whole, "the agent would discard it");
        (len > 0).then(|| LogEntry::decode(&buffer[..len]).unwrap())
    }

    /// How many entries come until none does for a while.
    pub(super) fn drain(&self) -> u64 {
        std::iter::from_fn(|| self.next_within(Duration::from_millis(500))).count() as u64
    }
}

fn readable(socket: &OwnedFd, time: Duration) -> bool {
    let time = Timespec::try_from(time).unwrap();
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&time)).unwrap() > 0
}

const PATIENCE: Duration = Duration::from_secs(20);
