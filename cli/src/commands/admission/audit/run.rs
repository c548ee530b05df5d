//! Goes through objects.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use portcullis_parsers::admission::engines::gatekeeper::EnforcementPoint;
use portcullis_parsers::admission::json::Tape;
use portcullis_policy::Node;

use super::cluster::{Cluster, Resource};
use super::judging::{Constraints, Judged};
use super::objects::Object;
use super::tally::Tally;
use super::wanted::Wanted;
use super::{Args, files};

/// How long the judgement of one object may take. Nobody waits for it as the API server does, and an object that is not
/// judged is one that the audit says nothing of.
const PATIENCE: Duration = Duration::from_secs(10);
/// As much as a listener gives its engines, which evaluate by recursion.
pub(crate) const STACK: usize = 16 << 20;

/// What came of an audit.
pub(super) struct Audited {
    pub(super) tally: Tally,
    /// What could not be listed, read or judged.
    pub(super) problems: Vec<String>,
    /// What is worth knowing, and no fault.
    pub(super) notes: Vec<String>,
    /// The objects that the inventory is to have.
    pub(super) inventory: Vec<Object>,
    /// What the API server has.
    pub(super) resources: Vec<Resource>,
}

/// Audits files, or what a cluster has.
///
/// # Errors
/// There is nothing to say at all.
pub(super) fn audit(
    args: &Args,
    documents: &[Node],
    constraints: &Constraints,
    cluster: Option<&Cluster>,
    bar: &ProgressBar,
) -> anyhow::Result<Audited> {
    let work = || match cluster {
        None => audit_files(args, constraints, bar),
        Some(cluster) => audit_cluster(args, documents, constraints, cluster, bar),
    };
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        worker.join().map_err(|_| anyhow!("the audit ended unexpectedly"))?
    })
}

fn audit_files(args: &Args, constraints: &Constraints, bar: &ProgressBar) -> anyhow::Result<Audited> {
    let files::Found { objects, problems } = files::load(&args.objects);
    let kept = constraints.kept_kinds().to_vec();
    // As for `gator test`: where nobody says what belongs to the inventory, all that is given does.
    let all = kept.is_empty() && constraints.ask_for_inventory();
    let claimed = |object: &&Object| match all {
        true => !object.named.name.is_empty(),
        false => kept.contains(&(object.named.api_version(), object.named.kind.clone())),
    };
    let texts: Vec<_> = objects.iter().filter(claimed).map(|object| object.text.as_slice()).collect();
    let constraints = constraints.with_inventory(&texts)?;
    bar.set_length(objects.len() as u64);
    let mut auditor = Auditor::new(args, &constraints, bar, problems);
    auditor.know_namespaces(objects.iter());
    objects.iter().for_each(|object| auditor.judge(object));
    let Auditor { tally, problems, .. } = auditor;
    let mut notes = Vec::new();
    if all {
        notes.push(
            "all objects that are given are the inventory, as neither a Config nor a SyncSet names kinds".to_owned(),
        );
    }
    if objects.is_empty() {
        notes.push("there is no object to audit: of directories .yaml, .yml and .json files are read".to_owned());
    }
    let inventory = objects.into_iter().filter(|object| claimed(&object)).collect();
    Ok(Audited { tally, problems, notes, inventory, resources: Vec::new() })
}

