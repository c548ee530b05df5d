//! One engine, for one review.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::promise::PromiseState;
use rquickjs::{Array, Context, Ctx, Exception, Function, Module, Object, Persistent, Runtime, Value};

use super::fault::{EvalError, SCRIPT, Thrown};
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

/// An engine in which a script has run, ready for one review.
pub(crate) struct Engine {
    // Before the context: what is kept of an engine must not outlive it.
    judge: Kept,
    warnings: String,
    context: Context,
    shared: Rc<Shared>,
}

/// What judges, between the times when the engine runs.
enum Kept {
    Validate(Persistent<Function<'static>>),
    Http(Persistent<Function<'static>>),
}

/// What the engine's callbacks share with its owner.
struct Shared {
    until: Cell<Instant>,
    is_over: Cell<bool>,
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
        let shared = Rc::new(Shared { until: Cell::new(until), is_over: Cell::new(false), logged: RefCell::default() });
        let interrupt = Rc::clone(&shared);
        runtime.set_interrupt_handler(Some(Box::new(move || interrupt.ask_time())));
        let context = Context::custom::<Intrinsics>(&runtime).map_err(failed)?;
        let (judge, warnings) = context.with(|ctx| {
            let run = run_in(&ctx, source, &shared);
            // Whatever came of it: a script that has caught being interrupted has not done what it should.
            if shared.ask_time() { Err(Failure::Deadline) } else { run }
        })?;
        Ok(Self { judge, warnings, context, shared })
    }

    /// Asks what judges, once: what it leaves behind is for no other review.
    ///
    /// # Errors
    /// What is asked fails, or takes too long.
    pub(crate) fn ask<T>(
        self,
        until: Instant,
        bytes: usize,
        ask: impl for<'js> FnOnce(&Ctx<'js>, Judge<'js>) -> Result<T, Failure>,
    ) -> (Result<T, Failure>, Asked) {
        let Self { shared, context, judge, .. } = self;
        allow_memory(context.runtime(), bytes);
        shared.until.set(until);
        let result = context.with(|ctx| {
            let restored = match judge {
                Kept::Validate(judge) => judge.restore(&ctx).map(Judge::Validate),
                Kept::Http(judge) => judge.restore(&ctx).map(Judge::Http),
            };
            let judge = restored.map_err(|_| Failure::Other("the engine has lost its script".to_owned()))?;
            let result = ask(&ctx, judge);
            if shared.ask_time() { Err(Failure::Deadline) } else { result }
        });
        (result, Asked { logged: shared.logged.take(), _context: context })
    }

    /// What an operator should know of the script, by lines.
    pub(crate) fn warnings(&self) -> &str {
        &self.warnings
    }

    /// Bytes of memory that it takes as it is.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.context.runtime().memory_usage().malloc_size).unwrap_or(usize::MAX)
    }
}

/// What is left of an engine. To clear it away takes time, which nobody should wait for.
pub(crate) struct Asked {
    /// What the script has written to `console`.
    pub(crate) logged: Vec<String>,
    _context: Context,
}

fn allow_memory(runtime: &Runtime, bytes: usize) {
    runtime.set_memory_limit(MAX_MEMORY.saturating_add(bytes.saturating_mul(MEMORY_FOR_A_BYTE)));
}

/// Runs the script, and finds what judges in it, and what it warns of.
fn run_in<'js>(ctx: &Ctx<'js>, source: &Source, shared: &Rc<Shared>) -> Result<(Kept, String), Failure> {
    let Source { text, form, files } = source;
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
    let [validate, default] = named;
    let find: Function<'_> = prelude.get("find").map_err(thrown)?;
    let found: Option<Array<'_>> = find.call((validate, default)).map_err(thrown)?;
    let found = found.ok_or_else(|| {
        Failure::Other("there is nothing that judges: export a function `validate`, or call `pipy`".to_owned())
    })?;
    let judge: Function<'_> = found.get(1).map_err(thrown)?;
    let judge = Persistent::save(ctx, judge);
    let judge = if found.get(0).map_err(thrown)? { Kept::Http(judge) } else { Kept::Validate(judge) };
    let warnings: Function<'_> = prelude.get("warnings").map_err(thrown)?;
    let warnings = warnings.call(()).map_err(thrown)?;
    Ok((judge, warnings))
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

/// Bytes of stack that an engine may take: what QuickJS itself has as its default. Threads have 2 MiB at least.
const MAX_STACK: usize = 1 << 20;

/// Lines that are kept of what a script writes to `console`.
const MAX_LINES: usize = 16;

/// What the prelude is called in stack traces.
const PRELUDE: &str = "prelude";
