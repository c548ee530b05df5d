//! `portcullis admission`: everything around hooks for the Kubernetes API server.

#[cfg(feature = "rego")]
mod audit;
mod certs;
mod check;
mod docs;
mod eval;
#[cfg(feature = "rego")]
mod kube_mgmt;
mod load;
mod manifests;
mod test;
#[cfg(feature = "rego")]
mod verify;
mod yaml;

use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Checks hooks, and the policies beside them, as a listener would when it loads them.
    Check(check::Args),
    /// Runs the tests in the files of hooks.
    Test(test::Args),
    /// Runs suites of tests of templates and constraints, as Gatekeeper's `gator verify` does.
    #[cfg(feature = "rego")]
    Verify(verify::Args),
    /// Judges what there is already, of a cluster or in files, by the constraints in force.
    #[cfg(feature = "rego")]
    Audit(audit::Args),
    /// Says what hooks make of a review, or of an object.
    Eval(eval::Args),
    /// Writes what the cluster is told: configurations of webhooks, Envoy's deployment, the API server's credentials.
    Manifests(manifests::Args),
    /// Writes what hooks do, as Markdown; with `-o json`, for machines.
    Docs(docs::Args),
    /// Makes the certificates of both sides: authorities, the server's, the API server's. Or says when they expire.
    Certs(certs::Args),
}

/// The service of the manifests, and so the name that certificates are for.
const SERVICE: &str = "portcullis-admission";
/// The namespace of the manifests.
const NAMESPACE: &str = "portcullis";
/// The API server's name in its certificate.
const CALLER: &str = "kube-apiserver";

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Check(args) => check::run(args, out),
        Command::Test(args) => test::run(args, out),
        #[cfg(feature = "rego")]
        Command::Verify(args) => verify::run(args, out),
        #[cfg(feature = "rego")]
        Command::Audit(args) => audit::run(args, out),
        Command::Eval(args) => eval::run(args, out),
        Command::Manifests(args) => manifests::run(args, out),
        Command::Docs(args) => docs::run(args, out),
        Command::Certs(args) => certs::run(args, out),
    }
}
