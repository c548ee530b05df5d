//! A small proxy-wasm host: the functions that the module calls, and a server that answers requests that stand in for others.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;

portcullis_wasm::export!(portcullis_parsers::test::REGISTRY);

pub(crate) const ROOT: u32 = 1;

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// What the module sees of the host, on this thread.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) configuration: Vec<u8>,
    pub(crate) downstream: Option<Vec<u8>>,
    pub(crate) upstream: Option<Vec<u8>>,
    pub(crate) log: Vec<(u32, String)>,
    pub(crate) metrics: Vec<(String, i64)>,
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    /// Contexts that the module has closed.
    pub(crate) closed: Vec<u32>,
    pub(crate) nanoseconds: u64,
    pub(crate) current: u32,
    /// The fields of the request and of the reply, as the module gets them.
    pub(crate) request_fields: Vec<u8>,
    pub(crate) response_fields: Vec<u8>,
    pub(crate) request_body: Option<Vec<u8>>,
    pub(crate) response_body: Option<Vec<u8>>,
    /// What the module has answered, by context.
    pub(crate) answers: BTreeMap<u32, Answer>,
    /// Requests that the module has given up.
    pub(crate) reset: Vec<u32>,
    /// Functions that fail, by name.
    pub(crate) broken: Vec<&'static str>,
}

/// An answer of the module to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u32,
    pub(crate) why: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn world<R>(look: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(look)
}

impl World {
    pub(crate) fn metric(&self, name: &str) -> i64 {
        self.metrics.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
    }

    pub(crate) fn access_log(&self) -> Vec<serde_json::Value> {
        self.log.iter().filter_map(|(_, line)| serde_json::from_str(line).ok()).collect()
    }

    /// Why a connection was closed, as the debug log says.
    pub(crate) fn reason(&self, context: u32) -> Option<String> {
        let start = format!("closing connection {context}: ");
        self.log.iter().find_map(|(_, line)| line.strip_prefix(&start).map(str::to_owned))
    }
}

/// Starts a VM anew on this thread, with a listener. Returns whether it could be configured.
pub(crate) fn start(configuration: &str) -> bool {
    // The module's clock does not go back.
    world(|world| *world = World { nanoseconds: world.nanoseconds.max(1_000_000_000), ..World::default() });
    _initialize();
    proxy_on_context_create(ROOT, 0);
    assert_eq!(proxy_on_vm_start(ROOT, 0), 1);
    configure(configuration)
}

pub(crate) fn configure(configuration: &str) -> bool {
    world(|world| world.configuration = configuration.as_bytes().to_vec());
    enter(ROOT, || proxy_on_configure(ROOT, configuration.len())) == 1
}

pub(crate) fn connect(context: u32) -> u32 {
    proxy_on_context_create(context, ROOT);
    enter(context, || proxy_on_new_connection(context))
}

/// An event of one direction. Returns the bytes that go on, and whether the filter said so.
pub(crate) fn send(context: u32, upstream: bool, bytes: &[u8], end: bool) -> (Vec<u8>, bool) {
    world(|world| {
        let buffer = if upstream { &mut world.upstream } else { &mut world.downstream };
        *buffer = Some(bytes.to_vec());
    });
    let status = enter(context, || {
        if upstream {
            proxy_on_upstream_data(context, bytes.len(), end.into())
        } else {
            proxy_on_downstream_data(context, bytes.len(), end.into())
        }
    });
    let left =
        world(|world| if upstream { world.upstream.take() } else { world.downstream.take() }).unwrap_or_default();
    if status == 0 { (left, true) } else { (Vec::new(), false) }
}

/// Fields as hosts hand them over.
pub(crate) fn marshal<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut bytes = number(fields.len()).to_vec();
    for (name, value) in fields {
        bytes.extend(number(name.as_ref().len()));
        bytes.extend(number(value.as_ref().len()));
    }
    for (name, value) in fields {
        bytes.extend([name.as_ref(), b"\0", value.as_ref(), b"\0"].concat());
    }
    bytes
}

