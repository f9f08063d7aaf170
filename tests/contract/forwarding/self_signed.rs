//! A server certificate that is itself in the CA file is accepted, its name and dates still checked.

use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{Certificate, Launch, Message, RawConnection, Setup, ok, token_response};

/// A server over TLS that gives out tokens and serves everything else.
struct TlsServer {
    base_url: String,
    certificate: Certificate,
    _task: JoinSet<()>,
}

impl TlsServer {
    async fn start(certificate: Certificate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let acceptor = certificate.acceptor(&["http/1.1"]);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let mut connection = RawConnection::over(stream);
                    while connection.first().await.is_some() {
                        let Ok(request) = connection.request().await else { return };
                        let token = r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600}"#;
                        let is_token = request.target().ends_with("/oauth/token");
                        connection
                            .send(if is_token { token_response(token) } else { ok("", "served") })
                            .await;
                    }
                });
            }
        });
        Self { base_url, certificate, _task: task }
    }

    /// The response to a GET through a program that trusts the certificate, for API and token endpoint both.
    async fn get(&self) -> Message {
        let launch = |launch: Launch| {
            launch.variable("CXONE_BASE_URL", &self.base_url).flag("ca-file", self.certificate.path())
        };
        Setup::launched(launch).await.get("/x").await
    }
}

/// As `openssl req -x509` makes them: the certificate says that it is an authority.
fn authority(parameters: &mut CertificateParams) {
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_for_the_api_and_the_token_endpoint() {
    for certificate in [Certificate::of(&["localhost"]), Certificate::with(&["localhost"], authority)] {
        let response = TlsServer::start(certificate).await.get().await;
        assert_eq!((response.status(), response.text().as_str()), (200, "served"));
    }
}

#[tokio::test]
async fn its_name_and_its_dates_are_checked() {
    let past = |parameters: &mut CertificateParams| {
        authority(parameters);
        parameters.not_before = date_time_ymd(2019, 1, 1);
        parameters.not_after = date_time_ymd(2020, 1, 1);
    };
    let future = |parameters: &mut CertificateParams| {
        authority(parameters);
        parameters.not_before = date_time_ymd(2190, 1, 1);
        parameters.not_after = date_time_ymd(2200, 1, 1);
    };
    for (name, certificate) in [
        ("another name", Certificate::with(&["other.example"], authority)),
        ("expired", Certificate::with(&["localhost"], past)),
        ("not yet valid", Certificate::with(&["localhost"], future)),
    ] {
        let response = TlsServer::start(certificate).await.get().await;
        assert_eq!(response.status(), 502, "{name}: {}", response.text());
    }
}

/// What is in the bundle vouches for itself only.
#[tokio::test]
async fn another_certificate_with_the_same_name_is_not_trusted() {
    let server = TlsServer::start(Certificate::with(&["localhost"], authority)).await;
    let other = Certificate::with(&["localhost"], authority);
    let setup = Setup::launched(|launch| {
        launch.variable("CXONE_BASE_URL", &server.base_url).flag("ca-file", other.path())
    })
    .await;
    let response = setup.get("/x").await;
    assert_eq!(response.status(), 502, "{}", response.text());
    assert!(response.json()["hint"].as_str().unwrap().contains("--ca-file"));
}
