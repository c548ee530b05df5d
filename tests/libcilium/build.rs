//! How `libcilium_test.so` is linked: as `libcilium.so` is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcilium_test.so");
    // The host unloads the library, and must not take the code away from under threads and their destructors.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
