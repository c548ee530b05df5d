//! The bookkeeping of Cilium's Envoy (`GoFilter::Instance::OnIO` in `cilium/proxylib.cc`): what passes, what waits, what goes
//! in between.

use crate::abi::{DROP, GoSlice, INJECT, Lib, MORE, Op, PASS};

const MAX_OPS: usize = 16;
const INJECT_BUFFER: usize = 1024;

/// One connection of the host.
pub(crate) struct Connection {
    lib: Lib,
    id: u64,
    ends: Box<[End; 2]>,
    /// Calls of `OnData` so far.
    pub(crate) calls: u64,
}

/// One direction: what is not decided yet, and what earlier verdicts promised.
struct End {
    waiting: Vec<u8>,
    need: usize,
    pass: u64,
    drop: u64,
    inject: GoSlice,
    buffer: Box<[u8; INJECT_BUFFER]>,
}

/// What one event sends on: bytes to the other side, and bytes of the library back to where the data came from.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Moved {
    pub(crate) passed: usize,
    pub(crate) injected: usize,
}

impl Connection {
    /// The host's own part.
    pub(crate) fn prepare(lib: Lib, id: u64) -> Self {
        Self { lib, id, ends: Box::new([End::new(), End::new()]), calls: 0 }
    }

    /// The library's part.
    pub(crate) fn open(&mut self, instance: u64, proto: &str, policy_name: &str) -> Result<(), String> {
        let [orig, reply] = &mut *self.ends;
        let inject = [&raw mut orig.inject, &raw mut reply.inject];
        // SAFETY: the slices are in a box that lives until `drop` has closed the connection.
        match unsafe { self.lib.connect(instance, proto, self.id, policy_name, inject) } {
            0 => Ok(()),
            other => Err(format!("OnNewConnection for {proto} answers {other}")),
        }
    }

    /// Closes it in the library. It can be opened again.
    pub(crate) fn close(&self) {
        self.lib.close(self.id);
    }

    /// Data from the client. `OnData` is called for the replies too, if there is something to say.
    pub(crate) fn request(&mut self, data: &[u8]) -> Result<Moved, String> {
        let mut moved = self.on_io(0, data)?;
        if self.ends[1].inject.len > 0 {
            moved.injected += self.on_io(1, &[])?.passed;
        }
        Ok(moved)
    }

    /// Data from the server.
    pub(crate) fn reply(&mut self, data: &[u8]) -> Result<Moved, String> {
        self.on_io(1, data)
    }

    fn on_io(&mut self, direction: usize, mut data: &[u8]) -> Result<Moved, String> {
        let Self { lib, id, ends, calls } = self;
        let end = &mut ends[direction];
        let mut moved = Moved::default();
        let promised = data.len().min(usize::try_from(end.pass).unwrap_or(usize::MAX));
        if promised > 0 {
            end.pass -= promised as u64;
            moved.passed += promised;
            data = &data[promised..];
            if data.is_empty() {
                return Ok(moved);
            }
        }
        let promised = data.len().min(usize::try_from(end.drop).unwrap_or(usize::MAX));
        if promised > 0 {
            end.drop -= promised as u64;
            data = &data[promised..];
            if data.is_empty() {
                return Ok(moved);
            }
        }
        // What was injected while the other direction was at work goes out at this boundary.
        moved.passed += usize::try_from(end.inject.len).unwrap_or_default();
        end.reset_inject();
        let mut kept = std::mem::take(&mut end.waiting);
        let mut data = if kept.is_empty() {
            data
        } else {
            kept.extend_from_slice(data);
            &kept
        };
        if data.len() < end.need {
            end.waiting = data.to_vec();
            return Ok(moved);
        }
        end.need = 0;
        loop {
            let mut ops = [Op::default(); MAX_OPS];
            let mut op_slice = GoSlice::over(&mut ops, 0);
            let mut pieces =
                [GoSlice { data: data.as_ptr().cast_mut(), len: data.len() as i64, cap: data.len() as i64 }];
            let mut piece_slice = GoSlice::over(&mut pieces, usize::from(!data.is_empty()));
            *calls += 1;
            // SAFETY: all that is pointed to lives until the call returns, and the library does not write to the data.
            let result =
                unsafe { (lib.on_data)(*id, u8::from(direction == 1), 0, &raw mut piece_slice, &raw mut op_slice) };
            if result != 0 {
                return Err(format!("OnData answers {result}"));
            }
            let count = usize::try_from(op_slice.len).unwrap_or(usize::MAX);
            let mut is_last = false;
            for op in ops.get(..count).ok_or("more ops than there is room for")? {
                if is_last || op.n_bytes <= 0 {
                    return Err(format!("op {} of {} bytes", op.op, op.n_bytes));
                }
                let len = op.n_bytes as usize;
                let taken = len.min(data.len());
                match op.op {
                    MORE => {
                        end.need = data.len() + len;
                        is_last = true;
                        continue;
                    }
                    PASS => {
                        moved.passed += taken;
                        end.pass = (len - taken) as u64;
                    }
                    DROP => end.drop = (len - taken) as u64,
                    INJECT => {
                        if op.n_bytes > end.inject.len {
                            return Err("more is injected than there is".to_owned());
                        }
                        moved.passed += len;
                        end.inject.data = end.inject.data.wrapping_add(len);
                        end.inject.len -= op.n_bytes;
                        end.inject.cap -= op.n_bytes;
                        continue;
                    }
                    other => return Err(format!("op {other}")),
                }
                is_last = len > taken;
                data = &data[taken..];
            }
            if end.inject.len > 0 {
                return Err("bytes were left in the inject buffer".to_owned());
            }
            let was_full = end.inject.cap == 0;
            end.reset_inject();
            if is_last || count < MAX_OPS && !was_full {
                break;
            }
        }
        if !data.is_empty() {
            end.waiting = data.to_vec();
        }
        Ok(moved)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl End {
    fn new() -> Self {
        let mut buffer = Box::new([0; INJECT_BUFFER]);
        let inject = GoSlice::over(&mut *buffer, 0);
        Self { waiting: Vec::new(), need: 0, pass: 0, drop: 0, inject, buffer }
    }

    fn reset_inject(&mut self) {
        self.inject = GoSlice::over(&mut *self.buffer, 0);
    }
}
