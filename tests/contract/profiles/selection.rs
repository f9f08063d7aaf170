//! The profile that a request goes to, and the target that its upstream gets.

use super::{API, DIGITAL, TwoRegions, get};
use crate::support::{Http2Client, RawConnection};

/// Asks for each target in turn, and says what reached a region.
async fn reached(regions: &TwoRegions, client: &mut RawConnection, target: &str, host: &str) -> String {
    let before = regions.targets();
    get(client, target, host).await;
    let mut after = regions.targets();
    for target in &before {
        let at = after.iter().position(|other| other == target).unwrap();
        after.remove(at);
    }
    assert_eq!(after.len(), 1, "{host} {target}: {after:?}");
    after.remove(0)
}

async fn all_reach(regions: &TwoRegions, host: &str, cases: &[(&str, &str, &str)]) {
    let mut client = RawConnection::to(regions.proxy.proxy_address()).await;
    for (target, area, expected) in cases {
        assert_eq!(
            reached(regions, &mut client, target, host).await,
            format!("{area}{expected}"),
            "{host} {target}"
        );
    }
}

#[tokio::test]
async fn by_host() {
    let regions = TwoRegions::pair("host = 'digital.localhost'").await;
    let port = regions.port();
    for host in ["digital.localhost", "DIGITAL.Localhost", &format!("digital.localhost:{port}")] {
        all_reach(&regions, host, &[("/api/v2/echo//x?y", DIGITAL, "/api/v2/echo//x?y")]).await;
    }
    for host in ["localhost", "127.0.0.1", &format!("localhost:{port}")] {
        all_reach(&regions, host, &[("/api/v2/echo", API, "/api/v2/echo")]).await;
    }
    for host in ["other.localhost", "digital.localhost.evil.example", "xdigital.localhost"] {
        assert_eq!(regions.get("/api/v2/echo", host).await.status(), 421, "{host}");
    }
    let http2 = Http2Client::to(regions.proxy.proxy_address()).await;
    let head = http::Request::builder().uri(format!("http://digital.localhost:{port}/api/v2/echo"));
    let answer = http2.fetch(head, b"", http::HeaderMap::new()).await.unwrap();
    assert_eq!(answer.json()["target"], format!("{DIGITAL}/api/v2/echo"));
}

#[tokio::test]
async fn by_a_path_that_is_stripped() {
    let regions = TwoRegions::pair("path_prefix = '/digital'\nstrip_prefix = true").await;
    all_reach(
        &regions,
        "localhost",
        &[
            ("/digital/api/v2/echo?x=/digital", DIGITAL, "/api/v2/echo?x=/digital"),
            ("/digital//api//v2", DIGITAL, "//api//v2"),
            ("/digital/digital/x", DIGITAL, "/digital/x"),
            ("/digital/%2Fx", DIGITAL, "/%2Fx"),
            ("/digital", DIGITAL, "/"),
            ("/digital/", DIGITAL, "/"),
            ("/digital?x", DIGITAL, "/?x"),
            ("/digitalis/x", API, "/digitalis/x"),
            ("/Digital/x", API, "/Digital/x"),
            ("/%64igital/x", API, "/%64igital/x"),
            ("//digital/x", API, "//digital/x"),
            ("/x/digital", API, "/x/digital"),
            ("/?/digital/", API, "/?/digital/"),
            ("/", API, "/"),
        ],
    )
    .await;
}

#[tokio::test]
async fn by_a_path_that_is_kept() {
    let regions = TwoRegions::pair("path_prefix = '/digital/v1'").await;
    all_reach(
        &regions,
        "localhost",
        &[
            ("/digital/v1/x?y", DIGITAL, "/digital/v1/x?y"),
            ("/digital/v1", DIGITAL, "/digital/v1"),
            ("/digital/v1//", DIGITAL, "/digital/v1//"),
            ("/digital/v10", API, "/digital/v10"),
            ("/digital", API, "/digital"),
        ],
    )
    .await;
}

