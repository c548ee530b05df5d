//! Rules in JavaScript, within limits.
//!
//! A [`Script`] is a file that says of an AdmissionReview whether its request may go on. Each review is judged by an engine of
//! its own, that has seen nothing before and is thrown away after: no script can carry anything from one review to another,
//! and what one review makes of the engine, such as memory that is full, is gone with it. That costs some 1.5 ms, between the
//! reviews: the threads of a script each keep an engine ready for the next.
//!
//! # Limits
//!
//! There is a limit for the memory of an engine, for its stack, and for its time. The engine itself looks at the clock only
//! between some thousand steps of a script; `prelude.js` closes most of what takes long within one step. Whoever asks is told in
//! time in any case; a script that runs on past its time holds a thread of its own, and is not asked again before it is done
//! ([`EvalError::Busy`]).
//!
//! A script has no clock, no chance, no files, no network, and no way to run text as code.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod answer;
mod engine;
mod fault;
mod files;
mod script;
mod source;
#[cfg(test)]
mod tests;
mod workers;

pub use answer::{Answer, Denial};
pub use fault::{EvalError, Fault};
pub use files::Files;
pub use script::Script;
