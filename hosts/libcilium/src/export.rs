//! The exported functions, as a macro: they must stand in the library that Envoy loads.

/// Makes the crate a proxylib library for Cilium's Envoy that speaks the protocols of a registry.
///
/// ```ignore
/// portcullis_libcilium::export!(portcullis_proxylib::protocols![MyProtocol]);
/// ```
///
/// The crate must be a `cdylib`, must be built with `panic = "unwind"`, and must never be unloaded: link it with
/// `-z nodelete`.
#[macro_export]
macro_rules! export {
    ($registry:expr) => {
        $crate::exports! {
            /// Opens an instance, or once more the one that is open with equal parameters.
            ///
            /// `params` are `KeyValue`s, at most one of each key counts: the last. They are copied. `access-log-path` is the
            /// SOCK_SEQPACKET socket that takes `cilium.LogEntry`s, `xds-path` the gRPC socket that policies come from, both
            /// of which need not exist yet; an empty `node-id` is equal to that of any instance. Waits for the first
            /// policies, 500 ms at most.
            ///
            /// With `debug` other than 0, what developers want to know is written to standard error from now on.
            ///
            /// Returns the number of the instance, or 0 for parameters that are unknown or cannot be. Numbers count from 1
            /// and are not used again.
            fn OpenModule(params: $crate::GoSlice, debug: u8) -> u64 {
                static PROTOCOLS: $crate::Registry = $registry;
                $crate::hooks::open_module(&PROTOCOLS, params, debug)
            } or 0;

            /// Closes an instance: to be called as often as it was opened. The last time ends its threads before it returns.
            /// Its connections live on with the policies that it had. Unknown numbers do nothing.
            fn CloseModule(module_id: u64) -> () {
                $crate::hooks::close_module(module_id)
            } or ();

            /// Opens a connection. A connection that has the number already is closed, where the new one is let in.
            ///
            /// `ingress` is not 0 for a connection to the endpoint that `policy_name` names. `dst_addr` is `host:port` or
            /// `[host]:port`. Strings are copied. `orig_inject` and `reply_inject` are slices of bytes (usually of 1024); the
            /// headers, wherever the host moves them, must stay good until `Close` or until the number is given away again,
            /// and so must what they point to. During calls bytes are added at `data + len`, and never beyond `cap`. Either
            /// may be null: then nothing can be injected, and a connection that has to is closed.
            ///
            /// Returns, looked at in this order: InvalidInstance, UnknownParser, InvalidAddress, PolicyDrop, Ok.
            fn OnNewConnection(
                module_id: u64, proto: $crate::GoString, connection_id: u64, ingress: u8, src_id: u32, dst_id: u32,
                src_addr: $crate::GoString, dst_addr: $crate::GoString, policy_name: $crate::GoString,
                orig_inject: *mut $crate::GoSlice, reply_inject: *mut $crate::GoSlice
            ) -> $crate::FilterResult {
                $crate::hooks::on_new_connection(
                    module_id, proto, connection_id, ingress, src_id, dst_id, src_addr, dst_addr, policy_name,
                    orig_inject, reply_inject,
                )
            } or $crate::FilterResult::UnknownError;

            /// Judges the bytes of one direction: replies where `reply` is not 0.
            ///
            /// `data` is a slice of slices of bytes: all that came in this direction and no operation has dealt with, in any
            /// number of pieces; null is none. `end_stream` is not 0 when no more will come. `ops` is an empty slice of
            /// `FilterOp`s with room for 16; operations are added at its end, 16 at most, and never beyond `cap`. They are to
            /// be applied in their order. If there are 16, or the inject buffer of this direction was filled up to `cap`, and
            /// the last one is neither MORE nor beyond the bytes that there were: call again with what is left.
            ///
            /// After a call for requests that has left bytes in `reply_inject`, those are to be sent at the next end of a reply
            /// frame, and replies are to be called for, without data if there is none: more may be injected there.
            ///
            /// All calls for a connection come from one thread at a time, those of different connections from any.
            ///
            /// After any result but Ok the connection must be closed, whatever the operations: ParserError (one ERROR is the
            /// last operation, if there was room), also for slices that cannot be; UnknownConnection; UnknownError while another call for
            /// the connection is running.
            fn OnData(
                connection_id: u64, reply: u8, end_stream: u8, data: *const $crate::GoSlice, ops: *mut $crate::GoSlice
            ) -> $crate::FilterResult {
                $crate::hooks::on_data(connection_id, reply, end_stream, data, ops)
            } or $crate::FilterResult::ParserError;

            /// Closes a connection: its inject buffers are not touched again. Waits for a call that is running for it in
            /// another thread. Unknown numbers do nothing.
            fn Close(connection_id: u64) -> () {
                $crate::hooks::close(connection_id)
            } or ();
        }
    };
}

/// Exports functions whose bodies may panic: `fn name(arguments) -> type { body } or value;`.
#[doc(hidden)]
#[macro_export]
macro_rules! exports {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $ret:ty { $($body:tt)* } or $fallback:expr;
    )*) => {$(
        $(#[$doc])*
        #[doc = ""]
        #[doc = "# Safety"]
        #[doc = "For Cilium's Envoy to call, with pointers as said above."]
        #[allow(non_snake_case, reason = "the names are Cilium's")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> $ret {
            $crate::hooks::guarded($fallback, || {
                #[allow(unused_unsafe, reason = "not every body needs it")]
                // SAFETY: the host keeps to the contract above, and that is what the bodies ask for.
                unsafe { $($body)* }
            })
        }
    )*};
}
