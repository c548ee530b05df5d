//! A file with a rule.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rquickjs::{Array, Ctx, Function, Object, Value};

use super::answer::Answer;
use super::engine::{Engine, Failure, Form, Judge, Source};
use super::fault::{EvalError, Fault, Thrown};
use super::files::Files;
use super::source;
use super::workers::{STACK, Workers};
use super::wrap::wrap;

/// A file with a rule in JavaScript.
#[derive(Debug)]
pub struct Script {
    warnings: Vec<String>,
    pub(crate) workers: Workers,
}

impl Script {
    /// Reads a script, and runs it once to see that it can be run, for a second at most.
    ///
    /// It has a function `validate(request)` (exported, assigned to `module.exports`, or as a global), or makes a chain of
    /// filters with `pipy()`.
    ///
    /// # Errors
    /// It is too long, is no JavaScript, fails or takes too long before it was asked anything, or has nothing that judges.
    pub fn compile(name: &str, text: &str, files: Files) -> Result<Self, Fault> {
        let fault = |(line, column, message)| Fault { file: name.to_owned(), line, column, message };
        source::check(text).map_err(fault)?;
        // On a thread of its own: a script may hang within one step, and whoever loads policies must not hang with it.
        let stuck = STUCK.fetch_add(1, Ordering::Relaxed);
        let release = Release;
        if stuck >= MAX_STUCK {
            return Err(fault((
                1,
                1,
                "scripts that were to be loaded earlier still run: restart to load others".to_owned(),
            )));
        }
        let (sender, receiver) = channel();
        let copy = (text.to_owned(), files.clone());
        let load = move || {
            let (text, files) = copy;
            let loaded = load(text, files);
            drop(release);
            let (loaded, worker) = match loaded {
                Ok((source, engine)) => {
                    let warnings = engine.warnings.lines().map(str::to_owned).collect();
                    let (workers, worker) = Workers::begin(source);
                    (Ok(Self { warnings, workers }), Some((worker, engine)))
                }
                Err(fault) => (Err(fault), None),
            };
            // Nobody may wait for it any more; then the script is dropped here, and its thread ends.
            let _ = sender.send(loaded);
            if let Some((worker, engine)) = worker {
                worker.work(Some(engine));
            }
        };
        let thread = thread::Builder::new().name("javascript".to_owned()).stack_size(STACK).spawn(load);
        if thread.is_err() {
            return Err(fault((1, 1, "there is no thread to load the script".to_owned())));
        }
        let loaded = match receiver.recv_timeout(LOAD_TIME.saturating_mul(2)) {
            Ok(loaded) => loaded,
            Err(RecvTimeoutError::Timeout) => Err(too_long()),
            Err(RecvTimeoutError::Disconnected) => Err((1, 1, "the engine has failed".to_owned())),
        };
        loaded.map_err(fault)
    }

    /// What an operator should know of the script: what it asks for in vain.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the script says of an AdmissionReview, as JSON that was checked. It is judged on a thread of the script; whoever
    /// asks waits until soon after `until` at most.
    ///
    /// # Errors
    /// The script fails, takes too much time or memory, or gives nothing that can be understood.
    pub fn evaluate(&self, review: &[u8], until: Instant) -> Result<Answer, EvalError> {
        self.workers.judge(review, until)
    }
}

fn load(text: String, files: Files) -> Result<(Source, Engine), (u32, u32, String)> {
    let start = Instant::now();
    let until = start.checked_add(LOAD_TIME).unwrap_or(start);
    let mut source = Source { text, form: Form::Script, files, function: None };
    let mut loaded = Engine::prepare(&source, until, 0);
    if let Err(Failure::Thrown(thrown)) = &loaded
        && thrown.message.starts_with("SyntaxError")
        && is_module(&source.text)
    {
        source.form = Form::Module;
        loaded = Engine::prepare(&source, until, 0);
    }
    match loaded {
        Ok(engine) => Ok(make_last(source, engine, until)),
        Err(Failure::Deadline) => Err(too_long()),
        Err(Failure::Other(why)) => Err((1, 1, why)),
        Err(Failure::Thrown(thrown)) => {
            let (line, column) = thrown.place.unwrap_or((1, 1));
            Err((line, column, thrown.message))
        }
    }
}

