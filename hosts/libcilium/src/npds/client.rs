//! The client's thread: streams, one after the other.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portcullis_proxylib::Registry;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::backoff::Backoff;
use super::read::quote;
use super::update::{Accepted, Applied, Refused};
use super::wire::{DiscoveryRequest, DiscoveryResponse, Node, Status};
use super::{METHOD, Shared, TYPE_URL, count};
use crate::policies::Policies;

/// All that the thread owns.
pub(super) struct Client {
    path: String,
    node_id: String,
    policies: Arc<Policies>,
    registry: &'static Registry,
    shared: Arc<Shared>,
    /// Outlives streams: what an agent says that was started anew is most often what the one before it said.
    accepted: Accepted,
    backoff: Backoff,
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the client was stopped")]
    Stopped,
    #[error("the agent has closed the stream")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Grpc(#[from] tonic::Status),
}

impl Client {
    pub(super) fn new(
        path: &str,
        node_id: &str,
        policies: Arc<Policies>,
        registry: &'static Registry,
        shared: Arc<Shared>,
    ) -> Self {
        let (path, node_id) = (path.to_owned(), node_id.to_owned());
        let (accepted, backoff) = (Accepted::default(), Backoff::default());
        Self { path, node_id, policies, registry, shared, accepted, backoff }
    }

    pub(super) fn run(mut self) {
        while !self.shared.is_stopping() {
            match catch_unwind(AssertUnwindSafe(|| self.attempt())) {
                Ok(Ended::Stopped) => break,
                Ok(ended) => {
                    count(&self.shared.counters.lost);
                    tracing::debug!(path = %self.path, "policy stream: {ended}");
                }
                Err(payload) => {
                    // The payload may panic when it is dropped.
                    std::mem::forget(payload);
                    count(&self.shared.counters.panics);
                    count(&self.shared.counters.lost);
                    tracing::error!(path = %self.path, "the policy client panicked, and begins anew");
                }
            }
            self.shared.end_first();
            let delay = self.backoff.delay();
            self.shared.pause(delay);
        }
    }

    /// One stream. It has a runtime of its own, so that nothing of it is left behind, whichever way it ends.
    fn attempt(&mut self) -> Ended {
        let shared = Arc::clone(&self.shared);
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return error.into(),
        };
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = shared.stopped.notified() => Ended::Stopped,
                Err(ended) = self.stream() => ended,
            }
        })
    }

    async fn stream(&mut self) -> Result<Infallible, Ended> {
        let socket = UnixStream::connect(&self.path).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(socket))
            .await?;
        // Its errors are those of the stream as well.
        tokio::spawn(async { drop(connection.await) });
        let mut grpc =
            Grpc::with_origin(Connection(sender), Uri::from_static(ORIGIN)).max_decoding_message_size(MAX_RESPONSE);

        let mut request = DiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            node: Some(Node { id: self.node_id.clone() }),
            ..DiscoveryRequest::default()
        };
        let (requests, outbound) = mpsc::channel(1);
        let sent = |error| Ended::Io(std::io::Error::other(error));
        requests.send(request.clone()).await.map_err(sent)?;
        let outbound = tonic::Request::new(ReceiverStream::new(outbound));
        let codec = ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
        let mut responses = grpc.streaming(outbound, PathAndQuery::from_static(METHOD), codec).await?.into_inner();
        count(&self.shared.counters.streams);
        while let Some(response) = responses.message().await? {
            match self.judge(&response) {
                Ok(()) => {
                    request.version_info.clone_from(&response.version_info);
                    request.error_detail = None;
                }
                Err(Refused::Stopped) => return Err(Ended::Stopped),
                Err(Refused::Invalid(message)) => {
                    // The reference sends no code.
                    request.error_detail = Some(Status { code: 0, message });
                }
            }
            request.response_nonce = response.nonce;
            requests.send(request.clone()).await.map_err(sent)?;
            self.shared.end_first();
        }
        Err(Ended::Closed)
    }

    /// Puts a response in force, or says why not.
    fn judge(&mut self, response: &DiscoveryResponse) -> Result<(), Refused> {
        let Self { path, node_id, registry, policies, shared, accepted, backoff } = self;
        let counters = &shared.counters;
        let refuse = |why: &str| {
            count(&counters.refused);
            let message = format!("NPDS: Client {node_id} rejecting {why}");
            tracing::warn!("{message}");
            Err(Refused::Invalid(message))
        };
        if response.type_url != TYPE_URL {
            return refuse(&format!("mismatching resource type on {path}: {}", quote(&response.type_url)));
        }
        let update = AssertUnwindSafe(|| accepted.update(response, *registry, policies, &shared.stop));
        match catch_unwind(update) {
            Ok(Ok(Applied { endpoints, unenforceable })) => {
                count(&counters.accepted);
                let set = |counter: &std::sync::atomic::AtomicU64, to| {
                    counter.store(u64::try_from(to).unwrap_or(u64::MAX), Ordering::Relaxed);
                };
                set(&counters.endpoints, endpoints);
                set(&counters.unenforceable_ports, unenforceable);
                tracing::debug!(version = %response.version_info, endpoints, "policies in force");
                backoff.reset();
                Ok(())
            }
            Ok(Err(Refused::Stopped)) => Err(Refused::Stopped),
            Ok(Err(Refused::Invalid(reason))) => refuse(&format!("invalid policy on {path}: {reason}")),
            Err(payload) => {
                std::mem::forget(payload);
                count(&counters.panics);
                refuse(&format!("invalid policy on {path}: it made the library panic; see its log"))
            }
        }
    }
}

/// A connection to the agent, as tonic takes it.
struct Connection(http2::SendRequest<Body>);

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        Box::pin(self.0.send_request(request))
    }
}

/// The agent looks at the path alone.
const ORIGIN: &str = "http://localhost";
const USER_AGENT: &str = concat!("portcullis-libcilium/", env!("CARGO_PKG_VERSION"));
/// Bytes of one response: 2.5 million rules, at about 100 bytes each as the agent writes them. gRPC's own default, 4 MiB, is
/// less than the policies of a large cluster take, and one that is never received is never refused either.
const MAX_RESPONSE: usize = 256 << 20;
/// Bytes under way: a large response does not wait for the client each 64 KiB, and an agent that sends what nobody reads
/// costs no more than this.
const WINDOW: u32 = 1 << 20;
/// How often an agent that says nothing is asked whether it lives: one that is gone closes its socket, so that this is for
/// one that hangs. gRPC in Go takes more than one such question in 5 minutes for an attack, and closes.
const KEEP_ALIVE: Duration = Duration::from_secs(330);
/// How long it may take to say so. Time enough to compile a large policy, while which nothing is read.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);
