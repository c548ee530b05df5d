//! The layouts of the proxylib C ABI, and the only place where its pointers are read and written.

use std::marker::PhantomData;
use std::slice;

/// A string by value: not ended by NUL, owned by the caller, good for the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GoString {
    /// The first byte; may be null if `n` is 0.
    pub p: *const u8,
    /// Bytes.
    pub n: i64,
}

/// A slice: `len` elements are there, and there is room for `cap`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GoSlice {
    /// The first element; may be null if `len` is 0.
    pub data: *mut u8,
    /// Elements.
    pub len: i64,
    /// Elements that there is room for, from `data`.
    pub cap: i64,
}

/// One of the `params` of `OpenModule`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KeyValue {
    /// `access-log-path`, `xds-path` or `node-id`.
    pub key: GoString,
    /// Its value.
    pub value: GoString,
}

/// What is to be done with the first of the bytes that were handed over and no earlier operation has dealt with.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOpType {
    /// `n_bytes` more are needed before the next call. Last in its call.
    More = 0,
    /// `n_bytes` pass; more than there are only as the last operation of its call: the rest passes as it arrives.
    Pass = 1,
    /// `n_bytes` are dropped; more than there are only as the last operation of its call.
    Drop = 2,
    /// `n_bytes` of the inject buffer of this direction go out.
    Inject = 3,
    /// The connection must be closed. `n_bytes` is a `FilterOpError`. Last in its call.
    Error = 4,
}

/// What `n_bytes` says for `Error`.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOpError {
    /// An operation of a length that cannot be.
    InvalidOpLength = 1,
    /// Bytes that are not what the protocol allows.
    InvalidFrameType = 2,
    /// A frame that is too large.
    InvalidFrameLength = 3,
}

/// One operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterOp {
    /// A `FilterOpType`.
    pub op: u64,
    /// Above 0.
    pub n_bytes: i64,
}

/// What a call came to. After any but `Ok` the connection must be closed.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterResult {
    /// Done.
    Ok = 0,
    /// The protocol refuses the connection.
    PolicyDrop = 1,
    /// The connection must be closed: for its bytes, for a fault of its parser, or for slices that cannot be.
    ParserError = 2,
    /// No protocol has this name.
    UnknownParser = 3,
    /// No connection has this number.
    UnknownConnection = 4,
    /// The destination is not `host:port` or `[host]:port`.
    InvalidAddress = 5,
    /// No open instance has this number.
    InvalidInstance = 6,
    /// The contract was broken: a second call for a connection while one is running. Or a fault of the library.
    UnknownError = 7,
}

/// Operations of one call at most, whatever room there is.
pub const MAX_OPS: i64 = 16;

impl GoString {
    /// The bytes; what cannot be a string has none.
    ///
    /// # Safety
    /// `p` is null, or `n` bytes can be read there for `'a`.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        match usize::try_from(self.n) {
            // SAFETY: as the caller promises.
            Ok(len) if len > 0 && !self.p.is_null() => unsafe { slice::from_raw_parts(self.p, len) },
            _ => &[],
        }
    }
}

impl GoSlice {
    /// The elements, or nothing for what cannot be a slice.
    ///
    /// # Safety
    /// `data` is null, or `len` elements can be read there for `'a`.
    pub(crate) unsafe fn elements<'a, T>(self) -> Option<&'a [T]> {
        let len = usize::try_from(self.len).ok().filter(|_| self.len <= self.cap)?;
        if len == 0 {
            return Some(&[]);
        }
        let data = self.data.cast::<T>();
        let fits = len.checked_mul(size_of::<T>()).is_some_and(|size| size <= isize::MAX.unsigned_abs());
        if data.is_null() || !data.is_aligned() || !fits {
            return None;
        }
        // SAFETY: as the caller promises; not null, aligned, and no larger than an object can be.
        Some(unsafe { slice::from_raw_parts(data, len) })
    }
}

