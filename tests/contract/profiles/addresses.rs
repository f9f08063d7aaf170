//! `Location`, `Content-Location` and `Link` that name an upstream come back as addresses that lead to its
//! profile.

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Region, Script};

use super::{API, Cast, DIGITAL, attempts, get};
use crate::support::Wire;

/// What stands for the upstreams in a case: `A` and `D` are their origins.
fn filled(cast: &Cast, text: &str) -> String {
    text.replace("A/", &format!("{}/", cast.api.origin()))
        .replace("D/", &format!("{}/", cast.digital.origin()))
        .replace("PORT", &cast.port().to_string())
}

/// Makes a region answer with this address in every field that can hold one.
fn point(region: &Region, address: &str) {
    let link = format!("<{address}>; rel=\"next\", <https://elsewhere.example/>; rel=about");
    let canned = Canned::new(201)
        .field("Location", address)
        .field("Content-Location", address)
        .field("Link", &link)
        .field("X-Other", address);
    region.script(Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api)]));
}

/// The address that comes back by `wire` from `region`, where that answers with `address`.
async fn told(region: &Region, wire: &mut Wire, request: (&str, &str), address: &str) -> String {
    point(region, address);
    let reply = get(wire, request.0, request.1).await;
    assert_eq!(reply.status(), 201);
    let location = reply.only("Location").unwrap();
    assert_eq!(reply.only("Content-Location"), Some(location));
    let link = format!("<{location}>; rel=\"next\", <https://elsewhere.example/>; rel=about");
    assert_eq!(reply.only("Link"), Some(link.as_str()));
    assert_eq!(reply.only("X-Other"), Some(address));
    location.to_owned()
}

/// Follows an address as a client does that resolves every name to this machine; what arrives where?
async fn followed(cast: &Cast, address: &str) -> String {
    let rest = address.strip_prefix("http://").unwrap_or_else(|| panic!("{address}"));
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    let port = authority.rsplit_once(':').unwrap().1.parse().unwrap();
    for region in [&cast.api, &cast.digital] {
        region.script(Script::default());
    }
    let before = [attempts(&cast.api).len(), attempts(&cast.digital).len()];
    get(&mut Wire::to(([127, 0, 0, 1], port).into()).await, path, authority).await;
    let seen: Vec<_> = [&cast.api, &cast.digital]
        .into_iter()
        .zip(before)
        .flat_map(|(region, before)| attempts(region).into_iter().skip(before))
        .collect();
    assert_eq!(seen.len(), 1, "{address}");
    seen[0].target.clone()
}

#[tokio::test]
async fn of_a_profile_with_a_host() {
    let cast = Cast::pair("host = 'digital.localhost'").await;
    let mut wire = Wire::to(cast.proxy.proxy_address()).await;
    let (here, there) = (filled(&cast, "localhost:PORT"), filled(&cast, "digital.localhost:PORT"));
    for (region, host, address, due) in [
        (&cast.api, &here, "A/api-area/x//y?z", "http://localhost:PORT/x//y?z"),
        (&cast.api, &here, "/api-area/x", "/x"),
        (&cast.api, &here, "D/digital-area/x", "http://digital.localhost:PORT/x"),
        (&cast.api, &here, "D/x", "D/x"),
        (&cast.digital, &there, "D/digital-area/x", "http://digital.localhost:PORT/x"),
        // This host is the other's, so the listener's own address has to do.
        (&cast.digital, &there, "A/api-area/x", "http://127.0.0.1:PORT/x"),
        (&cast.digital, &there, "/digital-area/x", "/x"),
        (&cast.digital, &there, "https://elsewhere.example/x", "https://elsewhere.example/x"),
    ] {
        let (address, due) = (filled(&cast, address), filled(&cast, due));
        assert_eq!(told(region, &mut wire, ("/go", host), &address).await, due, "{host} {address}");
        if due.starts_with("http://") && due.contains(&format!(":{}/", cast.port())) {
            let path = address.split_at(address.find("-area").unwrap()).1.strip_prefix("-area").unwrap();
            let area = if address.contains(API) { API } else { DIGITAL };
            assert_eq!(followed(&cast, &due).await, format!("{area}{path}"), "{due}");
        }
    }
    // Without a port in `Host` there is none in what comes back.
    let address = filled(&cast, "D/digital-area/x");
    let plain = told(&cast.api, &mut wire, ("/go", "localhost"), &address).await;
    assert_eq!(plain, "http://digital.localhost/x");
}

