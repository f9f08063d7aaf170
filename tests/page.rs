//! The live page, in a real browser, with the built program and the simulated region behind it.
//!
//! It needs Chromium and chromedriver. Where they are missing the tests say so and pass, unless `BROWSER_TESTS` is
//! set, as `.ci/run` does.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails where there is less than it expects")]
#![expect(clippy::disallowed_methods, reason = "real time, and tasks that end with their test's runtime")]
#![expect(
    clippy::print_stderr,
    reason = "the person who runs the tests sees what was skipped, and what went wrong"
)]

#[path = "page/browser.rs"]
mod browser;
#[path = "contract/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "these tests need a part of it")]
mod support;

use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Quota, Script, Settings};
use serde_json::Value;

use browser::Browser;
use support::{CLIENT_SECRET, Setup, eventually};

/// A browser that shows the page of this proxy.
async fn page(setup: &Setup) -> Option<Browser> {
    let browser = Browser::start(1280, 900).await?;
    browser.open(&format!("http://{}/", setup.proxy.admin_address())).await;
    Some(browser)
}

#[tokio::test]
async fn values_move_under_load_and_a_revoke_and_a_429_show() {
    let setup = Setup::new().await;
    let Some(browser) = page(&setup).await else { return };
    let text = browser.until("verdict-text", |text| text.contains("curl -i")).await;
    assert!(text.contains(&format!("http://{}/", setup.proxy.proxy_address())), "{text}");
    browser.until("token-left", |left| left.starts_with("59:")).await;
    assert!(browser.text("token-facts").await.contains("users:read"));
    for _ in 0..40 {
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    }
    browser.until("rate-note", |text| text.starts_with("40 so far")).await;
    browser.until("verdict-title", |text| text == "Serving").await;
    browser.until("api-note", |text| text.starts_with("p50 ")).await;
    browser.until("own-note", |text| text.starts_with("p50 ")).await;
    let shown = "return document.querySelectorAll('#traffic .area, #latency .band').length";
    eventually("both charts", async || (browser.run(shown).await.as_u64() >= Some(2)).then_some(())).await;

    setup.region.revoke_all();
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    browser.until("token-facts", |text| text.starts_with("Generation 2")).await;
    browser.until("retries", |text| text.contains("Token rejected (401) 1")).await;

    setup.region.quotas([Quota::new(1, Duration::from_secs(1))]);
    for _ in 0..3 {
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    }
    browser.until("retries", |text| !text.contains("Rate limit (429) 0")).await;
    browser.until("pace-list", |text| text.contains("paced") || text.contains("paused")).await;
    browser.close().await;
}

#[tokio::test]
async fn a_dead_token_endpoint_shows_what_to_do() {
    let setup =
        Setup::launched(|launch| launch.variable("CXONE_TOKEN_URL", "http://127.0.0.1:9/token")).await;
    let Some(browser) = page(&setup).await else { return };
    browser.until("verdict-title", |text| text.contains("the token endpoint does not give one")).await;
    let hint = browser.text("verdict-hint").await;
    assert!(hint.contains("CXONE_TOKEN_URL"), "{hint}");
    browser.until("verdict-count", |text| text.contains("next try in")).await;
    assert_eq!(browser.text("token-state").await, "unreachable");
    browser.close().await;
}

#[tokio::test]
async fn failures_are_listed_with_their_next_step() {
    let fault = Fault::new(Action::Status(Canned::new(503))).at(Endpoint::Api).path("/api/v2/broken");
    let settings = Settings { script: Script::of([fault]), ..Settings::default() };
    let setup = Setup::of(settings).await;
    let Some(browser) = page(&setup).await else { return };
    assert_eq!(setup.get("/api/v2/broken?key=s3cret").await.status(), 503);
    let wrong_host = b"GET /x HTTP/1.1\r\nHost: <img src=x onerror=alert(1)>.example\r\n\r\n";
    assert_eq!(setup.fetch(wrong_host).await.status(), 421);
    let list = browser.until("failure-list", |text| text.contains("421") && text.contains("503")).await;
    assert!(list.contains("GET /api/v2/broken") && !list.contains("s3cret"), "{list}");
    assert!(list.contains("CXONE_PROXY_ALLOWED_HOSTS"), "the next step: {list}");
    assert!(list.contains("<img"), "foreign text is text: {list}");
    assert_eq!(browser.run("return document.querySelectorAll('#failure-list img').length").await, 0);
    browser.close().await;
}

