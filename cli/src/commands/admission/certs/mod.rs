//! `portcullis admission certs`.

mod expiry;
mod files;
mod issue;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use self::expiry::Known;
use self::files::{CALLERS_CA, CLIENT, Pair, SERVER, SERVER_CA};
use self::issue::{Authority, Names};
use crate::exit::{Exit, Usage};
use crate::output::{Look, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the files are.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// The service that the API server calls: the certificate is for NAME.NAMESPACE.svc and NAME.NAMESPACE.svc.cluster.local.
    #[arg(long, value_name = "NAME", default_value = super::SERVICE)]
    service: String,
    /// The namespace of the service.
    #[arg(long, value_name = "NAME", default_value = super::NAMESPACE)]
    namespace: String,
    /// Further names and addresses of the server, such as 127.0.0.1 for an Envoy beside the API server.
    #[arg(long, value_name = "NAME")]
    san: Vec<String>,
    /// The name in the API server's certificate: what policies call it by.
    #[arg(long, value_name = "NAME", default_value = super::CALLER)]
    client_name: String,
    /// How long the certificates of the server and of the client are valid.
    #[arg(long, value_name = "N", default_value = "365", value_parser = clap::value_parser!(u32).range(1..=MAX_DAYS))]
    days: u32,
    /// How long the authorities are valid.
    #[arg(long, value_name = "N", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..=MAX_DAYS))]
    ca_days: u32,
    /// Keeps the authorities and the names that are there, and issues the certificates of server and client anew: who trusts them
    /// need not be told.
    #[arg(long)]
    renew: bool,
    /// Writes over files that are there.
    #[arg(long)]
    force: bool,
    /// Makes nothing: says when the certificates in the directory expire. Ends with status 1 if one does so soon.
    #[arg(long, conflicts_with_all = ["renew", "force"])]
    check: bool,
    /// How many days are soon.
    #[arg(long, value_name = "N", default_value = "30", requires = "check")]
    within: u32,
}

/// The longest validity: what is valid for longer is not meant to be checked.
const MAX_DAYS: i64 = 36_500;

/// Clocks of two machines differ by less.
const CLOCK_SKEW: Duration = Duration::hours(1);

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    // In whole seconds, as certificates have it.
    let now = OffsetDateTime::from(SystemTime::now()).truncate_to_second();
    if args.check {
        return check(args, now, out);
    }
    let (names, client_name) = names(args)?;
    if names.is_empty() {
        return Err(Usage("a certificate without names serves nobody: give `--service` or `--san`".to_owned()).into());
    }
    let pairs: &[Pair] = if args.renew { &[SERVER, CLIENT] } else { &[SERVER_CA, SERVER, CALLERS_CA, CLIENT] };
    if !args.force && !args.renew {
        files::refuse_existing(&args.dir, pairs)?;
    }
    let begin = now - CLOCK_SKEW;
    let end = |days: u32| now + Duration::days(i64::from(days));
    let (servers, callers) = if args.renew {
        (Authority::load(&args.dir, SERVER_CA)?, Authority::load(&args.dir, CALLERS_CA)?)
    } else {
        let make = |name| Authority::make(name, begin, end(args.ca_days));
        (make("Portcullis admission servers")?, make("Portcullis admission callers")?)
    };
    let server = servers.issue_server(&names, begin, end(args.days)).context("the certificate of the server")?;
    let client = callers.issue_client(&client_name, begin, end(args.days)).context("the certificate of the client")?;
    std::fs::create_dir_all(&args.dir).with_context(|| format!("`{}` cannot be made", args.dir.display()))?;
    if !args.renew {
        files::write(&args.dir, SERVER_CA, servers.issued())?;
        files::write(&args.dir, CALLERS_CA, callers.issued())?;
    }
    files::write(&args.dir, SERVER, &server)?;
    files::write(&args.dir, CLIENT, &client)?;
    report(args, &load(&args.dir, pairs)?, now, out)?;
    Ok(Exit::Well)
}

