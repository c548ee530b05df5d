//! What an evaluation may use: time, memory, stack and depth.

use std::time::Instant;

use crate::{EvalError, MEMORY_GAUGE};

/// How much an evaluation may have in use at a time, in bytes, where the host tells. Rego has no loops but over what is there, so
/// that honest policies need some hundred kilobytes; what doubles its own result comes here within milliseconds. It is also the
/// most that a single function may return.
pub(crate) const MAX_IN_USE: u64 = 64 << 20;

/// How much it may make in all, in bytes, where no host tells what is in use: what has been freed counts too. To scan 5,000
/// objects of an inventory, each by some functions, makes some 20 MiB.
const MAX_MADE: u64 = 256 << 20;

/// How much may be made between two looks at what is in use, in bytes.
const BYTES_PER_LOOK: u64 = 64 << 10;

/// How much of the stack an evaluation may use, in bytes. A thread has 2 MiB unless it asks for more.
const MAX_STACK: usize = 1 << 20;

/// How deep a value may be nested. Documents come with up to 1,000 levels; to compare, print and free a value takes as many
/// steps of recursion as it has levels.
pub(crate) const MAX_DEPTH: u32 = 2000;

/// How many steps there are between two looks at the clock, some 20 ns each.
const STEPS_PER_LOOK: u32 = 64;

#[derive(Debug)]
pub(crate) struct Limits {
    until: Instant,
    steps: u32,
    /// What was made: in all, or since the last look where there is a gauge.
    made: u64,
    /// The bytes that this thread has in use, and how many there were before.
    gauge: Option<(fn() -> u64, u64)>,
    stack: usize,
}

impl Limits {
    pub(crate) fn new(until: Instant) -> Self {
        let gauge = MEMORY_GAUGE.get().map(|gauge| (*gauge, gauge()));
        Self { until, steps: 0, made: 0, gauge, stack: stack_pointer() }
    }

    #[inline]
    pub(crate) fn step(&mut self) -> Result<(), EvalError> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(STEPS_PER_LOOK) { self.look() } else { Ok(()) }
    }

    #[cold]
    pub(crate) fn look(&mut self) -> Result<(), EvalError> {
        if Instant::now() >= self.until {
            return Err(EvalError::Deadline);
        }
        if self.gauge.is_some() {
            self.made = 0;
            if self.in_use() > MAX_IN_USE {
                return Err(EvalError::Memory);
            }
        }
        Ok(())
    }

    fn in_use(&self) -> u64 {
        self.gauge.map_or(0, |(gauge, before)| gauge().saturating_sub(before))
    }

    /// Says that so many bytes are about to be allocated.
    #[inline]
    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.made = self.made.saturating_add(bytes);
        if self.gauge.is_none() {
            return if bytes > MAX_IN_USE || self.made > MAX_MADE { Err(EvalError::Memory) } else { Ok(()) };
        }
        if self.made <= BYTES_PER_LOOK {
            return Ok(());
        }
        if self.in_use().saturating_add(bytes) > MAX_IN_USE {
            return Err(EvalError::Memory);
        }
        self.look()
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        let left = match self.gauge {
            Some(_) => MAX_IN_USE.saturating_sub(self.in_use()),
            None => MAX_MADE.saturating_sub(self.made).min(MAX_IN_USE),
        };
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Keeps recursion within the stack.
    #[inline]
    pub(crate) fn check_stack(&self) -> Result<(), EvalError> {
        if self.stack.abs_diff(stack_pointer()) > MAX_STACK {
            return Err(EvalError::Failed("the policy is nested too deep to be evaluated".to_owned()));
        }
        Ok(())
    }
}

/// About where the stack ends just now.
#[inline]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::hint::black_box(std::ptr::from_ref(&here).addr())
}

/// How deep a value is nested, with a stack of its own.
pub(crate) fn measure(value: &regorus::Value) -> u32 {
    use regorus::Value;
    let mut deepest = 0_u32;
    let mut pending = vec![(value, 1_u32)];
    while let Some((value, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        let below = depth.saturating_add(1);
        let is_inner = |value: &&Value| matches!(value, Value::Array(_) | Value::Object(_) | Value::Set(_));
        match value {
            Value::Array(items) => pending.extend(items.iter().filter(is_inner).map(|item| (item, below))),
            Value::Set(items) => pending.extend(items.iter().filter(is_inner).map(|item| (item, below))),
            Value::Object(entries) => {
                for (key, value) in entries.iter() {
                    pending.extend([key, value].into_iter().filter(is_inner).map(|it| (it, below)));
                }
            }
            _ => {}
        }
    }
    deepest
}
