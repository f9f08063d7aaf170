//! Which profile a request goes to, and what its upstream gets as the target.

use super::{API, Cast, DIGITAL, get};
use crate::support::{Http2, Wire};

/// Asks for each target in turn, and says what reached a region.
async fn reached(cast: &Cast, wire: &mut Wire, target: &str, host: &str) -> String {
    let before = cast.targets();
    get(wire, target, host).await;
    let mut after = cast.targets();
    for target in &before {
        let at = after.iter().position(|other| other == target).unwrap();
        after.remove(at);
    }
    assert_eq!(after.len(), 1, "{host} {target}: {after:?}");
    after.remove(0)
}

async fn all_reach(cast: &Cast, host: &str, cases: &[(&str, &str, &str)]) {
    let mut wire = Wire::to(cast.proxy.proxy_address()).await;
    for (target, area, due) in cases {
        assert_eq!(reached(cast, &mut wire, target, host).await, format!("{area}{due}"), "{host} {target}");
    }
}

#[tokio::test]
async fn by_host() {
    let cast = Cast::pair("host = 'digital.localhost'").await;
    let port = cast.port();
    for host in ["digital.localhost", "DIGITAL.Localhost", &format!("digital.localhost:{port}")] {
        all_reach(&cast, host, &[("/api/v2/echo//x?y", DIGITAL, "/api/v2/echo//x?y")]).await;
    }
    for host in ["localhost", "127.0.0.1", &format!("localhost:{port}")] {
        all_reach(&cast, host, &[("/api/v2/echo", API, "/api/v2/echo")]).await;
    }
    for host in ["other.localhost", "digital.localhost.evil.example", "xdigital.localhost"] {
        assert_eq!(cast.get("/api/v2/echo", host).await.status(), 421, "{host}");
    }
    let http2 = Http2::to(cast.proxy.proxy_address()).await;
    let head = http::Request::builder().uri(format!("http://digital.localhost:{port}/api/v2/echo"));
    let answer = http2.ask(head, b"", http::HeaderMap::new()).await.unwrap();
    assert_eq!(answer.json()["target"], format!("{DIGITAL}/api/v2/echo"));
}

