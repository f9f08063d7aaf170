//! Paths that answer 401 for reasons of their own cost few token requests, and good traffic beside them is not
//! touched.

use cxone_simulator::{Action, Canned, Endpoint, Entry, Fault, Script};
use tokio::time::Instant;

use super::attempts;
use crate::support::{Message, RawConnection, Setup, eventually, get, request};

const REFUSING: &str = "/api/v2/own-reasons";
const GOOD: &str = "/api/v2/users/me";

/// A region whose paths that begin with [`REFUSING`] answer 401, whatever the token.
async fn refusing() -> Setup {
    let setup = Setup::new().await;
    assert_eq!(setup.get(GOOD).await.status(), 200);
    let refusal = Canned::new(401).body("own reasons");
    setup.region.script(Script::of([Fault::new(Action::Status(refusal)).at(Endpoint::Api).path(REFUSING)]));
    setup
}

fn attempts_at(setup: &Setup, prefix: &str) -> Vec<Entry> {
    attempts(&setup.region).into_iter().filter(|entry| entry.target.starts_with(prefix)).collect()
}

/// A 401 that was passed on without a renewal says why.
fn says_why(response: &Message) {
    assert_eq!((response.status(), response.text().as_str()), (401, "own reasons"));
    let status = response.only("Proxy-Status").expect("no reason");
    let details = status.strip_prefix("cxone-proxy; received-status=401; details=\"").expect(status);
    assert!(details.len() > 10 && details.ends_with('"'), "{status}");
}

async fn both(client: &mut RawConnection, target: &str) -> Message {
    assert_eq!(client.fetch(get(GOOD)).await.status(), 200);
    client.fetch(get(target)).await
}

#[tokio::test]
async fn a_refusing_path_costs_one_renewal_and_not_one_for_each_request() {
    let setup = refusing().await;
    let mut client = setup.connect().await;
    let first = both(&mut client, REFUSING).await;
    // The request was sent again with a fresh token, so this is the upstream's own word.
    assert_eq!((first.status(), first.only("Proxy-Status")), (401, Some("cxone-proxy; received-status=401")));
    for number in 1..37 {
        // The query is no other path.
        let target = if number % 2 == 0 { REFUSING.to_owned() } else { format!("{REFUSING}?{number}") };
        says_why(&both(&mut client, &target).await);
    }
    assert_eq!(setup.region.token_requests(), 2, "the first token and one renewal");
    assert_eq!(attempts_at(&setup, REFUSING).len(), 38);
    // Good traffic never met a 401.
    let good = attempts_at(&setup, GOOD);
    assert!(good.len() == 38 && good.iter().all(|entry| entry.status == Some(200)), "{}", good.len());
}

#[tokio::test]
async fn a_revocation_is_noticed_at_once_beside_a_refusing_path() {
    let setup = refusing().await;
    let mut client = setup.connect().await;
    for _ in 0..5 {
        assert_eq!(both(&mut client, REFUSING).await.status(), 401);
    }
    for renewals in 3..6 {
        setup.region.revoke_all();
        assert_eq!(both(&mut client, REFUSING).await.status(), 401);
        assert_eq!(setup.region.token_requests(), renewals);
    }
}

#[tokio::test]
async fn a_refusing_path_is_forgotten_when_it_accepts_a_request() {
    let setup = refusing().await;
    let mut client = setup.connect().await;
    for _ in 0..3 {
        assert_eq!(client.fetch(get(REFUSING)).await.status(), 401);
    }
    // It is there now, or at least it no longer refuses the token.
    setup.region.script(Script::default());
    assert_ne!(client.fetch(get(REFUSING)).await.status(), 401);
    let asked = setup.region.token_requests();
    setup.region.revoke_all();
    assert_ne!(client.fetch(get(REFUSING)).await.status(), 401);
    assert_eq!(setup.region.token_requests(), asked + 1);
}

#[tokio::test]
async fn another_method_is_another_matter() {
    let setup = refusing().await;
    let mut client = setup.connect().await;
    for _ in 0..3 {
        assert_eq!(both(&mut client, REFUSING).await.status(), 401);
    }
    assert_eq!(setup.region.token_requests(), 2);
    let posted = client.fetch(request("POST", REFUSING, "", "hello")).await;
    assert_eq!(
        (posted.status(), posted.only("Proxy-Status")),
        (401, Some("cxone-proxy; received-status=401"))
    );
    assert_eq!(setup.region.token_requests(), 3);
}

#[tokio::test]
async fn renewals_for_ever_new_paths_have_a_budget_of_60() {
    let setup = refusing().await;
    let begun = Instant::now();
    let mut client = setup.connect().await;
    let mut last = None;
    for number in 0..90 {
        // A good request in between ends the spacing, so that the budget alone is left.
        last = Some(both(&mut client, &format!("{REFUSING}/{number}")).await);
    }
    says_why(&last.unwrap());
    let refilled = begun.elapsed().as_secs() / 5;
    let renewals = u64::try_from(setup.region.token_requests() - 1).unwrap();
    assert!((50..=61 + refilled).contains(&renewals), "{renewals} renewals, {refilled} refilled");
    let good = attempts_at(&setup, GOOD);
    assert!(good.iter().all(|entry| entry.status == Some(200)), "good traffic met a 401");
    // A real revocation now has to wait for the budget, which gets one renewal each five seconds.
    setup.region.revoke_all();
    eventually("the next renewal", async || (client.fetch(get(GOOD)).await.status() == 200).then_some(()))
        .await;
}
