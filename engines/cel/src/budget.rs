//! What an expression may take: Kubernetes' costs, time, and memory.

use std::sync::Arc;
use std::time::Instant;

use crate::error::EvalError;
use crate::regex::{Cache, Regex};

/// What one expression may cost: Kubernetes' `PerCallLimit`.
pub const EXPRESSION_LIMIT: u64 = 1_000_000;
/// What all expressions of a policy may cost for one binding: Kubernetes' `RuntimeCELCostBudget`.
pub const POLICY_LIMIT: u64 = 10_000_000;
/// What all match conditions may cost: Kubernetes' `RuntimeCELCostBudgetMatchConditions`.
pub const CONDITIONS_LIMIT: u64 = 2_500_000;
/// What may be built with one budget, in bytes, whether it is still there or not. A review is at most some 6 MiB; costs alone
/// would allow a hundred times this.
pub const MAX_MEMORY: usize = 32 << 20;

/// As the API server says it.
const OVER_TOTAL: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

/// How deep the expressions that need one another may be in one another: an expression has at most some 500 levels, and each
/// level takes some 2 KiB of stack when built without optimization.
const MAX_DEPTH: u32 = 1500;

/// Steps between two looks at the clock: some 10 µs.
const STEPS: u64 = 512;

/// What is left for the expressions of a call.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    spent: u64,
    expression: u64,
    memory: usize,
    steps: u64,
    depth: u32,
    deadline: Option<Instant>,
    regexes: Cache,
}

impl Budget {
    /// Costs in all, and when to stop.
    pub fn new(total: u64, deadline: Option<Instant>) -> Self {
        Self {
            total,
            spent: 0,
            expression: 0,
            memory: MAX_MEMORY,
            steps: 0,
            depth: 0,
            deadline,
            regexes: Cache::default(),
        }
    }

    /// What was spent so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Begins an expression, perhaps within another one, whose own cost so far it gives.
    pub(crate) fn enter(&mut self) -> u64 {
        std::mem::take(&mut self.expression)
    }

    /// Ends an expression, and goes on with the one around it.
    pub(crate) fn leave(&mut self, outer: u64) -> Result<(), EvalError> {
        self.spent = self.spent.saturating_add(self.expression);
        self.expression = outer;
        if self.spent > self.total {
            return Err(EvalError::Cost(OVER_TOTAL));
        }
        Ok(())
    }

    /// What the expression at hand has cost so far.
    pub(crate) fn cost(&self) -> u64 {
        self.expression
    }

    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.expression = self.expression.saturating_add(cost);
        if self.expression > EXPRESSION_LIMIT {
            return Err(EvalError::Cost("operation cancelled: actual cost limit exceeded"));
        }
        self.work(1)
    }

    /// Goes one part deeper into an expression. To be followed by [`Self::ascend`] unless it fails.
    pub(crate) fn descend(&mut self) -> Result<(), EvalError> {
        if self.depth >= MAX_DEPTH {
            return Err(EvalError::Depth);
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    pub(crate) fn ascend(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(crate) fn work(&mut self, steps: u64) -> Result<(), EvalError> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps < STEPS {
            return Ok(());
        }
        self.steps = 0;
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(EvalError::Deadline),
            _ => Ok(()),
        }
    }

    pub(crate) fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(EvalError::Memory)?;
        self.work((bytes >> 6) as u64)
    }

    pub(crate) fn regex(&mut self, pattern: &str) -> Result<Arc<Regex>, EvalError> {
        if let Some(regex) = self.regexes.find(pattern) {
            return Ok(regex);
        }
        self.work(STEPS)?;
        let regex = Regex::compile(pattern).map_err(|why| EvalError::failed(format!("error parsing regexp: {why}")))?;
        let regex = Arc::new(regex);
        self.regexes.add(pattern, &regex);
        Ok(regex)
    }
}
