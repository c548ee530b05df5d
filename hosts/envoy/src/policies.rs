//! The policies of a listener, as its thread looks after them, and the file that says how it stands with them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_policy::{
    CompileOptions, DocumentCompiler, PolicyStore, Protocols, Reload, Reloader, RuleCompiler, Source, Status, Watch,
};
use portcullis_proxylib::Registry;

use crate::config::{Isolate, ListenerConfig};
use crate::{abi, envoy};

/// How old the status file gets at most: its `age` goes on, and who reads it sees that we live.
const MAX_STATUS_AGE: Duration = Duration::from_secs(10);

/// What keeps a listener's policies at what their files say.
pub(crate) struct Policies {
    reloader: Reloader,
    file: Option<StatusFile>,
}

/// The protocols of the module.
struct Known(&'static Registry);

impl Policies {
    /// Prepares to load the policies of a listener; the first poll does it.
    pub(crate) fn new(config: &ListenerConfig, registry: &'static Registry) -> Self {
        let policy = &config.policy;
        let options = CompileOptions { default: config.default.into(), l7proto: Some(&config.protocol) };
        let watch = Watch::new(policy.files.iter().chain(&policy.directory));
        let mut reloader = Reloader::new(watch, Arc::new(Known(registry)), &options);
        if let Some(text) = &policy.inline {
            reloader = reloader.with_inline(Source::new("filter_config policy.inline", text.as_bytes()));
        }
        if let Some(Isolate::Namespace) = policy.isolate {
            reloader = reloader.isolate_namespaces();
        }
        if let Some(path) = &config.break_glass {
            reloader = reloader.with_break_glass(path);
        }
        // An Envoy that only checks its configuration says nothing of the one that serves.
        let file = config.status_file.clone().filter(|_| !envoy::is_validating());
        Self { reloader, file: file.map(|path| StatusFile { path, written: None, failed: false }) }
    }

    /// Puts in force what has changed in the files.
    pub(crate) fn poll(&mut self, store: &PolicyStore, now: SystemTime) -> Vec<Reload> {
        self.reloader.poll(store, now)
    }

    pub(crate) const fn status(&self) -> &Status {
        self.reloader.status()
    }

    /// Writes the status file, if it is time to.
    pub(crate) fn write_status(&mut self, now: SystemTime) {
        if let Some(file) = &mut self.file {
            file.write(self.reloader.status(), now);
        }
    }
}

struct StatusFile {
    path: PathBuf,
    written: Option<(Status, SystemTime)>,
    /// It could not be written, and that was said.
    failed: bool,
}

impl StatusFile {
    fn write(&mut self, status: &Status, now: SystemTime) {
        let recent = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < MAX_STATUS_AGE);
        if self.written.as_ref().is_some_and(|(written, at)| written == status && recent(*at)) {
            return;
        }
        match status.write(&self.path, now) {
            Ok(()) => {
                self.written = Some((status.clone(), now));
                self.failed = false;
            }
            Err(error) if !std::mem::replace(&mut self.failed, true) => {
                let path = self.path.display();
                envoy::log(abi::LOG_ERROR, &format!("the status file `{path}` cannot be written: {error}"));
            }
            Err(_) => {}
        }
    }
}

impl Protocols for Known {
    fn documents(&self) -> Vec<&dyn DocumentCompiler> {
        self.0.documents()
    }

    fn compiler(&self, l7proto: &str) -> Option<&dyn RuleCompiler> {
        self.0.compiler(l7proto)
    }

    fn names(&self) -> Vec<&str> {
        self.0.names()
    }
}