/// The bytes of one direction in the host's pieces, checked whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'a> {
    slices: &'a [GoSlice],
    total: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) const NONE: Self = Self { slices: &[], total: 0 };

    /// The pieces that the host hands over, or nothing if one of them cannot be.
    ///
    /// # Safety
    /// `data` is null or a slice header whose slices can be read for `'a`.
    pub(crate) unsafe fn new(data: *const GoSlice) -> Option<Self> {
        if data.is_null() {
            return Some(Self::NONE);
        }
        // SAFETY: as the caller promises.
        let slices = unsafe { data.read_unaligned().elements::<GoSlice>() }?;
        let mut total = 0_usize;
        for piece in slices {
            let len = usize::try_from(piece.len).ok().filter(|_| piece.len <= piece.cap)?;
            if len > 0 && piece.data.is_null() {
                return None;
            }
            total = total.checked_add(len).filter(|&total| total <= isize::MAX.unsigned_abs())?;
        }
        Some(Self { slices, total })
    }

    /// Pieces that a test made itself.
    #[cfg(test)]
    pub(crate) fn of(slices: &'a [GoSlice]) -> Self {
        let len = slices.len() as i64;
        let header = GoSlice { data: slices.as_ptr().cast_mut().cast(), len, cap: len };
        // SAFETY: the header is made of a slice, and those who call made its slices of slices.
        unsafe { Self::new(&raw const header) }.unwrap_or(Self::NONE)
    }

    /// Bytes in all.
    pub(crate) const fn total(self) -> usize {
        self.total
    }

    /// One of the pieces; beyond the last one there is none.
    pub(crate) fn piece(self, index: usize) -> Option<&'a [u8]> {
        let piece = self.slices.get(index)?;
        let len = usize::try_from(piece.len).unwrap_or(0);
        if len == 0 {
            return Some(&[]);
        }
        // SAFETY: `new` has seen that there is memory where the length is not 0, and its caller promised that it is readable.
        Some(unsafe { slice::from_raw_parts(piece.data, len) })
    }
}

/// The header of an inject buffer, which lives with the host until the connection is closed. The host moves it between calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InjectBuffer(*mut GoSlice);

// SAFETY: the header is read and written only during calls for its connection, which a lock keeps one at a time.
unsafe impl Send for InjectBuffer {}

impl InjectBuffer {
    /// A buffer of the host, or null for none.
    ///
    /// # Safety
    /// `header` is null, or stays good, with the memory that it names, until the connection is closed.
    pub(crate) const unsafe fn new(header: *mut GoSlice) -> Self {
        Self(header)
    }

    /// Bytes that stand in the buffer.
    pub(crate) fn len(self) -> usize {
        self.read().map_or(0, |(_, len, _)| len)
    }

    /// Bytes that can be added.
    pub(crate) fn room(self) -> usize {
        self.read().map_or(0, |(_, len, cap)| cap.saturating_sub(len))
    }

    /// Adds as many of the bytes as there is room for. Returns how many.
    pub(crate) fn append(self, bytes: &[u8]) -> usize {
        let Some((data, len, cap)) = self.read() else { return 0 };
        let added = bytes.len().min(cap.saturating_sub(len));
        if added > 0 {
            let sum = i64::try_from(len.saturating_add(added)).unwrap_or(i64::MAX);
            // SAFETY: `new` was promised that the header is good, and that its buffer has room for `cap` bytes; nothing else
            // uses either during a call. The bytes are ours, and not in it.
            unsafe {
                data.add(len).copy_from_nonoverlapping(bytes.as_ptr(), added);
                (&raw mut (*self.0).len).write_unaligned(sum);
            }
        }
        added
    }

    /// Where the buffer is now, its length and its capacity; nothing for what cannot be one.
    fn read(self) -> Option<(*mut u8, usize, usize)> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: as `new` was promised.
        let header = unsafe { self.0.read_unaligned() };
        let (len, cap) = (usize::try_from(header.len).ok()?, usize::try_from(header.cap).ok()?);
        (!header.data.is_null() && len <= cap).then_some((header.data, len, cap))
    }
}

/// The list of operations of one call.
#[derive(Debug)]
pub(crate) struct OpList<'a> {
    header: *mut GoSlice,
    /// Room that is left.
    room: i64,
    lifetime: PhantomData<&'a mut GoSlice>,
}

