//! The state of one connection: what its callbacks decide, and what is done to the host's buffers.

use std::rc::Rc;

use portcullis_proxylib::{Datapath, Direction, Effects};

use crate::abi::{self, Buffer, CONTINUE, STOP};
use crate::listener::{Listener, now};

/// The state of one connection.
pub(crate) struct Session {
    id: u32,
    root: u32,
    /// None where the listener could not be configured: then nothing passes.
    listener: Option<Rc<Listener>>,
    phase: Phase,
}

enum Phase {
    /// Nothing was read or written yet.
    New,
    Open(Box<Datapath>),
    /// Nothing passes any more. What was sent on in the last event is lost with an immediate close, so that comes with the next
    /// tick.
    Closing,
}

impl Session {
    pub(crate) const fn new(id: u32, root: u32, listener: Option<Rc<Listener>>) -> Self {
        Self { id, root, listener, phase: Phase::New }
    }

    /// The root context that it belongs to.
    pub(crate) const fn root(&self) -> u32 {
        self.root
    }

    /// The connection is there, nothing was read yet.
    pub(crate) fn on_new(&mut self) -> u32 {
        let Some(listener) = &self.listener else {
            self.shut("portcullis_not_configured");
            return STOP;
        };
        listener.stats.opened();
        CONTINUE
    }

    /// Bytes are in the buffer of a direction.
    pub(crate) fn on_data(&mut self, direction: Direction, size: usize, end: bool) -> u32 {
        let buffer = match direction {
            Direction::Orig => Buffer::Downstream,
            Direction::Reply => Buffer::Upstream,
        };
        if matches!(self.phase, Phase::New) {
            self.open();
        }
        let Phase::Open(datapath) = &mut self.phase else {
            if abi::replace(buffer, size, b"").is_err() {
                // Then they stay where they are, and do not go on either.
                self.shut("portcullis_no_buffer");
            }
            return STOP;
        };
        let Ok(mut bytes) = abi::read(buffer, size) else {
            // There is nothing to judge, so nothing passes.
            self.shut("portcullis_no_buffer");
            return STOP;
        };
        let effects = datapath.receive(direction, &[&bytes], end, now());
        let Effects { passed, close, .. } = effects;
        let (own, own_end, others) = match direction {
            Direction::Orig => (effects.to_server, effects.end_to_server, effects.to_client),
            Direction::Reply => (effects.to_client, effects.end_to_client, effects.to_server),
        };
        // The datapath knows that this host cannot do that.
        let impossible = !others.is_empty() || own_end && !end;
        if passed < size || !own.is_empty() {
            bytes.truncate(passed);
            bytes.extend_from_slice(own);
            if abi::replace(buffer, size, &bytes).is_err() {
                self.shut("portcullis_no_buffer");
                return STOP;
            }
        }
        self.report();
        if let Some(kind) = close {
            if bytes.is_empty() {
                self.shut(kind.as_str());
            } else {
                self.defer(kind.as_str());
            }
        } else if impossible {
            self.shut("portcullis_unanswerable");
            return STOP;
        }
        if bytes.is_empty() && !own_end { STOP } else { CONTINUE }
    }

    /// Time has gone by. With the host turned to this connection.
    pub(crate) fn on_tick(&mut self) {
        match &mut self.phase {
            Phase::Open(datapath) => {
                let now = now();
                if datapath.deadline().is_some_and(|deadline| deadline <= now) {
                    let close = datapath.expire(now).close;
                    self.report();
                    if let Some(kind) = close {
                        self.shut(kind.as_str());
                    }
                }
            }
            // A close that did not succeed is asked for again.
            Phase::Closing => _ = abi::close(),
            Phase::New => {}
        }
    }

    /// Whether a tick has anything to do here.
    pub(crate) fn is_due(&self) -> bool {
        match &self.phase {
            Phase::Open(datapath) => datapath.deadline().is_some_and(|deadline| deadline <= now()),
            Phase::Closing => true,
            Phase::New => false,
        }
    }

    /// The connection's end.
    pub(crate) fn on_delete(&mut self) {
        self.end();
        if let Some(listener) = &self.listener {
            listener.stats.closed();
        }
    }

    fn open(&mut self) {
        let Some(listener) = &self.listener else { return self.shut("portcullis_not_configured") };
        match listener.connect(self.id) {
            Ok(mut connection) => {
                connection.forbid_answering();
                self.phase = Phase::Open(Box::new(Datapath::new(connection)));
            }
            Err(turned_away) => self.shut(turned_away.name),
        }
    }

    /// Closes the connection, now.
    fn shut(&mut self, why: &str) {
        self.defer(why);
        // Where the host refuses, the next tick tries again.
        let _ = abi::close();
    }

    /// Lets nothing more pass. The next tick closes.
    fn defer(&mut self, why: &str) {
        abi::log(abi::LOG_DEBUG, &format!("closing connection {}: {why}", self.id));
        self.end();
        self.phase = Phase::Closing;
    }

    /// Ends the parser, and counts what that brought about.
    fn end(&mut self) {
        if let Phase::Open(datapath) = &mut self.phase {
            datapath.close();
            self.report();
        }
        self.phase = Phase::Closing;
        if let Some(listener) = &self.listener {
            listener.show_held();
        }
    }

    /// Tells the host what happened.
    fn report(&mut self) {
        let (Phase::Open(datapath), Some(listener)) = (&mut self.phase, &self.listener) else { return };
        if !datapath.tally().is_empty() {
            listener.stats.count(&datapath.tally().take());
        }
        listener.show_held();
    }
}
