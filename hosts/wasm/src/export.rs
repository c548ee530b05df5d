//! The exported functions, as a macro: they must stand in the module that the host loads.

/// Makes the crate a proxy-wasm module that speaks the protocols of a registry.
///
/// ```ignore
/// portcullis_wasm::export!(portcullis_proxylib::protocols![MyProtocol]);
/// ```
///
/// The crate must be a `cdylib`, built for `wasm32-unknown-unknown`.
#[macro_export]
macro_rules! export {
    ($registry:expr) => {
        $crate::callbacks! {
            fn _initialize() -> () { $crate::hooks::initialize() }
            fn proxy_abi_version_0_2_1() -> () {}
            fn proxy_on_memory_allocate(size: usize) -> *mut u8 { $crate::hooks::allocate(size) }
            fn proxy_on_context_create(context: u32, parent: u32) -> () { $crate::hooks::create(context, parent) }
            fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 { 1 }
            fn proxy_on_configure(root: u32, size: usize) -> u32 {
                static PROTOCOLS: $crate::Registry = $registry;
                $crate::hooks::configure(&PROTOCOLS, root, size)
            }
            fn proxy_on_tick(root: u32) -> () { $crate::hooks::tick(root) }
            fn proxy_on_new_connection(context: u32) -> u32 { $crate::hooks::new_connection(context) }
            fn proxy_on_downstream_data(context: u32, size: usize, end: u32) -> u32 {
                $crate::hooks::downstream_data(context, size, end)
            }
            fn proxy_on_upstream_data(context: u32, size: usize, end: u32) -> u32 {
                $crate::hooks::upstream_data(context, size, end)
            }
            fn proxy_on_done(_context: u32) -> u32 { 1 }
            fn proxy_on_delete(context: u32) -> () { $crate::hooks::delete(context) }
            fn proxy_on_request_headers(context: u32, _fields: u32, end: u32) -> u32 {
                $crate::hooks::request_headers(context, end)
            }
            fn proxy_on_request_body(context: u32, size: usize, end: u32) -> u32 {
                $crate::hooks::request_body(context, size, end)
            }
            fn proxy_on_request_trailers(context: u32, _fields: u32) -> u32 { $crate::hooks::request_trailers(context) }
            fn proxy_on_response_headers(context: u32, _fields: u32, end: u32) -> u32 {
                $crate::hooks::response_headers(context, end)
            }
            fn proxy_on_response_body(context: u32, size: usize, end: u32) -> u32 {
                $crate::hooks::response_body(context, size, end)
            }
            fn proxy_on_response_trailers(context: u32, _fields: u32) -> u32 { $crate::hooks::response_trailers(context) }
        }
    };
}

/// Exports functions by their names.
#[doc(hidden)]
#[macro_export]
macro_rules! callbacks {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $ret:ty { $($body:tt)* })*) => {$(
        #[doc = "See the callback of that name in the specification of proxy-wasm."]
        // SAFETY: no other function has this name; it is the host's to call.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($arg: $type),*) -> $ret { $($body)* }
    )*};
}
