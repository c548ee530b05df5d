//! `portcullis test`.

mod junit;
mod suite;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use portcullis_policy::{NodeError, Traffic};
use portcullis_proxylib::Meta;
use serde::Serialize;

use self::suite::{Case, Expect, Suite, Values, Way};
use crate::commands::find_protocol;
use crate::exit::Exit;
use crate::judge::{self, Answer, Named, Near, Policies, Verdict};
use crate::output::{Look, Output};
use crate::request::{self, Asked};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes a JUnit report into this file, too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Runs only tests whose name has this text in it.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Prints the JSON Schema of suites, for editors, and runs nothing.
    #[arg(long, conflicts_with_all = ["junit", "filter", "suites"])]
    schema: bool,
    /// Suites: files in YAML or JSON.
    #[arg(required_unless_present = "schema", value_name = "SUITE")]
    suites: Vec<PathBuf>,
}

/// What came of one suite.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) suite: String,
    pub(crate) seconds: f64,
    pub(crate) tests: Vec<Outcome>,
}

/// What came of one test.
#[derive(Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) at: String,
    pub(crate) passed: bool,
    pub(crate) seconds: f64,
    /// What is not as it should be.
    pub(crate) failures: Vec<String>,
    /// What explains it.
    pub(crate) explained: Vec<String>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    if args.schema {
        out.raw(suite::schema().as_bytes())?;
        return Ok(Exit::Well);
    }
    let suites = args.suites.iter().map(|path| Suite::load(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let wanted = |case: &Case| args.filter.as_ref().is_none_or(|text| case.name.contains(text));
    let count: usize = suites.iter().map(|suite| suite.tests.iter().filter(|(_, case)| wanted(case)).count()).sum();
    if count == 0 {
        out.note(match &args.filter {
            Some(text) => format!("nothing is tested: no test has `{text}` in its name"),
            None => "nothing is tested: the suites have no tests".to_owned(),
        });
    }
    let bar = out.progress(count as u64, "tests");
    let mut reports = Vec::new();
    for suite in &suites {
        let began = Instant::now();
        let mut tests = Vec::new();
        let mut compiled = None;
        for (place, case) in suite.tests.iter().filter(|(_, case)| wanted(case)) {
            let began = Instant::now();
            let played = play(suite, case, &mut compiled)
                .with_context(|| NodeError::new(place, case.name.as_str(), "cannot be run").to_string())?;
            let (failures, explained) = played;
            let seconds = began.elapsed().as_secs_f64();
            let passed = failures.is_empty();
            tests.push(Outcome {
                name: case.name.clone(),
                at: place.to_string(),
                passed,
                seconds,
                failures,
                explained,
            });
            bar.inc(1);
        }
        reports.push(Report { suite: suite.name.clone(), seconds: began.elapsed().as_secs_f64(), tests });
    }
    bar.finish_and_clear();
    finish(&reports, args.junit.as_deref(), out)
}

/// Writes what came of the suites, and says how it ends.
pub(super) fn finish(reports: &[Report], junit: Option<&Path>, out: &mut Output) -> anyhow::Result<Exit> {
    if let Some(path) = junit {
        let xml = junit::write(reports)?;
        std::fs::write(path, xml).with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    let all = || reports.iter().flat_map(|report| &report.tests);
    let failed = all().filter(|test| !test.passed).count();
    let passed = all().count() - failed;
    if out.is_json() {
        out.json(&serde_json::json!({"passed": passed, "failed": failed, "suites": reports}))?;
        return Ok(Exit::well_if(failed == 0));
    }
    for report in reports {
        out.line(out.paint(Look::Strong, &report.suite))?;
        for test in &report.tests {
            if test.passed {
                out.line(format_args!("  {}    {}", out.paint(Look::Good, "ok"), test.name))?;
                continue;
            }
            out.line(format_args!("  {}  {}", out.paint(Look::Bad, "FAIL"), test.name))?;
            out.line(format_args!("        at {}", test.at))?;
            for line in test.failures.iter().chain(&test.explained) {
                out.line(format_args!("        {line}"))?;
            }
        }
    }
    out.line(format_args!("{passed} passed, {failed} failed"))?;
    Ok(Exit::well_if(failed == 0))
}

type Played = (Vec<String>, Vec<String>);

/// Plays one test. Policies are compiled once for each protocol that follows another.
fn play(suite: &Suite, case: &Case, compiled: &mut Option<(String, Policies)>) -> anyhow::Result<Played> {
    let name = case.protocol.as_deref().ok_or_else(|| anyhow!("no `protocol`, here or in `defaults`"))?;
    let protocol = find_protocol(name)?;
    let conversation = match (&case.request, &case.text, &case.hex) {
        (Some(fields), None, None) => {
            let mut asked = Asked::default();
            for (field, values) in fields {
                match values {
                    Values::One(value) => asked.add(field, value.as_str()),
                    Values::Many(values) => values.iter().for_each(|value| asked.add(field, value.as_str())),
                }
            }
            request::compose(name, &asked)
        }
        (None, Some(text), None) => request::unescape(text).map(request::sent),
        (None, None, Some(hex)) => request::parse_hex(hex).map(request::sent),
        _ => Err("wanted one of `request`, `text`, `hex`".to_owned()),
    };
    let conversation = conversation.map_err(|why| anyhow!("{why}"))?;
    let meta = meta(suite, case)?;
    let policies = match compiled.take() {
        Some((known, policies)) if known == name => policies,
        _ => Policies::compile(suite.sources.clone(), name)?,
    };
    let answer = judge::play(&policies, protocol, &suite.config, meta.clone(), &conversation)?;
    let failures = compare(case, &answer)?;
    let explained = if failures.is_empty() { Vec::new() } else { explain(&policies, name, &meta, &answer)? };
    *compiled = Some((name.to_owned(), policies));
    Ok((failures, explained))
}

fn meta(suite: &Suite, case: &Case) -> anyhow::Result<Meta> {
    let way = case.direction.unwrap_or(Way::Ingress);
    let (endpoint, other, field) = match way {
        Way::Ingress => (&case.to, &case.from, "to"),
        Way::Egress => (&case.from, &case.to, "from"),
    };
    let endpoint = endpoint
        .as_ref()
        .ok_or_else(|| anyhow!("no `{field}`, here or in `defaults`: the endpoint that the policies protect"))?;
    let other = other.as_ref().map(suite::Side::who).transpose()?;
    let address =
        case.address.as_ref().map(|text| text.parse().map_err(|_| anyhow!("`{text}` is no address"))).transpose()?;
    let suite::Certificate { spiffe, dns_names, subject } = case.certificate.clone().unwrap_or_default();
    let named = Named { spiffe, dns_names, subject };
    Ok(Meta {
        id: 0,
        traffic: if way == Way::Ingress { Traffic::Ingress } else { Traffic::Egress },
        endpoint: endpoint.who()?.labels(&suite.identities)?,
        endpoint_id: 0,
        remote: judge::remote(other.as_ref(), address, &named, &suite.identities)?,
        port: case.port.ok_or_else(|| anyhow!("no `port`, here or in `defaults`"))?,
        source: None,
        destination: None,
    })
}

fn compare(case: &Case, answer: &Answer) -> anyhow::Result<Vec<String>> {
    let mut failures = Vec::new();
    let seen: Vec<Verdict> = answer.judged.iter().map(|judged| judged.verdict).collect();
    let shown = |verdicts: &[Verdict]| verdicts.iter().map(|verdict| verdict.as_str()).collect::<Vec<_>>().join(", ");
    let (fits, wanted): (bool, Vec<Verdict>) = match &case.expect {
        Expect::All(one) => {
            let one = Verdict::from(*one);
            (!seen.is_empty() && seen.iter().all(|verdict| *verdict == one), vec![one])
        }
        Expect::Each(each) => {
            let each: Vec<_> = each.iter().copied().map(Verdict::from).collect();
            (seen == each, each)
        }
    };
    if seen.is_empty() && !fits {
        let why = answer.closed.as_deref().unwrap_or("the bytes are not all of it");
        failures.push(format!("expected {}, but there is no request: {why}", shown(&wanted)));
    } else if !fits {
        failures.push(format!("expected {}, was {}", shown(&wanted), shown(&seen)));
    }
    if let Some(wanted) = &case.rule {
        let rule = |judged: &judge::Judged| judged.rule.as_ref().map(|rule| rule.name.clone());
        let names: Vec<_> =
            answer.judged.iter().map(|judged| rule(judged).unwrap_or_else(|| "no rule".to_owned())).collect();
        if !names.contains(wanted) {
            failures.push(format!("expected the rule {wanted}, it was {}", names.join(", ")));
        }
    }
    if let Some(wanted) = &case.reply {
        let wanted = request::unescape(wanted).map_err(|why| anyhow!("`reply`: {why}"))?;
        if wanted != answer.to_client {
            let (wanted, seen) = (wanted.escape_ascii(), answer.to_client.escape_ascii());
            failures.push(format!("expected the reply `{wanted}`, it was `{seen}`"));
        }
    }
    match (case.closed, &answer.closed) {
        (Some(true), None) => failures.push("expected that the connection is closed, and it is not".to_owned()),
        (Some(false), Some(why)) => {
            failures.push(format!("expected that the connection lives on; it is closed: {why}"))
        }
        _ => {}
    }
    Ok(failures)
}

/// What was decided, and why.
fn explain(policies: &Policies, protocol: &str, meta: &Meta, answer: &Answer) -> anyhow::Result<Vec<String>> {
    /// Rules that are shown for a request.
    const NEAREST: usize = 2;
    let mut lines = Vec::new();
    for judged in &answer.judged {
        let fields: Vec<_> =
            judged.fields.iter().map(|(name, values)| format!("{name}={}", values.join(","))).collect();
        let by = match &judged.rule {
            Some(rule) => format!("by the rule {} at {}", rule.name, rule.place),
            None => format!("because {}", judged.reason),
        };
        lines.push(format!("{}: {} {by}", fields.join(" "), judged.verdict.as_str()));
        if judged.verdict == Verdict::Denied {
            for Near { rule, at, misses } in judge::find_nearest(policies, &meta.flow(), protocol, judged, NEAREST)? {
                let misses: Vec<_> =
                    misses.iter().map(|miss| format!("{} wants {}", miss.field, miss.wanted)).collect();
                lines.push(format!("  near: {rule} at {at}: {}", misses.join("; ")));
            }
        }
    }
    if lines.len() > MAX_LINES {
        lines.truncate(MAX_LINES);
        lines.push("…".to_owned());
    }
    Ok(lines)
}

/// Lines that explain one failed test: a test is of a few requests.
const MAX_LINES: usize = 20;
