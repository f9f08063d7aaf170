//! Each grant, from the command line to the API: `serve`, `check`, `token` and `demo`, against a region that
//! serves TLS with a certificate authority of its own.

use cxone_simulator::{Alpn, Region, Settings, Tls};
use tempfile::TempDir;

use crate::support::{Launch, Message, Metrics, Process, RawConnection, get};

const GRANTS: [&str; 3] = ["client_credentials", "password", "access_key"];
const CLIENT: [(&str, &str); 2] =
    [("CXONE_CLIENT_ID", "demo-client"), ("CXONE_CLIENT_SECRET", "demo-secret")];
const KEY: [(&str, &str); 2] =
    [("CXONE_ACCESS_KEY_ID", "demo-access-key"), ("CXONE_ACCESS_KEY_SECRET", "demo-access-key-secret")];

/// A region that serves TLS, and its certificate in a file. When it is dropped, the region's referee must have
/// seen no broken rule.
struct TlsRegion {
    region: Region,
    files: TempDir,
}

impl TlsRegion {
    async fn start() -> Self {
        let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
        let region = Region::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("ca.pem"), region.ca_pem().unwrap()).unwrap();
        Self { region, files }
    }

    /// A command with all that this grant needs.
    fn command(&self, name: &str, grant: &str) -> Launch {
        let launch = Launch::of(name)
            .variable("CXONE_BASE_URL", self.region.base_url())
            .variable("CXONE_CA_FILE", self.files.path().join("ca.pem"))
            .variable("CXONE_GRANT", grant);
        let with = |launch: Launch, variables: [(&str, &str); 2]| {
            variables.into_iter().fold(launch, |launch, (name, value)| launch.variable(name, value))
        };
        match grant {
            "password" => {
                with(with(launch, CLIENT), KEY).variable("CXONE_TOKEN_URL", self.region.password_url())
            }
            "access_key" => with(launch, KEY).variable("CXONE_TOKEN_URL", self.region.access_key_url()),
            _ => with(launch, CLIENT),
        }
    }

    fn serve(&self, grant: &str) -> Launch {
        listening_anywhere(self.command("serve", grant))
    }

    /// The grants of all token requests, in order.
    fn grants(&self) -> Vec<String> {
        self.region.journal().into_iter().filter_map(|entry| entry.grant).collect()
    }
}

impl Drop for TlsRegion {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.region.referee(), [], "the referee saw broken rules");
        }
    }
}

fn listening_anywhere(launch: Launch) -> Launch {
    launch.flag("listen", "127.0.0.1:0").flag("admin-listen", "127.0.0.1:0").flag("log-format", "json")
}

async fn me(proxy: &Process) -> Message {
    RawConnection::to(proxy.proxy_address()).await.fetch(get("/api/v2/users/me")).await
}

/// How many token requests of this grant brought a token.
async fn granted(proxy: &Process, grant: &str) -> u64 {
    let page = RawConnection::to(proxy.admin_address()).await.fetch(get("/metrics")).await;
    let labels = [("grant", grant), ("outcome", "ok")];
    Metrics::of(page.text()).count("cxone_proxy_token_requests_total", &labels)
}

/// The subject of a token of this grant, as the API says.
fn subject(grant: &str) -> &'static str {
    if grant == "client_credentials" { "demo-client" } else { "demo-access-key" }
}

#[tokio::test]
async fn serve_attaches_and_renews_a_token_of_each_grant() {
    for grant in GRANTS {
        let tls = TlsRegion::start().await;
        let proxy = tls.serve(grant).listening().await;
        for renewals in 0..3 {
            if renewals > 0 {
                tls.region.revoke_all();
            }
            let response = me(&proxy).await;
            assert_eq!(response.status(), 200, "{grant}: {}", response.text());
            assert_eq!(response.json()["id"], subject(grant));
        }
        let renewal = if grant == "access_key" { grant } else { "refresh_token" };
        let grants = tls.grants();
        assert_eq!(grants, [grant, renewal, renewal]);
        for name in [grant, renewal] {
            let count = grants.iter().filter(|asked| *asked == name).count();
            assert_eq!(granted(&proxy, name).await, u64::try_from(count).unwrap(), "{grant}: {name}");
        }
    }
}

#[tokio::test]
async fn a_lost_refresh_token_is_replaced_by_a_log_in() {
    let tls = TlsRegion::start().await;
    let proxy = tls.serve("password").listening().await;
    assert_eq!(me(&proxy).await.status(), 200);
    tls.region.revoke_refresh_tokens();
    tls.region.revoke_all();
    assert_eq!(me(&proxy).await.status(), 200);
    assert_eq!(tls.grants(), ["password", "refresh_token", "password"]);
}

