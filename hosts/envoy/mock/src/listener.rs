//! A configured module, its metrics, and what it logs.

use std::ffi::{CStr, c_void};
use std::sync::{Arc, Mutex};

use portcullis_envoy::Buf;

use crate::connection::Connection;
use crate::{callbacks, hooks};

static LOG: Mutex<Vec<(u32, String)>> = Mutex::new(Vec::new());

/// The lines of Envoy's log so far that contain a text, of all tests of the process.
pub fn log_lines(containing: &str) -> Vec<String> {
    let log = LOG.lock().unwrap();
    log.iter().filter(|(_, line)| line.contains(containing)).map(|(level, line)| format!("[{level}] {line}")).collect()
}

pub(crate) fn keep_log(level: u32, line: String) {
    LOG.lock().unwrap().push((level, line));
}

/// Metrics by id.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Vec<(String, u64)>>);

impl Metrics {
    pub(crate) fn define(&self, name: String) -> usize {
        let mut metrics = self.0.lock().unwrap();
        metrics.push((name, 0));
        metrics.len() - 1
    }

    pub(crate) fn change(&self, id: usize, change: impl FnOnce(u64) -> u64) -> u32 {
        let mut metrics = self.0.lock().unwrap();
        match metrics.get_mut(id) {
            Some((_, value)) => *value = change(*value),
            None => return 1,
        }
        0
    }
}

/// A listener of the module under test. All its connections must end before it does.
pub struct Listener {
    metrics: Arc<Metrics>,
    module: *const c_void,
}

impl Listener {
    /// Configures the module as Envoy does.
    ///
    /// # Errors
    /// The module refuses the configuration.
    pub fn open(config: &str) -> Result<Self, String> {
        assert!(!callbacks::all().is_empty());
        let metrics = Arc::<Metrics>::default();
        let envoy = Arc::as_ptr(&metrics).cast_mut().cast();
        let name = Buf { ptr: std::ptr::null(), len: 0 };
        let text = Buf { ptr: if config.is_empty() { std::ptr::null() } else { config.as_ptr() }, len: config.len() };
        // SAFETY: the texts are there as long as the call, and the metrics as long as the listener.
        let module = unsafe {
            assert!(!hooks::envoy_dynamic_module_on_program_init().is_null());
            hooks::envoy_dynamic_module_on_network_filter_config_new(envoy, name, text)
        };
        if module.is_null() {
            Err("the module refuses the configuration".to_owned())
        } else {
            Ok(Self { metrics, module })
        }
    }

    /// The ABI version that the module asks for.
    pub fn version() -> String {
        // SAFETY: the module returns a text that ends in NUL and stays.
        let version = unsafe { CStr::from_ptr(hooks::envoy_dynamic_module_on_program_init()) };
        version.to_string_lossy().into_owned()
    }

    /// A new connection.
    pub fn connect(&self) -> Connection {
        Connection::open(self.module, Arc::clone(&self.metrics))
    }

    /// The value of a metric.
    ///
    /// # Panics
    /// There is no such metric.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics.0.lock().unwrap();
        let found = metrics.iter().find(|(defined, _)| defined == name);
        found.unwrap_or_else(|| panic!("no metric `{name}` in {metrics:?}")).1
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // SAFETY: made by `config_new`, and destroyed once.
        unsafe { hooks::envoy_dynamic_module_on_network_filter_config_destroy(self.module) }
    }
}
