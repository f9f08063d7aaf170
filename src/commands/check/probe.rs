//! The connection to one origin, step by step: its name, TCP, TLS. Sends nothing that is confidential.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    certificate,
    peer::Peer,
    stage::{Facts, Outcome, Stage, Step},
};
use crate::{
    cause::{self, Cause, ForwardProxyProblem, NameProblem, tls_cause},
    certificate::{Certificate, CertificateProblem},
    clock::{Clock, Now},
    log,
    upstream::{BaseUrl, Route, SendError},
};

/// An origin that requests go to, and how it is reached.
pub(super) struct Origin {
    /// The peer's part.
    pub(super) of: &'static str,
    /// In whose words its failures are described.
    pub(super) peer: Peer,
    pub(super) base: Arc<BaseUrl>,
    pub(super) route: Route,
    /// Host and port of the forward proxy between.
    pub(super) forward_proxy: Option<String>,
    /// The certificates to trust, with the protocols to offer.
    pub(super) tls: ClientConfig,
    /// For each of the steps.
    pub(super) time_out: Duration,
}

/// Takes the three steps, each within the origin's time-out. Cancel safe: a connection is dropped.
pub(super) async fn probe(origin: &Origin, clock: &Clock) -> Vec<Stage> {
    let mut stages = Vec::with_capacity(3);
    let started = clock.now();
    let resolved = origin.within(cause::Stage::Resolution, origin.route.resolve()).await;
    let resolved =
        resolved.and_then(|found| if found.is_empty() { Err(origin.nowhere()) } else { Ok(found) });
    let stage = match &resolved {
        Ok(addresses) => Stage::ok(Step::NameResolution, vec![("addresses", shown(addresses))]),
        Err(cause) => origin.failed(Step::NameResolution, cause),
    };
    let (host, _) = origin.route.first_hop();
    stages.push(finish(stage.with(vec![("host", json!(host))]), origin, started.steady.elapsed()));
    let Ok(addresses) = resolved else { return blocked(stages, origin) };

    let started = clock.now();
    let connected = origin.within(cause::Stage::Connection, origin.connect(addresses)).await;
    let stage = match &connected {
        Ok(tcp) => Stage::ok(Step::Connection, peer(tcp)),
        Err(cause) => origin.failed(Step::Connection, cause),
    };
    let facts = origin.forward_proxy.iter().map(|proxy| ("forward_proxy", json!(proxy))).collect();
    stages.push(finish(stage.with(facts), origin, started.steady.elapsed()));
    let Ok(tcp) = connected else { return blocked(stages, origin) };

    let started = clock.now();
    let stage = secure(origin, tcp, started).await;
    stages.push(finish(stage, origin, started.steady.elapsed()));
    stages
}

