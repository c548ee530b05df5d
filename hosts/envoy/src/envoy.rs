//! Envoy's side of a connection and of a configuration, as handles that are safe to use.

use std::ffi::c_void;
use std::net::{IpAddr, SocketAddr};

use portcullis_policy::Certificate;
use portcullis_proxylib::Direction;

use crate::abi::{self, Buf};

/// Slices of a buffer that are gathered without allocating: 128 KiB, what Envoy reads at a time.
const SLICES: usize = 8;

/// Writes a line to Envoy's log.
pub(crate) fn log(level: u32, text: &str) {
    let line = format!("portcullis: {text}");
    // SAFETY: may be called from any thread; Envoy copies the text.
    unsafe { abi::log(level, Buf::of(line.as_bytes())) }
}

/// Whether Envoy only checks its configuration, and will not serve it. On the main thread.
pub(crate) fn is_validating() -> bool {
    // SAFETY: asks for a state of the process.
    unsafe { abi::is_validation_mode() != 0 }
}

/// Envoy's filter object: one connection.
///
/// Lives from the `new` hook to the end of the `destroy` hook, and belongs to one worker thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter(*mut c_void);

impl Filter {
    /// The filter that a hook was given.
    ///
    /// # Safety
    /// It must be alive whenever the handle is used, and used on its own thread.
    pub(crate) const unsafe fn new(filter: *mut c_void) -> Self {
        Self(filter)
    }

    /// Shows the slices of the buffer that the hook at hand is about, if Envoy has them.
    ///
    /// Only inside the read hook for the read buffer, and inside the write hook for the other: elsewhere Envoy's pointer
    /// to the buffer may dangle.
    pub(crate) fn with_slices<R>(self, direction: Direction, look: impl FnOnce(&[&[u8]]) -> R) -> Option<R> {
        type Callbacks = (unsafe fn(*mut c_void) -> usize, unsafe fn(*mut c_void, *mut Buf) -> u8);
        let (size, fill): Callbacks = match direction {
            Direction::Orig => (abi::read_chunks_size, abi::read_chunks),
            Direction::Reply => (abi::write_chunks_size, abi::write_chunks),
        };
        // SAFETY: the filter is alive, and the buffer is the one of the hook at hand.
        let count = unsafe { size(self.0) };
        let mut few = [Buf::EMPTY; SLICES];
        let mut many = Vec::new();
        let found = match few.get_mut(..count) {
            Some(few) => few,
            None => {
                many.resize(count, Buf::EMPTY);
                &mut many[..]
            }
        };
        // SAFETY: as above, and there is room for as many slices as Envoy has just said there are.
        if count > 0 && unsafe { fill(self.0, found.as_mut_ptr()) } == 0 {
            return None;
        }
        // SAFETY: the slices stay as they are until the buffer is drained or added to, which does not happen in `look`:
        // it gets no handle to do so, and we are on the only thread that may.
        let slice = |buf: &Buf| unsafe { buf.bytes() };
        let mut few: [&[u8]; SLICES] = [&[]; SLICES];
        Some(match few.get_mut(..count) {
            Some(pieces) => {
                pieces.iter_mut().zip(found.iter()).for_each(|(piece, buf)| *piece = slice(buf));
                look(pieces)
            }
            None => look(&found.iter().map(slice).collect::<Vec<_>>()),
        })
    }

    /// Takes bytes from the front of the buffer that the hook at hand is about.
    pub(crate) fn drain(self, direction: Direction, len: usize) {
        if len > 0 {
            // SAFETY: the filter is alive, and the buffer is the one of the hook at hand.
            unsafe {
                match direction {
                    Direction::Orig => abi::drain_read(self.0, len),
                    Direction::Reply => abi::drain_write(self.0, len),
                };
            }
        }
    }

