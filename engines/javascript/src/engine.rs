//! One engine: for one review, or for many where nothing is left of any.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::promise::PromiseState;
use rquickjs::{Array, Context, Ctx, Exception, Function, Module, Object, Persistent, Runtime, Value};

use super::fault::{EvalError, FUNCTION, SCRIPT, Thrown};
use super::files::Files;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// With globals.
    Script,
    /// With `export`.
    Module,
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) text: String,
    pub(crate) form: Form,
    pub(crate) files: Files,
    /// The script as a function, for an engine that lasts.
    pub(crate) function: Option<String>,
}

/// What judges in a script.
pub(crate) enum Judge<'js> {
    /// A function of the request of a review.
    Validate(Function<'js>),
    /// A function of the body of an HTTP request: gives the status and the body of the response.
    Http(Function<'js>),
}

/// Why there is no answer.
pub(crate) enum Failure {
    Deadline,
    Thrown(Thrown),
    /// Not even the engine could be set up, or something is missing.
    Other(String),
}

impl From<Failure> for EvalError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Deadline => Self::Deadline,
            Failure::Thrown(thrown) if thrown.is_memory => Self::Memory,
            Failure::Thrown(thrown) => Self::Failed(thrown.to_string()),
            Failure::Other(why) => Self::Failed(why),
        }
    }
}

/// An engine in which a script has run, ready for a review.
pub(crate) struct Engine {
    // Before the context: what is kept of an engine must not outlive it.
    kept: Kept,
    /// What the script has exported: `validate`, and a default.
    pub(crate) exported: [bool; 2],
    /// What an operator should know of the script, by lines.
    pub(crate) warnings: String,
    size: usize,
    context: Context,
    shared: Rc<Shared>,
}

/// What is kept of an engine between the times when it runs.
enum Kept {
    /// What judges, once.
    Once(Persistent<Array<'static>>),
    Lasting(Lasting),
}

/// An engine that judges many reviews. See `lasting.js`.
struct Lasting {
    /// Runs the script, and gives what judges.
    start: Persistent<Function<'static>>,
    run: Persistent<Function<'static>>,
    /// Puts back what a review has changed.
    end: Persistent<Function<'static>>,
    /// Reviews that it may still judge.
    left: usize,
}

/// What the engine's callbacks share with its owner.
struct Shared {
    until: Cell<Instant>,
    is_over: Cell<bool>,
    /// How often the engine itself has asked for the time: each some thousand steps.
    asked: Cell<u32>,
    logged: RefCell<Vec<String>>,
}

impl Shared {
    /// Whether the time is over. Once it is, it stays so: a script may catch what it is told by it.
    fn ask_time(&self) -> bool {
        if !self.is_over.get() && Instant::now() >= self.until.get() {
            self.is_over.set(true);
        }
        self.is_over.get()
    }
}

/// What a script may have: no clock, no shared memory, no weak references. `Eval` is what runs the script itself, `Proxy` is for
/// the prelude.
type Intrinsics = (
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::Promise,
    intrinsic::Proxy,
);

impl Engine {
    /// An engine in which a script has run until then at most, with memory for a review of so many bytes.
    ///
    /// # Errors
    /// The script cannot be run, has nothing that judges, or takes too long.
    pub(crate) fn prepare(source: &Source, until: Instant, bytes: usize) -> Result<Self, Failure> {
        let failed = |_| Failure::Other("no engine for the script could be set up".to_owned());
        let runtime = Runtime::new().map_err(failed)?;
        allow_memory(&runtime, bytes);
        runtime.set_max_stack_size(MAX_STACK);
        // Out of memory, the engine makes an error while what it could not enlarge is in no list that the search for rings goes by:
        // searching then would crash (quickjs-ng 0.16, `resize_properties`).
        runtime.set_gc_threshold(NEVER);
        let shared = Rc::new(Shared {
            until: Cell::new(until),
            is_over: Cell::new(false),
            asked: Cell::new(0),
            logged: RefCell::default(),
        });
        let interrupt = Rc::clone(&shared);
        runtime.set_interrupt_handler(Some(Box::new(move || {
            interrupt.asked.set(interrupt.asked.get().saturating_add(1));
            interrupt.ask_time()
        })));
        let context = Context::custom::<Intrinsics>(&runtime).map_err(failed)?;
        let ran = context.with(|ctx| {
            let run = match &source.function {
                Some(function) => run_lasting(&ctx, source, function, &shared),
                None => run_in(&ctx, source, &shared),
            };
            // Whatever came of it: a script that has caught being interrupted has not done what it should.
            if shared.ask_time() { Err(Failure::Deadline) } else { run }
        })?;
        let size = usize::try_from(runtime.memory_usage().malloc_size).unwrap_or(usize::MAX);
        let Ran { kept, exported, warnings } = ran;
        Ok(Self { kept, exported, warnings, size, context, shared })
    }