fn audit_cluster(
    args: &Args,
    documents: &[Node],
    constraints: &Constraints,
    cluster: &Cluster,
    bar: &ProgressBar,
) -> anyhow::Result<Audited> {
    let discovered = cluster.discover().context("the API server cannot be asked what it has")?;
    let mut problems = discovered.problems;
    let resources = discovered.resources;
    let kept = constraints.kept_kinds();
    let wanted = Wanted::by(documents);

    // Namespaces are asked for by constraints that select by their labels, whatever else is.
    let namespaces =
        list_all(cluster, resources.iter().filter(|r| r.group.is_empty() && r.kind == "Namespace"), &mut problems);
    let is_claimed = |resource: &Resource| kept.contains(&(resource.api_version(), resource.kind.clone()));
    let inventory = list_all(cluster, resources.iter().filter(|resource| is_claimed(resource)), &mut problems);
    for (api_version, kind) in kept {
        if !resources.iter().any(|resource| resource.api_version() == *api_version && resource.kind == *kind) {
            problems.push(format!("the inventory lacks {kind} of `{api_version}`: the API server does not list it"));
        }
    }
    let texts: Vec<_> = inventory.iter().map(|object| object.text.as_slice()).collect();
    let constraints = constraints.with_inventory(&texts)?;

    let mut auditor = Auditor::new(args, &constraints, bar, problems);
    auditor.know_namespaces(namespaces.iter());
    for resource in resources.iter().filter(|resource| wanted.has(&resource.group, &resource.kind)) {
        let listed = cluster.list(resource, |page| {
            bar.inc_length(page.len() as u64);
            page.into_iter().for_each(|object| auditor.judge_one_of_page(object));
        });
        if let Err(error) = listed {
            auditor.problems.push(format!("{error:#}"));
        }
    }
    let Auditor { tally, problems, .. } = auditor;
    let is_there = |groups: &[String], kind: &str| {
        let in_group = |resource: &&Resource| {
            groups.is_empty() || groups.iter().any(|group| group == "*" || *group == resource.group)
        };
        resources.iter().filter(in_group).any(|resource| resource.kind == kind)
    };
    let notes = wanted.named().filter(|(groups, kind)| !is_there(groups, kind)).map(|(groups, kind)| {
        format!("a constraint speaks of {kind} of `{}`, which the API server does not list", groups.join("`, `"))
    });
    let notes = notes.collect();
    Ok(Audited { tally, problems, notes, inventory, resources })
}

/// All objects of some kinds, which are needed at once.
fn list_all<'r>(
    cluster: &Cluster,
    resources: impl Iterator<Item = &'r Resource>,
    problems: &mut Vec<String>,
) -> Vec<Object> {
    let mut all = Vec::new();
    for resource in resources {
        let mut faults = Vec::new();
        let listed = cluster.list(resource, |page| {
            for object in page {
                match object {
                    Ok(object) => all.push(object),
                    Err(why) => faults.push(why),
                }
            }
        });
        faults.extend(listed.err().map(|error| format!("{error:#}")));
        problems.extend(faults);
    }
    all
}

/// Judges one object after the other.
struct Auditor<'a> {
    constraints: &'a Constraints,
    point: EnforcementPoint,
    deny_only: bool,
    namespaces: HashMap<String, Vec<u8>>,
    tally: Tally,
    problems: Vec<String>,
    /// What is told once, whatever it is said of.
    told: HashSet<String>,
    bar: &'a ProgressBar,
}

impl<'a> Auditor<'a> {
    fn new(args: &Args, constraints: &'a Constraints, bar: &'a ProgressBar, problems: Vec<String>) -> Self {
        let told = problems.iter().cloned().collect();
        let (point, deny_only) = (args.enforcement_point, args.deny_only);
        let tally = Tally::new(constraints.at(point), args.limit);
        Self { constraints, point, deny_only, namespaces: HashMap::new(), tally, problems, told, bar }
    }

    fn know_namespaces<'o>(&mut self, objects: impl Iterator<Item = &'o Object>) {
        let namespaces = objects.filter(|object| object.named.is_namespace());
        self.namespaces = namespaces.map(|object| (object.named.name.clone(), object.text.clone())).collect();
    }

    fn judge_one_of_page(&mut self, object: Result<Object, String>) {
        match object {
            Ok(object) => self.judge(&object),
            Err(why) => self.tell(why),
        }
    }

    fn judge(&mut self, object: &Object) {
        self.bar.inc(1);
        let (mut tape, mut namespace_tape) = (Tape::new(), Tape::new());
        let namespace = self.namespaces.get(&object.named.namespace);
        let judged = (|| {
            let root = tape.read(&object.text).map_err(|why| anyhow!("{why}"))?;
            let namespace = match namespace {
                Some(text) => Some(namespace_tape.read(text).map_err(|why| anyhow!("{why}"))?),
                None => None,
            };
            let until = Instant::now().checked_add(PATIENCE).context("the clock ends")?;
            self.constraints.judge(root, namespace, self.point, until)
        })();
        match judged {
            Ok(Judged { mut violations, faults }) => {
                violations.retain(|violation| !self.deny_only || violation.is_denied());
                self.tally.count(&object.named, violations);
                for fault in faults {
                    self.tell(format!("{}: {} is not judged: {fault}", object.from, object.named));
                }
            }
            Err(error) => self.tell(format!("{}: {} is not judged: {error:#}", object.from, object.named)),
        }
    }

    fn tell(&mut self, problem: String) {
        if self.told.insert(problem.clone()) {
            self.problems.push(problem);
        }
    }
}
