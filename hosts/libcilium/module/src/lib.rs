//! The protocols of this project for Cilium's Envoy: `libcilium.so`.