    /// Adds bytes to the end of the buffer that the hook at hand is about.
    pub(crate) fn append(self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            // SAFETY: the filter is alive, the buffer is the one of the hook at hand, and Envoy copies the bytes.
            unsafe {
                match direction {
                    Direction::Orig => abi::append_read(self.0, Buf::of(bytes)),
                    Direction::Reply => abi::append_write(self.0, Buf::of(bytes)),
                };
            }
        }
    }

    /// Sends bytes on in a direction, past our own hooks. May call the watermark and event hooks before it returns.
    pub(crate) fn inject(self, direction: Direction, bytes: &[u8], end: bool) {
        if !bytes.is_empty() || end {
            // SAFETY: the filter is alive; Envoy copies the bytes; nothing of ours is borrowed that a hook could reach.
            unsafe {
                match direction {
                    Direction::Orig => abi::inject_read(self.0, Buf::of(bytes), u8::from(end)),
                    Direction::Reply => abi::inject_write(self.0, Buf::of(bytes), u8::from(end)),
                }
            }
        }
    }

    /// Closes the connection once what was sent to the client is flushed. May call the event hook before it returns.
    pub(crate) fn close(self, why: &str) {
        // SAFETY: the filter is alive; Envoy copies the reason.
        unsafe { abi::close(self.0, abi::CLOSE_FLUSH_WRITE, Buf::of(why.as_bytes())) }
    }

    /// Closes the connection at once. Calls the event hook before it returns.
    pub(crate) fn abort(self, why: &str) {
        // SAFETY: the filter is alive; Envoy copies the reason.
        unsafe { abi::close(self.0, abi::CLOSE_NO_FLUSH, Buf::of(why.as_bytes())) }
    }

    /// Stops or starts reading from the client. Envoy counts: each stop needs a start.
    pub(crate) fn stop_reading(self, stop: bool) {
        // SAFETY: the filter is alive and, the caller sees to it, the connection open.
        unsafe { abi::read_disable(self.0, u8::from(stop)) };
    }

    /// Keeps the connection open when only one side has closed its half, as `tcp_proxy` has it, too.
    pub(crate) fn enable_half_close(self) {
        // SAFETY: the filter is alive, and so is its connection when it is made.
        unsafe { abi::enable_half_close(self.0, 1) }
    }

    pub(crate) fn connection_id(self) -> u64 {
        // SAFETY: the filter is alive.
        unsafe { abi::connection_id(self.0) }
    }

    /// Who opened the connection: behind a proxy protocol, whom that names.
    pub(crate) fn source(self) -> Option<SocketAddr> {
        self.address(abi::remote_address)
    }

    /// Whom it was opened to: after a redirect, the address that was meant.
    pub(crate) fn destination(self) -> Option<SocketAddr> {
        self.address(abi::local_address)
    }

    fn address(self, ask: unsafe fn(*mut c_void, *mut Buf, *mut u32) -> u8) -> Option<SocketAddr> {
        let mut text = Buf::EMPTY;
        let mut port = 0;
        // SAFETY: the filter is alive, and there is room for both answers.
        if unsafe { ask(self.0, &raw mut text, &raw mut port) } == 0 {
            return None;
        }
        // SAFETY: the text belongs to the connection's address; it is read before anything else is called.
        let text = std::str::from_utf8(unsafe { text.bytes() }).ok()?;
        let address: IpAddr = text.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), u16::try_from(port).ok()?))
    }

    /// What the certificate of a TLS client says of it; `None` without one, and for one that names nobody. Before the
    /// handshake there is none. Envoy does not say whether it has verified it.
    pub(crate) fn certificate(self) -> Option<Certificate> {
        // SAFETY: the filter is alive.
        if unsafe { abi::is_ssl(self.0) } == 0 {
            return None;
        }
        let uris = self.names(abi::uri_names_size, abi::uri_names);
        let dns_names = self.names(abi::dns_names_size, abi::dns_names);
        let mut buf = Buf::EMPTY;
        // SAFETY: the filter is alive, and there is room for the answer.
        let known = unsafe { abi::subject(self.0, &raw mut buf) } != 0;
        // SAFETY: the text belongs to the connection; it is read before anything else is called.
        let subject = known.then(|| String::from_utf8_lossy(unsafe { buf.bytes() }).into_owned());
        let named = !uris.is_empty() || !dns_names.is_empty() || subject.as_ref().is_some_and(|name| !name.is_empty());
        named.then(|| Certificate::new(uris, dns_names, subject))
    }

    /// The names of one kind. What is no UTF-8 gets characters that no name in a policy has.
    fn names(self, size: unsafe fn(*mut c_void) -> usize, fill: unsafe fn(*mut c_void, *mut Buf) -> u8) -> Vec<String> {
        // SAFETY: the filter is alive.
        let mut names = vec![Buf::EMPTY; unsafe { size(self.0) }];
        // SAFETY: the filter is alive, and there is room for as many names as Envoy has just said there are.
        if names.is_empty() || unsafe { fill(self.0, names.as_mut_ptr()) } == 0 {
            return Vec::new();
        }
        // SAFETY: the names belong to the connection; they are read before anything else is called.
        names.iter().map(|name| String::from_utf8_lossy(unsafe { name.bytes() }).into_owned()).collect()
    }

    pub(crate) fn set_metadata(self, key: &str, value: &str) {
        const NAMESPACE: &str = "portcullis";
        let [namespace, key, value] = [NAMESPACE, key, value].map(|text| Buf::of(text.as_bytes()));
        // SAFETY: the filter is alive; Envoy copies all three.
        unsafe { abi::set_metadata(self.0, namespace, key, value) }
    }

    pub(crate) fn count(self, counter: usize, by: u64) {
        // SAFETY: the filter is alive; an id that Envoy does not know is refused by it.
        unsafe { abi::increment_counter(self.0, counter, by) };
    }

    pub(crate) fn set_gauge(self, gauge: usize, value: u64) {
        // SAFETY: as for `count`.
        unsafe { abi::set_gauge(self.0, gauge, value) };
    }

    pub(crate) fn raise_gauge(self, gauge: usize) {
        // SAFETY: as for `count`.
        unsafe { abi::increment_gauge(self.0, gauge, 1) };
    }

    pub(crate) fn lower_gauge(self, gauge: usize) {
        // SAFETY: as for `count`.
        unsafe { abi::decrement_gauge(self.0, gauge, 1) };
    }

    pub(crate) fn record(self, histogram: usize, value: u64) {
        // SAFETY: as for `count`.
        unsafe { abi::record_histogram_value(self.0, histogram, value) };
    }

    pub(crate) fn scheduler(self) -> Scheduler {
        // SAFETY: the filter is alive, and we are on its worker.
        Scheduler(unsafe { abi::scheduler_new(self.0) })
    }
}

