//! The contexts of a VM, by the host's numbers. A VM has one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use portcullis_proxylib::Registry;

use crate::abi::{self, Buffer};
use crate::http::Exchange;
use crate::listener::{Listener, log_errors};
use crate::session::Session;

/// How often overdue connections are looked for: no close comes later than this.
const TICK: Duration = Duration::from_millis(500);

thread_local! {
    static VM: RefCell<Vm> = RefCell::default();
}

#[derive(Default)]
struct Vm {
    /// Listeners by their root contexts; none of those that are not configured.
    roots: HashMap<u32, Option<Rc<Listener>>>,
    /// What is under way. What a callback is about is taken out meanwhile: closing it makes the host call another.
    streams: HashMap<u32, Option<Stream>>,
}

/// A connection, or a request: as the listener has it.
enum Stream {
    Connection(Box<Session>),
    Request(Box<Exchange>),
}

impl Stream {
    fn new(id: u32, root: u32, listener: Option<Rc<Listener>>) -> Self {
        match listener {
            Some(listener) if listener.is_http => Self::Request(Box::new(Exchange::new(id, root, listener))),
            listener => Self::Connection(Box::new(Session::new(id, root, listener))),
        }
    }

    fn is_due(&self, root: u32) -> bool {
        match self {
            Self::Connection(session) => session.root() == root && session.is_due(),
            Self::Request(exchange) => exchange.root() == root && exchange.is_due(),
        }
    }

    fn on_tick(&mut self) {
        match self {
            Self::Connection(session) => session.on_tick(),
            Self::Request(exchange) => exchange.on_tick(),
        }
    }

    fn on_delete(&mut self) {
        match self {
            Self::Connection(session) => session.on_delete(),
            Self::Request(exchange) => exchange.on_delete(),
        }
    }
}

/// A context was made: a root, which has no parent, or a connection.
pub(crate) fn create(context: u32, parent: u32) {
    VM.with_borrow_mut(|vm| {
        if parent == 0 {
            vm.roots.entry(context).or_default();
        } else {
            let listener = vm.roots.get(&parent).cloned().flatten();
            vm.streams.insert(context, Some(Stream::new(context, parent, listener)));
        }
    });
}

/// A root is configured, for the first time or anew. Returns whether it could be; what was in force stays if not.
pub(crate) fn configure(registry: &'static Registry, root: u32, size: usize) -> bool {
    let Ok(text) = abi::read(Buffer::PluginConfiguration, size) else {
        abi::log(abi::LOG_ERROR, "the host does not show the configuration");
        return false;
    };
    let before = VM.with_borrow(|vm| vm.roots.get(&root).cloned().flatten());
    let listener = match Listener::open(registry, &text, before.as_deref()) {
        Ok(listener) => Rc::new(listener),
        Err(errors) => {
            log_errors(&errors);
            return false;
        }
    };
    if abi::tick_every(TICK).is_err() {
        abi::log(abi::LOG_ERROR, "the host does not tell the time: connections could not be closed in order");
        return false;
    }
    let capabilities = if listener.is_http { crate::http_capabilities() } else { crate::capabilities() };
    for loss in capabilities.losses() {
        abi::log(abi::LOG_DEBUG, &format!("in this host {loss}"));
    }
    if !listener.is_http && registry.find(listener.protocol).is_some_and(|protocol| protocol.stand_in().is_none()) {
        let message = format!("a denied request of `{}` closes its connection in this host", listener.protocol);
        abi::log(abi::LOG_WARN, &message);
    }
    VM.with_borrow_mut(|vm| vm.roots.insert(root, Some(listener)));
    true
}

/// Calls what belongs to a root and has something to do.
pub(crate) fn tick(root: u32) {
    let due: Vec<u32> = VM.with_borrow(|vm| {
        let due = |stream: &Stream| stream.is_due(root);
        vm.streams.iter().filter(|(_, stream)| stream.as_ref().is_some_and(due)).map(|(id, _)| *id).collect()
    });
    for id in due {
        if abi::turn_to(id).is_ok() {
            with_stream(id, |stream| {
                stream.on_tick();
                Some(())
            });
        }
    }
}

/// A context is gone.
pub(crate) fn delete(context: u32) {
    let stream = VM.with_borrow_mut(|vm| {
        vm.roots.remove(&context);
        vm.streams.remove(&context)
    });
    if let Some(Some(mut stream)) = stream {
        stream.on_delete();
    }
}

/// Runs something on a connection. `None` if there is none, or a callback about it is under way.
pub(crate) fn with_session<R>(id: u32, run: impl FnOnce(&mut Session) -> R) -> Option<R> {
    with_stream(id, |stream| match stream {
        Stream::Connection(session) => Some(run(session)),
        Stream::Request(_) => None,
    })
}

/// Runs something on a request. `None` if there is none, or a callback about it is under way.
pub(crate) fn with_exchange<R>(id: u32, run: impl FnOnce(&mut Exchange) -> R) -> Option<R> {
    with_stream(id, |stream| match stream {
        Stream::Connection(_) => None,
        Stream::Request(exchange) => Some(run(exchange)),
    })
}

fn with_stream<R>(id: u32, run: impl FnOnce(&mut Stream) -> Option<R>) -> Option<R> {
    let mut stream = VM.with_borrow_mut(|vm| vm.streams.get_mut(&id).and_then(Option::take))?;
    let result = run(&mut stream);
    let gone = VM.with_borrow_mut(|vm| match vm.streams.get_mut(&id) {
        Some(place) => {
            *place = Some(stream);
            None
        }
        None => Some(stream),
    });
    // It was deleted meanwhile.
    if let Some(mut stream) = gone {
        stream.on_delete();
    }
    result
}
