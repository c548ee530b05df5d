//! Policies follow their files: looked at off the data path, put in force whole, and kept when an update is bad.
//!
//! Nothing here starts a thread, waits or owns a clock: whoever hosts it calls [`Reloader::poll`] now and then (twice a
//! second, say). A poll costs one `stat` for each file until something changes.

mod glass;
mod status;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::compile::{CompileOptions, Compiled, Isolated, Isolation, Source};
use crate::decide::{DefaultVerdict, Snapshot};
use crate::l7::Protocols;
use crate::node::shorten;
use crate::problems::{PolicyErrors, Warning};
use crate::store::PolicyStore;
use glass::Glass;

pub use glass::BreakGlass;
pub use status::Status;
pub use watch::{Change, Watch};

/// Keeps a [`PolicyStore`] at what some files say.
pub struct Reloader {
    watch: Watch,
    protocols: Arc<dyn Protocols>,
    default: DefaultVerdict,
    l7proto: Option<String>,
    /// Policies that stand in no file.
    inline: Option<Source>,
    /// Where a bad file holds back only its own namespaces.
    isolation: Option<Isolation>,
    glass: Option<Glass>,
    status: Status,
}

/// What a poll did, to be logged: refusals and broken glass as loud as the host can.
#[derive(Debug)]
pub enum Reload {
    /// New policies are in force.
    Applied {
        /// Their generation.
        generation: u64,
        /// What is probably not meant as it is written.
        warnings: Vec<Warning>,
    },
    /// New policies are in force, but for those of some namespaces.
    Held {
        /// Their generation.
        generation: u64,
        /// What is probably not meant as it is written.
        warnings: Vec<Warning>,
        /// The namespaces that stay as they were, or are closed if no good policy of theirs was ever read.
        namespaces: Vec<String>,
        /// Why.
        errors: PolicyErrors,
    },
    /// The files hold something that cannot be put in force. What was in force still is.
    Refused(PolicyErrors),
    /// From now on all denials by policy pass and are logged as `AUDIT`; or they still do: this is said again every minute.
    GlassBroken {
        /// The generation in force.
        generation: u64,
        /// What was asked for.
        order: BreakGlass,
    },
    /// Policy is enforced again, as its time has come or the file has gone.
    GlassMended {
        /// The generation in force.
        generation: u64,
    },
    /// The break-glass file cannot be used. It changes nothing.
    GlassRefused(PolicyErrors),
}

impl Reloader {
    /// Prepares to load the files; the first poll does it.
    pub fn new(watch: Watch, protocols: Arc<dyn Protocols>, options: &CompileOptions<'_>) -> Self {
        let l7proto = options.l7proto.map(str::to_owned);
        let (default, status) = (options.default, Status::default());
        Self { watch, protocols, default, l7proto, inline: None, isolation: None, glass: None, status }
    }

    /// Adds policies that stand in no file, such as those of a listener's configuration.
    #[must_use]
    pub fn with_inline(self, source: Source) -> Self {
        Self { inline: Some(source), ..self }
    }

    /// Lets a bad file hold back only the policies of its own namespaces, which stay as they were. Where no good one was
    /// ever read, nothing passes. Clusterwide policies and files whose namespaces cannot be told hold back everything.
    #[must_use]
    pub fn isolate_namespaces(self) -> Self {
        Self { isolation: Some(Isolation::default()), ..self }
    }

    /// Watches a file that turns all denials by policy into audits for a time: `{mode: audit, until: <RFC 3339>}`.
    #[must_use]
    pub fn with_break_glass(self, path: impl Into<PathBuf>) -> Self {
        Self { glass: Some(Glass::new(path.into())), ..self }
    }

    /// Puts in force what the files hold, if they changed and nothing is wrong with them.
    pub fn poll(&mut self, store: &PolicyStore, now: SystemTime) -> Vec<Reload> {
        let mut done = Vec::new();
        let broken = self.glass.as_mut().and_then(|glass| glass.poll(now, &mut done));
        let was_broken = store.load().is_glass_broken();
        if let Some(Change { sources, hash }) = self.watch.poll(now) {
            done.push(self.load(store, sources, hash, broken.is_some(), now));
        }
        if store.load().is_glass_broken() != broken.is_some() {
            let snapshot = Snapshot::clone(&store.load());
            store.store(snapshot.with_glass(broken.is_some()));
        }
        let generation = store.load().generation();
        self.status.generation = generation;
        self.status.break_glass = broken.as_ref().map(|order| order.until_text().to_owned());
        self.status.break_glass_error = self.glass.as_ref().and_then(|glass| glass.error().map(str::to_owned));
        match (broken, was_broken) {
            (Some(order), was_broken) if self.glass.as_mut().is_some_and(|glass| glass.speaks(!was_broken, now)) => {
                done.push(Reload::GlassBroken { generation, order });
            }
            (None, true) => done.push(Reload::GlassMended { generation }),
            _ => {}
        }
        done
    }

    fn load(
        &mut self,
        store: &PolicyStore,
        sources: Result<Vec<Source>, PolicyErrors>,
        hash: u64,
        broken: bool,
        now: SystemTime,
    ) -> Reload {
        let compiled = sources.and_then(|mut sources| {
            sources.extend(self.inline.clone());
            let options = CompileOptions { default: self.default, l7proto: self.l7proto.as_deref() };
            match &mut self.isolation {
                Some(isolation) => isolation.compile(&sources, &*self.protocols, &options),
                None => Snapshot::compile(&sources, &*self.protocols, &options).map(Isolated::from),
            }
        });
        let Isolated { compiled: Compiled { snapshot, warnings }, held, errors } = match compiled {
            Ok(isolated) => isolated,
            Err(errors) => {
                self.status.refused = self.status.refused.saturating_add(1);
                self.status.error = Some(errors.to_string());
                return Reload::Refused(errors);
            }
        };
        let generation = store.store(snapshot.with_glass(broken));
        let namespaces: Vec<_> = held.into_iter().collect();
        let refused = self.status.refused.saturating_add(u64::from(errors.is_some()));
        self.status = Status {
            generation,
            hash,
            since: Some(now),
            refused,
            error: errors.as_ref().map(ToString::to_string),
            held: namespaces.clone(),
            ..Status::default()
        };
        match errors {
            Some(errors) => Reload::Held { generation, warnings, namespaces, errors },
            None => Reload::Applied { generation, warnings },
        }
    }

    /// How it stands.
    pub const fn status(&self) -> &Status {
        &self.status
    }
}

impl From<Compiled> for Isolated {
    fn from(compiled: Compiled) -> Self {
        Self { compiled, held: std::collections::BTreeSet::new(), errors: None }
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = self.status.error.as_deref().map(shorten);
        f.debug_struct("Reloader")
            .field("generation", &self.status.generation)
            .field("error", &error)
            .finish_non_exhaustive()
    }
}
