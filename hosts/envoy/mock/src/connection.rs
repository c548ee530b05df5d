//! A connection through the module under test, as client and server see it.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;

use portcullis_envoy::hooks::CONTINUE;
use portcullis_proxylib::Direction;

use crate::core::{Certificate, Core, State};
use crate::hooks;
use crate::listener::Metrics;

/// A connection from a client through the module to a server.
pub struct Connection {
    core: Box<Core>,
    gone: bool,
}

impl Connection {
    pub(crate) fn open(module: *const c_void, metrics: Arc<Metrics>) -> Self {
        let core = Core::new(metrics);
        // SAFETY: the module is configured, and the filter lives until after `destroy`.
        let status = unsafe {
            core.ours.set(hooks::envoy_dynamic_module_on_network_filter_new(module, core.envoy()));
            assert!(!core.ours.get().is_null(), "the module refuses the connection");
            hooks::envoy_dynamic_module_on_network_filter_new_connection(core.envoy(), core.ours.get())
        };
        // With tcp_proxy behind the filter, any other answer stops the connection for good.
        assert_eq!(status, CONTINUE);
        core.event(2);
        Self { core, gone: false }
    }

    /// The client speaks TLS, and has shown this certificate.
    pub fn show(&self, certificate: Certificate) -> &Self {
        self.core.certificate.replace(Some(certificate));
        self
    }

    /// The client sends bytes; then the event loop turns.
    pub fn client(&self, bytes: &[u8]) -> &Self {
        self.client_pieces(&[bytes])
    }

    /// The client sends bytes that Envoy has in these slices.
    pub fn client_pieces(&self, pieces: &[&[u8]]) -> &Self {
        self.core.receive(to_vecs(pieces), false);
        self.run()
    }

    /// The client sends bytes and closes its side, in one event.
    pub fn client_last(&self, bytes: &[u8]) -> &Self {
        self.core.receive(to_vecs(&[bytes]), true);
        self.run()
    }

    /// The server sends bytes; then the event loop turns.
    pub fn server(&self, bytes: &[u8]) -> &Self {
        self.server_pieces(&[bytes])
    }

    /// The server sends bytes that Envoy has in these slices.
    pub fn server_pieces(&self, pieces: &[&[u8]]) -> &Self {
        self.serve(pieces, false)
    }

    /// The server sends bytes and closes its side, in one event.
    pub fn server_last(&self, bytes: &[u8]) -> &Self {
        self.serve(&[bytes], true)
    }

    fn serve(&self, pieces: &[&[u8]], end: bool) -> &Self {
        if self.core.state.get() == State::Open {
            self.core.data(Direction::Reply, to_vecs(pieces), end);
        }
        self.run()
    }

    /// The client no longer reads. Envoy's buffer for it has this limit.
    pub fn stop_client_reading(&self, limit: usize) -> &Self {
        self.core.limit.set(limit);
        self.core.client_reads.set(false);
        self
    }

    /// The client reads all there is for it; then the event loop turns.
    pub fn let_client_read(&self) -> &Self {
        self.core.flush_client();
        self.run()
    }

    /// Neither side closes when it is told the end, as it does otherwise.
    pub fn stubborn(&self) -> &Self {
        self.core.stubborn.set(true);
        self
    }

    /// The client is gone.
    pub fn hang_up(&self) -> &Self {
        self.core.hang_up();
        self.run()
    }

    /// Turns the event loop until nothing moves.
    pub fn run(&self) -> &Self {
        self.core.run();
        self
    }

    /// Waits for the module to call this connection from another thread, then turns the event loop.
    pub fn wait(&self) -> &Self {
        self.core.calls.wait();
        self.run()
    }

    /// Calls every hook from within the next injection or close.
    pub fn reenter(&self) -> &Self {
        self.core.reenter.set(true);
        self
    }

    /// Breaks within the next injection, as when the server cannot be reached.
    pub fn break_on_injection(&self) -> &Self {
        self.core.fragile.set(true);
        self
    }

    /// Shows no buffers any more.
    pub fn hide_buffers(&self) -> &Self {
        self.core.hide_buffers.set(true);
        self
    }

    /// What the server has received.
    pub fn to_server(&self) -> Vec<u8> {
        self.core.server.borrow().0.clone()
    }

    /// What was sent to the client.
    pub fn to_client(&self) -> Vec<u8> {
        self.core.client.borrow().0.clone()
    }

    /// Whether the server was told that no more will come.
    pub fn server_was_told_end(&self) -> bool {
        self.core.server.borrow().1
    }

    /// Whether the client was told that no more will come.
    pub fn client_was_told_end(&self) -> bool {
        self.core.client.borrow().1
    }

    /// Whether the module has stopped reading from the client.
    pub fn reading_stopped(&self) -> bool {
        self.core.read_disabled.get() > 0
    }

    /// What has become of the client's side.
    pub fn state(&self) -> State {
        self.core.state.get()
    }

    /// The reason that the module gave for closing.
    pub fn closed_with(&self) -> Option<String> {
        self.core.closed_with.borrow().as_ref().map(|(_, why)| why.clone())
    }

    /// The dynamic metadata, by `namespace.key`.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.core.metadata.borrow().clone()
    }

    /// What the module did that Envoy forbids.
    pub fn violations(&self) -> Vec<String> {
        self.core.violations.borrow().clone()
    }

    /// Ends the connection, whatever its state.
    ///
    /// # Panics
    /// The module did what Envoy forbids, or left something behind.
    pub fn finish(mut self) {
        self.destroy();
        assert_eq!(self.violations(), Vec::<String>::new());
        assert_eq!(self.core.count_schedulers(), 0, "schedulers left behind");
    }

    fn destroy(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            self.core.hang_up();
            // SAFETY: made by `new`, destroyed once, outside of all hooks.
            unsafe { hooks::envoy_dynamic_module_on_network_filter_destroy(self.core.ours.get()) }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.destroy();
    }
}

fn to_vecs(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect()
}