    /// Asks what judges.
    ///
    /// # Errors
    /// What is asked fails, or takes too long.
    pub(crate) fn ask<T>(
        self,
        until: Instant,
        bytes: usize,
        ask: impl for<'js> FnOnce(&Ctx<'js>, Judge<'js>) -> Result<T, Failure>,
    ) -> (Result<T, Failure>, Asked) {
        allow_memory(self.context.runtime(), bytes);
        self.shared.until.set(until);
        let result = self.context.with(|ctx| {
            let result = self.kept.judge(&ctx).and_then(|judge| ask(&ctx, judge));
            if self.shared.ask_time() { Err(Failure::Deadline) } else { result }
        });
        let logged = self.shared.logged.take();
        // Of one that has failed nobody knows what it was doing.
        let is_over = result.is_err();
        (result, Asked { logged, engine: self, is_over })
    }

    /// Bytes of memory that it took when it was ready.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

impl Kept {
    fn judge<'js>(&self, ctx: &Ctx<'js>) -> Result<Judge<'js>, Failure> {
        let lost = |_| Failure::Other("the engine has lost its script".to_owned());
        let thrown = |_| Failure::Thrown(Thrown::catch(ctx));
        let found = match self {
            Self::Once(found) => found.clone().restore(ctx).map_err(lost)?,
            Self::Lasting(Lasting { start, run, .. }) => {
                let start = start.clone().restore(ctx).map_err(lost)?;
                let found: Option<Array<'_>> =
                    start.call((run.clone().restore(ctx).map_err(lost)?,)).map_err(thrown)?;
                found.ok_or_else(|| Failure::Other("there is nothing that judges any more".to_owned()))?
            }
        };
        let judge = found.get(1).map_err(thrown)?;
        Ok(if found.get(0).map_err(thrown)? { Judge::Http(judge) } else { Judge::Validate(judge) })
    }
}

/// What is left of an engine. To clear it takes time, which nobody should wait for.
pub(crate) struct Asked {
    /// What the script has written to `console`.
    pub(crate) logged: Vec<String>,
    engine: Engine,
    is_over: bool,
}

impl Asked {
    /// The engine as it was before the review, if it can be had.
    pub(crate) fn clear(self) -> Option<Engine> {
        let Self { mut engine, is_over, .. } = self;
        let Kept::Lasting(lasting) = &mut engine.kept else { return None };
        lasting.left = lasting.left.saturating_sub(1);
        let runtime = engine.context.runtime();
        // What a promise would run is run by nobody, and could be seen to be there.
        if is_over || lasting.left == 0 || runtime.is_job_pending() {
            return None;
        }
        let end = lasting.end.clone();
        let is_clear = engine.context.with(|ctx| end.restore(&ctx)?.call::<_, bool>(()));
        // Rings that are left over are looked for when the next value is made, which is here.
        runtime.set_gc_threshold(engine.size.saturating_add(MAX_RINGS));
        let is_made = engine.context.with(|ctx| Object::new(ctx).is_ok());
        runtime.set_gc_threshold(NEVER);
        (matches!(is_clear, Ok(true)) && is_made && !engine.shared.ask_time()).then_some(engine)
    }
}

fn allow_memory(runtime: &Runtime, bytes: usize) {
    let review = bytes.saturating_mul(MEMORY_FOR_A_BYTE);
    runtime.set_memory_limit(MAX_MEMORY.saturating_add(MAX_RINGS).saturating_add(review));
}

/// What has come of running a script.
struct Ran {
    kept: Kept,
    exported: [bool; 2],
    warnings: String,
}

/// Runs the script, and finds what judges in it, and what it warns of.
fn run_in(ctx: &Ctx<'_>, source: &Source, shared: &Rc<Shared>) -> Result<Ran, Failure> {
    let Source { text, form, files, .. } = source;
    let thrown = |_| Failure::Thrown(Thrown::catch(ctx));
    let prelude = load_prelude(ctx, files, shared).map_err(thrown)?;
    let named = match *form {
        Form::Script => {
            ctx.eval_with_options::<(), _>(text.as_str(), options(SCRIPT)).map_err(thrown)?;
            // `const validate = ...` is no property of the global object.
            let global = "typeof validate === 'function' ? validate : undefined";
            [ctx.eval_with_options(global, options(PRELUDE)).map_err(thrown)?, Value::new_undefined(ctx.clone())]
        }
        Form::Module => {
            let module = Module::declare(ctx.clone(), SCRIPT, text.as_str()).map_err(thrown)?;
            let (module, promise) = module.eval().map_err(thrown)?;
            if promise.state() == PromiseState::Pending {
                return Err(Failure::Other("a script that waits (`await`) cannot be run".to_owned()));
            }
            promise.finish::<Value<'_>>().map_err(thrown)?;
            let exported = |name: &str| {
                let exported = module.get::<_, Value<'_>>(name);
                exported.map_err(|_| drop(ctx.catch())).unwrap_or_else(|()| Value::new_undefined(ctx.clone()))
            };
            [exported("validate"), exported("default")]
        }
    };
    let exported = named.each_ref().map(|value| !value.is_undefined());
    let [validate, default] = named;
    let find: Function<'_> = prelude.get("find").map_err(thrown)?;
    let found: Option<Array<'_>> = find.call((validate, default)).map_err(thrown)?;
    let found = found.ok_or_else(|| {
        Failure::Other("there is nothing that judges: export a function `validate`, or call `pipy`".to_owned())
    })?;
    let warnings: Function<'_> = prelude.get("warnings").map_err(thrown)?;
    let warnings = warnings.call(()).map_err(thrown)?;
    Ok(Ran { kept: Kept::Once(Persistent::save(ctx, found)), exported, warnings })
}