/// Calls the scheduled hook of one connection, from any thread. Must be dropped before the connection's worker ends.
#[derive(Debug)]
pub(crate) struct Scheduler(*mut c_void);

// SAFETY: Envoy's scheduler is made to be used from other threads than the worker's.
unsafe impl Send for Scheduler {}

impl Scheduler {
    pub(crate) fn commit(&self, event: u64) {
        // SAFETY: the scheduler is alive; once the connection is gone this does nothing.
        unsafe { abi::scheduler_commit(self.0, event) }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used after this.
        unsafe { abi::scheduler_delete(self.0) }
    }
}

/// Envoy's configuration object. Lives from the `config_new` hook to the end of `config_destroy`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config(*mut c_void);

// SAFETY: what is called on it after it is made, the metrics, are atomics in Envoy.
unsafe impl Send for Config {}
// SAFETY: as above.
unsafe impl Sync for Config {}

impl Config {
    /// The configuration that a hook was given.
    ///
    /// # Safety
    /// It must be alive whenever the handle is used.
    pub(crate) const unsafe fn new(config: *mut c_void) -> Self {
        Self(config)
    }

    /// Defines a counter. Only in `config_new`.
    pub(crate) fn define_counter(self, name: &str) -> Option<usize> {
        self.define(abi::define_counter, name)
    }

    /// Defines a gauge. Only in `config_new`.
    pub(crate) fn define_gauge(self, name: &str) -> Option<usize> {
        self.define(abi::define_gauge, name)
    }

    /// Defines a histogram. Only in `config_new`.
    pub(crate) fn define_histogram(self, name: &str) -> Option<usize> {
        self.define(abi::define_histogram, name)
    }

    fn define(self, how: unsafe fn(*mut c_void, Buf, *mut usize) -> u32, name: &str) -> Option<usize> {
        let mut id = 0;
        // SAFETY: the configuration is alive, Envoy copies the name, and there is room for the id.
        let answer = unsafe { how(self.0, Buf::of(name.as_bytes()), &raw mut id) };
        (answer == abi::METRICS_OK).then_some(id)
    }

    /// Changes metrics without a connection, where this Envoy can.
    pub(crate) fn metrics(self) -> Option<ConfigMetrics> {
        abi::optional().config_metrics.map(|metrics| ConfigMetrics { config: self, metrics })
    }
}

/// Metrics that need no connection.
#[derive(Clone, Copy)]
pub(crate) struct ConfigMetrics {
    config: Config,
    metrics: abi::ConfigMetrics,
}

impl ConfigMetrics {
    pub(crate) fn count(self, counter: usize, by: u64) {
        // SAFETY: the configuration is alive; an id that Envoy does not know is refused by it.
        unsafe { (self.metrics.increment_counter)(self.config.0, counter, by) };
    }

    pub(crate) fn set_gauge(self, gauge: usize, value: u64) {
        // SAFETY: as for `count`.
        unsafe { (self.metrics.set_gauge)(self.config.0, gauge, value) };
    }
}
