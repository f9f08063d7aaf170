//! Clients that are known by their certificates.

use rcgen::SanType;
use rustls::version::{TLS12, TLS13};

use super::{Authority, ME};
use crate::support::{Launch, Metrics, RawConnection, Setup, get};

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn spiffe(path: &str) -> SanType {
    SanType::URI(format!("spiffe://example.com{path}").try_into().unwrap())
}

fn mutual(authority: &Authority, launch: Launch) -> Launch {
    authority.on(launch).flag("tls-client-ca", authority.path("ca.pem"))
}

#[tokio::test]
async fn only_clients_of_the_authority_get_in() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let setup = Setup::launched(|launch| mutual(&authority, launch)).await;
    for version in [&TLS12, &TLS13] {
        let known = authority.config(&[version], Some(authority.client(vec![dns("crm.example")])));
        let mut client = RawConnection::over(authority.connect(&setup, known).await.unwrap());
        assert_eq!(client.fetch(get(ME)).await.status(), 200);
        for identity in [None, Some(stranger.client(vec![dns("crm.example")]))] {
            // With TLS 1.3 a client hears of it when it reads.
            let config = authority.config(&[version], identity);
            let Ok(stream) = authority.connect(&setup, config).await else { continue };
            let mut client = RawConnection::over(stream);
            let _ = client.try_send(get(ME)).await;
            assert!(client.response().await.is_err());
        }
    }
    let metrics: Metrics = setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_tls_handshake_failures_total", &[]), 4);
    let said = setup.proxy.log().join("\n");
    assert!(said.contains("the client shows no certificate"), "{said}");
    assert_eq!(metrics.count("cxone_proxy_requests_total", &[("status", "200")]), 2);
}

#[tokio::test]
async fn a_name_of_the_certificate_says_which_client_it_is() {
    let authority = Authority::new();
    let clients = authority.path("clients.toml");
    std::fs::write(
        &clients,
        "[[client]]\nname = \"crm\"\nsan = [\"crm.example\"]\n\
         [[client]]\nname = \"prod\"\nsan = \"spiffe://example.com/ns/prod/*\"\ndeny = [\"* /api/v2/users*\"]\n",
    )
    .unwrap();
    let launch =
        |launch: Launch| mutual(&authority, launch).flag("clients", &clients).flag("access-log", "all");
    let setup = Setup::launched(launch).await;
    for (names, expected) in [
        (vec![dns("crm.example")], 200),
        (vec![dns("other.example"), dns("CRM.example")], 200),
        (vec![spiffe("/ns/prod/sa/job")], 403),
        (vec![spiffe("/ns/test/sa/job")], 401),
        (vec![], 401),
    ] {
        let shown = format!("{names:?}");
        let config = authority.config(&[&TLS13], Some(authority.client(names)));
        let mut client = RawConnection::over(authority.connect(&setup, config).await.unwrap());
        let response = client.fetch(get(ME)).await;
        assert_eq!(response.status(), expected, "{shown}: {}", response.text());
        if expected == 401 && shown.contains("spiffe") {
            let detail = response.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("spiffe://example.com/ns/test/sa/job"), "{detail}");
        }
    }
    let metrics: Metrics = setup.metrics().await;
    let count = |client, status| {
        metrics.count("cxone_proxy_client_requests_total", &[("client", client), ("status", status)])
    };
    assert_eq!((count("crm", "200"), count("prod", "403")), (2, 1));
    let line = setup.proxy.event("request").await;
    assert_eq!(line["client"], "crm");
}

#[tokio::test]
async fn names_need_an_authority() {
    let authority = Authority::new();
    let clients = authority.path("clients.toml");
    std::fs::write(&clients, "[[client]]\nname = \"crm\"\nsan = \"crm.example\"\n").unwrap();
    let launch = authority.on(crate::support::serve("http://127.0.0.1:9")).flag("clients", &clients);
    let (status, _, complaint) = launch.run().await;
    assert_eq!(status.code(), Some(2));
    assert!(complaint.contains("client.san") && complaint.contains("tls.client_ca"), "{complaint}");
}