/// Makes an engine that lasts, if the script runs in it and leaves it as it was.
fn run_lasting<'js>(ctx: &Ctx<'js>, source: &Source, function: &str, shared: &Rc<Shared>) -> Result<Ran, Failure> {
    let thrown = |_| Failure::Thrown(Thrown::catch(ctx));
    let prelude = load_prelude(ctx, &source.files, shared).map_err(thrown)?;
    let make: Function<'_> = ctx.eval_with_options(include_str!("lasting.js"), options(PRELUDE)).map_err(thrown)?;
    let lasting: Object<'_> = make.call((prelude,)).map_err(thrown)?;
    let named = |name: &str| lasting.get::<_, Function<'_>>(name).map_err(thrown);
    let (survey, start, settle, end) = (named("survey")?, named("start")?, named("settle")?, named("end")?);
    let run: Function<'_> = ctx.eval_with_options(function, options(FUNCTION)).map_err(thrown)?;
    survey.call::<_, ()>(()).map_err(thrown)?;
    shared.asked.set(0);
    start.call::<_, Array<'_>>((run.clone(),)).map_err(thrown)?;
    if shared.asked.get() > MAX_STEPS {
        return Err(Failure::Other("the script takes too long to be run for each review".to_owned()));
    }
    shared.logged.take();
    if !settle.call::<_, bool>(()).map_err(thrown)? {
        return Err(Failure::Other("the script changes what others would see".to_owned()));
    }
    let save = |function: Function<'js>| Persistent::save(ctx, function);
    let kept = Kept::Lasting(Lasting { start: save(start), run: save(run), end: save(end), left: MAX_REVIEWS });
    Ok(Ran { kept, exported: [false; 2], warnings: String::new() })
}

fn load_prelude<'js>(ctx: &Ctx<'js>, files: &Files, asked: &Rc<Shared>) -> rquickjs::Result<Object<'js>> {
    let shared = Rc::clone(asked);
    let tick = Function::new(ctx.clone(), move |ctx: Ctx<'_>| -> rquickjs::Result<()> {
        if shared.ask_time() { Err(Exception::throw_internal(&ctx, "interrupted")) } else { Ok(()) }
    })?;
    let shared = Rc::clone(asked);
    let log = Function::new(ctx.clone(), move |line: String| {
        let mut logged = shared.logged.borrow_mut();
        if logged.len() < MAX_LINES {
            logged.push(line);
        }
    })?;
    let files = files.clone();
    let read = Function::new(ctx.clone(), move |ctx: Ctx<'_>, path: String| -> rquickjs::Result<String> {
        let missing = || Exception::throw_message(&ctx, "there is no such file for a script, but certificates");
        files.read(&path).map(str::to_owned).ok_or_else(missing)
    })?;
    let prelude: Function<'_> = ctx.eval_with_options(include_str!("prelude.js"), options(PRELUDE))?;
    prelude.call((tick, log, read))
}

fn options(name: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(name.to_owned());
    options
}

/// Bytes of memory that an engine may take, beside what the review needs.
const MAX_MEMORY: usize = 32 << 20;

/// How much more for each byte of the review: as a tree it takes up to eight times its text.
const MEMORY_FOR_A_BYTE: usize = 8;

/// Bytes of rings of values that may be left over in an engine that lasts before they are looked for.
const MAX_RINGS: usize = 1 << 20;

/// Memory that is never reached: rings of values are not looked for by the way.
const NEVER: usize = usize::MAX;

/// Reviews that one engine judges. What could pile up in it, though nothing should, ends with it.
const MAX_REVIEWS: usize = 1024;

/// How often the engine may ask for the time while a script is run for each review: each some ten thousand steps, the first after
/// what is left of these.
const MAX_STEPS: u32 = 1;

/// Bytes of stack that an engine may take: what QuickJS itself has as its default. Threads have 2 MiB at least.
const MAX_STACK: usize = 1 << 20;

/// Lines that are kept of what a script writes to `console`.
const MAX_LINES: usize = 16;

/// What the prelude is called in stack traces.
const PRELUDE: &str = "prelude";
