//! The agent's side: policies over NPDS, and the reader of the access log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use rustix::fd::OwnedFd;
use rustix::net::{self, AddressFamily, RecvFlags, SocketAddrUnix, SocketType};
use tokio::net::{UnixListener, UnixStream};

use crate::cases::{ENDPOINT, PORT, Rules};

const POLICY: &str = "type.googleapis.com/cilium.NetworkPolicy";

/// Serves one policy at `path` to whoever asks, from a thread of its own.
pub(crate) fn serve(path: &Path, rules: &Rules) -> std::io::Result<()> {
    let response = frame(&response(rules));
    let path = path.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let listener = {
        let _inside = runtime.enter();
        UnixListener::bind(path)?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                let response = response.clone();
                tokio::spawn(async {
                    // A client that went away is no fault.
                    let _ = serve_one(stream, response).await;
                });
            }
        });
    });
    Ok(())
}

/// One stream: the policy, and then silence until the client goes.
async fn serve_one(stream: UnixStream, response: Bytes) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new().handshake::<_, Bytes>(stream).await?;
    let mut open = Vec::new();
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        let head = http::Response::builder().header("content-type", "application/grpc").body(());
        let Ok(head) = head else { continue };
        let mut body = respond.send_response(head, false)?;
        body.send_data(response.clone(), false)?;
        // A stream that is dropped is reset.
        open.push((request, body));
    }
    Ok(())
}

/// A message of gRPC, not compressed.
fn frame(message: &Response) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message.encode_to_vec());
    framed.freeze()
}

fn response(rules: &Rules) -> Response {
    let map = |rule: &[(&'static str, String)]| L7Rule {
        rule: rule.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
    };
    let policy = Policy {
        endpoint_ips: vec![ENDPOINT.to_owned()],
        ingress: vec![Port {
            port: PORT,
            rules: vec![PortRule {
                l7_proto: rules.proto.to_owned(),
                l7_rules: Some(L7Rules { allow: rules.l7.iter().map(|rule| map(rule)).collect() }),
            }],
        }],
    };
    Response {
        version_info: "1".to_owned(),
        resources: vec![Any { type_url: POLICY.to_owned(), value: policy.encode_to_vec() }],
        type_url: POLICY.to_owned(),
        nonce: "1".to_owned(),
    }
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Any>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Policy {
    #[prost(string, repeated, tag = "1")]
    endpoint_ips: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    ingress: Vec<Port>,
}

#[derive(Clone, PartialEq, Message)]
struct Port {
    #[prost(uint32, tag = "1")]
    port: u32,
    #[prost(message, repeated, tag = "3")]
    rules: Vec<PortRule>,
}

#[derive(Clone, PartialEq, Message)]
struct PortRule {
    #[prost(string, tag = "2")]
    l7_proto: String,
    #[prost(message, optional, tag = "102")]
    l7_rules: Option<L7Rules>,
}

#[derive(Clone, PartialEq, Message)]
struct L7Rules {
    #[prost(message, repeated, tag = "1")]
    allow: Vec<L7Rule>,
}

#[derive(Clone, PartialEq, Message)]
struct L7Rule {
    #[prost(btree_map = "string, string", tag = "1")]
    rule: std::collections::BTreeMap<String, String>,
}

/// Reads the access log as fast as it can, and counts.
#[derive(Clone)]
pub(crate) struct LogReader(Arc<Counts>);

struct Counts {
    start: Instant,
    entries: AtomicU64,
    /// When the last entry came, in nanoseconds since the start.
    last: AtomicU64,
}

impl LogReader {
    pub(crate) fn listen(path: &Path) -> std::io::Result<Self> {
        let socket = net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        net::listen(&socket, 16)?;
        let counts = Arc::new(Counts { start: Instant::now(), entries: AtomicU64::new(0), last: AtomicU64::new(0) });
        let theirs = Arc::clone(&counts);
        thread::spawn(move || {
            while let Ok(connection) = net::accept(&socket) {
                let counts = Arc::clone(&theirs);
                thread::spawn(move || read(&connection, &counts));
            }
        });
        Ok(Self(counts))
    }

    pub(crate) fn entries(&self) -> u64 {
        self.0.entries.load(Ordering::Relaxed)
    }

    /// When the last entry came.
    pub(crate) fn last(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.last.load(Ordering::Relaxed))
    }

    pub(crate) fn now(&self) -> std::time::Duration {
        self.0.start.elapsed()
    }
}

fn read(connection: &OwnedFd, counts: &Counts) {
    // The agent's own size.
    let mut buffer = [0; 4096];
    let mut seen = 0_u64;
    while let Ok((1.., _)) = net::recv(connection, &mut buffer[..], RecvFlags::empty()) {
        counts.entries.fetch_add(1, Ordering::Relaxed);
        seen += 1;
        if seen.is_multiple_of(16) {
            counts.last.store(counts.start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
    }
}