#[tokio::test]
async fn by_a_port_of_its_own() {
    let regions = TwoRegions::pair("listen = '127.0.0.1:0'").await;
    let mut own = RawConnection::to(regions.own_listener()).await;
    for host in ["localhost", "127.0.0.1:1"] {
        let expected = format!("{DIGITAL}/api/v2/echo?{host}");
        assert_eq!(reached(&regions, &mut own, &format!("/api/v2/echo?{host}"), host).await, expected);
    }
    assert_eq!(get(&mut own, "/", "evil.example").await.status(), 421);
    all_reach(&regions, "localhost", &[("/api/v2/echo", API, "/api/v2/echo")]).await;
    let http2 = Http2Client::to(regions.own_listener()).await.get("/api/v2/echo").await.unwrap();
    assert_eq!(http2.json()["target"], format!("{DIGITAL}/api/v2/echo"));
}

#[tokio::test]
async fn ports_that_the_system_picks_are_not_mixed_up() {
    let own = |name: &str, base: &str| {
        format!(
            "[[profile]]\nname = '{name}'\nlisten = '127.0.0.1:0'\n[profile.upstream]\nbase_url = '{base}'\n"
        )
    };
    let regions = TwoRegions::of(&(own("one", "{api}") + &own("two", "{digital}"))).await;
    let event = regions.proxy.event("listening").await;
    let listeners = event["profile_listeners"].as_str().unwrap();
    for (address, region) in listeners.split(',').zip([API, DIGITAL]) {
        let mut client = RawConnection::to(address.parse().unwrap()).await;
        let expected = format!("{region}/api/v2/echo");
        assert_eq!(reached(&regions, &mut client, "/api/v2/echo", "localhost").await, expected);
    }
}

#[tokio::test]
async fn by_a_socket_of_its_own_and_a_path() {
    let regions =
        TwoRegions::pair("listen = 'unix:{files}/d.sock'\npath_prefix = '/d'\nstrip_prefix = true").await;
    let mut own = regions.unix("d.sock").await;
    assert_eq!(reached(&regions, &mut own, "/d/x", "localhost").await, format!("{DIGITAL}/x"));
    // A request must fit all selectors of a profile.
    assert_eq!(get(&mut own, "/x", "localhost").await.status(), 421);
    all_reach(&regions, "localhost", &[("/d/x", API, "/d/x")]).await;
}

#[tokio::test]
async fn an_upstream_that_is_named_itself_is_meant() {
    let regions = TwoRegions::pair("path_prefix = '/digital'\nstrip_prefix = true").await;
    let mut client = RawConnection::to(regions.proxy.proxy_address()).await;
    let (api, digital) = (regions.api.address(), regions.digital.address());
    for (target, expected) in [
        (format!("http://{digital}/x"), format!("{DIGITAL}/x")),
        (format!("http://{digital}"), format!("{DIGITAL}/")),
        // Here the path is the upstream's own.
        (format!("http://{digital}/digital/x"), format!("{DIGITAL}/digital/x")),
        (format!("http://{api}/digital/x"), format!("{API}/digital/x")),
        (format!("http://localhost:{}/digital/x?y", regions.port()), format!("{DIGITAL}/x?y")),
    ] {
        assert_eq!(reached(&regions, &mut client, &target, "evil.example").await, expected, "{target}");
    }
    assert_eq!(get(&mut client, &format!("https://{digital}/x"), "localhost").await.status(), 421);
}

/// How many requests each profile has had responses for, as the metrics say.
async fn served(regions: &TwoRegions, name: &str) -> f64 {
    regions.metrics().await.sum("cxone_proxy_requests_total", &[("profile", name)]).unwrap_or_default()
}

