//! The gateway of `deploy/kubernetes`, with its own variables.

use super::*;
use crate::support::{Process, serve};
use cxone_simulator::{Region, Settings};

const DEPLOYMENT: &str = include_str!("../../../deploy/kubernetes/gateway/deployment.yaml");
/// The SHA-256 of `key`.
const KEY: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

/// The variables of the deployment that have a value, as they stand there.
fn variables() -> Vec<(&'static str, &'static str)> {
    let lines: Vec<&str> = DEPLOYMENT.lines().map(str::trim_start).collect();
    let pairs = lines.windows(2).filter_map(|two| {
        let name = two[0].strip_prefix("- name: ")?;
        let value = two[1].strip_prefix("value: ")?;
        Some((name, value.trim_matches('"')))
    });
    pairs.collect()
}

async fn gateway(authority: &Authority, region: &Region) -> Process {
    std::fs::write(authority.path("client-secret"), "demo-secret").unwrap();
    let clients = format!("[[client]]\nname = \"crm\"\nkey_sha256 = \"{KEY}\"\n");
    std::fs::write(authority.path("clients.toml"), clients).unwrap();
    let mut launch = serve(&region.base_url()).without_variable("CXONE_CLIENT_SECRET");
    for (name, value) in variables() {
        let value = match value {
            "/run/secrets/cxone-proxy-tls/tls.crt" => authority.path("server.pem"),
            "/run/secrets/cxone-proxy-tls/tls.key" => authority.path("server.key"),
            _ => match value.strip_prefix("/run/secrets/cxone-proxy/") {
                Some(file) => authority.path(file),
                None => value.into(),
            },
        };
        // Where it listens is the flags' business, and the API is the region.
        if name != "CXONE_BASE_URL" {
            launch = launch.variable(name, value);
        }
    }
    launch.flag("listen", "0.0.0.0:0").flag("admin-listen", "0.0.0.0:0").listening().await
}

#[tokio::test]
async fn the_gateway_serves_applications_over_tls_and_probes_by_the_address_of_the_pod() {
    assert!(variables().len() >= 9, "{:?}", variables());
    let authority = Authority::new();
    authority.server("server", |own| {
        own.subject_alt_names = vec![SanType::DnsName("cxone-proxy.default.svc".try_into().unwrap())];
    });
    let region = Region::start(Settings::default()).await.unwrap();
    let gateway = gateway(&authority, &region).await;
    let config = Arc::new(authority.config(&[&TLS13], None));
    let socket = TcpStream::connect(gateway.proxy_address()).await.unwrap();
    let name = ServerName::try_from("cxone-proxy.default.svc").unwrap();
    let stream = in_time("a handshake", TlsConnector::from(config).connect(name, socket)).await.unwrap();
    let mut client = RawConnection::over(stream);
    let ask = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: cxone-proxy.default.svc\r\n{fields}\r\n")
    };
    let key = "X-Proxy-Key: key\r\n";
    assert_eq!(client.fetch(ask(ME, key)).await.status(), 200);
    assert_eq!(client.fetch(ask(ME, "")).await.status(), 401);
    assert_eq!(client.fetch(ask("/api/v2/oauth/clients", key)).await.status(), 403);
    // The kubelet and Prometheus name the address of the pod.
    for path in ["/livez", "/readyz", "/metrics"] {
        let mut admin = RawConnection::to(gateway.admin_address()).await;
        let probe = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n\r\n");
        assert_eq!(admin.fetch(probe).await.status(), 200, "{path}");
    }
}
