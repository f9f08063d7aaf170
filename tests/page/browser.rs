//! A browser without a window: Chromium, driven through chromedriver (W3C `WebDriver`).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::ChromeCapabilities;
use thirtyfour::prelude::*;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};

use crate::support::{eventually, in_time};

/// Makes a missing browser an error: `.ci/run` sets it.
const REQUIRED: &str = "BROWSER_TESTS";
/// What the page needs to be driven, as Debian names the packages.
const HOW: &str = "install Chromium and its driver (Debian: apt-get install chromium chromium-driver)";

/// A browser that ends with this value, and what it wrote goes with it.
pub(crate) struct Browser {
    driver: WebDriver,
    _process: Child,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// One browser at a time: several would only be slow together.
static TURN: Mutex<()> = Mutex::const_new(());

impl Browser {
    /// A browser of this size. `None` where there is none, which is said, or an error where one is required.
    pub(crate) async fn start(width: u32, height: u32) -> Option<Self> {
        let turn = TURN.lock().await;
        let found = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut process) = found else {
            assert!(std::env::var_os(REQUIRED).is_none(), "no chromedriver: {HOW}");
            eprintln!("SKIPPED: a test of the live page needs a browser: {HOW}");
            return None;
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = in_time("chromedriver's port", async {
            loop {
                let line = lines.next_line().await.unwrap().expect("chromedriver says its port");
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return port.trim_end_matches('.').parse::<u16>().unwrap();
                }
            }
        })
        .await;
        // Nobody reads what else it says, but the pipe stays open.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        // The driver's own client wants one, although it speaks plain HTTP; another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let profile = TempDir::new().unwrap();
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(profile.path())).await;
        let driver = driver.expect("chromedriver starts Chromium");
        let browser = Self { driver, _process: process, _profile: profile, _turn: turn };
        browser.resize(width, height).await;
        Some(browser)
    }

    pub(crate) async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// The window as a page sees it.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.developer("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// A preference of the person, such as `prefers-color-scheme`.
    pub(crate) async fn prefers(&self, name: &str, value: &str) {
        let features = json!({ "features": [{ "name": name, "value": value }] });
        self.developer("Emulation.setEmulatedMedia", features).await;
    }

    async fn developer(&self, command: &str, parameters: Value) {
        self.driver.cdp().send_raw(command, parameters).await.unwrap();
    }

    /// What a function body returns that runs in the page.
    pub(crate) async fn run(&self, body: &str) -> Value {
        self.driver.execute(body, Vec::new()).await.unwrap().json().clone()
    }

    /// The same for one that calls its last argument when it is done.
    pub(crate) async fn run_long(&self, body: &str) -> Value {
        self.driver.execute_async(body, Vec::new()).await.unwrap().json().clone()
    }

    /// The text of the element with this `id`, as a person reads it, with one space between words.
    pub(crate) async fn text(&self, id: &str) -> String {
        let text = self.driver.find(By::Id(id)).await.unwrap().text().await.unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Waits until that text is as wanted.
    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        eventually(&format!("the text of #{id}"), async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let text = self.text(id).await;
            if text != last {
                eprintln!("#{id}: {text}");
                last.clone_from(&text);
            }
            wanted(&text).then_some(text)
        })
        .await
    }

    pub(crate) async fn click(&self, css: &str) {
        self.driver.find(By::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// Sends keys to an element.
    pub(crate) async fn keys(&self, css: &str, keys: impl Into<TypingData>) {
        self.driver.find(By::Css(css)).await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Ends it in an orderly way.
    pub(crate) async fn close(self) {
        self.driver.quit().await.unwrap();
    }
}

fn capabilities(profile: &Path) -> ChromeCapabilities {
    let mut capabilities = DesiredCapabilities::chrome();
    let directory = format!("--user-data-dir={}", profile.display());
    // Neither a sandbox (there is none for root), nor anything that talks to other hosts.
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        directory.as_str(),
    ];
    for argument in arguments {
        capabilities.add_arg(argument).unwrap();
    }
    capabilities
}
