//! Instances: what `OpenModule` opens and `CloseModule` closes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use portcullis_proxylib::{Budget, Limits, Log, Registry};

use crate::log::{LEVEL, LogSocket};
use crate::npds::Npds;
use crate::policies::Policies;
use crate::{say, sites};

/// How long `OpenModule` waits for the first policies: connections that come before them are denied.
const FIRST_ANSWER: Duration = Duration::from_millis(500);

/// An instance: whose policies are asked for, and where its access log goes.
pub(crate) struct Module {
    /// Counted from 1, never used again.
    pub(crate) id: u64,
    pub(crate) registry: &'static Registry,
    /// The policies in force. They stay when the instance is closed, for the connections that it leaves behind.
    pub(crate) policies: Arc<Policies>,
    pub(crate) budget: Arc<Budget>,
    node_id: String,
    params: Params,
    log: Option<Arc<LogSocket>>,
    npds: Mutex<Option<Arc<Npds>>>,
    closed: AtomicBool,
    #[cfg(feature = "testing")]
    pub(crate) overrides: OnceLock<crate::overrides::Overrides>,
}

/// The parameters of `OpenModule`; what is not given is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) access_log_path: String,
    pub(crate) xds_path: String,
    pub(crate) node_id: String,
}

/// The instances that are open, with how many times each.
struct Open {
    last_id: u64,
    modules: Vec<(Arc<Module>, u64)>,
}

static OPEN: Mutex<Open> = Mutex::new(Open { last_id: 0, modules: Vec::new() });

/// Opens an instance, or the one that is open with equal parameters once more. An empty node id is equal to any.
///
/// Returns its number, or 0 if it cannot be opened.
pub(crate) fn open(registry: &'static Registry, params: Params) -> u64 {
    let module = {
        let mut open = lock();
        let same = |module: &Module| {
            module.params.access_log_path == params.access_log_path
                && module.params.xds_path == params.xds_path
                && (params.node_id.is_empty() || module.node_id == params.node_id)
        };
        match open.modules.iter_mut().find(|(module, _)| same(module)) {
            Some((module, count)) => {
                *count += 1;
                Arc::clone(module)
            }
            None => {
                let Some(module) = Module::start(open.last_id + 1, registry, params) else { return 0 };
                open.last_id = module.id;
                let module = Arc::new(module);
                open.modules.push((Arc::clone(&module), 1));
                module
            }
        }
    };
    // Without the lock: an agent that does not answer holds up nobody else.
    let npds = module.npds.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(npds) = npds {
        npds.wait_first(FIRST_ANSWER);
    }
    say::debug(|| format!("instance {} opened by {}", module.id, module.node_id));
    module.id
}

/// Closes an instance once. The last time ends its threads; its connections live on with the policies it had.
pub(crate) fn close(id: u64) {
    let module = {
        let mut open = lock();
        let Some(index) = open.modules.iter().position(|(module, _)| module.id == id) else { return };
        let Some((_, count)) = open.modules.get_mut(index) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        open.modules.remove(index).0
    };
    module.stop();
    say::debug(|| format!("instance {id} closed"));
}

/// The open instance of that number.
pub(crate) fn find(id: u64) -> Option<Arc<Module>> {
    lock().modules.iter().find(|(module, _)| module.id == id).map(|(module, _)| Arc::clone(module))
}

fn lock() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Module {
    fn start(id: u64, registry: &'static Registry, params: Params) -> Option<Self> {
        let node_id = match params.node_id.as_str() {
            "" => format!("host~127.0.0.2~libcilium-{id}~localdomain"),
            given => given.to_owned(),
        };
        let policies = Arc::new(Policies::default());
        let log = (!params.access_log_path.is_empty()).then(|| LogSocket::open(&params.access_log_path));
        let mut npds = None;
        if !params.xds_path.is_empty() {
            match Npds::start(&params.xds_path, &node_id, Arc::clone(&policies), registry) {
                Ok(client) => npds = Some(Arc::new(client)),
                Err(error) => {
                    say::error(&format!("the policy client cannot be started: {error}"));
                    if let Some(log) = log {
                        log.stop();
                    }
                    return None;
                }
            }
        }
        Some(Self {
            id,
            registry,
            policies,
            budget: budget(),
            node_id,
            params,
            log,
            npds: Mutex::new(npds),
            closed: AtomicBool::new(false),
            #[cfg(feature = "testing")]
            overrides: OnceLock::new(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The access log of connections of one protocol and policy.
    pub(crate) fn log(&self, protocol: &'static str, policy_name: &str) -> Log {
        match &self.log {
            Some(socket) => Log::new(protocol, LEVEL, socket.sink(policy_name)),
            None => Log::off(protocol),
        }
    }

    fn stop(&self) {
        self.closed.store(true, Ordering::Release);
        sites::forget(self.id);
        let npds = self.npds.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A call that waits for the first answer may hold it, too.
        if let Some(npds) = npds {
            npds.stop();
        }
        if let Some(log) = &self.log {
            log.stop();
        }
    }
}

/// The bytes that all connections of the process may hold.
pub(crate) fn budget() -> Arc<Budget> {
    static BUDGET: OnceLock<Arc<Budget>> = OnceLock::new();
    Arc::clone(BUDGET.get_or_init(|| Budget::new(Limits::default().held_bytes)))
}
