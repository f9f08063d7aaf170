//! `Location`, `Content-Location` and `Link` that name an upstream come back as addresses that lead to its
//! profile.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Region, Script};

use super::{API, DIGITAL, TwoRegions, attempts, get};
use crate::support::RawConnection;

/// Fills in the origins of the upstreams, `A` and `D`, and the port of the proxy.
fn filled(regions: &TwoRegions, text: &str) -> String {
    text.replace("A/", &format!("{}/", regions.api.origin()))
        .replace("D/", &format!("{}/", regions.digital.origin()))
        .replace("PORT", &regions.port().to_string())
}

/// Makes a region respond with this address in every field that can hold one.
fn point(region: &Region, address: &str) {
    let link = format!("<{address}>; rel=\"next\", <https://elsewhere.example/>; rel=about");
    let canned = Canned::new(201)
        .field("Location", address)
        .field("Content-Location", address)
        .field("Link", &link)
        .field("X-Other", address);
    region.script(Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api)]));
}

/// The address that a client gets where `region` responds with `address`.
async fn relayed(
    region: &Region,
    client: &mut RawConnection,
    request: (&str, &str),
    address: &str,
) -> String {
    point(region, address);
    let response = get(client, request.0, request.1).await;
    assert_eq!(response.status(), 201);
    let location = response.only("Location").unwrap();
    assert_eq!(response.only("Content-Location"), Some(location));
    let link = format!("<{location}>; rel=\"next\", <https://elsewhere.example/>; rel=about");
    assert_eq!(response.only("Link"), Some(link.as_str()));
    assert_eq!(response.only("X-Other"), Some(address));
    location.to_owned()
}

/// Follows an address like a client that resolves every name to this machine; returns the target that arrives.
async fn followed(regions: &TwoRegions, address: &str) -> String {
    let rest = address.strip_prefix("http://").unwrap_or_else(|| panic!("{address}"));
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    let port = authority.rsplit_once(':').unwrap().1.parse().unwrap();
    for region in [&regions.api, &regions.digital] {
        region.script(Script::default());
    }
    let before = [attempts(&regions.api).len(), attempts(&regions.digital).len()];
    get(&mut RawConnection::to(([127, 0, 0, 1], port).into()).await, path, authority).await;
    let seen: Vec<_> = [&regions.api, &regions.digital]
        .into_iter()
        .zip(before)
        .flat_map(|(region, before)| attempts(region).into_iter().skip(before))
        .collect();
    assert_eq!(seen.len(), 1, "{address}");
    seen[0].target.clone()
}

#[tokio::test]
async fn of_a_profile_with_a_host() {
    let regions = TwoRegions::pair("host = 'digital.localhost'").await;
    let mut client = RawConnection::to(regions.proxy.proxy_address()).await;
    let (here, there) = (filled(&regions, "localhost:PORT"), filled(&regions, "digital.localhost:PORT"));
    for (region, host, address, expected) in [
        (&regions.api, &here, "A/api-area/x//y?z", "http://localhost:PORT/x//y?z"),
        (&regions.api, &here, "/api-area/x", "/x"),
        (&regions.api, &here, "D/digital-area/x", "http://digital.localhost:PORT/x"),
        (&regions.api, &here, "D/x", "D/x"),
        (&regions.digital, &there, "D/digital-area/x", "http://digital.localhost:PORT/x"),
        // This host is the other's, so the listener's own address has to do.
        (&regions.digital, &there, "A/api-area/x", "http://127.0.0.1:PORT/x"),
        (&regions.digital, &there, "/digital-area/x", "/x"),
        (&regions.digital, &there, "https://elsewhere.example/x", "https://elsewhere.example/x"),
    ] {
        let (address, expected) = (filled(&regions, address), filled(&regions, expected));
        assert_eq!(relayed(region, &mut client, ("/go", host), &address).await, expected, "{host} {address}");
        if expected.starts_with("http://") && expected.contains(&format!(":{}/", regions.port())) {
            let path = address.split_at(address.find("-area").unwrap()).1.strip_prefix("-area").unwrap();
            let area = if address.contains(API) { API } else { DIGITAL };
            assert_eq!(followed(&regions, &expected).await, format!("{area}{path}"), "{expected}");
        }
    }
    // Without a port in `Host` there is none in what comes back.
    let address = filled(&regions, "D/digital-area/x");
    let plain = relayed(&regions.api, &mut client, ("/go", "localhost"), &address).await;
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
                // No address at the proxy leads there.
                ("/go", "D/digital-area/x", "D/digital-area/x", ""),
                ("/digital/go", "/digital-area/digital/x", "/digital/x", ""),
                ("/digital/go", "A/api-area/x", "http://localhost:PORT/x", "/api-area/x"),
            ],
        ),
    ] {
        let regions = TwoRegions::pair(selector).await;
        let mut client = RawConnection::to(regions.proxy.proxy_address()).await;
        let host = filled(&regions, "localhost:PORT");
        for (target, address, expected, arrives) in cases {
            let region = if target == "/go" { &regions.api } else { &regions.digital };
            let (address, expected) = (filled(&regions, address), filled(&regions, expected));
            assert_eq!(
                relayed(region, &mut client, (target, &host), &address).await,
                expected,
                "{selector} {address}"
            );
            if !arrives.is_empty() {
                assert_eq!(followed(&regions, &expected).await, arrives, "{selector} {expected}");
            }
        }
    }
}

