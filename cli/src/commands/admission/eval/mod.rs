//! `portcullis admission eval`.

mod given;
mod show;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use portcullis_parsers::admission::answer;
use portcullis_parsers::admission::hooks::Hook;
use portcullis_parsers::admission::hooks::testing::apply_patch;
use portcullis_parsers::admission::json::Tape;
use portcullis_parsers::admission::judge::{Judge, Outcome};
use portcullis_parsers::admission::review::{Review, ReviewError, Version};
use serde_json::Value;

use self::show::Shown;
use super::load::load;
use super::yaml;
use crate::commands::check;
use crate::exit::{Exit, Usage};
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The hook that judges. Without it and --uri all do.
    #[arg(long, value_name = "NAME", conflicts_with = "uri")]
    hook: Option<String>,
    /// The hook that judges, by its path.
    #[arg(long, value_name = "PATH")]
    uri: Option<String>,
    /// Writes the object as the hook changes it, and nothing else.
    #[arg(long)]
    patched: bool,
    #[command(flatten)]
    request: given::Request,
    /// An AdmissionReview, or an object that a review is made of, in JSON or YAML; `-` is the standard input.
    #[arg(value_name = "REVIEW")]
    review: PathBuf,
    /// Hooks: files, and directories whose .yaml, .yml and .json files are read.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// What one hook says of one review.
struct Judged<'a> {
    hook: &'a Hook,
    version: Version,
    uid: String,
    outcome: Outcome,
    /// The object that a patch is of.
    object: Value,
    /// The request in a line; nothing where the review was refused as it is.
    request: Option<String>,
}

impl Judged<'_> {
    /// The answer, as the API server gets it.
    fn answer(&self) -> anyhow::Result<Value> {
        let mut bytes = Vec::new();
        answer::write(&mut bytes, self.version, &self.uid, &self.outcome);
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn allows(&self) -> bool {
        self.outcome.verdict.allows()
    }

    /// Whether the rules and selectors of the hook speak of it.
    fn is_matched(&self) -> bool {
        self.outcome.decided_by != NOT_MATCHED
    }

    /// The object after the patch.
    fn patched(&self) -> anyhow::Result<Value> {
        match &self.outcome.patch {
            Some(patch) => apply_patch(&self.object, patch).map_err(|why| anyhow!("the patch does not apply: {why}")),
            None => Ok(self.object.clone()),
        }
    }
}

/// How outcomes name that a hook does not speak of a request.
const NOT_MATCHED: &str = "not matched";

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let loaded = match load(&args.paths)? {
        Ok(loaded) => loaded,
        Err(errors) => return check::refuse(&errors, out),
    };
    let hooks = choose(args, loaded.hooks())?;
    let reviews = given::read(&args.review, &args.request)?;
    let mut judged = Vec::new();
    for review in &reviews {
        for hook in &hooks {
            judged.push(judge(hook, review)?);
        }
    }
    if args.patched {
        return write_patched(&judged, out);
    }
    let exit = Exit::well_if(judged.iter().all(Judged::allows));
    match judged.as_slice() {
        [one] if out.is_json() => out.json(&one.answer()?)?,
        all if out.is_json() => {
            let shown = all.iter().map(|judged| Shown::new(judged, &loaded)).collect::<anyhow::Result<Vec<_>>>()?;
            out.json(&serde_json::json!({ "judged": shown }))?;
        }
        [one] => show::print(one, &loaded, out)?,
        all => {
            let (asked, others): (Vec<_>, Vec<_>) = all.iter().partition(|judged| judged.is_matched());
            asked.iter().try_for_each(|judged| show::print(judged, &loaded, out))?;
            if !others.is_empty() {
                out.line(format_args!(
                    "{} would not be asked: their rules and selectors do not speak of it",
                    others.len()
                ))?;
            }
        }
    }
    Ok(exit)
}

fn choose<'a>(args: &Args, hooks: &'a [Arc<Hook>]) -> anyhow::Result<Vec<&'a Hook>> {
    let all = || hooks.iter().map(AsRef::as_ref);
    let chosen: Vec<&Hook> = match (&args.hook, &args.uri) {
        (Some(name), _) => all().filter(|hook| hook.name() == name).collect(),
        (_, Some(uri)) => all().filter(|hook| hook.uri() == uri).collect(),
        (None, None) => all().collect(),
    };
    if chosen.is_empty() {
        let names: Vec<_> = match args.uri {
            Some(_) => all().map(Hook::uri).collect(),
            None => all().map(Hook::name).collect(),
        };
        match args.hook.as_ref().or(args.uri.as_ref()) {
            Some(wanted) if !names.is_empty() => {
                bail!(Usage(format!("there is no hook `{wanted}`; there are `{}`", names.join("`, `"))))
            }
            _ => bail!("there are no hooks in these files: documents of kind `AdmissionHook` are"),
        }
    }
    Ok(chosen)
}

fn judge<'a>(hook: &'a Hook, review: &[u8]) -> anyhow::Result<Judged<'a>> {
    let mut tape = Tape::new();
    let root = tape.read(review).map_err(|error| anyhow!("the review cannot be read: {error}"))?;
    match Review::read(root) {
        Ok(review) => {
            let object = review.object.map(|object| serde_json::from_slice(object.raw())).transpose();
            Ok(Judged {
                hook,
                version: review.version,
                uid: review.uid.to_string(),
                outcome: hook.judge(&review, None),
                // Nested deeper than other readers go, it is judged all the same; only a patch is not shown.
                object: object.ok().flatten().unwrap_or_default(),
                request: Some(show::say_request(&review)),
            })
        }
        Err(ReviewError::Refused { version, uid, message, code }) => {
            let outcome = Outcome { message: message.into(), code, decided_by: "review".into(), ..Outcome::default() };
            Ok(Judged { hook, version, uid: uid.to_string(), outcome, object: Value::Null, request: None })
        }
        Err(ReviewError::Unreadable { message }) => {
            bail!("the review would be answered with the HTTP status 400: {message}")
        }
    }
}

fn write_patched(judged: &[Judged<'_>], out: &mut Output) -> anyhow::Result<Exit> {
    let mut objects = Vec::new();
    for one in judged {
        if judged.iter().any(|other| other.hook.name() != one.hook.name()) {
            bail!(Usage("`--patched` is of one hook: choose it with `--hook`".to_owned()));
        }
        if !one.allows() {
            out.error(&anyhow!("`{}` denies it: there is nothing to be changed", one.hook.name()));
            return Ok(Exit::Found);
        }
        objects.push(one.patched()?);
    }
    match objects.as_slice() {
        [one] if out.is_json() => out.json(one)?,
        all if out.is_json() => out.json(&all)?,
        all => out.raw(yaml::write_all(all).as_bytes())?,
    }
    Ok(Exit::Well)
}
