//! What an audit found, in the status of constraints: as Gatekeeper writes it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use portcullis_policy::Node;
use serde_json::{Map, Value, json};

use super::super::yaml;
use super::cluster::{Cluster, Resource};
use super::judging::Constraint;
use super::objects::{self, text};
use super::tally::{Counted, Tally};
use crate::output::Output;

/// The group of constraints.
const GROUP: &str = "constraints.gatekeeper.sh";

/// An audit, as statuses tell of it.
pub(super) struct Audit<'a> {
    /// RFC 3339, whole seconds, UTC.
    pub(super) timestamp: &'a str,
    /// Who audits, as `byPod` has it.
    pub(super) id: &'a str,
    pub(super) tally: &'a Tally,
}

impl Audit<'_> {
    /// The status of a constraint, with what others say in the one that it has.
    fn status(&self, counted: &Counted, before: Option<&Value>) -> Map<String, Value> {
        let mut pods: Vec<Value> = before
            .and_then(|status| status.get("byPod"))
            .and_then(Value::as_array)
            .map(|pods| pods.iter().filter(|pod| pod["id"] != self.id).cloned().collect())
            .unwrap_or_default();
        pods.push(json!({"enforced": true, "id": self.id}));
        let mut status = Map::new();
        status.insert("auditTimestamp".to_owned(), self.timestamp.into());
        status.insert("byPod".to_owned(), pods.into());
        status.insert("totalViolations".to_owned(), counted.total.into());
        let reported = counted.reported();
        if !reported.is_empty() {
            status.insert("violations".to_owned(), json!(reported));
        }
        status
    }

    /// Writes the status of each constraint to the API server. What cannot be written is told.
    pub(super) fn patch(&self, cluster: &Cluster, resources: &[Resource]) -> Vec<String> {
        let mut problems = Vec::new();
        for (constraint, counted) in &self.tally.counted {
            if let Err(error) = self.patch_one(cluster, resources, constraint, counted) {
                let Constraint { kind, name } = constraint;
                problems.push(format!("the status of {kind} `{name}` cannot be written: {error:#}"));
            }
        }
        problems
    }

    fn patch_one(
        &self,
        cluster: &Cluster,
        resources: &[Resource],
        constraint: &Constraint,
        counted: &Counted,
    ) -> anyhow::Result<()> {
        let is_it = |resource: &&Resource| resource.group == GROUP && resource.kind == constraint.kind;
        let resource = resources.iter().find(is_it).context("there is no such kind; apply the template first")?;
        // It becomes a part of a path.
        if !constraint.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) {
            bail!("this is no name of an object");
        }
        let known = cluster.get(resource, &constraint.name)?;
        let mut status = self.status(counted, known.get("status"));
        // "null values [...] indicate the removal of existing values in the target", RFC 7396, section 1.
        status.entry("violations").or_insert(Value::Null);
        cluster.patch_status(resource, &constraint.name, &json!({ "status": status }))
    }

    /// Writes the constraints with their status: into a directory, or among the results.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn write(&self, documents: &[Node], dir: Option<&Path>, out: &mut Output) -> anyhow::Result<()> {
        let mut all = Vec::new();
        for document in documents {
            let constraint = Constraint {
                kind: text(document, &["kind"]).to_owned(),
                name: text(document, &["metadata", "name"]).to_owned(),
            };
            let is_one = objects::split(text(document, &["apiVersion"])).0 == GROUP;
            let Some(counted) = self.tally.counted.get(&constraint).filter(|_| is_one) else { continue };
            let mut object = objects::to_json(document);
            let status = self.status(counted, object.get("status"));
            if let Some(object) = object.as_object_mut() {
                object.insert("status".to_owned(), status.into());
            }
            all.push((constraint, object));
        }
        let Some(dir) = dir else {
            return out.raw(yaml::write_all(all.iter().map(|(_, object)| object)).as_bytes());
        };
        fs::create_dir_all(dir).with_context(|| format!("`{}` cannot be made", dir.display()))?;
        for (Constraint { kind, name }, object) in &all {
            let file =
                format!("{}-{}.yaml", super::inventory::as_file_name(kind), super::inventory::as_file_name(name));
            super::inventory::replace(&dir.join(file), yaml::write(object).as_bytes())?;
        }
        Ok(())
    }
}