#[tokio::test]
async fn the_most_specific_one_wins_whatever_their_order() {
    let selectors = [
        ("any", ""),
        ("deep", "path_prefix = '/x/y'"),
        ("x", "path_prefix = '/x'"),
        ("h", "host = 'h.localhost'"),
        ("hx", "host = 'h.localhost'\npath_prefix = '/x'"),
    ];
    for reversed in [false, true] {
        let mut tables: Vec<_> = selectors
            .iter()
            .map(|(name, lines)| {
                format!("[[profile]]\nname = '{name}'\n{lines}\n[profile.upstream]\nbase_url = '{{api}}'\n")
            })
            .collect();
        if reversed {
            tables.reverse();
        }
        let regions = TwoRegions::of(&tables.concat()).await;
        for (host, target, expected) in [
            ("localhost", "/", "any"),
            ("localhost", "/xx/y", "any"),
            ("localhost", "/x", "x"),
            ("localhost", "/x/yy", "x"),
            ("localhost", "/x/y?z", "deep"),
            ("h.localhost", "/", "h"),
            ("h.localhost", "/x/y", "hx"),
        ] {
            let before = served(&regions, expected).await;
            regions.get(target, host).await;
            let more = served(&regions, expected).await - before;
            assert!((more - 1.0).abs() < f64::EPSILON, "{host} {target}: {more}");
        }
        // All of them have the same credentials.
        assert_eq!(regions.api.token_requests(), 1);
    }
}

#[tokio::test]
async fn a_request_that_fits_no_profile_is_421_with_all_selectors_in_the_hint() {
    let regions = TwoRegions::of(
        "[[profile]]\nname = 'digital'\nhost = 'digital.localhost'\n[profile.upstream]\nbase_url = '{api}'\n\
         [[profile]]\nname = 'hub'\nhost = 'hub.localhost'\npath_prefix = '/hub'\n[profile.upstream]\nbase_url = '{api}'\n\
         [[profile]]\nname = 'own'\nlisten = 'unix:{files}/o.sock'\n[profile.upstream]\nbase_url = '{digital}'\n",
    )
    .await;
    for (target, host) in [("/", "localhost"), ("/hub", "localhost"), ("/hubs", "hub.localhost")] {
        let response = regions.get(target, host).await;
        assert_eq!(response.status(), 421, "{host}{target}");
        assert_eq!(response.json()["type"], "urn:cxone-proxy:problem:no-profile");
        assert_eq!(response.only("Proxy-Status"), Some("cxone-proxy; error=http_request_denied"));
        assert_eq!(
            response.json()["hint"],
            format!(
                "Profiles are selected by: Host digital.localhost (digital); Host hub.localhost with a path below \
                 /hub (hub); the address unix:{}/o.sock (own).",
                regions.files.path().display()
            )
        );
    }
    let mut old = RawConnection::to(regions.proxy.proxy_address()).await;
    assert_eq!(old.fetch("GET / HTTP/1.0\r\n\r\n").await.status(), 421);
    assert_eq!(regions.targets(), Vec::<String>::new());
}

#[tokio::test]
async fn each_profile_goes_with_its_own_credentials() {
    let regions = TwoRegions::pair("host = 'digital.localhost'").await;
    for host in ["localhost", "digital.localhost"] {
        // Either region knows its own tokens alone.
        assert_eq!(regions.get("/api/v2/users/me", host).await.status(), 200, "{host}");
    }
    assert_eq!([regions.api.token_requests(), regions.digital.token_requests()], [1, 1]);
    regions.digital.revoke_all();
    for host in ["localhost", "digital.localhost", "localhost"] {
        assert_eq!(regions.get("/api/v2/users/me", host).await.status(), 200, "{host}");
    }
    assert_eq!([regions.api.token_requests(), regions.digital.token_requests()], [1, 2]);
}

#[tokio::test]
async fn the_limit_of_exchanges_counts_those_of_all_profiles() {
    let launch = |launch: crate::support::Launch| launch.flag("in-flight", "2");
    let regions = TwoRegions::launched(&super::pair("host = 'digital.localhost'"), launch).await;
    assert_eq!(regions.get("/api/v2/users/me", "digital.localhost").await.status(), 200);
    let poll = "GET /api/v2/long-poll?ms=60000 HTTP/1.1\r\nHost: digital.localhost\r\n\r\n";
    let mut waiting = Vec::new();
    for count in 1..=2 {
        let mut client = RawConnection::to(regions.proxy.proxy_address()).await;
        client.send(poll).await;
        waiting.push(client);
        crate::support::eventually("the poll", async || {
            (super::attempts(&regions.digital).len() == count + 1).then_some(())
        })
        .await;
    }
    let response = regions.get("/api/v2/users/me", "digital.localhost").await;
    assert_eq!((response.status(), response.only("Retry-After")), (503, Some("1")));
}
