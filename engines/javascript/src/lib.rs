//! Rules in JavaScript, within limits.
//!
//! A [`Script`] is a file that says of an AdmissionReview whether its request may go on. No script can carry anything from one
//! review to another: it is run anew for each, as a function, in an engine in which all else is frozen or put back (`lasting.js`).
//! A script that cannot be run so, and one that has failed, get an engine of their own for each review. That costs some 1.5 ms,
//! between the reviews: the threads of a script each keep an engine ready for the next.
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
mod wrap;

pub use answer::{Answer, Denial};
pub use fault::{EvalError, Fault};
pub use files::Files;
pub use script::Script;