#[tokio::test]
async fn of_a_profile_with_a_port() {
    let regions = TwoRegions::pair("listen = '127.0.0.1:0'").await;
    let address = regions.own_listener();
    let mut shared = RawConnection::to(regions.proxy.proxy_address()).await;
    let mut own = RawConnection::to(address).await;
    let digital = filled(&regions, "D/digital-area/x");
    let api = filled(&regions, "A/api-area/x");
    let expected = format!("http://{address}/x");
    assert_eq!(relayed(&regions.api, &mut shared, ("/go", "localhost"), &digital).await, expected);
    assert_eq!(followed(&regions, &expected).await, "/digital-area/x");
    // The origin is the one that the client used.
    let host = format!("localhost:{}", address.port());
    assert_eq!(
        relayed(&regions.digital, &mut own, ("/go", &host), &digital).await,
        format!("http://{host}/x")
    );
    let expected = filled(&regions, "http://127.0.0.1:PORT/x");
    assert_eq!(relayed(&regions.digital, &mut own, ("/go", &host), &api).await, expected);
    assert_eq!(followed(&regions, &expected).await, "/api-area/x");
}

#[tokio::test]
async fn of_a_profile_with_a_socket() {
    let regions = TwoRegions::pair("listen = 'unix:{files}/d.sock'").await;
    let (mut shared, mut own) =
        (RawConnection::to(regions.proxy.proxy_address()).await, regions.unix("d.sock").await);
    let digital = filled(&regions, "D/digital-area/x");
    // No address leads from a port to a socket.
    assert_eq!(relayed(&regions.api, &mut shared, ("/go", "localhost"), &digital).await, digital);
    assert_eq!(
        relayed(&regions.digital, &mut own, ("/go", "localhost"), &digital).await,
        "http://localhost/x"
    );
    let api = filled(&regions, "A/api-area/x");
    let expected = filled(&regions, "http://127.0.0.1:PORT/x");
    assert_eq!(relayed(&regions.digital, &mut own, ("/go", "localhost"), &api).await, expected);
}

#[tokio::test]
async fn a_client_that_addresses_an_upstream_gets_upstream_addresses_back() {
    let regions = TwoRegions::pair("path_prefix = '/digital'\nstrip_prefix = true").await;
    let mut client = RawConnection::to(regions.proxy.proxy_address()).await;
    let target = format!("{}/go", regions.digital.origin());
    for (address, expected) in
        [("D/digital-area/x", "D/x"), ("A/api-area/x", "A/x"), ("/digital-area/x", "/x"), ("A/x", "A/x")]
    {
        let (address, expected) = (filled(&regions, address), filled(&regions, expected));
        assert_eq!(relayed(&regions.digital, &mut client, (&target, "localhost"), &address).await, expected);
    }
}