impl OpList<'_> {
    /// The host's list, or nothing if it cannot be one.
    ///
    /// # Safety
    /// `header` is null, or it and the memory that it names are the caller's alone during the call.
    pub(crate) unsafe fn new(header: *mut GoSlice) -> Option<Self> {
        if header.is_null() {
            return None;
        }
        // SAFETY: as the caller promises.
        let GoSlice { data, len, cap } = unsafe { header.read_unaligned() };
        let room = cap.checked_sub(len).filter(|&room| len >= 0 && room >= 0)?;
        if room > 0 && data.is_null() {
            return None;
        }
        Some(Self { header, room: room.min(MAX_OPS), lifetime: PhantomData })
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Adds an operation, if there is room.
    pub(crate) fn push(&mut self, op: FilterOpType, n_bytes: i64) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        // SAFETY: `new` was promised that header and memory are ours, and has seen that there is room from `len` on.
        unsafe {
            let GoSlice { data, len, cap } = self.header.read_unaligned();
            let at = data.cast::<FilterOp>().offset(isize::try_from(len).unwrap_or_default());
            at.write_unaligned(FilterOp { op: op as u64, n_bytes });
            self.header.write_unaligned(GoSlice { data, len: len + 1, cap });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(data: *mut u8, len: i64, cap: i64) -> GoSlice {
        GoSlice { data, len, cap }
    }

    #[test]
    fn nothing_is_written_beyond_an_inject_buffer() {
        let mut memory = [b'.'; 8];
        for (len, cap, bytes, fits) in [
            (0, 4, 3, 3),
            (0, 4, 9, 4),
            (3, 4, 2, 1),
            (4, 4, 1, 0),
            (0, 0, 1, 0),
            (5, 4, 1, 0),
            (-1, 4, 1, 0),
            (0, -1, 1, 0),
        ] {
            memory.fill(b'.');
            let mut slice = header(memory.as_mut_ptr(), len, cap);
            // SAFETY: header and memory outlive the buffer.
            let buffer = unsafe { InjectBuffer::new(&raw mut slice) };
            assert_eq!(buffer.append(&vec![b'x'; bytes]), fits, "{len} of {cap}");
            assert_eq!(slice.len, len + fits as i64);
            assert_eq!(memory.iter().filter(|&&byte| byte == b'x').count(), fits);
            assert!(memory[4..].iter().all(|&byte| byte == b'.'));
        }
        let mut null = header(std::ptr::null_mut(), 0, 10);
        // SAFETY: a null buffer is none.
        unsafe {
            assert_eq!(InjectBuffer::new(&raw mut null).append(b"x"), 0);
            assert_eq!(InjectBuffer::new(std::ptr::null_mut()).append(b"x"), 0);
        }
    }

    #[test]
    fn operations_end_where_the_room_ends() {
        let mut memory = [FilterOp { op: 99, n_bytes: 99 }; 20];
        for (len, cap, room) in [(0, 16, 16), (0, 20, 16), (3, 4, 1), (0, 0, 0), (4, 4, 0)] {
            let mut slice = header(memory.as_mut_ptr().cast(), len, cap);
            // SAFETY: header and memory outlive the list.
            let mut list = unsafe { OpList::new(&raw mut slice) }.unwrap();
            assert_eq!((0..30).filter(|_| list.push(FilterOpType::Drop, 1)).count(), room);
            assert_eq!(slice.len, len + room as i64);
        }
        for (data, len, cap) in [
            (memory.as_mut_ptr().cast(), 5, 4),
            (memory.as_mut_ptr().cast(), -1, 4),
            (std::ptr::null_mut(), 0, 16),
            (memory.as_mut_ptr().cast(), i64::MIN, i64::MAX),
        ] {
            let mut slice = header(data, len, cap);
            // SAFETY: as above, or refused.
            assert!(unsafe { OpList::new(&raw mut slice) }.is_none(), "{len} of {cap}");
        }
    }

    #[test]
    fn slices_that_cannot_be_are_refused() {
        let bytes = *b"abc";
        let at = bytes.as_ptr().cast_mut();
        let pieces = |slice: GoSlice| Pieces { total: 0, ..Pieces::of(&[slice]) }.slices.len();
        assert_eq!(pieces(header(at, 3, 3)), 1);
        assert_eq!(pieces(header(std::ptr::null_mut(), 0, 0)), 1);
        for (data, len, cap) in [(at, 3, 2), (at, -1, 3), (std::ptr::null_mut(), 1, 1), (at, i64::MAX, i64::MAX)] {
            let two = [header(data, len, cap), header(data, len, cap)];
            assert_eq!(Pieces::of(&two).total(), 0, "{len} of {cap}");
        }
        // SAFETY: refused before they are read.
        unsafe {
            assert!(header(at, 2, 1).elements::<u8>().is_none());
            assert!(header(std::ptr::null_mut(), 1, 1).elements::<u8>().is_none());
            assert!(header(8 as *mut u8, i64::MAX, i64::MAX).elements::<GoSlice>().is_none());
            assert!(header(std::ptr::dangling_mut::<u8>(), 1, 1).elements::<GoSlice>().is_none());
            assert_eq!(GoString { p: std::ptr::null(), n: 7 }.bytes(), b"");
            assert_eq!(GoString { p: at, n: -7 }.bytes(), b"");
        }
    }
}
