//! A reply as it passes, for a protocol that looks at the replies to what it has let on.

use portcullis_proxylib::{Datapath, Direction};

use super::head::{self, CHUNK_END, LAST_CHUNK};
use crate::listener::now;

/// A reply that somebody looks at.
pub(crate) struct Reply {
    pub(crate) datapath: Datapath,
    /// The head was shown, and a body follows.
    in_body: bool,
}

impl Reply {
    pub(crate) const fn new(datapath: Datapath) -> Self {
        Self { datapath, in_body: false }
    }

    /// Shows the head. `is_whole` says that no body follows.
    pub(crate) fn begin(&mut self, head: &[u8], is_whole: bool) {
        self.in_body = !is_whole;
        self.show(&[head]);
    }

    /// Shows more of the body, and whether it ends.
    pub(crate) fn add(&mut self, bytes: &[u8], is_last: bool) {
        if !self.in_body {
            return;
        }
        if let Some(line) = head::begin_chunk(bytes.len()) {
            self.show(&[line.as_bytes(), bytes, CHUNK_END]);
        }
        if is_last {
            self.in_body = false;
            self.show(&[LAST_CHUNK]);
        }
    }

    /// Whether nobody wants to see more.
    pub(crate) fn is_over(&mut self) -> bool {
        !self.datapath.owes_replies()
    }

    fn show(&mut self, pieces: &[&[u8]]) {
        // It has passed already, whatever is thought of it.
        let _ = self.datapath.receive(Direction::Reply, pieces, false, now());
    }
}