fn unmarshal(bytes: &[u8]) -> Vec<(String, String)> {
    let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let mut at = 4 + 8 * number(0);
    let mut text = |size: usize| {
        let text = String::from_utf8(bytes[at..at + size].to_vec()).unwrap();
        assert_eq!(bytes[at + size], 0);
        at += size + 1;
        text
    };
    (0..number(0)).map(|n| (text(number(4 + 8 * n)), text(number(8 + 8 * n)))).collect()
}

/// The head of a request, as a host has it. Returns what the module wants done.
pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(context: u32, fields: &[(N, V)], end: bool) -> u32 {
    world(|world| world.request_fields = marshal(fields));
    proxy_on_context_create(context, ROOT);
    let count = u32::try_from(fields.len()).unwrap();
    enter(context, || proxy_on_request_headers(context, count, end.into()))
}

/// More of a request's body. Returns what the module wants done, and what it leaves of the body.
pub(crate) fn body(context: u32, bytes: &[u8], end: bool) -> (u32, Vec<u8>) {
    world(|world| world.request_body = Some(bytes.to_vec()));
    let status = enter(context, || proxy_on_request_body(context, bytes.len(), end.into()));
    (status, world(|world| world.request_body.take()).unwrap_or_default())
}

/// The fields behind a request's body.
pub(crate) fn trailers(context: u32) -> u32 {
    enter(context, || proxy_on_request_trailers(context, 1))
}

/// The reply of an upstream, which passes as it is.
pub(crate) fn reply(context: u32, fields: &[(&str, &str)], pieces: &[&[u8]], has_trailers: bool) {
    world(|world| world.response_fields = marshal(fields));
    let is_whole = pieces.is_empty() && !has_trailers;
    assert_eq!(enter(context, || proxy_on_response_headers(context, 1, is_whole.into())), 0);
    for (n, piece) in pieces.iter().enumerate() {
        world(|world| world.response_body = Some(piece.to_vec()));
        let end = n + 1 == pieces.len() && !has_trailers;
        assert_eq!(enter(context, || proxy_on_response_body(context, piece.len(), end.into())), 0);
        assert_eq!(world(|world| world.response_body.take()).as_deref(), Some(*piece));
    }
    if has_trailers {
        assert_eq!(enter(context, || proxy_on_response_trailers(context, 1)), 0);
    }
}

/// What the module has answered to a request.
pub(crate) fn answer(context: u32) -> Option<Answer> {
    world(|world| world.answers.get(&context).cloned())
}

pub(crate) fn tick(seconds: u64) {
    world(|world| world.nanoseconds += seconds * 1_000_000_000);
    enter(ROOT, || proxy_on_tick(ROOT));
}

pub(crate) fn delete(context: u32) {
    enter(context, || {
        proxy_on_done(context);
        proxy_on_delete(context);
    });
}

fn enter<R>(context: u32, call: impl FnOnce() -> R) -> R {
    let before = world(|world| mem::replace(&mut world.current, context));
    let result = call();
    world(|world| world.current = before);
    result
}

fn slice<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: the module hands over bytes that are there during the call.
    unsafe { std::slice::from_raw_parts(data, size) }
}

fn hand_over(bytes: &[u8], data: *mut *mut u8, size: *mut usize) -> u32 {
    let room = proxy_on_memory_allocate(bytes.len());
    if room.is_null() && !bytes.is_empty() {
        return 10;
    }
    // SAFETY: there is room for as many bytes, and the module gave places for the answer.
    unsafe {
        if !bytes.is_empty() {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        }
        data.write(room);
        size.write(bytes.len());
    }
    0
}

macro_rules! functions {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $body:block)*) => {$(
        // SAFETY: no other function of the test has this name.
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $type),*) -> u32 {
            if world(|world| world.broken.contains(&stringify!($name))) {
                return 2;
            }
            $body
        }
    )*};
}

