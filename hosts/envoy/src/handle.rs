//! What Envoy holds of one connection, and how its hooks reach the connection's state one at a time.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use portcullis_proxylib::{Direction, Time};

use crate::abi;
use crate::envoy::Filter;
use crate::listener::Listener;
use crate::session::Session;
use crate::waker::{Call, Waker};

/// One connection, as Envoy knows it.
///
/// Envoy may call a hook while another one of ours is calling Envoy. The session is therefore taken out while a hook uses
/// it: the inner hook finds nothing, leaves a note if what it has to say must not be lost, and returns.
pub(crate) struct Handle {
    pub(crate) filter: Filter,
    pub(crate) listener: Arc<Listener>,
    /// Made when the connection is; from then on always there.
    waker: OnceCell<Arc<Waker>>,
    session: Cell<Option<Box<Session>>>,
    /// The connection is closed: nothing may be done to it any more.
    closed: Cell<bool>,
    /// The client's send buffer is too full, as Envoy last said.
    client_full: Cell<bool>,
}

impl Handle {
    pub(crate) fn new(filter: Filter, listener: Arc<Listener>) -> Self {
        Self {
            filter,
            listener,
            waker: OnceCell::new(),
            session: Cell::new(Some(Box::default())),
            closed: Cell::new(false),
            client_full: Cell::new(false),
        }
    }

    /// The connection is there, nothing was read yet.
    pub(crate) fn open(&self) {
        // Behind a filter that answers by itself there is no other to ask for it, and the answers to a client that has said
        // all it has to say would be lost.
        self.filter.enable_half_close();
        let waker = self.waker.get_or_init(|| Arc::new(Waker::new(self.filter.scheduler())));
        self.listener.watch(waker);
        self.listener.stats.opened(self.filter);
        self.listener.show(Some(self.filter));
    }

    /// Bytes are in the buffer of a direction. Returns what the hook answers.
    pub(crate) fn on_data(&self, direction: Direction, len: usize, end: bool) -> u32 {
        self.with_session(|session| session.on_data(self, direction, len, end)).unwrap_or_else(|| {
            // Nothing that we call leads here. If it did, bytes would pass unseen, so they do not pass.
            self.filter.drain(direction, len);
            if !self.is_closed() {
                self.filter.abort("portcullis_reentered");
            }
            abi::STOP
        })
    }

    /// The client's send buffer crossed its limit.
    pub(crate) fn on_watermark(&self, full: bool) {
        self.client_full.set(full);
        // A hook that is under way looks at the note when it is done.
        self.with_session(|_| ());
    }

    /// The connection is closed, by whichever side.
    pub(crate) fn on_close(&self) {
        self.closed.set(true);
        self.with_session(|_| ());
    }

    /// A call that this connection's waker was asked for.
    pub(crate) fn on_call(&self, id: u64) {
        let Some(call) = Call::from_id(id) else { return };
        if let Some(waker) = self.waker.get() {
            waker.arrived(call);
        }
        self.with_session(|session| session.on_call(self, call));
    }

    /// The connection's end: after this Envoy forgets it.
    pub(crate) fn destroy(&self) {
        self.on_close();
        if let Some(waker) = self.waker.get() {
            waker.detach();
            self.listener.stats.closed(self.filter);
            self.listener.show(Some(self.filter));
        }
    }

    /// A hook panicked: its session is lost, and with it the connection.
    pub(crate) fn abandon(&self) {
        self.listener.stats.count_panic(self.filter);
        if !self.is_closed() {
            self.filter.abort("portcullis_panic");
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn is_client_full(&self) -> bool {
        self.client_full.get()
    }

    pub(crate) fn waker(&self) -> Option<&Arc<Waker>> {
        self.waker.get()
    }

    /// Has this connection called back, soon.
    pub(crate) fn call(&self, call: Call) {
        if let Some(waker) = self.waker.get() {
            waker.call(call);
        }
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Time>) {
        if let Some(waker) = self.waker.get() {
            waker.set_deadline(deadline);
        }
    }

    /// Runs something on the session, then sees to what was noted meanwhile. `None` if a hook is under way, or panicked.
    fn with_session<R>(&self, run: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let mut session = self.session.take()?;
        let result = run(&mut session);
        session.settle(self);
        self.session.set(Some(session));
        Some(result)
    }
}
