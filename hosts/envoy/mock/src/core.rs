//! What the mocked callbacks work on: one connection, as Envoy's side of it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use portcullis_envoy::hooks::CONTINUE;
use portcullis_proxylib::Direction;

use crate::hooks;
use crate::listener::Metrics;

/// What the client's certificate names it; all empty for TLS without one.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// Its URIs.
    pub uris: Vec<Vec<u8>>,
    /// Its DNS names.
    pub dns_names: Vec<Vec<u8>>,
    /// Its subject.
    pub subject: Vec<u8>,
}

/// What has become of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is open.
    Open,
    /// It closes once what is left is flushed.
    Closing,
    /// It is closed.
    Closed,
}

const REMOTE_CLOSE: u32 = 0;
const LOCAL_CLOSE: u32 = 1;
const FLUSH_WRITE: u32 = 0;

/// Envoy's filter object and the connection behind it. Callbacks reach it while a hook runs, hence the cells.
pub(crate) struct Core {
    /// What the module returned for it.
    pub(crate) ours: Cell<*const c_void>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) calls: Arc<Calls>,
    /// What the client has shown, if it speaks TLS.
    pub(crate) certificate: RefCell<Option<Certificate>>,
    /// The buffers, in slices.
    read_buffer: RefCell<Vec<Vec<u8>>>,
    write_buffer: RefCell<Vec<Vec<u8>>>,
    /// Whose buffer may be touched at the moment.
    inside: Cell<Option<Direction>>,
    /// For the server, until the event loop turns.
    upstream: RefCell<(Vec<u8>, bool)>,
    /// What the server has received, and whether it was told the end.
    pub(crate) server: RefCell<(Vec<u8>, bool)>,
    /// What the client has received or will, and whether it was told the end.
    pub(crate) client: RefCell<(Vec<u8>, bool)>,
    /// The last of the client's bytes that it has not read yet.
    unread: Cell<usize>,
    pub(crate) client_reads: Cell<bool>,
    /// The send buffer's limit.
    pub(crate) limit: Cell<usize>,
    above: Cell<bool>,
    /// What the client has sent while reading was disabled.
    socket: RefCell<VecDeque<(Vec<Vec<u8>>, bool)>>,
    pub(crate) read_disabled: Cell<i32>,
    pub(crate) state: Cell<State>,
    pub(crate) closed_with: RefCell<Option<(u32, String)>>,
    pub(crate) metadata: RefCell<BTreeMap<String, String>>,
    /// Whether client and server have closed their sides.
    ended: [Cell<bool>; 2],
    /// Neither side closes when it is told the end.
    pub(crate) stubborn: Cell<bool>,
    /// Hooks are called from within the next injection and the next close.
    pub(crate) reenter: Cell<bool>,
    /// The connection breaks within the next injection.
    pub(crate) fragile: Cell<bool>,
    /// Envoy refuses to show its buffers.
    pub(crate) hide_buffers: Cell<bool>,
    pub(crate) violations: RefCell<Vec<String>>,
}

/// What schedulers have committed.
#[derive(Default)]
pub(crate) struct Calls {
    queue: Mutex<VecDeque<u64>>,
    more: Condvar,
    pub(crate) schedulers: AtomicUsize,
}

impl Calls {
    pub(crate) fn push(&self, id: u64) {
        self.queue.lock().unwrap().push_back(id);
        self.more.notify_all();
    }

    fn pop(&self) -> Option<u64> {
        self.queue.lock().unwrap().pop_front()
    }

    /// Waits until there is a call, however long that takes.
    pub(crate) fn wait(&self) {
        drop(self.more.wait_while(self.queue.lock().unwrap(), |queue| queue.is_empty()).unwrap());
    }
}

impl Core {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Box<Self> {
        Box::new(Self {
            ours: Cell::new(std::ptr::null()),
            metrics,
            calls: Arc::default(),
            certificate: RefCell::default(),
            read_buffer: RefCell::default(),
            write_buffer: RefCell::default(),
            inside: Cell::new(None),
            upstream: RefCell::default(),
            server: RefCell::default(),
            client: RefCell::default(),
            unread: Cell::new(0),
            client_reads: Cell::new(true),
            limit: Cell::new(1 << 20),
            above: Cell::new(false),
            socket: RefCell::default(),
            read_disabled: Cell::new(0),
            state: Cell::new(State::Open),
            closed_with: RefCell::default(),
            metadata: RefCell::default(),
            ended: Default::default(),
            stubborn: Cell::new(false),
            reenter: Cell::new(false),
            fragile: Cell::new(false),
            hide_buffers: Cell::new(false),
            violations: RefCell::default(),
        })
    }

