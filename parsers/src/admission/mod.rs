//! Kubernetes admission over HTTP: the filter is the webhook.
//!
//! Requests are framed by [`http`], read by [`json`] and [`review`], and judged by whoever is at their path: a [`judge`]. The
//! listener says whether the filter answers them itself, guards an upstream, or only watches it. `docs/admission.md` has the
//! tables.

pub mod answer;
pub mod callers;
mod config;
mod decide;
mod docket;
pub mod engines;
pub mod hooks;
pub mod http;
pub mod judge;
mod parser;
mod refusal;
mod reply;
pub mod review;
mod rule;
mod shadow;
#[cfg(test)]
mod tests;
mod timeout;
mod turns;

use std::sync::Arc;

pub use portcullis_json as json;
use portcullis_policy::DocumentCompiler;
use portcullis_proxylib::{Meta, Protocol};

pub use self::config::Config;
pub use self::docket::Docket;
pub use self::parser::AdmissionParser;
pub use self::rule::{Request, Rule, Rules};

/// The protocol.
pub struct AdmissionProtocol;

impl Protocol for AdmissionProtocol {
    const NAME: &'static str = "admission";
    type Config = Config;
    type Shared = ();
    type Parser = AdmissionParser<hooks::Admission>;
    const IS_HTTP: bool = true;

    fn documents(&self) -> Option<&'static dyn DocumentCompiler> {
        Some(&hooks::COMPILER)
    }

    fn open(&self, meta: &Meta, config: &Config, _shared: &Arc<()>) -> Option<Self::Parser> {
        Some(AdmissionParser::new(meta, *config))
    }
}
