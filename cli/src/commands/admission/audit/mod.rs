//! `portcullis admission audit`.

mod cluster;
mod files;
mod inventory;
pub(super) mod judging;
pub(super) mod objects;
mod run;
mod show;
mod status;
mod tally;
mod wanted;

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use portcullis_parsers::admission::engines::gatekeeper::EnforcementPoint;
use portcullis_policy::{Node, NodeError, PolicyErrors, Source, Value};

use self::cluster::Cluster;
use self::judging::Constraints;
use self::status::Audit;
use super::load::load;
use crate::commands::check;
use crate::exit::{Exit, Usage};
use crate::output::Output;

pub(super) use self::run::STACK;
pub(super) use self::show::escape;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Audits the objects of these files, and of directories with all below them, in place of those of a live API server; `-` is
    /// the standard input.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    objects: Vec<PathBuf>,
    #[command(flatten)]
    reach: cluster::Reach,
    /// How many violations are shown, and written, of each constraint. All are counted.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
    /// Tells only of what is denied, so that what constraints with `warn` and `dryrun` say does not change the exit status.
    #[arg(long, conflicts_with = "write_status")]
    deny_only: bool,
    /// Asks constraints that are in force at this point: `audit.gatekeeper.sh`, `gator.gatekeeper.sh`, `validation.gatekeeper.sh`.
    #[arg(long, value_name = "POINT", default_value = EnforcementPoint::Audit.as_str(), value_parser = parse_point)]
    enforcement_point: EnforcementPoint,
    /// Writes what was found into the status of constraints: on the API server, or with `--objects` into documents.
    #[arg(long)]
    write_status: bool,
    /// Where `--write-status` writes documents; without it they are written in place of the table.
    #[arg(long, value_name = "DIR", requires = "write_status", requires = "objects")]
    status_out: Option<PathBuf>,
    /// Who audits, as statuses tell it.
    #[arg(long, value_name = "NAME", default_value = "portcullis-audit", requires = "write_status")]
    id: String,
    /// Writes the objects that Config and SyncSet want as inventory into this directory, for listeners to load beside policies.
    #[arg(long, value_name = "DIR")]
    write_inventory: Option<PathBuf>,
    /// Templates, constraints and what belongs to them: files, and directories whose files are read.
    #[arg(required = true, value_name = "POLICY")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let loaded = match load(&args.paths)? {
        Ok(loaded) => loaded,
        Err(errors) => return check::refuse(&errors, out),
    };
    loaded.note_warnings(out);
    let documents = match documents_of(&loaded.sources) {
        Ok(documents) => documents,
        Err(errors) => return check::refuse(&PolicyErrors { errors, omitted: 0 }, out),
    };
    let constraints = Constraints::compile(&documents).map_err(|errors| anyhow!("{}", errors.join("\n")))?;
    check_wanted(args, &constraints)?;
    if out.is_json() && args.write_status && args.status_out.is_none() && !args.objects.is_empty() {
        let message = "`--write-status` and `-o json` both write to the standard output: add `--status-out DIR`";
        return Err(Usage(message.to_owned()).into());
    }
    let timestamp = timestamp()?;
    let cluster = match args.objects.is_empty() {
        true => {
            Some(Cluster::connect(&args.reach).context("the API server cannot be reached; `--objects` audits files")?)
        }
        false => None,
    };
    let bar = out.progress(0, "objects");
    let audited = run::audit(args, &documents, &constraints, cluster.as_ref(), &bar);
    bar.finish_and_clear();
    let run::Audited { tally, mut problems, notes, inventory, resources } = audited?;
    notes.iter().for_each(|note| out.note(show::escape(note)));

    if let Some(dir) = &args.write_inventory {
        match problems.is_empty() {
            true => {
                let count = inventory::write(dir, &inventory)?;
                out.note(format_args!("{count} objects are in `{}`", dir.display()));
            }
            false => out.note("no inventory is written: not all objects are known"),
        }
    }
    let mut shown = false;
    if args.write_status && !problems.is_empty() {
        out.note("no status is written: the audit is not complete");
    } else if args.write_status {
        let audit = Audit { timestamp: &timestamp, id: &args.id, tally: &tally };
        match &cluster {
            Some(cluster) => problems.extend(audit.patch(cluster, &resources)),
            None => {
                audit.write(&documents, args.status_out.as_deref(), out)?;
                shown = args.status_out.is_none();
            }
        }
    }
    match (out.is_json(), shown) {
        (true, _) => show::json(&tally, &timestamp, &problems, out)?,
        (false, true) => {}
        (false, false) => show::table(&tally, out)?,
    }
    problems.iter().for_each(|problem| out.error(&anyhow!("{}", show::escape(problem))));
    if !problems.is_empty() {
        return Ok(Exit::Failed);
    }
    Ok(Exit::well_if(tally.total() == 0))
}

fn parse_point(text: &str) -> Result<EnforcementPoint, String> {
    let all = [EnforcementPoint::Audit, EnforcementPoint::Gator, EnforcementPoint::Webhook];
    let names = all.map(EnforcementPoint::as_str).join("`, `");
    all.into_iter().find(|point| point.as_str() == text).ok_or_else(|| format!("write one of `{names}`"))
}

/// Refuses what would come to nothing: no constraint is asked, and no inventory wanted.
fn check_wanted(args: &Args, constraints: &Constraints) -> anyhow::Result<()> {
    if args.write_inventory.is_some() {
        if constraints.kept_kinds().is_empty() {
            bail!(
                "there is nothing to write as an inventory: neither a Config nor a SyncSet in these files names kinds"
            );
        }
        return Ok(());
    }
    if !constraints.at(args.enforcement_point).is_empty() {
        return Ok(());
    }
    let point = args.enforcement_point.as_str();
    match constraints.count() {
        0 => bail!("there is no constraint in these files: documents of `constraints.gatekeeper.sh` are"),
        _ => bail!("no constraint in these files is in force at `{point}`: see their `scopedEnforcementActions`"),
    }
}

/// The documents of files, out of their lists.
///
/// # Errors
/// What cannot be read.
pub(super) fn documents_of(sources: &[Source]) -> Result<Vec<Node>, Vec<NodeError>> {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for source in sources {
        match source.documents() {
            Ok(read) => read.into_iter().for_each(|document| flatten(document, &mut documents)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(documents) } else { Err(errors) }
}

/// A listener takes lists of lists, too; how deep they may be the reader of documents says.
fn flatten(document: Node, documents: &mut Vec<Node>) {
    match objects::find(&document, &["items"]).map(|items| &items.value) {
        Some(Value::List(items)) if objects::text(&document, &["kind"]).ends_with("List") => {
            items.iter().for_each(|item| flatten(item.clone(), documents));
        }
        _ => documents.push(document),
    }
}

/// Now, as Kubernetes writes it.
fn timestamp() -> anyhow::Result<String> {
    Ok(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second())?.to_string())
}