    pub(crate) fn envoy(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    pub(crate) fn violate(&self, what: impl Into<String>) {
        self.violations.borrow_mut().push(what.into());
    }

    /// The client sends, in slices.
    pub(crate) fn receive(&self, pieces: Vec<Vec<u8>>, end: bool) {
        if self.state.get() != State::Open {
            return;
        }
        if end {
            self.side(Direction::Orig).set(true);
        }
        self.socket.borrow_mut().push_back((pieces, end));
        self.read_socket();
    }

    fn read_socket(&self) -> bool {
        let mut any = false;
        while self.read_disabled.get() == 0 && self.state.get() == State::Open {
            let Some((pieces, end)) = self.socket.borrow_mut().pop_front() else { break };
            self.data(Direction::Orig, pieces, end);
            any = true;
        }
        any
    }

    /// Calls the data hook of a direction, and does with the buffer what it answers.
    pub(crate) fn data(&self, direction: Direction, pieces: Vec<Vec<u8>>, end: bool) -> u32 {
        if end {
            self.side(direction).set(true);
        }
        let len = pieces.iter().map(Vec::len).sum();
        let outside = self.inside.replace(Some(direction));
        let before = self.buffer(direction).replace(pieces);
        let (envoy, ours) = (self.envoy(), self.ours.get());
        // SAFETY: the module has made `ours` for this filter, and both are alive.
        let status = unsafe {
            match direction {
                Direction::Orig => hooks::envoy_dynamic_module_on_network_filter_read(envoy, ours, len, end.into()),
                Direction::Reply => hooks::envoy_dynamic_module_on_network_filter_write(envoy, ours, len, end.into()),
            }
        };
        self.inside.set(outside);
        let left = self.buffer(direction).replace(before).concat();
        if self.state.get() != State::Open {
            // What a filter says of a connection that is gone does not matter.
        } else if status == CONTINUE {
            self.pass(direction, &left, end);
        } else if !left.is_empty() {
            self.violate(format!("{} bytes were left in the buffer", left.len()));
        }
        status
    }

    pub(crate) fn buffer(&self, direction: Direction) -> &RefCell<Vec<Vec<u8>>> {
        match direction {
            Direction::Orig => &self.read_buffer,
            Direction::Reply => &self.write_buffer,
        }
    }

    /// Whether the buffer of a direction may be used now.
    pub(crate) fn may_touch(&self, direction: Direction) -> bool {
        let may = self.inside.get() == Some(direction);
        if !may {
            self.violate(format!("the buffer of {direction:?} was used outside of its hook"));
        }
        may
    }

    pub(crate) fn drain(&self, direction: Direction, mut len: usize) -> bool {
        if !self.may_touch(direction) {
            return false;
        }
        let mut buffer = self.buffer(direction).borrow_mut();
        while len > 0 && !buffer.is_empty() {
            let now = len.min(buffer[0].len());
            buffer[0].drain(..now);
            len -= now;
            if buffer[0].is_empty() {
                buffer.remove(0);
            }
        }
        if len > 0 {
            self.violate("more was drained than there is");
        }
        true
    }

    /// Bytes that are past our hooks.
    pub(crate) fn pass(&self, direction: Direction, bytes: &[u8], end: bool) {
        if self.state.get() != State::Open {
            if !bytes.is_empty() {
                self.violate(format!("{} bytes were sent on a connection that is closed", bytes.len()));
            }
            return;
        }
        let target = if direction == Direction::Orig { &self.upstream } else { &self.client };
        let mut target = target.borrow_mut();
        if target.1 && !bytes.is_empty() {
            self.violate("bytes were sent after the end");
        }
        target.0.extend_from_slice(bytes);
        target.1 |= end;
        drop(target);
        if direction == Direction::Reply && !self.client_reads.get() {
            self.unread.set(self.unread.get() + bytes.len());
            self.tell_watermark();
        }
    }

    fn tell_watermark(&self) {
        let above = self.unread.get() > self.limit.get();
        // The low watermark is half of the high one.
        let below = self.unread.get() <= self.limit.get() / 2;
        let (envoy, ours) = (self.envoy(), self.ours.get());
        // SAFETY: as in `data`.
        unsafe {
            if above && !self.above.replace(true) {
                hooks::envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark(envoy, ours);
            } else if below && self.above.replace(false) {
                hooks::envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(envoy, ours);
            }
        }
    }

    /// The client reads what there is for it.
    pub(crate) fn flush_client(&self) {
        self.client_reads.set(true);
        self.unread.set(0);
        self.tell_watermark();
        if self.state.get() == State::Closing {
            self.closed(LOCAL_CLOSE);
        }
    }

    pub(crate) fn close(&self, how: u32, why: &str) {
        if self.state.get() == State::Closed {
            return self.violate(format!("closed again: {why}"));
        }
        self.closed_with.borrow_mut().get_or_insert((how, why.to_owned()));
        if how == FLUSH_WRITE && self.unread.get() > 0 {
            self.state.set(State::Closing);
        } else {
            self.closed(LOCAL_CLOSE);
        }
    }

    /// The client's side is gone, and with it what is still on its way to the server.
    pub(crate) fn closed(&self, event: u32) {
        self.state.set(State::Closed);
        self.upstream.borrow_mut().0.clear();
        self.event(event);
    }

    pub(crate) fn hang_up(&self) {
        if self.state.get() != State::Closed {
            self.closed(REMOTE_CLOSE);
        }
    }

    pub(crate) fn event(&self, event: u32) {
        // SAFETY: as in `data`.
        unsafe { hooks::envoy_dynamic_module_on_network_filter_event(self.envoy(), self.ours.get(), event) }
    }

    fn scheduled(&self, id: u64) {
        // SAFETY: as in `data`.
        unsafe { hooks::envoy_dynamic_module_on_network_filter_scheduled(self.envoy(), self.ours.get(), id) }
    }

    /// Turns the event loop until nothing moves.
    pub(crate) fn run(&self) {
        loop {
            let mut moved = false;
            let (bytes, end) = self.upstream.take();
            if !bytes.is_empty() || end {
                let mut server = self.server.borrow_mut();
                server.0.extend(bytes);
                server.1 |= end;
                moved = true;
            }
            while let Some(id) = self.calls.pop() {
                self.scheduled(id);
                moved = true;
            }
            moved |= self.read_socket();
            moved |= self.answer_end(Direction::Reply, &self.client);
            moved |= self.answer_end(Direction::Orig, &self.server);
            if !moved {
                return;
            }
        }
    }

    /// Sends bytes on past our hooks, as the module asks.
    pub(crate) fn inject(&self, direction: Direction, bytes: &[u8], end: bool) {
        self.reenter_if_told();
        self.pass(direction, bytes, end);
        if self.fragile.replace(false) {
            self.closed(LOCAL_CLOSE);
        }
    }

    /// Who is told the end, and not because the other side has ended, closes too.
    fn answer_end(&self, direction: Direction, told: &RefCell<(Vec<u8>, bool)>) -> bool {
        let unasked = told.borrow().1 && !self.side(direction).get();
        let answer = direction.opposite();
        if !unasked || self.stubborn.get() || self.side(answer).get() || self.state.get() != State::Open {
            return false;
        }
        match direction {
            Direction::Reply => self.receive(Vec::new(), true),
            Direction::Orig => _ = self.data(answer, Vec::new(), true),
        }
        true
    }

    /// Whether the sender of a direction has closed its side.
    fn side(&self, direction: Direction) -> &Cell<bool> {
        let [client, server] = &self.ended;
        match direction {
            Direction::Orig => client,
            Direction::Reply => server,
        }
    }

    /// Does what Envoy does not: calls every hook from within a callback.
    pub(crate) fn reenter_if_told(&self) {
        if !self.reenter.replace(false) {
            return;
        }
        for direction in [Direction::Orig, Direction::Reply] {
            let status = self.data(direction, vec![b"stowaway".to_vec()], false);
            if status == CONTINUE {
                self.violate("a hook that was called from within another let bytes pass");
            }
        }
        self.scheduled(1);
        self.scheduled(77);
        self.event(2);
    }

    pub(crate) fn count_schedulers(&self) -> usize {
        self.calls.schedulers.load(Ordering::Acquire)
    }
}
