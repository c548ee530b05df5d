//! The exported functions, as a macro: they must stand in the library that Envoy loads.

/// Makes the crate a dynamic module for Envoy that speaks the protocols of a registry.
///
/// ```ignore
/// portcullis_envoy::export!(portcullis_proxylib::protocols![MyProtocol]);
/// ```
///
/// The crate must be a `cdylib`, and must be built with `panic = "unwind"`.
#[macro_export]
macro_rules! export {
    ($registry:expr) => {
        // So that a judgement can tell how much memory it takes.
        #[global_allocator]
        static ALLOCATOR: $crate::Counting = $crate::Counting;

        $crate::hooks! {
            // The null version makes Envoy refuse the library.
            fn envoy_dynamic_module_on_program_init() -> *const ::std::ffi::c_char {
                $crate::hooks::program_init()
            } or ::std::ptr::null();

            // A null configuration makes Envoy refuse the listener.
            fn envoy_dynamic_module_on_network_filter_config_new(
                config: *mut ::std::ffi::c_void, _name: $crate::Buf, text: $crate::Buf
            ) -> *const ::std::ffi::c_void {
                static PROTOCOLS: $crate::Registry = $registry;
                $crate::hooks::config_new(&PROTOCOLS, config, text)
            } or ::std::ptr::null();

            fn envoy_dynamic_module_on_network_filter_config_destroy(config: *const ::std::ffi::c_void) -> () {
                $crate::hooks::config_destroy(config)
            } or ();

            // A null filter makes Envoy close the connection.
            fn envoy_dynamic_module_on_network_filter_new(
                config: *const ::std::ffi::c_void, envoy: *mut ::std::ffi::c_void
            ) -> *const ::std::ffi::c_void {
                $crate::hooks::new(config, envoy)
            } or ::std::ptr::null();

            fn envoy_dynamic_module_on_network_filter_new_connection(
                _envoy: *mut ::std::ffi::c_void, ours: *const ::std::ffi::c_void
            ) -> u32 {
                $crate::hooks::new_connection(ours)
            } or $crate::hooks::STOP, closing ours;

            fn envoy_dynamic_module_on_network_filter_read(
                _envoy: *mut ::std::ffi::c_void, ours: *const ::std::ffi::c_void, len: usize, end: u8
            ) -> u32 {
                $crate::hooks::read(ours, len, end)
            } or $crate::hooks::STOP, closing ours;

            fn envoy_dynamic_module_on_network_filter_write(
                _envoy: *mut ::std::ffi::c_void, ours: *const ::std::ffi::c_void, len: usize, end: u8
            ) -> u32 {
                $crate::hooks::write(ours, len, end)
            } or $crate::hooks::STOP, closing ours;

            fn envoy_dynamic_module_on_network_filter_event(
                _envoy: *mut ::std::ffi::c_void, ours: *const ::std::ffi::c_void, event: u32
            ) -> () {
                $crate::hooks::event(ours, event)
            } or (), closing ours;

            fn envoy_dynamic_module_on_network_filter_scheduled(
                _envoy: *mut ::std::ffi::c_void, ours: *const ::std::ffi::c_void, id: u64
            ) -> () {
                $crate::hooks::scheduled(ours, id)
            } or (), closing ours;

            fn envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark(
                _envoy: *mut ::std::ffi::c_void, ours: *const ::std::ffi::c_void
            ) -> () {
                $crate::hooks::watermark(ours, true)
            } or (), closing ours;

            fn envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(
                _envoy: *mut ::std::ffi::c_void, ours: *const ::std::ffi::c_void
            ) -> () {
                $crate::hooks::watermark(ours, false)
            } or (), closing ours;

            fn envoy_dynamic_module_on_network_filter_destroy(ours: *const ::std::ffi::c_void) -> () {
                $crate::hooks::destroy(ours)
            } or ();
        }
    };
}

/// Exports functions whose bodies may panic: `fn name(arguments) -> type { body } or value, closing connection;`.
#[doc(hidden)]
#[macro_export]
macro_rules! hooks {
    ($(
        fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $ret:ty { $($body:tt)* } or $fallback:expr $(, closing $ours:ident)?;
    )*) => {$(
        #[doc = "See the hook of that name in Envoy's `abi.h`."]
        #[doc = ""]
        #[doc = "# Safety"]
        #[doc = "For Envoy to call."]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> $ret {
            $crate::hooks::guarded(
                $fallback,
                // SAFETY: Envoy keeps to the contract of the hook, and that is what the bodies ask for.
                || { $(unsafe { $crate::hooks::abandon($ours) })? },
                #[allow(unused_unsafe, reason = "not every body needs it")]
                // SAFETY: as above.
                || unsafe { $($body)* },
            )
        }
    )*};
}
