//! One connection: little more than its parser until the first byte comes.

mod active;
mod feed;
mod queue;
mod stream;

use std::sync::Arc;

use portcullis_proxylib::{Accepted, Direction};

use crate::abi::{FilterResult, InjectBuffer, OpList, Pieces};
use crate::sites::{Sides, Site};

use active::Active;

/// A connection of the host.
pub(crate) struct Connection {
    site: Arc<Site>,
    sides: Sides,
    /// Towards the server, and towards the client.
    inject: [InjectBuffer; 2],
    life: Life,
}

enum Life {
    /// No byte has come.
    Idle(Accepted),
    Active(Box<Active>),
    /// The first byte is being looked at, or a panic of ours has ended it.
    Gone,
}

impl Connection {
    pub(crate) const fn new(site: Arc<Site>, parser: Accepted, sides: Sides, inject: [InjectBuffer; 2]) -> Self {
        Self { site, sides, inject, life: Life::Idle(parser) }
    }

    /// Judges the bytes of one direction: all that the host has and no verdict was given on.
    pub(crate) fn on_data(
        &mut self,
        id: u64,
        direction: Direction,
        end: bool,
        pieces: Pieces<'_>,
        ops: &mut OpList<'_>,
    ) -> FilterResult {
        if let Life::Idle(_) = self.life
            && let Life::Idle(parser) = std::mem::replace(&mut self.life, Life::Gone)
        {
            self.life = Life::Active(Box::new(self.start(id, parser)));
        }
        match &mut self.life {
            Life::Active(active) => active.on_data(direction, end, pieces, ops),
            Life::Idle(_) | Life::Gone => FilterResult::ParserError,
        }
    }

    /// Ends the parser. What it was in the middle of is logged.
    pub(crate) fn close(mut self) {
        if let Life::Active(active) = &mut self.life {
            active.close();
        }
    }

    fn start(&self, id: u64, parser: Accepted) -> Active {
        let meta = self.site.describe(id, &self.sides);
        Active::new(parser.connect(Arc::clone(&self.site.instance), meta), self.inject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With the number that it is found by 96 bytes. Its parser and its place in the table come on top.
        assert!(size_of::<std::sync::Mutex<Option<Connection>>>() <= 88);
    }
}