/// The names of the server and of the client.
fn names(args: &Args) -> anyhow::Result<(Names, String)> {
    let known = |pair: Pair| {
        let path = args.dir.join(pair.certificate);
        let known = if args.renew && path.exists() { expiry::load(&path)? } else { Vec::new() };
        anyhow::Ok(known.into_iter().next().map(|first| first.names).unwrap_or_default())
    };
    let mut all = known(SERVER)?;
    if all.is_empty() && !args.service.is_empty() {
        let service = format!("{}.{}.svc", args.service, args.namespace);
        all.extend([service.clone(), format!("{service}.cluster.local")]);
    }
    all.extend(args.san.iter().cloned());
    let client_name = known(CLIENT)?.into_iter().next().unwrap_or_else(|| args.client_name.clone());
    let mut names = Names::default();
    for name in &all {
        match name.parse::<IpAddr>() {
            Ok(address) => names.addresses.push(address),
            Err(_) => names.dns.push(name.clone()),
        }
    }
    for name in names.dns.iter().chain([&client_name]) {
        check_dns(name)?;
    }
    names.dns.sort();
    names.dns.dedup();
    names.addresses.sort();
    names.addresses.dedup();
    Ok((names, client_name))
}

/// RFC 1123, section 2.1; a `*` may be the first label.
fn check_dns(name: &str) -> anyhow::Result<()> {
    let of_label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(of_label)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if name.len() <= 253 && rest.split('.').all(label) {
        return Ok(());
    }
    let shown: String = name.escape_debug().take(80).collect();
    Err(Usage(format!("`{shown}` is neither a DNS name nor an address: write `hooks.example.com` or `127.0.0.1`"))
        .into())
}

fn load(dir: &Path, pairs: &[Pair]) -> anyhow::Result<Vec<Known>> {
    let mut known = Vec::new();
    for pair in pairs {
        known.extend(expiry::load(&dir.join(pair.certificate))?);
    }
    Ok(known)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    file: String,
    subject: &'a str,
    names: &'a [String],
    is_authority: bool,
    not_before: String,
    not_after: String,
    days_left: i64,
}

impl<'a> Shown<'a> {
    fn new(known: &'a Known, now: OffsetDateTime) -> Self {
        Self {
            file: known.file.display().to_string(),
            subject: &known.subject,
            names: &known.names,
            is_authority: known.is_authority,
            not_before: timestamp(known.not_before),
            not_after: timestamp(known.not_after),
            days_left: known.days_left(now),
        }
    }
}

fn timestamp(time: OffsetDateTime) -> String {
    let (hour, minute, second) = time.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", time.date())
}

fn report(args: &Args, known: &[Known], now: OffsetDateTime, out: &mut Output) -> anyhow::Result<()> {
    if out.is_json() {
        let shown: Vec<_> = known.iter().map(|known| Shown::new(known, now)).collect();
        return out.json(&serde_json::json!({"directory": args.dir.display().to_string(), "certificates": shown}));
    }
    for known in known {
        let what = if known.is_authority { "authority" } else { "certificate" };
        let names = match known.names.is_empty() {
            true => known.subject.clone(),
            false => known.names.join(", "),
        };
        let days = known.days_left(now);
        let in_days =
            format!("expires on {}, in {days} {}", known.not_after.date(), if days == 1 { "day" } else { "days" });
        let (look, when) = match days {
            _ if known.not_before > now => (Look::Bad, format!("not valid before {}", timestamp(known.not_before))),
            ..0 => (Look::Bad, format!("expired on {}", known.not_after.date())),
            _ if args.check && days < i64::from(args.within) => (Look::Doubtful, in_days),
            _ => (Look::Good, in_days),
        };
        out.line(format_args!("{}: {what} of {names}: {}", known.file.display(), out.paint(look, when)))?;
    }
    Ok(())
}

fn check(args: &Args, now: OffsetDateTime, out: &mut Output) -> anyhow::Result<Exit> {
    let known = expiry::load_directory(&args.dir)?;
    report(args, &known, now, out)?;
    let well = |known: &Known| known.not_before <= now && known.days_left(now) >= i64::from(args.within);
    Ok(Exit::well_if(known.iter().all(well)))
}

/// Refuses a file that is not of certificates of authorities.
pub(super) fn check_authorities(path: &Path) -> anyhow::Result<()> {
    match expiry::load(path)?.iter().find(|known| !known.is_authority) {
        None => Ok(()),
        Some(known) => anyhow::bail!(
            "`{}` holds the certificate of `{}`, which is no authority: give that of who issued it",
            path.display(),
            known.subject
        ),
    }
}
