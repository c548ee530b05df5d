//! An agent for tests: it listens on a unix socket, hears what the policy client asks, and says what the test wants.
//!
//! ```no_run
//! use portcullis_libcilium::npds::wire::NetworkPolicy;
//! use portcullis_libcilium::testing::{Agent, response};
//!
//! let agent = Agent::start("/tmp/xds.sock".as_ref());
//! // OpenModule with `xds-path` /tmp/xds.sock, or `Npds::start`, and then:
//! let first = agent.next_request();
//! assert_eq!(first.version_info, "");
//! let policy = NetworkPolicy { endpoint_ips: vec!["10.0.0.1".to_owned()], ..NetworkPolicy::default() };
//! agent.send(response("1", &[policy]));
//! assert_eq!(agent.next_request().error_detail, None, "it is accepted, and in force");
//! ```
//!
//! Waiting panics after a minute. [`respond`](Agent::respond) sends and waits for the answer in one.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::convert::Infallible;
use std::future::Ready;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc as tokio_mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::npds::wire::{Any, DiscoveryRequest, DiscoveryResponse, NetworkPolicy};
use crate::npds::{METHOD, TYPE_URL};

/// What an agent sees.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A client has opened a stream.
    Opened,
    /// It asks, or answers.
    Request(DiscoveryRequest),
    /// It has closed the stream, or is gone.
    Closed,
}

/// An agent. When it is dropped it closes its socket and all streams.
pub struct Agent {
    path: PathBuf,
    events: Receiver<Event>,
    stream: Arc<Mutex<Option<Outbound>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Outbound = UnboundedSender<Result<DiscoveryResponse, Status>>;

/// A response of that version, whose nonce is the version with an `n` before it.
pub fn response(version: &str, policies: &[NetworkPolicy]) -> DiscoveryResponse {
    let resources = policies.iter().map(|policy| resource(policy.encode_to_vec())).collect();
    DiscoveryResponse {
        version_info: version.to_owned(),
        resources,
        type_url: TYPE_URL.to_owned(),
        nonce: format!("n{version}"),
    }
}

/// A resource of these bytes.
pub fn resource(value: Vec<u8>) -> Any {
    Any { type_url: TYPE_URL.to_owned(), value: value.into() }
}

impl Agent {
    /// Listens at a path; what is there already is removed.
    pub fn start(path: &Path) -> Self {
        drop(std::fs::remove_file(path));
        let listener = std::os::unix::net::UnixListener::bind(path).expect("the agent's socket cannot be bound");
        listener.set_nonblocking(true).unwrap();
        let (events, received) = mpsc::channel();
        let stream = Arc::new(Mutex::new(None));
        let (stop, stopped) = oneshot::channel();
        let service = Streams { events, stream: Arc::clone(&stream) };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, service) => {}
                }
            });
        });
        Self { path: path.to_owned(), events: received, stream, stop: Some(stop), thread: Some(thread) }
    }

    /// What has happened next.
    pub fn next(&self) -> Event {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => panic!("the client does nothing"),
            Err(RecvTimeoutError::Disconnected) => panic!("the agent has failed"),
        }
    }

    /// The next request, whatever streams are opened and closed before it.
    pub fn next_request(&self) -> DiscoveryRequest {
        loop {
            if let Event::Request(request) = self.next() {
                return request;
            }
        }
    }

    /// Waits until a stream is closed.
    pub fn wait_closed(&self) {
        while self.next() != Event::Closed {}
    }

    /// Sends a response on the stream that was opened last, which must have been.
    pub fn send(&self, response: DiscoveryResponse) {
        let stream = self.stream.lock().unwrap();
        stream.as_ref().expect("no stream was opened").send(Ok(response)).expect("the stream is closed");
    }

    /// Sends a response and waits for the answer.
    pub fn respond(&self, response: DiscoveryResponse) -> DiscoveryRequest {
        self.send(response);
        self.next_request()
    }

    /// Ends the stream that was opened last.
    pub fn end_stream(&self, status: Option<Status>) {
        let stream = self.stream.lock().unwrap().take();
        if let (Some(stream), Some(status)) = (stream, status) {
            drop(stream.send(Err(status)));
        }
    }

    /// Ends, and listens anew: what the client sees of an agent that is restarted.
    #[must_use]
    pub fn restart(self) -> Self {
        let path = self.path.clone();
        drop(self);
        Self::start(&path)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

async fn serve(listener: std::os::unix::net::UnixListener, streams: Streams) {
    let listener = UnixListener::from_std(listener).unwrap();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let streams = streams.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let streams = streams.clone();
            async move {
                assert_eq!(request.uri().path(), METHOD, "there is no other method");
                let codec = ProstCodec::<DiscoveryResponse, DiscoveryRequest>::default();
                let mut grpc = tonic::server::Grpc::new(codec).max_encoding_message_size(usize::MAX);
                Ok::<_, Infallible>(grpc.streaming(streams, request).await)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
        tokio::spawn(async { drop(connection.await) });
    }
}

#[derive(Clone)]
struct Streams {
    events: mpsc::Sender<Event>,
    stream: Arc<Mutex<Option<Outbound>>>,
}

impl tonic::server::StreamingService<DiscoveryRequest> for Streams {
    type Response = DiscoveryResponse;
    type ResponseStream = UnboundedReceiverStream<Result<DiscoveryResponse, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<DiscoveryRequest>>) -> Self::Future {
        let (outbound, responses) = tokio_mpsc::unbounded_channel();
        *self.stream.lock().unwrap() = Some(outbound);
        let events = self.events.clone();
        let mut requests = request.into_inner();
        drop(events.send(Event::Opened));
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                drop(events.send(Event::Request(request)));
            }
            drop(events.send(Event::Closed));
        });
        std::future::ready(Ok(Response::new(UnboundedReceiverStream::new(responses))))
    }
}

/// Longer than a slow machine takes for anything.
const PATIENCE: Duration = Duration::from_secs(60);
