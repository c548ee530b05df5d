//! Config and SyncSet: which objects are kept as an inventory, and which namespaces are left alone.

use portcullis_policy::Node;

use super::glob::Glob;
use super::matching::read_globs;
use super::read::{At, Faults, allowed, shorten};

/// Apiversion and kind of a Config, without its version.
pub(super) const CONFIG: (&str, &str) = ("config.gatekeeper.sh", "Config");
/// As [`CONFIG`].
pub(super) const SYNC_SET: (&str, &str) = ("syncset.gatekeeper.sh", "SyncSet");
/// The name that a Config must have.
const CONFIG_NAME: &str = "config";

/// What a namespace may be left out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    Webhook,
    Audit,
    Sync,
}

/// What Config and SyncSets say.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// The kinds of objects in the inventory, each as `apiVersion` and `kind`.
    pub(super) kept: Vec<(String, String)>,
    excluded: Vec<(Vec<Process>, Vec<Glob>)>,
}

impl Config {
    /// Whether a namespace is left out. For what is in none it is the empty name, which `*` means as well.
    pub(super) fn excludes(&self, process: Process, namespace: &str) -> bool {
        let named = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(namespace));
        self.excluded.iter().any(|(processes, globs)| processes.contains(&process) && named(globs))
    }

    pub(super) fn read_config(&mut self, node: &Node, faults: &mut Faults) {
        let whole = At::whole(node);
        check_version(&whole, &["v1alpha1"], faults);
        match super::template::read_name(&whole, faults) {
            None | Some(CONFIG_NAME) => {}
            Some(other) => {
                let message = format!("a Config must have the name `{CONFIG_NAME}`, and not `{}`", shorten(other));
                faults.refuse(&whole, message);
            }
        }
        let at = At { node, path: "Config/config".into() };
        let Some(spec) = at.field("spec").filter(|spec| spec.need_map(faults)) else { return };
        faults.errors.extend(spec.unknown(&["sync", "validation", "match", "readiness"]));
        if let Some(list) = spec.descend(&["sync", "syncOnly"]) {
            self.kept.extend(list.need_items(faults).iter().filter_map(|at| read_kept(at, faults)));
        }
        for entry in spec.field("match").map(|list| list.need_items(faults)).unwrap_or_default() {
            if entry.check_fields(&["processes", "excludedNamespaces"], faults) {
                let processes = read_processes(&entry, faults);
                self.excluded.push((processes, read_globs(&entry, "excludedNamespaces", faults)));
            }
        }
    }

    pub(super) fn read_sync_set(&mut self, node: &Node, faults: &mut Faults) {
        let whole = At::whole(node);
        check_version(&whole, &["v1alpha1"], faults);
        let Some(name) = super::template::read_name(&whole, faults) else { return };
        let at = At { node, path: format!("SyncSet/{}", shorten(name)) };
        let Some(spec) = at.field("spec").filter(|spec| spec.check_fields(&["gvks"], faults)) else { return };
        if let Some(list) = spec.field("gvks") {
            self.kept.extend(list.need_items(faults).iter().filter_map(|at| read_kept(at, faults)));
        }
    }
}

pub(super) fn check_version(whole: &At<'_>, versions: &[&str], faults: &mut Faults) {
    let version = whole.field("apiVersion").and_then(|at| at.text()).unwrap_or_default();
    let version = version.rsplit_once('/').map_or("", |(_, version)| version);
    if !versions.contains(&version) {
        faults.refuse(whole, format!("`{}` is not a version of this kind; {}", shorten(version), allowed(versions)));
    }
}

fn read_kept(at: &At<'_>, faults: &mut Faults) -> Option<(String, String)> {
    if !at.check_fields(&["group", "version", "kind"], faults) {
        return None;
    }
    let [group, version, kind] = ["group", "version", "kind"].map(|name| at.text_field(name, faults));
    if version.is_empty() || kind.is_empty() {
        faults.refuse(at, "`version` and `kind` must be there");
        return None;
    }
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some((api_version, kind.to_owned()))
}

fn read_processes(entry: &At<'_>, faults: &mut Faults) -> Vec<Process> {
    const NAMES: [&str; 5] = ["audit", "sync", "webhook", "mutation-webhook", "*"];
    let mut processes = Vec::new();
    for (name, at) in entry.field("processes").map(|list| list.need_texts(faults)).unwrap_or_default() {
        match name {
            "audit" => processes.push(Process::Audit),
            "sync" => processes.push(Process::Sync),
            "webhook" => processes.push(Process::Webhook),
            "mutation-webhook" => {}
            "*" => processes.extend([Process::Audit, Process::Sync, Process::Webhook]),
            other => {
                faults.refuse(&at, format!("`{}` is not a process; {}", shorten(other), allowed(&NAMES)));
            }
        }
    }
    processes
}
