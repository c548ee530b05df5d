//! The C ABI of a `libcilium.so`, as Cilium's Envoy calls it.

use std::ffi::OsStr;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct GoString {
    p: *const u8,
    n: i64,
}

impl From<&str> for GoString {
    fn from(text: &str) -> Self {
        Self { p: text.as_ptr(), n: text.len() as i64 }
    }
}

#[repr(C)]
pub(crate) struct GoSlice {
    pub(crate) data: *mut u8,
    pub(crate) len: i64,
    pub(crate) cap: i64,
}

impl GoSlice {
    /// A slice header for elements that live longer than it is used.
    pub(crate) const fn over<T>(elements: &mut [T], len: usize) -> Self {
        Self { data: elements.as_mut_ptr().cast(), len: len as i64, cap: elements.len() as i64 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Op {
    pub(crate) op: u64,
    pub(crate) n_bytes: i64,
}

pub(crate) const MORE: u64 = 0;
pub(crate) const PASS: u64 = 1;
pub(crate) const DROP: u64 = 2;
pub(crate) const INJECT: u64 = 3;

type OpenModule = unsafe extern "C" fn(GoSlice, u8) -> u64;
type CloseModule = unsafe extern "C" fn(u64);
type OnNewConnection = unsafe extern "C" fn(
    u64,
    GoString,
    u64,
    u8,
    u32,
    u32,
    GoString,
    GoString,
    GoString,
    *mut GoSlice,
    *mut GoSlice,
) -> u32;
type OnData = unsafe extern "C" fn(u64, u8, u8, *mut GoSlice, *mut GoSlice) -> u32;
type Close = unsafe extern "C" fn(u64);

/// A library, loaded for good.
#[derive(Clone, Copy)]
pub(crate) struct Lib {
    open_module: OpenModule,
    close_module: CloseModule,
    on_new_connection: OnNewConnection,
    pub(crate) on_data: OnData,
    close: Close,
}

impl Lib {
    pub(crate) fn load(path: &OsStr) -> Result<Self, String> {
        let fail = |error: libloading::Error| format!("`{}` cannot be loaded: {error}", path.display());
        // SAFETY: what runs when the library is loaded is what this program is for.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(fail)?;
        // Go's runtime cannot be unloaded.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: these names have these types in every libcilium.so.
        unsafe {
            Ok(Self {
                open_module: *library.get(b"OpenModule").map_err(fail)?,
                close_module: *library.get(b"CloseModule").map_err(fail)?,
                on_new_connection: *library.get(b"OnNewConnection").map_err(fail)?,
                on_data: *library.get(b"OnData").map_err(fail)?,
                close: *library.get(b"Close").map_err(fail)?,
            })
        }
    }

    pub(crate) fn open(&self, params: &[(&str, &str)]) -> u64 {
        let mut pairs: Vec<[GoString; 2]> =
            params.iter().map(|(key, value)| [(*key).into(), (*value).into()]).collect();
        let len = pairs.len();
        // SAFETY: the strings live until the call returns.
        unsafe { (self.open_module)(GoSlice::over(&mut pairs, len), 0) }
    }

    pub(crate) fn close_module(&self, instance: u64) {
        // SAFETY: any number may be closed.
        unsafe { (self.close_module)(instance) }
    }

    /// # Safety
    /// The slices live, where they are, until the connection is closed.
    pub(crate) unsafe fn connect(
        &self,
        instance: u64,
        proto: &str,
        id: u64,
        policy_name: &str,
        inject: [*mut GoSlice; 2],
    ) -> u32 {
        let [orig, reply] = inject;
        // SAFETY: the strings live until the call returns; the slices as the caller promises.
        unsafe {
            (self.on_new_connection)(
                instance,
                proto.into(),
                id,
                1,
                1111,
                2222,
                "10.9.8.7:34567".into(),
                "10.0.0.1:4040".into(),
                policy_name.into(),
                orig,
                reply,
            )
        }
    }

    pub(crate) fn close(&self, id: u64) {
        // SAFETY: any number may be closed.
        unsafe { (self.close)(id) }
    }
}