#[tokio::test]
async fn an_operator_pauses_resumes_and_gets_a_new_token() {
    let setup = Setup::new().await;
    let Some(browser) = page(&setup).await else { return };
    browser.until("pause", |text| text == "Pause").await;
    browser.click("#pause").await;
    browser.click("#confirm .grave").await;
    browser.until("verdict-title", |text| text == "Paused").await;
    let refused = setup.get("/api/v2/users/me").await;
    assert_eq!((refused.status(), refused.only("retry-after")), (503, Some("10")));
    assert_eq!(refused.json()["type"], "urn:cxone-proxy:problem:paused");
    assert_eq!(setup.admin("/readyz").await.status(), 503);
    browser.click("#resume").await;
    browser.until("pause", |text| text == "Pause").await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    browser.click("#renew").await;
    browser.until("token-facts", |text| text.starts_with("Generation 2")).await;
    browser.close().await;
}

#[tokio::test]
async fn nothing_secret_is_in_the_page_and_nothing_foreign_runs_in_it() {
    let setup = Setup::new().await;
    let Some(browser) = page(&setup).await else { return };
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    browser.until("rate-note", |text| text.starts_with("1 so far")).await;
    browser.click("#defaults").await;
    browser.until("configuration-table", |text| text.contains("replay_buffer")).await;
    let everything = browser
        .run_long(
            "const done = arguments[arguments.length - 1]; \
             Promise.all(['/', 'status', 'history', 'configuration', 'metrics'].map((path) => \
               fetch(path).then((response) => response.text()))) \
             .then((texts) => done(document.documentElement.outerHTML + texts.join('\\n')))",
        )
        .await;
    let everything = everything.as_str().unwrap();
    assert!(everything.contains("CXONE_CLIENT_SECRET") && everything.contains("withheld"));
    // Tokens of the region are JSON Web Tokens.
    assert!(!everything.contains(CLIENT_SECRET) && !everything.contains("eyJ"), "{everything}");
    let foreign = "const script = document.createElement('script'); \
                   try { script.textContent = 'window.ran = true'; } catch { return 'refused'; } \
                   document.body.append(script); return String(window.ran)";
    assert_ne!(browser.run(foreign).await, "true");
    browser.close().await;
}

#[tokio::test]
async fn it_fits_a_phone_and_works_by_keyboard_and_for_a_screen_reader() {
    let setup = Setup::new().await;
    let Some(browser) = page(&setup).await else { return };
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    browser.until("rate-note", |text| text.starts_with("1 so far")).await;
    let moment = "return document.querySelector('#traffic .plot').getAttribute('aria-valuetext')";
    assert!(browser.run(moment).await.as_str().unwrap().starts_with("now: succeeded "));
    browser.keys("#traffic .plot", thirtyfour::Key::Left + "").await;
    let text = browser.run(moment).await;
    assert!(!text.as_str().unwrap().starts_with("now"), "{text}");
    for (scheme, width) in [("light", 390), ("dark", 1280)] {
        browser.prefers("prefers-color-scheme", scheme).await;
        browser.resize(width, 844).await;
        let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.run(overflow).await, 0, "{scheme}");
        accessible(&browser).await;
    }
    browser.close().await;
}

/// axe-core's rules, where its script is there: `AXE_CORE` names the file `axe.min.js` of the package.
async fn accessible(browser: &Browser) {
    let Some(file) = std::env::var_os("AXE_CORE") else {
        eprintln!("SKIPPED: axe-core: set AXE_CORE to the path of its axe.min.js (npm pack axe-core)");
        return;
    };
    browser.run(&std::fs::read_to_string(file).unwrap()).await;
    let found = browser
        .run_long(
            "const done = arguments[arguments.length - 1]; \
             axe.run().then(({ violations }) => done(violations.map((own) => \
               [own.id, own.help, own.nodes.map((node) => node.html)])))",
        )
        .await;
    assert_eq!(found, Value::Array(Vec::new()), "{found:#}");
}
