//! The testing kit: connections as data, played on any host, whole and at every cut.
//!
//! ```
//! use portcullis_proxylib::testing::{Scenario, check_every_cut};
//! # fn example(registry: portcullis_proxylib::Registry) -> Result<(), Box<dyn std::error::Error>> {
//! let scenario = Scenario::parse(r#"{
//!     "name": "a denial is answered",
//!     "protocol": "r2d2",
//!     "policy": {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p"}, "spec": {
//!         "endpointSelector": {},
//!         "ingress": [{"toPorts": [{"ports": [{"port": "4040"}], "rules": {"l7proto": "r2d2", "l7": [{"cmd": "READ"}]}}]}]
//!     }},
//!     "port": 4040,
//!     "steps": [{"client": "HALT\r\n"}],
//!     "expect": {"toClient": "ERROR\r\n", "log": [{"verdict": "denied", "fields": {"cmd": "HALT"}}]}
//! }"#)?;
//! check_every_cut(registry, &scenario)?;
//! # Ok(())
//! # }
//! ```

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test code: a panic here fails a test, and no host loads it"
)]

mod core_host;
mod scenario;

use crate::registry::Registry;

pub use core_host::{CoreHost, Recorder};
pub use scenario::{Bytes, Cut, Expect, LogLine, Observed, Scenario, Step};

/// Plays scenarios: the core alone, the exports of a host, a real proxy.
pub trait Host {
    /// Plays a scenario, each step cut as told, and reports what an outsider sees.
    ///
    /// # Errors
    /// The scenario cannot be played: its policy does not compile, its protocol is unknown, the host does not start.
    fn play(&mut self, scenario: &Scenario, cut: Cut) -> Result<Observed, String>;
}

/// Plays a scenario on the core whole, byte by byte, in pieces, and at random cuts, and checks what it expects each time.
///
/// # Errors
/// The first cut at which something else was observed, and what.
pub fn check_every_cut(registry: Registry, scenario: &Scenario) -> Result<(), String> {
    let mut host = CoreHost::new(registry);
    let random = (0..8).flat_map(|seed| [Cut::Random(seed), Cut::Pieces(seed)]);
    for cut in [Cut::Whole, Cut::Bytewise].into_iter().chain(random) {
        let observed = host.play(scenario, cut).map_err(|why| format!("{}: {why}", scenario.name))?;
        scenario.check(&observed).map_err(|why| format!("{}, cut {cut:?}: {why}", scenario.name))?;
    }
    Ok(())
}
