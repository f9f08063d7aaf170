//! TLS on a listener: the handshake, and what the client's certificate says.

mod failure;
mod files;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

pub use files::{EXPIRES_SOON, TlsFault, TlsFile, TlsSettings};

use super::Limits;
use super::alarm::Alarm;
use super::signals::Signals;
use crate::log::Repeats;
use crate::peer::SubjectName;

/// The first byte of every TLS client (RFC 8446 section 5.1: a handshake record).
pub(super) const HANDSHAKE_RECORD: u8 = 0x16;
/// What may wait in a session for the socket. A client that takes its response slowly moves something each time it has
/// taken so much (see `waiting`).
const UNSENT: usize = 32 * 1024;
/// A connection that was accepted so recently may finish its handshake when the process drains.
const GRACE: Duration = Duration::from_secs(1);
/// The least time between two lines about handshakes that fail.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// TLS as the listeners speak it. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: ArcSwap<ServerConfig>,
    failures: AtomicU64,
    lines: Mutex<Repeats<()>>,
}

/// What came of a handshake.
pub(super) enum Handshake {
    /// TLS is spoken.
    Done(Box<TlsStream<TcpStream>>),
    /// The client speaks plain HTTP, perhaps.
    Plain(TcpStream),
    /// There is nothing more to do.
    Failed,
}

impl Tls {
    /// Speaks TLS by these settings.
    pub fn new(settings: &TlsSettings) -> Self {
        Self(Arc::new(Shared {
            config: ArcSwap::new(settings.config()),
            failures: AtomicU64::new(0),
            lines: Mutex::new(Repeats::every(BETWEEN_LINES)),
        }))
    }

    /// Goes by other settings for every connection that comes from now on.
    pub fn replace(&self, settings: &TlsSettings) {
        self.0.config.store(settings.config());
    }

    /// How many handshakes have failed.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// The handshake of a connection that was `accepted` then. It may take as long as a header section. Cancellation:
    /// the connection is closed.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        signals: &Signals,
        limits: &Limits,
        accepted: Instant,
    ) -> Handshake {
        let peer = stream.peer_addr().ok();
        let mut work = pin!(self.begin(stream));
        let patience = accepted + limits.header_timeout;
        let mut alarm = Alarm::new(patience);
        let outcome = poll_fn(|cx| {
            signals.set_driver(cx.waker());
            if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            let due = if signals.is_draining() { patience.min(accepted + GRACE) } else { patience };
            loop {
                if alarm.poll(cx, due).is_pending() {
                    return Poll::Pending;
                }
                if Instant::now() >= due {
                    return Poll::Ready(None);
                }
                alarm.set(due);
            }
        });
        match outcome.await {
            Some(Ok(handshake)) => handshake,
            Some(Err(error)) => {
                self.failed(peer, failure::describe(&error).as_deref());
                Handshake::Failed
            }
            // It has had its second.
            None if signals.is_draining() => Handshake::Failed,
            None => {
                self.failed(
                    peer,
                    Some("it took longer than limits.header_timeout (CXONE_PROXY_HEADER_TIMEOUT)"),
                );
                Handshake::Failed
            }
        }
    }

    async fn begin(&self, stream: TcpStream) -> std::io::Result<Handshake> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            // A probe that only connects.
            return Ok(Handshake::Failed);
        }
        if first != [HANDSHAKE_RECORD] {
            return Ok(Handshake::Plain(stream));
        }
        let acceptor = TlsAcceptor::from(self.0.config.load_full());
        let session = acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(UNSENT))).await?;
        Ok(Handshake::Done(Box::new(session)))
    }

    /// Counts a failure, and says why where somebody can do something about it.
    fn failed(&self, peer: Option<std::net::SocketAddr>, why: Option<&str>) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        let Some(why) = why else {
            tracing::debug!(
                peer = peer.map(tracing::field::display),
                "a client closed its connection in the TLS handshake"
            );
            return;
        };
        let due = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner).met((), Instant::now());
        let Some(due) = due else { return };
        tracing::warn!(
            peer = peer.map(tracing::field::display),
            more = due.more(),
            "TLS handshake failed: {why}"
        );
    }
}

/// The names of the client's certificate; `None` where it showed none.
pub(super) fn client_names(session: &TlsStream<TcpStream>) -> Option<Arc<[SubjectName]>> {
    let (_, session) = session.get_ref();
    session.peer_certificates().and_then(<[_]>::first).map(names_of)
}

fn names_of(certificate: &CertificateDer<'_>) -> Arc<[SubjectName]> {
    // It has been verified, so it can be read.
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Arc::default() };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|extension| &extension.value.general_names);
    let known = names.filter_map(|name| {
        if let GeneralName::DNSName(name) = name {
            return Some(SubjectName::Dns((*name).to_owned()));
        }
        if let GeneralName::URI(uri) = name { Some(SubjectName::Uri((*uri).to_owned())) } else { None }
    });
    known.collect()
}
