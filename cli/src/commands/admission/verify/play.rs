//! Runs suites.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use indicatif::ProgressBar;
use portcullis_parsers::admission::engines::gatekeeper::EnforcementPoint;
use portcullis_parsers::admission::json::Tape;
use portcullis_policy::{Node, Place, Source};
use serde::Serialize;

use super::super::audit::judging::Constraints;
use super::super::audit::objects;
use super::filter::Filter;
use super::suite::{Case, Given, Suite, Test};

/// How long the judgement of one object may take. A listener has half a second; a build that is not optimized, or a machine
/// that is busy, must not fail a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of something that was to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// What came of a suite.
#[derive(Serialize)]
pub(super) struct PlayedSuite {
    pub(super) suite: String,
    pub(super) result: Outcome,
    pub(super) seconds: f64,
    pub(super) tests: Vec<PlayedTest>,
}

/// What came of a test.
#[derive(Serialize)]
pub(super) struct PlayedTest {
    pub(super) name: String,
    pub(super) at: String,
    pub(super) result: Outcome,
    /// The constraint is to be refused.
    pub(super) invalid: bool,
    pub(super) seconds: f64,
    /// Why none of its cases could be run, or a constraint is not invalid as it ought to be.
    pub(super) faults: Vec<String>,
    pub(super) cases: Vec<PlayedCase>,
}

/// What came of a case.
#[derive(Serialize)]
pub(super) struct PlayedCase {
    pub(super) name: String,
    pub(super) at: String,
    pub(super) result: Outcome,
    pub(super) seconds: f64,
    /// What is not as it ought to be.
    pub(super) faults: Vec<String>,
    /// What was said of the object.
    pub(super) messages: Vec<String>,
}

/// How many cases came to what. A test of an invalid constraint counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Count {
    pub(super) fn of<'s>(played: impl IntoIterator<Item = &'s PlayedSuite>) -> Self {
        let mut count = Self::default();
        for test in played.into_iter().flat_map(|suite| &suite.tests) {
            test.cases.iter().for_each(|case| count.add(case.result));
            // What fails counts, whatever its cases are; a test that has none and is not of an invalid constraint tests nothing.
            let told = test.cases.iter().any(|case| case.result == test.result);
            if !told && (test.result == Outcome::Failed || test.cases.is_empty() && test.invalid) {
                count.add(test.result);
            }
        }
        count
    }

    /// Whether nothing was run.
    pub(super) const fn is_of_nothing(self) -> bool {
        self.passed == 0 && self.failed == 0
    }

    fn add(&mut self, outcome: Outcome) {
        let number = match outcome {
            Outcome::Passed => &mut self.passed,
            Outcome::Failed => &mut self.failed,
            Outcome::Skipped => &mut self.skipped,
        };
        *number = number.saturating_add(1);
    }
}

/// Runs all of a suite that the filter takes.
pub(super) fn play(suite: &Suite, filter: &Filter, bar: &ProgressBar) -> PlayedSuite {
    let began = Instant::now();
    let dir = Path::new(&suite.file).parent().unwrap_or(Path::new(""));
    let tests: Vec<_> =
        suite.tests.iter().map(|test| play_test(dir, test, suite.skip || test.skip, filter, bar)).collect();
    let result = sum(tests.iter().map(|test| test.result));
    PlayedSuite { suite: suite.file.clone(), result, seconds: began.elapsed().as_secs_f64(), tests }
}

/// Failed if anything did, skipped if all of it was.
fn sum(results: impl Iterator<Item = Outcome> + Clone) -> Outcome {
    if results.clone().any(|result| result == Outcome::Failed) {
        Outcome::Failed
    } else if results.clone().next().is_some() && results.clone().all(|result| result == Outcome::Skipped) {
        Outcome::Skipped
    } else {
        Outcome::Passed
    }
}

