//! Rules of a policy that a log says nothing of.

use std::collections::HashSet;
use std::path::PathBuf;

use portcullis_parsers::REGISTRY;
use portcullis_policy::{CompileOptions, RuleId, Snapshot, Source};

use super::gather::Gathered;

/// What of a policy was not used.
pub(super) struct Unused {
    /// Names, and where they stand.
    pub(super) rules: Vec<(String, String)>,
    pub(super) all: u64,
}

impl Unused {
    /// Compares a policy with what a log says.
    pub(super) fn find(paths: &[PathBuf], gathered: &Gathered) -> anyhow::Result<Self> {
        let sources = Source::load(paths)?;
        let snapshot = Snapshot::compile(&sources, &REGISTRY, &CompileOptions::default())?.snapshot;
        let used: HashSet<&str> = gathered.rules.kinds.keys().map(|rule| gathered.texts.text(*rule)).collect();
        let rules = (0..).map_while(|n| snapshot.rule(RuleId::nth(n)));
        let (mut unused, mut all) = (Vec::new(), 0_u64);
        for rule in rules {
            all = all.saturating_add(1);
            if !used.contains(rule.name.as_str()) {
                unused.push((rule.name.clone(), rule.place.to_string()));
            }
        }
        Ok(Self { rules: unused, all })
    }
}
