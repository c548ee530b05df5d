//! The contexts of a VM, by the host's numbers. A VM has one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use portcullis_proxylib::Registry;

use crate::abi::{self, Buffer};
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
    /// Connections. One that a callback is about is taken out meanwhile: closing it makes the host call another.
    sessions: HashMap<u32, Option<Box<Session>>>,
}

/// A context was made: a root, which has no parent, or a connection.
pub(crate) fn create(context: u32, parent: u32) {
    VM.with_borrow_mut(|vm| {
        if parent == 0 {
            vm.roots.entry(context).or_default();
        } else {
            let listener = vm.roots.get(&parent).cloned().flatten();
            vm.sessions.insert(context, Some(Box::new(Session::new(context, parent, listener))));
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
    for loss in crate::capabilities().losses() {
        abi::log(abi::LOG_DEBUG, &format!("in this host {loss}"));
    }
    if registry.find(listener.protocol).is_some_and(|protocol| protocol.stand_in().is_none()) {
        let message = format!("a denied request of `{}` closes its connection in this host", listener.protocol);
        abi::log(abi::LOG_WARN, &message);
    }
    VM.with_borrow_mut(|vm| vm.roots.insert(root, Some(listener)));
    true
}

/// Calls the connections of a root that have something to do.
pub(crate) fn tick(root: u32) {
    let due: Vec<u32> = VM.with_borrow(|vm| {
        let due = |session: &Session| session.root() == root && session.is_due();
        vm.sessions.iter().filter(|(_, session)| session.as_deref().is_some_and(due)).map(|(id, _)| *id).collect()
    });
    for id in due {
        if abi::turn_to(id).is_ok() {
            with_session(id, Session::on_tick);
        }
    }
}

/// A context is gone.
pub(crate) fn delete(context: u32) {
    let session = VM.with_borrow_mut(|vm| {
        vm.roots.remove(&context);
        vm.sessions.remove(&context)
    });
    if let Some(Some(mut session)) = session {
        session.on_delete();
    }
}

/// Runs something on a connection. `None` if it is not there, or a callback about it is under way.
pub(crate) fn with_session<R>(id: u32, run: impl FnOnce(&mut Session) -> R) -> Option<R> {
    let mut session = VM.with_borrow_mut(|vm| vm.sessions.get_mut(&id).and_then(Option::take))?;
    let result = run(&mut session);
    let gone = VM.with_borrow_mut(|vm| match vm.sessions.get_mut(&id) {
        Some(place) => {
            *place = Some(session);
            None
        }
        None => Some(session),
    });
    // It was deleted meanwhile.
    if let Some(mut session) = gone {
        session.on_delete();
    }
    Some(result)
}