/// The script as a function in an engine that lasts, where it can be had.
fn make_last(mut source: Source, engine: Engine, until: Instant) -> (Source, Engine) {
    source.function = wrap(&source, engine.exported);
    if source.function.is_some()
        && let Ok(mut lasting) = Engine::prepare(&source, until, 0)
    {
        lasting.warnings = engine.warnings;
        return (source, lasting);
    }
    source.function = None;
    (source, engine)
}

/// Whether it looks as if it were written as a module.
fn is_module(text: &str) -> bool {
    text.contains("export") || text.contains("import")
}

fn too_long() -> (u32, u32, String) {
    (1, 1, "the script takes more than a second before it is asked anything".to_owned())
}

/// Asks a script about a review.
pub(crate) fn ask<'js>(ctx: &Ctx<'js>, judge: Judge<'js>, review: &[u8]) -> Result<Answer, Failure> {
    let thrown = |_| Failure::Thrown(Thrown::catch(ctx));
    let review: &str = std::str::from_utf8(review).map_err(|_| Failure::Other("the review is no UTF-8".to_owned()))?;
    match judge {
        Judge::Validate(validate) => {
            let own = |_| Failure::Thrown(Thrown::catch_own(ctx));
            let review: Object<'_> = ctx.json_parse(review).and_then(|review| review.get()).map_err(own)?;
            let request: Value<'_> = review.get("request").map_err(thrown)?;
            let told: Value<'_> = validate.call((request,)).map_err(thrown)?;
            read(ctx, told)
        }
        Judge::Http(respond) => {
            let response: Array<'_> = respond.call((review,)).map_err(thrown)?;
            let status: f64 = response.get(0).map_err(thrown)?;
            if status != 200.0 {
                return Err(Failure::Other(format!("the script has answered with the status {status}")));
            }
            let body: String = response.get(1).map_err(thrown)?;
            let uid = serde_json::from_str::<Asked>(review).map(|asked| asked.request.uid).unwrap_or_default();
            Answer::read_review(&body, &uid).map_err(Failure::Other)
        }
    }
}

/// What is needed of a review to compare a response with.
#[derive(serde::Deserialize)]
struct Asked {
    request: AskedRequest,
}

#[derive(serde::Deserialize)]
struct AskedRequest {
    #[serde(default)]
    uid: String,
}

/// What `validate` has returned.
fn read<'js>(ctx: &Ctx<'js>, told: Value<'js>) -> Result<Answer, Failure> {
    let thrown = |_| Failure::Thrown(Thrown::catch(ctx));
    if let Some(allowed) = told.as_bool() {
        return Ok(Answer::plain(allowed));
    }
    if let Some(message) = told.as_string() {
        return Answer::deny(message.to_string().map_err(thrown)?).map_err(Failure::Other);
    }
    let kind = told.type_name();
    if told.is_promise() || !told.is_object() || told.is_function() {
        return Err(Failure::Other(format!(
            "`validate` has returned {kind}: it must return true, false, a text or a map"
        )));
    }
    // The same map may be in it a million times: the engine asks for the time where it calls a function.
    let same = Function::new(ctx.clone(), |_key: Value<'js>, part: Value<'js>| part).map_err(thrown)?;
    match ctx.json_stringify_replacer(told, same).map_err(thrown)? {
        Some(json) => Answer::read(&json.to_string().map_err(thrown)?).map_err(Failure::Other),
        None => Err(Failure::Other("`validate` has returned a map that is no JSON".to_owned())),
    }
}

/// A thread that loads a script has ended.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        STUCK.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many threads load scripts.
static STUCK: AtomicUsize = AtomicUsize::new(0);

/// How many threads may load scripts: more would mean that some hang.
const MAX_STUCK: usize = 32;

/// How long a script may take before it is asked anything. A table of 100,000 entries takes a tenth of that.
pub(crate) const LOAD_TIME: Duration = Duration::from_secs(1);