fn play_test(dir: &Path, test: &Test, skip: bool, filter: &Filter, bar: &ProgressBar) -> PlayedTest {
    let began = Instant::now();
    let at = test.place.to_string();
    let ended = |result, faults, cases| {
        let seconds = began.elapsed().as_secs_f64();
        PlayedTest { name: test.name.clone(), at, result, invalid: test.invalid, seconds, faults, cases }
    };
    if skip || !filter.takes_test(test) {
        let cases: Vec<_> = test.cases.iter().map(|case| without(case, Outcome::Skipped)).collect();
        bar.inc(super::weigh(test));
        return ended(Outcome::Skipped, Vec::new(), cases);
    }
    if test.invalid {
        let faults = check_invalid(dir, test);
        bar.inc(1);
        let result = if faults.is_empty() { Outcome::Passed } else { Outcome::Failed };
        return ended(result, faults, Vec::new());
    }
    let constraints = match compile(dir, test) {
        Ok(constraints) => constraints,
        Err(faults) => {
            bar.inc(super::weigh(test));
            let missed = |case: &Case| {
                let result =
                    if case.skip || !filter.takes_case(test, case) { Outcome::Skipped } else { Outcome::Failed };
                without(case, result)
            };
            return ended(Outcome::Failed, faults, test.cases.iter().map(missed).collect());
        }
    };
    let mut cases = Vec::new();
    for case in &test.cases {
        cases.push(match case.skip || !filter.takes_case(test, case) {
            true => without(case, Outcome::Skipped),
            false => play_case(dir, case, &constraints),
        });
        bar.inc(1);
    }
    let result =
        if cases.iter().any(|case| case.result == Outcome::Failed) { Outcome::Failed } else { Outcome::Passed };
    ended(result, Vec::new(), cases)
}

/// A case that was not run.
fn without(case: &Case, result: Outcome) -> PlayedCase {
    PlayedCase {
        name: case.name.clone(),
        at: case.place.to_string(),
        result,
        seconds: 0.0,
        faults: Vec::new(),
        messages: Vec::new(),
    }
}

/// The template, the constraint and what expands workloads, compiled as a listener compiles them.
fn compile(dir: &Path, test: &Test) -> Result<Constraints, Vec<String>> {
    let documents = template(dir, test).and_then(|template| {
        let mut documents = vec![template, constraint(dir, test)?];
        if let Some(given) = &test.expansion {
            documents.extend(expansions(dir, given)?);
        }
        Ok(documents)
    });
    let documents = documents.map_err(|error| vec![format!("{error:#}")])?;
    if let [template, constraint, ..] = documents.as_slice() {
        check_kind(template, constraint).map_err(|error| vec![error.to_string()])?;
    }
    Constraints::compile(&documents)
}

/// What is wrong with a test of a constraint that is to be refused: by the schema, and by nothing else.
fn check_invalid(dir: &Path, test: &Test) -> Vec<String> {
    let documents = || {
        let (template, constraint) = (template(dir, test)?, constraint(dir, test)?);
        check_kind(&template, &constraint)?;
        anyhow::Ok((template, constraint))
    };
    let (template, constraint) = match documents() {
        Ok(documents) => documents,
        Err(error) => return vec![format!("{error:#}")],
    };
    if let Err(faults) = Constraints::compile(std::slice::from_ref(&template)) {
        return faults;
    }
    match Constraints::compile(&[template, constraint]) {
        Ok(_) => vec!["the constraint is valid, and it ought to be refused for its parameters".to_owned()],
        Err(_) => Vec::new(),
    }
}

fn template(dir: &Path, test: &Test) -> anyhow::Result<Node> {
    let node = one(dir, test, test.template.as_ref(), "template")?;
    let group = group(&node);
    if group != "templates.gatekeeper.sh" || objects::text(&node, &["kind"]) != "ConstraintTemplate" {
        bail!("{}: wanted a ConstraintTemplate of templates.gatekeeper.sh", node.place);
    }
    Ok(node)
}

fn constraint(dir: &Path, test: &Test) -> anyhow::Result<Node> {
    let node = one(dir, test, test.constraint.as_ref(), "constraint")?;
    if group(&node) != "constraints.gatekeeper.sh" {
        bail!("{}: wanted a constraint: a document of constraints.gatekeeper.sh", node.place);
    }
    Ok(node)
}

fn check_kind(template: &Node, constraint: &Node) -> anyhow::Result<()> {
    let wanted = objects::text(template, &["spec", "crd", "spec", "names", "kind"]);
    let found = objects::text(constraint, &["kind"]);
    if wanted != found {
        bail!("{}: the constraint is of kind `{found}`, and the template is for `{wanted}`", constraint.place);
    }
    Ok(())
}

fn expansions(dir: &Path, given: &Given) -> anyhow::Result<Vec<Node>> {
    let documents = load(dir, given)?;
    match documents
        .iter()
        .find(|node| group(node) != "expansion.gatekeeper.sh" || objects::text(node, &["kind"]) != "ExpansionTemplate")
    {
        Some(other) => bail!("{}: wanted an ExpansionTemplate of expansion.gatekeeper.sh", other.place),
        None => Ok(documents),
    }
}

