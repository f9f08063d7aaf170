//! The way to one origin, step by step: its name, a connection, TLS. Sends nothing that is confidential.

use std::{
    error::Error as _,
    io,
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
    report::{Facts, Outcome, Stage, Step},
};
use crate::{
    clock::Clock,
    transport::{Base, Failure, Route},
};

/// An origin that requests go to, and the way there.
pub(super) struct Origin {
    /// What is there.
    pub(super) of: &'static str,
    pub(super) base: Arc<Base>,
    pub(super) route: Route,
    /// Host and port of the forward proxy on the way.
    pub(super) forward_proxy: Option<String>,
    /// Whom to trust, with the protocols to offer.
    pub(super) tls: ClientConfig,
    /// For each of the steps.
    pub(super) time_out: Duration,
}

/// Takes the three steps, each within the origin's time-out. Cancel safe: a connection is dropped.
pub(super) async fn probe(origin: &Origin, clock: &Clock) -> Vec<Stage> {
    let mut stages = Vec::with_capacity(3);
    let started = clock.now();
    let resolved = timeout(origin.time_out, origin.route.resolve()).await;
    let (stage, addresses) = match resolved {
        Ok(Ok(addresses)) if !addresses.is_empty() => {
            let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            (Stage::ok(Step::NameResolution, vec![("addresses", json!(shown))]), Some(addresses))
        }
        Ok(Ok(_)) => (unresolved(origin, "it has no address"), None),
        Ok(Err(failure)) => (unresolved(origin, &cause(&failure)), None),
        Err(_) => (unresolved(origin, "no answer in time"), None),
    };
    let hop = origin.route.first_hop();
    stages.push(finish(stage.with(vec![("host", json!(hop.0))]), origin, started.steady.elapsed()));
    let Some(addresses) = addresses else { return blocked(stages, origin) };

    let started = clock.now();
    let connected = timeout(origin.time_out, origin.route.connect(addresses)).await;
    let (stage, tcp) = match connected {
        Ok(Ok(tcp)) => (Stage::ok(Step::Connection, peer(&tcp)), Some(tcp)),
        Ok(Err(failure)) => (unconnected(origin, &cause(&failure)), None),
        Err(_) => (unconnected(origin, "no answer in time"), None),
    };
    let facts = origin.forward_proxy.iter().map(|proxy| ("forward_proxy", json!(proxy))).collect();
    stages.push(finish(stage.with(facts), origin, started.steady.elapsed()));
    let Some(tcp) = tcp else { return blocked(stages, origin) };

    let started = clock.now();
    let stage = secure(origin, tcp, clock).await;
    stages.push(finish(stage, origin, started.steady.elapsed()));
    stages
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

fn unresolved(origin: &Origin, cause: &str) -> Stage {
    let (host, _) = origin.route.first_hop();
    let (what, hint) = if origin.forward_proxy.is_some() {
        ("the forward proxy's name", "Check HTTPS_PROXY, or list the host in NO_PROXY.")
    } else {
        (
            "the name",
            "Check the spelling of the host in CXONE_BASE_URL, CXONE_REGION or CXONE_TOKEN_URL, and this machine's \
             name resolution (DNS). Where only a proxy reaches the internet, set HTTPS_PROXY.",
        )
    };
    Stage::failed(Step::NameResolution, format!("{what} {host} could not be resolved: {cause}"), hint)
}

fn unconnected(origin: &Origin, cause: &str) -> Stage {
    let (host, port) = origin.route.first_hop();
    let (what, hint) = if origin.forward_proxy.is_some() {
        (
            format!("no way through the forward proxy {host} port {port}: {cause}"),
            "Check HTTPS_PROXY with its user and password (407 asks for them), and that the proxy allows this \
             host (403 says that it does not).",
        )
    } else {
        (
            format!("no connection to {host} port {port}: {cause}"),
            "Check host and port in CXONE_BASE_URL or CXONE_TOKEN_URL, and whether a firewall is on the way. \
             Where only a proxy reaches the internet, set HTTPS_PROXY.",
        )
    };
    Stage::failed(Step::Connection, what, hint)
}

fn cause(failure: &Failure) -> String {
    failure.source().map_or_else(|| failure.to_string(), ToString::to_string)
}

fn peer(tcp: &TcpStream) -> Facts {
    tcp.peer_addr().map(|address| ("address", Value::String(address.to_string()))).into_iter().collect()
}

async fn secure(origin: &Origin, tcp: TcpStream, clock: &Clock) -> Stage {
    if !origin.base.secure {
        return Stage::skipped(Step::Tls, "plain http, which stays on this machine");
    }
    let Ok(name) = ServerName::try_from(origin.base.host.clone()) else {
        let detail = format!("{} is not a name that TLS can verify", origin.base.host);
        return Stage::failed(Step::Tls, detail, "Check the host in CXONE_BASE_URL or CXONE_TOKEN_URL.");
    };
    let connector = TlsConnector::from(Arc::new(origin.tls.clone()));
    let now = clock.now().wall;
    match timeout(origin.time_out, connector.connect(name.clone(), tcp)).await {
        Err(_) => no_tls("no answer in time"),
        Ok(Ok(stream)) => {
            let (_, tls) = stream.get_ref();
            let chain = tls.peer_certificates().unwrap_or_default();
            let version = tls.protocol_version().and_then(|version| version.as_str());
            let alpn = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            Stage::ok(Step::Tls, vec![("version", json!(version)), ("alpn", json!(alpn))])
                .with(certificate::facts(chain, now))
                .with_hint(certificate::warning(chain, now))
        }
        Ok(Err(error)) => {
            let Some(reason) = distrust(&error) else { return no_tls(&error.to_string()) };
            let (detail, hint) = certificate::distrust(&reason, &origin.base.host);
            Stage::failed(Step::Tls, detail, hint)
                .with(certificate::facts(&presented(origin, name).await, now))
        }
    }
}

fn no_tls(cause: &str) -> Stage {
    let hint = "Something other than a TLS server may listen there: check the port and the scheme of CXONE_BASE_URL or \
                CXONE_TOKEN_URL. A firewall that looks into TLS breaks it off like this as well.";
    Stage::failed(Step::Tls, format!("no TLS: {cause}"), hint)
}

fn distrust(error: &io::Error) -> Option<CertificateError> {
    let rustls::Error::InvalidCertificate(reason) = error.get_ref()?.downcast_ref()? else { return None };
    Some(reason.clone())
}

/// The certificates that are not trusted, from a second handshake that is broken off as soon as they are
/// there: who signed them is what tells a company's proxy from an attack.
async fn presented(origin: &Origin, name: ServerName<'static>) -> Vec<CertificateDer<'static>> {
    let witness = Arc::new(Witness::default());
    let mut tls = origin.tls.clone();
    tls.dangerous().set_certificate_verifier(witness.clone());
    let looking = async {
        let tcp = origin.route.connect(origin.route.resolve().await?).await?;
        let _ = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await;
        Ok::<_, Failure>(())
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
