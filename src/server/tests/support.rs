//! A server with a small service, and a client of bytes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::service_fn;

use crate::drain::{Drainer, Phase, drain};
use crate::header_case::HeaderCase;
use crate::server::{
    BoxError, ClientError, Connections, Limits, Listen, ParseProblem, ParseProblems, RequestBody, bind,
    workers,
};

/// Longer than anything here takes; what passes it hangs.
pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) type TestBody = UnsyncBoxBody<Bytes, BoxError>;

pub(super) fn full(text: impl Into<Bytes>) -> TestBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of unknown length that is fed by hand.
pub(super) fn fed() -> (mpsc::UnboundedSender<Result<Bytes, BoxError>>, TestBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let frames =
        futures_util::StreamExt::map(stream, |piece: Result<Bytes, BoxError>| piece.map(Frame::data));
    (sender, StreamBody::new(frames).boxed_unsync())
}

pub(super) fn limits() -> Limits {
    Limits {
        header_size: 64 * 1024,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_mins(5),
        stall_timeout: Some(Duration::from_mins(1)),
        connections: 20_000,
        header_case: HeaderCase::Title,
    }
}

/// What the service has seen and does.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// Targets of the requests, in order.
    pub(super) targets: Mutex<Vec<String>>,
    /// How many requests are being answered.
    pub(super) serving: AtomicUsize,
    /// Lets one request to `/wait` go on.
    pub(super) go: Notify,
    /// How bodies ended.
    pub(super) bodies: Mutex<Vec<Result<usize, ClientError>>>,
    /// The body that the next request to `/fed` is answered with.
    pub(super) next: Mutex<Option<TestBody>>,
    pub(super) connections: AtomicUsize,
}

impl Scene {
    pub(super) fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }

    pub(super) fn bodies(&self) -> Vec<Result<usize, ClientError>> {
        self.bodies.lock().unwrap().clone()
    }

    pub(super) async fn serving(&self, count: usize) {
        eventually("requests in progress", || self.serving.load(Ordering::Relaxed) == count).await;
    }
}

pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("never came: {what}"));
}

struct Serving(Arc<Scene>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

fn client_error(error: &io::Error) -> ClientError {
    *error.get_ref().unwrap().downcast_ref().unwrap()
}

async fn read(mut body: RequestBody) -> Result<Bytes, ClientError> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(error) => {
                // It stays failed.
                assert_eq!(client_error(&body.frame().await.unwrap().unwrap_err()), client_error(&error));
                return Err(client_error(&error));
            }
        }
    }
    Ok(all.into())
}

async fn respond(scene: Arc<Scene>, mut request: Request<RequestBody>) -> Response<TestBody> {
    scene.serving.fetch_add(1, Ordering::Relaxed);
    let _serving = Serving(scene.clone());
    let target = request.uri().to_string();
    scene.targets.lock().unwrap().push(target.clone());
    let path = request.uri().path().to_owned();
    let fields = request.headers().len();
    match path.as_str() {
        // Takes the body and sends it back.
        "/echo" => {
            let read = read(request.into_body()).await;
            scene.bodies.lock().unwrap().push(read.as_ref().map(Bytes::len).map_err(|error| *error));
            match read {
                Ok(bytes) => Response::new(full(bytes)),
                Err(_) => status(400, full("no body")),
            }
        }
        "/wait" => {
            scene.go.notified().await;
            Response::new(full("waited"))
        }
        // Holds the body and does not read it.
        "/hold" => {
            let body = request.into_body();
            scene.go.notified().await;
            drop(body);
            Response::new(full("held"))
        }
        "/tunnel" => {
            if request.uri().query().is_some() {
                scene.go.notified().await;
            }
            spawn(super::tunnels::run(hyper::upgrade::on(&mut request)));
            let mut response = status(101, full(""));
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            response
        }
        // Responds at once, and goes on reading the body.
        "/early" => {
            let (body, scene) = (request.into_body(), scene.clone());
            spawn(async move {
                let read = read(body).await.map(|bytes| bytes.len());
                scene.bodies.lock().unwrap().push(read);
            });
            Response::new(full("early"))
        }
        "/refuse" => status(403, full("no")),
        "/fed" => Response::new(scene.next.lock().unwrap().take().unwrap()),
        "/304" => {
            let mut response = status(304, full(""));
            response.headers_mut().insert("content-length", "99".parse().unwrap());
            response
        }
        "/head" => {
            let mut response = Response::new(full(""));
            response.headers_mut().insert("content-length", "12345".parse().unwrap());
            response
        }
        "/fields" => Response::new(full(fields.to_string())),
        "/large" => Response::new(full(vec![b'x'; 10_000_000])),
        _ => Response::new(full(target)),
    }
}