functions! {
    fn proxy_log(level: u32, message: *const u8, size: usize) {
        let text = String::from_utf8_lossy(slice(message, size)).into_owned();
        world(|world| world.log.push((level, text)));
        0
    }
    fn proxy_get_current_time_nanoseconds(time: *mut u64) {
        // SAFETY: the module gave a place for the answer.
        unsafe { time.write(world(|world| world.nanoseconds)) };
        0
    }
    fn proxy_set_tick_period_milliseconds(_period: u32) { 0 }
    fn proxy_set_effective_context(context: u32) {
        world(|world| world.current = context);
        0
    }
    fn proxy_get_property(path: *const u8, path_size: usize, value: *mut *mut u8, value_size: *mut usize) {
        let path = String::from_utf8_lossy(slice(path, path_size)).replace('\0', ".");
        match world(|world| world.properties.get(&path).cloned()) {
            Some(bytes) => hand_over(&bytes, value, value_size),
            None => 1,
        }
    }
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) {
        let bytes = world(|world| match buffer {
            2 => world.downstream.clone(),
            3 => world.upstream.clone(),
            7 => Some(world.configuration.clone()),
            0 => world.request_body.clone(),
            1 => world.response_body.clone(),
            _ => None,
        });
        match bytes {
            Some(bytes) if start <= bytes.len() => hand_over(&bytes[start..bytes.len().min(start + max)], data, size),
            _ => 2,
        }
    }
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, replaced: usize, data: *const u8, size: usize) {
        let bytes = slice(data, size).to_vec();
        world(|world| {
            let place = match buffer {
                2 => world.downstream.as_mut(),
                3 => world.upstream.as_mut(),
                0 => world.request_body.as_mut(),
                _ => None,
            };
            // As Envoy: only at the front can anything be replaced.
            let Some(place) = place.filter(|_| start == 0) else { return 2 };
            place.drain(..replaced.min(place.len()));
            place.splice(..0, bytes);
            0
        })
    }
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) {
        let bytes = world(|world| match map {
            0 => Some(world.request_fields.clone()),
            2 => Some(world.response_fields.clone()),
            _ => None,
        });
        bytes.map_or(2, |bytes| hand_over(&bytes, data, size))
    }
    fn proxy_close_stream(stream: u32) {
        world(|world| match stream {
            0 => world.reset.push(world.current),
            2 => world.closed.push(world.current),
            other => panic!("there is no stream {other}"),
        });
        0
    }
    fn proxy_define_metric(_metric: u32, name: *const u8, name_size: usize, id: *mut u32) {
        let name = String::from_utf8_lossy(slice(name, name_size)).into_owned();
        let place = world(|world| {
            let found = world.metrics.iter().position(|(known, _)| *known == name);
            found.unwrap_or_else(|| {
                world.metrics.push((name, 0));
                world.metrics.len() - 1
            })
        });
        // SAFETY: the module gave a place for the answer.
        unsafe { id.write(u32::try_from(place).unwrap()) };
        0
    }
    fn proxy_increment_metric(id: u32, by: i64) {
        world(|world| world.metrics[id as usize].1 += by);
        0
    }
    fn proxy_record_metric(id: u32, value: u64) {
        world(|world| world.metrics[id as usize].1 = i64::try_from(value).unwrap());
        0
    }
    fn proxy_send_local_response(
        status: u32, why: *const u8, why_size: usize, body: *const u8, body_size: usize,
        fields: *const u8, fields_size: usize, grpc_status: i32
    ) {
        assert_eq!(grpc_status, -1);
        let why = String::from_utf8(slice(why, why_size).to_vec()).unwrap();
        let fields = unmarshal(slice(fields, fields_size));
        let answer = Answer { status, why, fields, body: slice(body, body_size).to_vec() };
        world(|world| {
            let before = world.answers.insert(world.current, answer);
            assert_eq!(before, None, "a request that is answered twice");
        });
        0
    }
}