#[tokio::test]
async fn token_prints_one_for_each_grant() {
    let tls = TlsRegion::start().await;
    for grant in GRANTS {
        let (status, output, log) = tls.command("token", grant).run().await;
        assert!(status.success(), "{grant}: {log}");
        let token = output.strip_suffix('\n').unwrap();
        assert_eq!(token.split('.').count(), 3, "{grant}: {token}");
    }
    assert_eq!(tls.grants(), GRANTS);
}

#[tokio::test]
async fn check_names_the_client_and_the_key_it_uses() {
    let tls = TlsRegion::start().await;
    for grant in GRANTS {
        let (status, report, _) = tls.command("check", grant).run().await;
        assert_eq!(status.code(), Some(0), "{grant}: {report}");
        assert_eq!(report.contains("demo-client"), grant != "access_key", "{report}");
        assert_eq!(report.contains("demo-access-key"), grant != "client_credentials", "{report}");
        assert!(!report.contains("demo-secret") && !report.contains("demo-access-key-secret"), "{report}");
    }
}

#[tokio::test]
async fn check_says_which_credentials_are_wrong() {
    let tls = TlsRegion::start().await;
    for (grant, variable, hint) in [
        ("client_credentials", "CXONE_CLIENT_SECRET", "CXONE_CLIENT_SECRET"),
        ("password", "CXONE_CLIENT_SECRET", "CXONE_CLIENT_ID"),
        ("password", "CXONE_ACCESS_KEY_SECRET", "CXONE_ACCESS_KEY_ID"),
        ("access_key", "CXONE_ACCESS_KEY_SECRET", "CXONE_ACCESS_KEY_ID"),
    ] {
        let launch = tls.command("check", grant).variable(variable, "guessed-wrong");
        let (status, output, log) = launch.run().await;
        let report = format!("{output}{log}");
        assert_eq!(status.code(), Some(1), "{grant} {variable}: {report}");
        assert!(report.contains(hint) && !report.contains("guessed-wrong"), "{grant} {variable}: {report}");
    }
}

#[tokio::test]
async fn what_a_grant_lacks_or_does_not_use_is_a_configuration_error() {
    let tls = TlsRegion::start().await;
    for (grant, variable, value, complaint) in [
        ("password", "CXONE_ACCESS_KEY_ID", "", "oauth.access_key_id"),
        ("access_key", "CXONE_TOKEN_URL", "", "oauth.area"),
        ("access_key", "CXONE_CLIENT_ID", "app", "access_key"),
        ("client_credentials", "CXONE_AREA", "na1", "client_credentials"),
    ] {
        for name in ["serve", "check", "token"] {
            let (status, output, log) = tls.command(name, grant).variable(variable, value).run().await;
            assert_eq!(status.code(), Some(2), "{name} {grant} {variable}: {output}{log}");
            let report = format!("{output}{log}");
            assert!(report.contains(complaint), "{name} {grant} {variable}: {report}");
            // The variable that is missing is named, or the one that is too much.
            let named = if value.is_empty() { complaint } else { variable };
            assert!(report.contains(named), "{name} {grant} {variable}: {report}");
        }
    }
    assert_eq!(tls.region.token_requests(), 0);
}

#[tokio::test]
async fn nothing_is_sent_to_an_endpoint_that_is_not_trusted() {
    let tls = TlsRegion::start().await;
    for grant in GRANTS {
        let (status, _, log) = tls.command("token", grant).without_variable("CXONE_CA_FILE").run().await;
        assert_eq!(status.code(), Some(1), "{grant}");
        assert!(log.contains("CXONE_CA_FILE"), "{grant}: {log}");
    }
    assert_eq!(tls.region.token_requests(), 0);
}

#[tokio::test]
async fn demo_shows_each_grant() {
    for grant in GRANTS {
        let proxy = listening_anywhere(Launch::of("demo").flag("grant", grant)).listening().await;
        let response = me(&proxy).await;
        assert_eq!(response.status(), 200, "{grant}: {}", response.text());
        assert_eq!(response.json()["id"], subject(grant));
        assert_eq!(granted(&proxy, grant).await, 1);
    }
    let (status, _, log) = Launch::of("demo").flag("grant", "implicit").run().await;
    assert_eq!(status.code(), Some(2));
    for expected in ["oauth.grant", "--grant", "`implicit`"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}
