//! Kubernetes admission for the HTTP filter of proxy-wasm hosts: `portcullis-admission.wasm`.

use portcullis_parsers::admission::AdmissionProtocol;
use portcullis_wasm::Registry;

/// Hooks with rules of their own; there is no engine for another policy language.
static REGISTRY: Registry = Registry::new(&[&AdmissionProtocol]);

portcullis_wasm::export!(REGISTRY);
