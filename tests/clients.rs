//! Clients that other people wrote, unchanged, against `cxone-proxy demo`: what is not installed is
//! skipped, and says so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "the person who runs the tests sees what was skipped")]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A demo on ports of its own; it ends with this.
struct Demo {
    child: Child,
    /// Where its proxy is, as `http://ADDRESS` or as arguments for curl.
    proxy: String,
}

impl Demo {
    fn start(listen: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cxone-proxy"))
            .args(["demo", "--listen", listen, "--admin-listen", "off", "--log", "warn"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.contains("Ctrl-C") {
            let count = pipe.read(&mut piece).unwrap();
            assert!(count > 0, "the demo ended early: {text}");
            text.push_str(std::str::from_utf8(piece.get(..count).unwrap()).unwrap());
        }
        let (_, rest) = text.split_once("curl -i ").unwrap();
        let (proxy, _) = rest.split_once("/api/v2").unwrap();
        Self { child, proxy: proxy.to_owned() }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself; then a test has failed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// True where `program` can be started; says that it is skipped where not.
fn is_installed(program: &str, version: &[&str]) -> bool {
    let found = Command::new(program).args(version).stdin(Stdio::null()).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: {program} {version:?} does not work here");
    }
    found
}

fn end(command: &mut Command, input: &str) -> Output {
    // Settings of the person who runs the tests must not lead the client elsewhere.
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a script beside this file with the proxy's address; what it skips is shown.
fn run(program: &str, options: &[&str], script: &str) {
    let demo = Demo::start("127.0.0.1:0");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let output = end(Command::new(program).args(options).arg(&script).arg(&demo.proxy), "");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", script.display());
    assert!(out.lines().any(|line| line.starts_with("ok ")), "it has shown nothing: {out}{err}");
    for line in out.lines().filter(|line| line.starts_with("skipped: ")) {
        eprintln!("{line}");
    }
}

/// What curl writes, and what it reports of the exchange; `line` holds words without blanks.
fn curl(line: &str, input: &str) -> (String, String) {
    let output =
        end(Command::new("curl").args(["-sS", "-v", "--max-time", "20"]).args(line.split(' ')), input);
    let trace = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {line}: {trace}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), trace)
}

#[test]
fn curl_in_every_version_of_http() {
    if !is_installed("curl", &["--version"]) {
        return;
    }
    let demo = Demo::start("127.0.0.1:0");
    let (me, echo) =
        (format!("{}/api/v2/users/me", demo.proxy), format!("{}//api/v2/echo/a%2Fb", demo.proxy));
    for (option, version) in
        [("--http1.0", "HTTP/1.0"), ("--http1.1", "HTTP/1.1"), ("--http2-prior-knowledge", "HTTP/2")]
    {
        let (_, trace) = curl(&format!("{option} {me}"), "");
        assert!(trace.contains(&format!("< {version} 200")), "{trace}");
        let (description, _) = curl(&format!("{option} --path-as-is {echo}"), "");
        assert!(description.contains("\"//api/v2/echo/a%2Fb\""), "{description}");
        let (_, trace) = curl(&format!("{option} --head {me}"), "");
        assert!(trace.contains(&format!("< {version} 200")), "{trace}");
        // curl 7.88 cannot use an HTTP/2 connection with prior knowledge twice, whatever server it is.
        if version != "HTTP/2" {
            let (_, trace) = curl(&format!("{option} --head {me} --next {option} -sS -v {me}"), "");
            assert_eq!(trace.matches("200 OK").count(), 2, "{trace}");
        }
    }
    // It asks for an upgrade that is refused by not being granted.
    let (_, trace) = curl(&format!("--http2 {me}"), "");
    assert!(trace.contains("> Upgrade: h2c") && trace.contains("< HTTP/1.1 200"), "{trace}");
}

#[test]
fn curl_uploads_and_downloads() {
    if !is_installed("curl", &["--version"]) {
        return;
    }
    let demo = Demo::start("127.0.0.1:0");
    let body = "0123456789".repeat(200_000);
    let upload = format!("{}/api/v2/upload", demo.proxy);
    for options in
        ["-H Expect:100-continue", "-H Transfer-Encoding:chunked", "--http2-prior-knowledge", "--http1.0"]
    {
        let (summary, trace) = curl(&format!("{options} --data-binary @- {upload}"), &body);
        assert!(summary.contains("2000000"), "{options}: {summary}");
        if options.contains("100-continue") {
            assert!(trace.contains("< HTTP/1.1 100"), "{trace}");
        }
    }
    for options in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        for query in ["bytes=5000000", "bytes=5000000&framing=chunked"] {
            let line =
                format!("{options} -o /dev/null -w %{{size_download}} {}/api/v2/large?{query}", demo.proxy);
            assert_eq!(curl(&line, "").0, "5000000", "{options} {query}");
        }
    }
    let (part, trace) = curl(&format!("-r 10-19 {}/api/v2/large", demo.proxy), "");
    assert!(part.len() == 10 && trace.contains(" 206 "), "{trace}");
    let (compressed, trace) = curl(&format!("--compressed {}/api/v2/gzip", demo.proxy), "");
    assert!(
        trace.to_lowercase().contains("content-encoding: gzip") && compressed.contains("compressed"),
        "{trace}"
    );
    let (events, _) = curl(&format!("-N {}/api/v2/events?count=3&interval_ms=10", demo.proxy), "");
    assert_eq!(events.matches("event: contact").count(), 3);
}

#[test]
fn curl_by_a_unix_socket() {
    if !is_installed("curl", &["--version"]) {
        return;
    }
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("proxy.sock");
    let demo = Demo::start(&format!("unix:{}", path.display()));
    // As the demo's own text has it: `--unix-socket PATH http://localhost`.
    assert!(demo.proxy.starts_with("--unix-socket "), "{}", demo.proxy);
    let (_, trace) = curl(&format!("{}/api/v2/users/me", demo.proxy), "");
    assert!(trace.contains("< HTTP/1.1 200"), "{trace}");
    let (_, trace) = curl(&format!("--http2-prior-knowledge {}/api/v2/users/me", demo.proxy), "");
    assert!(trace.contains("< HTTP/2 200"), "{trace}");
}

#[test]
fn python() {
    if is_installed("python3", &["--version"]) {
        run("python3", &[], "client.py");
    }
}

#[test]
fn node() {
    if is_installed("node", &["--version"]) {
        run("node", &[], "client.mjs");
    }
}

#[test]
fn a_websocket_of_node() {
    if is_installed("node", &["--version"]) {
        // Old ones do not know the option, new ones do not need it.
        let option = "--experimental-websocket";
        let known = Command::new("node").args([option, "--version"]).output();
        let options: &[&str] =
            if known.is_ok_and(|output| output.status.success()) { &[option] } else { &[] };
        run("node", options, "websocket.mjs");
    }
}

#[test]
fn java() {
    if is_installed("java", &["--version"]) {
        // A quick start matters more here than speed.
        run("java", &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"], "Client.java");
    }
}

/// The lines of docs/clients.md, as they stand there: only the address is this demo's.
#[test]
fn the_examples_of_the_document_run() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let document = std::fs::read_to_string(document).unwrap();
    let demo = Demo::start("127.0.0.1:0");
    let directory = tempfile::tempdir().unwrap();
    for (language, file, program, version) in [
        ("sh", "a.sh", "sh", &["-c", "command -v curl && command -v wget"][..]),
        ("python", "a.py", "python3", &["-c", "import requests"]),
        ("js", "a.mjs", "node", &["--version"]),
        ("java", "Me.java", "java", &["--version"]),
        ("php", "a.php", "php", &["--version"]),
        ("perl", "a.pl", "perl", &["-MHTTP::Tiny", "-e1"]),
    ] {
        let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        if !is_installed(program, version) {
            continue;
        }
        let path = directory.path().join(file);
        assert!(example.contains("http://localhost:8080/") || example.contains("\"http://localhost:8080\""));
        std::fs::write(&path, example.replace("http://localhost:8080", &demo.proxy)).unwrap();
        let output = end(Command::new(program).arg(&path), "");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("demo-client"), "{language}: {out}{err}");
    }
}