#[tokio::test]
async fn of_a_profile_with_a_path() {
    for (selector, cases) in [
        (
            "path_prefix = '/digital'\nstrip_prefix = true",
            [
                ("/go", "D/digital-area/x", "http://localhost:PORT/digital/x", "/digital-area/x"),
                ("/digital/go", "D/digital-area/x", "http://localhost:PORT/digital/x", "/digital-area/x"),
                ("/digital/go", "/digital-area/x", "/digital/x", ""),
                ("/digital/go", "A/api-area/x", "http://localhost:PORT/x", "/api-area/x"),
            ],
        ),
        (
            "path_prefix = '/digital'",
            [
                (
                    "/go",
                    "D/digital-area/digital/x",
                    "http://localhost:PORT/digital/x",
                    "/digital-area/digital/x",
                ),
                // Here nothing would lead there.
                ("/go", "D/digital-area/x", "D/digital-area/x", ""),
                ("/digital/go", "/digital-area/digital/x", "/digital/x", ""),
                ("/digital/go", "A/api-area/x", "http://localhost:PORT/x", "/api-area/x"),
            ],
        ),
    ] {
        let cast = Cast::pair(selector).await;
        let mut wire = Wire::to(cast.proxy.proxy_address()).await;
        let host = filled(&cast, "localhost:PORT");
        for (target, address, due, arrives) in cases {
            let region = if target == "/go" { &cast.api } else { &cast.digital };
            let (address, due) = (filled(&cast, address), filled(&cast, due));
            assert_eq!(told(region, &mut wire, (target, &host), &address).await, due, "{selector} {address}");
            if !arrives.is_empty() {
                assert_eq!(followed(&cast, &due).await, arrives, "{selector} {due}");
            }
        }
    }
}

#[tokio::test]
async fn of_a_profile_with_a_port() {
    let cast = Cast::pair("listen = '127.0.0.1:0'").await;
    let own = cast.own_listener();
    let (mut shared_wire, mut own_wire) = (Wire::to(cast.proxy.proxy_address()).await, Wire::to(own).await);
    let digital = filled(&cast, "D/digital-area/x");
    let api = filled(&cast, "A/api-area/x");
    let due = format!("http://{own}/x");
    assert_eq!(told(&cast.api, &mut shared_wire, ("/go", "localhost"), &digital).await, due);
    assert_eq!(followed(&cast, &due).await, "/digital-area/x");
    // The origin is the one that the client used.
    let host = format!("localhost:{}", own.port());
    assert_eq!(
        told(&cast.digital, &mut own_wire, ("/go", &host), &digital).await,
        format!("http://{host}/x")
    );
    let due = filled(&cast, "http://127.0.0.1:PORT/x");
    assert_eq!(told(&cast.digital, &mut own_wire, ("/go", &host), &api).await, due);
    assert_eq!(followed(&cast, &due).await, "/api-area/x");
}

#[tokio::test]
async fn of_a_profile_with_a_socket() {
    let cast = Cast::pair("listen = 'unix:{files}/d.sock'").await;
    let (mut shared, mut own) = (Wire::to(cast.proxy.proxy_address()).await, cast.unix("d.sock").await);
    let digital = filled(&cast, "D/digital-area/x");
    // No address leads from a port to a socket.
    assert_eq!(told(&cast.api, &mut shared, ("/go", "localhost"), &digital).await, digital);
    assert_eq!(told(&cast.digital, &mut own, ("/go", "localhost"), &digital).await, "http://localhost/x");
    let api = filled(&cast, "A/api-area/x");
    let due = filled(&cast, "http://127.0.0.1:PORT/x");
    assert_eq!(told(&cast.digital, &mut own, ("/go", "localhost"), &api).await, due);
}

#[tokio::test]
async fn a_client_that_names_upstreams_is_told_of_upstreams() {
    let cast = Cast::pair("path_prefix = '/digital'\nstrip_prefix = true").await;
    let mut wire = Wire::to(cast.proxy.proxy_address()).await;
    let target = format!("{}/go", cast.digital.origin());
    for (address, due) in
        [("D/digital-area/x", "D/x"), ("A/api-area/x", "A/x"), ("/digital-area/x", "/x"), ("A/x", "A/x")]
    {
        let (address, due) = (filled(&cast, address), filled(&cast, due));
        assert_eq!(told(&cast.digital, &mut wire, (&target, "localhost"), &address).await, due);
    }
}
