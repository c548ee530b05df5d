//! Portcullis in Cilium's Envoy: the proxylib C ABI, for any list of protocols.
