//! The files of certificates and keys: what is wrong with them, and their replacement.

use rcgen::date_time_ymd;
use rustix::process::Signal;
use rustls::version::TLS13;

use super::{Authority, ME};
use crate::support::{Setup, eventually, get, serve};

#[tokio::test]
async fn files_that_do_not_fit_are_named_with_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let path = |name: &str| authority.path(name).display().to_string();
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    for (flags, expected) in [
        (vec![("tls-cert", path("server.pem"))], "tls.cert is set, and tls.key is not"),
        (vec![("tls-key", path("server.key"))], "tls.key is set, and tls.cert is not"),
        (vec![("tls-client-ca", path("ca.pem"))], "tls.client_ca is set, and tls.cert is not"),
        (vec![("tls-cert", path("none.pem")), ("tls-key", path("server.key"))], "the file does not exist"),
        (vec![("tls-cert", path("empty.pem")), ("tls-key", path("server.key"))], "holds no certificate"),
        (vec![("tls-cert", path("server.pem")), ("tls-key", path("ca.pem"))], "holds no private key"),
        (
            vec![
                ("tls-cert", path("server.pem")),
                ("tls-key", other.path("server.key").display().to_string()),
            ],
            "does not belong to the certificate",
        ),
        (
            vec![
                ("tls-cert", path("server.pem")),
                ("tls-key", path("server.key")),
                ("tls-client-ca", path("server.key")),
            ],
            "holds no certificate",
        ),
    ] {
        let launch =
            flags.iter().fold(serve("http://127.0.0.1:9"), |launch, (name, value)| launch.flag(name, value));
        let (status, _, complaint) = launch.run().await;
        assert_eq!(status.code(), Some(2), "{flags:?}: {complaint}");
        assert!(complaint.contains(expected), "{flags:?}: {complaint}");
    }
}

#[tokio::test]
async fn a_certificate_near_its_end_is_a_warning_and_can_be_replaced() {
    let authority = Authority::new();
    authority.server("server", |parameters| {
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2020, 2, 1);
    });
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    let warning = setup.proxy.warning_about("server.pem").expect("a warning");
    assert!(warning["message"].as_str().unwrap().contains("valid until 2020-02-01"), "{warning}");
    assert!(authority.connect(&setup, authority.config(&[&TLS13], None)).await.is_err());
    // Both files change, one after the other: a half-written pair changes nothing.
    authority.server("server", |_| {});
    setup.proxy.signal(Signal::HUP);
    setup.proxy.event("reloaded").await;
    let mut client = authority.client_of(&setup).await;
    assert_eq!(client.fetch(get(ME)).await.status(), 200);
    let before = setup.metrics().await;
    assert!(before.count("cxone_proxy_tls_certificate_expiry_timestamp_seconds", &[]) > 1_600_000_000);
}

#[tokio::test]
async fn check_shows_the_certificate() {
    let authority = Authority::new();
    let setup = Setup::new().await;
    let check = authority
        .on(crate::support::Launch::of("check"))
        .variable("CXONE_BASE_URL", setup.region.base_url())
        .variable("CXONE_CLIENT_ID", crate::support::CLIENT_ID)
        .variable("CXONE_CLIENT_SECRET", crate::support::CLIENT_SECRET);
    let (status, report, _) = check.run().await;
    assert!(status.success(), "{report}");
    assert!(report.contains("localhost, 127.0.0.1; issued by") && report.contains(" days)"), "{report}");
}

#[tokio::test]
async fn a_new_certificate_is_noticed_and_open_connections_stay() {
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    let mut before = authority.client_of(&setup).await;
    assert_eq!(before.fetch(get(ME)).await.status(), 200);
    let serial = async || {
        let stream = authority.connect(&setup, authority.config(&[&TLS13], None)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let old = serial().await;
    authority.server("server", |_| {});
    eventually("the new certificate", async || (serial().await != old).then_some(())).await;
    assert_eq!(before.fetch(get(ME)).await.status(), 200);
}