fn group(node: &Node) -> &str {
    objects::text(node, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group)
}

/// The first document, as `gator` reads it.
fn one(dir: &Path, test: &Test, given: Option<&Given>, what: &str) -> anyhow::Result<Node> {
    let given = given.ok_or_else(|| anyhow!("{}: the test names no `{what}`", test.place))?;
    Ok(load(dir, given)?.swap_remove(0))
}

/// The documents of a file: one at least.
fn load(dir: &Path, given: &Given) -> anyhow::Result<Vec<Node>> {
    let (name, text) = read(dir, given)?;
    let documents = Node::load(&name, &text)?;
    if documents.is_empty() {
        bail!("{}: there is no document in `{name}`", given.place);
    }
    Ok(documents)
}

fn read(dir: &Path, given: &Given) -> anyhow::Result<(String, Vec<u8>)> {
    let path = dir.join(&given.path);
    if path.is_dir() {
        bail!("{}: `{}` is a directory; wanted a file", given.place, path.display());
    }
    let sources =
        Source::load(&[path]).map_err(|errors| anyhow!("{errors}")).with_context(|| given.place.to_string())?;
    let Source { name, text } = sources.into_iter().next().with_context(|| format!("{}: not a file", given.place))?;
    Ok((name, text))
}

fn play_case(dir: &Path, case: &Case, constraints: &Constraints) -> PlayedCase {
    let began = Instant::now();
    let mut played = without(case, Outcome::Failed);
    match judge(dir, case, constraints) {
        Ok(messages) => {
            played.faults = case.assertions.iter().filter_map(|assertion| assertion.miss(&messages)).collect();
            played.messages = messages;
        }
        Err(error) => played.faults.push(format!("{error:#}")),
    }
    if played.faults.is_empty() {
        played.result = Outcome::Passed;
    }
    played.seconds = began.elapsed().as_secs_f64();
    played
}

/// What the constraint says of the object of a case.
fn judge(dir: &Path, case: &Case, constraints: &Constraints) -> anyhow::Result<Vec<String>> {
    let given = case.object.as_ref().ok_or_else(|| anyhow!("{}: the case names no `object`", case.place))?;
    if case.assertions.is_empty() {
        bail!("{}: the case has no `assertions`: write `- violations: no`, or `- violations: yes`", case.place);
    }
    let object = object(dir, given)?;
    let mut inventory = Vec::new();
    for given in &case.inventory {
        inventory.extend(load(dir, given)?.iter().map(|node| objects::write(&objects::to_json(node))));
    }
    let with_inventory;
    let constraints = match inventory.is_empty() {
        true => constraints,
        false => {
            with_inventory = constraints
                .with_inventory(&inventory.iter().map(Vec::as_slice).collect::<Vec<_>>())
                .with_context(|| case.place.to_string())?;
            &with_inventory
        }
    };
    let mut tape = Tape::new();
    let root = tape.read(&object.text).map_err(|error| anyhow!("{}: {error}", object.place))?;
    let until = Instant::now().checked_add(PATIENCE).context("the clock ends")?;
    let judged = match object.is_review {
        true => constraints.judge_review(root, until),
        false => constraints.judge(root, None, EnforcementPoint::Gator, until),
    };
    let judged = judged.with_context(|| object.place.to_string())?;
    if !judged.faults.is_empty() {
        bail!("{}: {}", object.place, judged.faults.join("; "));
    }
    Ok(judged.violations.into_iter().map(|violation| violation.message).collect())
}

struct Shown {
    text: Vec<u8>,
    is_review: bool,
    place: Place,
}

/// The one object of a file.
fn object(dir: &Path, given: &Given) -> anyhow::Result<Shown> {
    let documents = load(dir, given)?;
    let node = match documents.as_slice() {
        [one] => one,
        more => bail!("{}: wanted one object in `{}`, there are {}", given.place, given.path, more.len()),
    };
    let is_review = objects::text(node, &["kind"]) == "AdmissionReview" && group(node) == "admission.k8s.io";
    let mut json = objects::to_json(node);
    if is_review {
        super::review::complete(&mut json).with_context(|| node.place.to_string())?;
    }
    Ok(Shown { text: objects::write(&json), is_review, place: node.place.clone() })
}