impl Origin {
    /// TCP, and the tunnel where there is a forward proxy.
    async fn connect(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, SendError> {
        self.route.tunnel(self.route.connect(addresses).await?).await
    }

    /// Takes a step within the time-out.
    async fn within<T>(
        &self,
        stage: cause::Stage,
        step: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, Cause> {
        match timeout(self.time_out, step).await {
            Ok(taken) => taken.map_err(|error| {
                tracing::debug!(error = log::causes(&error), "the connection failed");
                error.cause()
            }),
            Err(_) => Err(self.late(stage)),
        }
    }

    fn late(&self, stage: cause::Stage) -> Cause {
        Cause::TimedOut { stage, after: self.time_out }
    }

    /// The name of the first hop is known, but has no address.
    fn nowhere(&self) -> Cause {
        match self.forward_proxy {
            Some(_) => {
                let how = "its name has no address".to_owned();
                Cause::ForwardProxy(ForwardProxyProblem::Unreachable(how))
            }
            None => Cause::Name(NameProblem::NoAddress),
        }
    }

    fn failed(&self, step: Step, cause: &Cause) -> Stage {
        let forward_proxy = self.forward_proxy.as_deref();
        let (detail, hint) = self.peer.describe(cause, self.base.authority(), forward_proxy);
        Stage::failed(step, detail, hint)
    }
}

fn finish(stage: Stage, origin: &Origin, took: Duration) -> Stage {
    Stage { of: Some(origin.of), took, ..stage }
}

/// What cannot be tried after the last stage.
fn blocked(mut stages: Vec<Stage>, origin: &Origin) -> Vec<Stage> {
    let Some(failed) = stages.last().map(|stage| stage.step) else { return stages };
    let missing = [Step::Connection, Step::Tls].into_iter().skip(stages.len() - 1);
    let skipped = missing.map(|step| {
        finish(Stage::skipped(step, format!("{} failed", failed.title())), origin, Duration::ZERO)
    });
    stages.extend(skipped);
    stages
}

fn shown(addresses: &[SocketAddr]) -> Value {
    addresses.iter().map(|address| address.ip().to_string()).collect()
}

fn peer(tcp: &TcpStream) -> Facts {
    tcp.peer_addr().map(|address| ("address", Value::String(address.to_string()))).into_iter().collect()
}

async fn secure(origin: &Origin, tcp: TcpStream, now: Now) -> Stage {
    if !origin.base.is_secure() {
        return Stage::skipped(Step::Tls, "plain http, which stays on this machine");
    }
    let host = origin.base.bare_host();
    let Ok(name) = ServerName::try_from(host.clone()) else {
        return origin.failed(Step::Tls, &Cause::Tls(format!("`{host}` is not a name that TLS can verify")));
    };
    let connector = TlsConnector::from(Arc::new(origin.tls.clone()));
    match timeout(origin.time_out, connector.connect(name.clone(), tcp)).await {
        Err(_) => origin.failed(Step::Tls, &origin.late(cause::Stage::Tls)),
        Ok(Ok(stream)) => {
            let (_, tls) = stream.get_ref();
            let chain = tls.peer_certificates().unwrap_or_default();
            let version = tls.protocol_version().and_then(|version| version.as_str());
            let alpn = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            Stage::ok(Step::Tls, vec![("version", json!(version)), ("alpn", json!(alpn))])
                .with(certificate::facts(chain, now.wall))
                .with_hint(certificate::warning(chain, now.wall))
        }
        Ok(Err(error)) => insecure(origin, &error, name, now).await,
    }
}

async fn insecure(origin: &Origin, error: &io::Error, name: ServerName<'static>, now: Now) -> Stage {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(problem) = cause.and_then(CertificateProblem::of) else {
        tracing::debug!(%error, "the TLS handshake failed");
        return origin.failed(Step::Tls, &Cause::Tls(tls_cause(error)));
    };
    let chain = presented(origin, name).await;
    let leaf = chain.first().and_then(Certificate::read);
    let problem = leaf.iter().fold(problem, CertificateProblem::with);
    origin.failed(Step::Tls, &Cause::Untrusted(problem)).with(certificate::facts(&chain, now.wall))
}

/// The certificates that are not trusted, from a second handshake that ends as soon as they have arrived:
/// their issuer shows whether a company's proxy or an attacker is between.
async fn presented(origin: &Origin, name: ServerName<'static>) -> Vec<CertificateDer<'static>> {
    let witness = Arc::new(Witness::default());
    let mut tls = origin.tls.clone();
    tls.dangerous().set_certificate_verifier(witness.clone());
    let looking = async {
        let tcp = origin.connect(origin.route.resolve().await?).await?;
        let _ = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await;
        Ok::<_, SendError>(())
    };
    let _ = timeout(origin.time_out, looking).await;
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.clone()
}

/// Looks at certificates and trusts none.
#[derive(Debug, Default)]
struct Witness {
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl Witness {
    fn refusal<T>() -> Result<T, rustls::Error> {
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Self::refusal()
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::refusal()
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::refusal()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// True where every step that was taken went well.
pub(super) fn is_open(stages: &[Stage]) -> bool {
    stages.iter().all(|stage| stage.outcome != Outcome::Failed)
}