#[tokio::test]
async fn by_a_path_that_is_stripped() {
    let cast = Cast::pair("path_prefix = '/digital'\nstrip_prefix = true").await;
    all_reach(
        &cast,
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
    let cast = Cast::pair("path_prefix = '/digital/v1'").await;
    all_reach(
        &cast,
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
    let cast = Cast::pair("listen = '127.0.0.1:0'").await;
    let mut own = Wire::to(cast.own_listener()).await;
    for host in ["localhost", "127.0.0.1:1"] {
        let due = format!("{DIGITAL}/api/v2/echo?{host}");
        assert_eq!(reached(&cast, &mut own, &format!("/api/v2/echo?{host}"), host).await, due);
    }
    assert_eq!(get(&mut own, "/", "evil.example").await.status(), 421);
    all_reach(&cast, "localhost", &[("/api/v2/echo", API, "/api/v2/echo")]).await;
    let http2 = Http2::to(cast.own_listener()).await.get("/api/v2/echo").await.unwrap();
    assert_eq!(http2.json()["target"], format!("{DIGITAL}/api/v2/echo"));
}

#[tokio::test]
async fn by_a_socket_of_its_own_and_a_path() {
    let cast = Cast::pair("listen = 'unix:{files}/d.sock'\npath_prefix = '/d'\nstrip_prefix = true").await;
    let mut own = cast.unix("d.sock").await;
    assert_eq!(reached(&cast, &mut own, "/d/x", "localhost").await, format!("{DIGITAL}/x"));
    // What is listened for is not listened for elsewhere, and all that is set must fit.
    assert_eq!(get(&mut own, "/x", "localhost").await.status(), 421);
    all_reach(&cast, "localhost", &[("/d/x", API, "/d/x")]).await;
}

#[tokio::test]
async fn an_upstream_that_is_named_itself_is_meant() {
    let cast = Cast::pair("path_prefix = '/digital'\nstrip_prefix = true").await;
    let mut wire = Wire::to(cast.proxy.proxy_address()).await;
    let (api, digital) = (cast.api.address(), cast.digital.address());
    for (target, due) in [
        (format!("http://{digital}/x"), format!("{DIGITAL}/x")),
        (format!("http://{digital}"), format!("{DIGITAL}/")),
        // Here the path is the upstream's own.
        (format!("http://{digital}/digital/x"), format!("{DIGITAL}/digital/x")),
        (format!("http://{api}/digital/x"), format!("{API}/digital/x")),
        (format!("http://localhost:{}/digital/x?y", cast.port()), format!("{DIGITAL}/x?y")),
    ] {
        assert_eq!(reached(&cast, &mut wire, &target, "evil.example").await, due, "{target}");
    }
    assert_eq!(get(&mut wire, &format!("https://{digital}/x"), "localhost").await.status(), 421);
}

/// How many requests each profile answered, as the metrics say.
async fn answered(cast: &Cast, name: &str) -> u64 {
    let metrics = cast.admin("/metrics").await.text();
    let samples = metrics.lines().filter(|line| {
        line.starts_with("cxone_proxy_requests_total{") && line.contains(&format!("profile=\"{name}\""))
    });
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
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
        let cast = Cast::of(&tables.concat()).await;
        for (host, target, due) in [
            ("localhost", "/", "any"),
            ("localhost", "/xx/y", "any"),
            ("localhost", "/x", "x"),
            ("localhost", "/x/yy", "x"),
            ("localhost", "/x/y?z", "deep"),
            ("h.localhost", "/", "h"),
            ("h.localhost", "/x/y", "hx"),
        ] {
            let before = answered(&cast, due).await;
            cast.get(target, host).await;
            assert_eq!(answered(&cast, due).await, before + 1, "{host} {target}");
        }
        // All of them have the same credentials.
        assert_eq!(cast.api.token_requests(), 1);
    }
}

#[tokio::test]
async fn a_request_that_fits_none_is_told_what_would() {
    let cast = Cast::of(
        "[[profile]]\nname = 'digital'\nhost = 'digital.localhost'\n[profile.upstream]\nbase_url = '{api}'\n\
         [[profile]]\nname = 'hub'\nhost = 'hub.localhost'\npath_prefix = '/hub'\n[profile.upstream]\nbase_url = '{api}'\n\
         [[profile]]\nname = 'own'\nlisten = 'unix:{files}/o.sock'\n[profile.upstream]\nbase_url = '{digital}'\n",
    )
    .await;
    for (target, host) in [("/", "localhost"), ("/hub", "localhost"), ("/hubs", "hub.localhost")] {
        let reply = cast.get(target, host).await;
        assert_eq!(reply.status(), 421, "{host}{target}");
        assert_eq!(reply.only("Proxy-Status"), Some("cxone-proxy; error=http_request_denied"));
        assert_eq!(
            reply.json()["hint"],
            format!(
                "Profiles are selected by: Host digital.localhost (digital); Host hub.localhost with a path below \
                 /hub (hub); the address unix:{}/o.sock (own).",
                cast.files.path().display()
            )
        );
    }
    let mut old = Wire::to(cast.proxy.proxy_address()).await;
    assert_eq!(old.ask("GET / HTTP/1.0\r\n\r\n").await.status(), 421);
    assert_eq!(cast.targets(), Vec::<String>::new());
}

#[tokio::test]
async fn each_profile_goes_with_its_own_credentials() {
    let cast = Cast::pair("host = 'digital.localhost'").await;
    for host in ["localhost", "digital.localhost"] {
        // Either region knows its own tokens alone.
        assert_eq!(cast.get("/api/v2/users/me", host).await.status(), 200, "{host}");
    }
    assert_eq!([cast.api.token_requests(), cast.digital.token_requests()], [1, 1]);
    cast.digital.revoke_all();
    for host in ["localhost", "digital.localhost", "localhost"] {
        assert_eq!(cast.get("/api/v2/users/me", host).await.status(), 200, "{host}");
    }
    assert_eq!([cast.api.token_requests(), cast.digital.token_requests()], [1, 2]);
}

#[tokio::test]
async fn the_limit_of_exchanges_counts_those_of_all_profiles() {
    let launch = |launch: crate::support::Launch| launch.flag("in-flight", "2");
    let cast = Cast::launched(&super::pair("host = 'digital.localhost'"), launch).await;
    assert_eq!(cast.get("/api/v2/users/me", "digital.localhost").await.status(), 200);
    let poll = "GET /api/v2/long-poll?ms=60000 HTTP/1.1\r\nHost: digital.localhost\r\n\r\n";
    let mut waiting = Vec::new();
    for count in 1..=2 {
        let mut wire = Wire::to(cast.proxy.proxy_address()).await;
        wire.send(poll).await;
        waiting.push(wire);
        crate::support::eventually("the poll", async || {
            (super::attempts(&cast.digital).len() == count + 1).then_some(())
        })
        .await;
    }
    let reply = cast.get("/api/v2/users/me", "digital.localhost").await;
    assert_eq!((reply.status(), reply.only("Retry-After")), (503, Some("1")));
}