fn status(status: u16, body: TestBody) -> Response<TestBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A document that says which problem it is.
pub(super) fn problems() -> ParseProblems {
    ParseProblems::new(|problem| {
        let status = match problem {
            ParseProblem::NoTls | ParseProblem::Malformed | ParseProblem::Tls | ParseProblem::Fragment => 400,
            ParseProblem::HeaderTimeout => 408,
            ParseProblem::TargetTooLong => 414,
            ParseProblem::HeadTooLarge => 431,
        };
        let mut response = Response::new(Full::new(format!("{problem:?}").into()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        response
    })
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) scene: Arc<Scene>,
    pub(super) connections: Connections,
    drainer: Drainer,
    worker: JoinHandle<()>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(limits())
    }

    pub(super) fn with(limits: Limits) -> Self {
        Self::on("127.0.0.1:0", limits)
    }

    pub(super) fn on(listen: &str, limits: Limits) -> Self {
        let listener = bind(&listen.parse::<Listen>().unwrap()).unwrap();
        let address = listener.bound.addresses().first().copied().unwrap_or(([0, 0, 0, 0], 0).into());
        let (drainer, drain) = drain();
        let (workers, connections) = workers(vec![listener], 1, limits, problems(), &drain);
        let scene = Arc::new(Scene::default());
        let inner = scene.clone();
        let make = move |_: &crate::server::Arrival| {
            inner.connections.fetch_add(1, Ordering::Relaxed);
            let scene = inner.clone();
            service_fn(move |request| {
                let scene = scene.clone();
                async move { Ok::<_, Infallible>(respond(scene, request).await) }
            })
        };
        let worker = workers.into_iter().next().unwrap();
        let worker = spawn(async move { worker.run(make, || ()).await.unwrap() });
        Self { address, scene, connections, drainer, worker }
    }

    pub(super) async fn client(&self) -> Client {
        Client::over(TcpStream::connect(self.address).await.unwrap())
    }

    pub(super) fn drain(&self) {
        self.drainer.advance(Phase::Draining);
    }

    pub(super) fn cut(&self) {
        self.drainer.advance(Phase::Cut);
    }

    pub(super) async fn drained(self) {
        timeout(SOON, self.worker).await.expect("the drain hangs").unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "ends with the runtime of its test")]
pub(super) fn spawn<F: Future<Output: Send> + Send + 'static>(future: F) -> JoinHandle<F::Output> {
    tokio::spawn(future)
}

pub(super) async fn unix(path: &Path) -> Client {
    Client::over(UnixStream::connect(path).await.unwrap())
}

pub(super) trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

/// One connection of a client.
pub(super) struct Client {
    pub(super) stream: Box<dyn Bytestream>,
    read: Vec<u8>,
    pub(super) was_reset: bool,
}

/// One response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(super) fn over(stream: impl Bytestream + 'static) -> Self {
        Self { stream: Box::new(stream), read: Vec::new(), was_reset: false }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(SOON, self.stream.write_all(bytes.as_ref())).await.expect("it takes nothing").unwrap();
    }

    /// The peer may have closed already.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        // The system reports a reset once only.
        self.was_reset |= matches!(timeout(SOON, self.stream.write_all(bytes.as_ref())).await, Ok(Err(_)));
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match timeout(SOON, self.stream.read(&mut buffer)).await.expect("nothing comes") {
            Ok(0) => false,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                true
            }
            Err(_) => {
                self.was_reset = true;
                false
            }
        }
    }

    /// Reads a head.
    pub(super) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more().await, "no response: {:?}", self.read.escape_ascii().to_string());
        }
    }

    pub(super) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await, "it ends early");
        }
        self.read.drain(..count).collect()
    }

    /// Reads a response with a `Content-Length`.
    pub(super) async fn reply(&mut self) -> Reply {
        let head = self.head().await;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let body = self.exactly(length.map_or(0, |length| length.parse().unwrap())).await;
        Reply { head, body }
    }

    pub(super) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Reply {
        self.send(bytes).await;
        self.reply().await
    }

    /// Everything up to the end.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// True where nothing comes for so long.
    pub(super) async fn is_quiet(&mut self, duration: Duration) -> bool {
        if !self.read.is_empty() {
            return false;
        }
        let mut byte = [0];
        match timeout(duration, self.stream.read(&mut byte)).await {
            Err(_) => true,
            Ok(Ok(1)) => {
                self.read.push(byte[0]);
                false
            }
            Ok(_) => false,
        }
    }
}

pub(super) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub(super) fn post(target: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
