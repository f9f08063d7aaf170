//! Mistakes in the configuration of limits are errors at start.

use tempfile::TempDir;

use crate::support::{Launch, serve};

async fn refused(launch: Launch, expected: &[&str]) {
    let (status, _, log) = launch.run().await;
    assert_eq!(status.code(), Some(2), "{log}");
    for expected in expected {
        assert!(log.contains(expected), "{expected:?} is missing: {log}");
    }
}

#[tokio::test]
async fn options_name_what_is_accepted() {
    let offline = || serve("http://127.0.0.1:9");
    for (variable, value, accepted) in [
        ("CXONE_PROXY_PACE", "fast", "`adaptive` or `off`"),
        ("CXONE_PROXY_MAX_RATE", "100", "`100/s` or `150/5m`"),
        ("CXONE_PROXY_MAX_RATE", "0/s", "at least one request"),
        ("CXONE_PROXY_MAX_CONCURRENT", "0", "an integer from 1 to 1000000"),
        ("CXONE_PROXY_QUEUE", "many", "an integer from 0 to 1000000"),
        ("CXONE_PROXY_BUDGET", "5000/day", "`100/s` or `150/5m`"),
    ] {
        refused(offline().variable(variable, value), &[variable, accepted]).await;
    }
}

#[tokio::test]
async fn tables_name_key_line_and_what_is_accepted() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("proxy.toml");
    for (text, line, expected) in [
        ("[[rate_limit]]\n", 1, "rate, concurrent or spacing"),
        ("[[rate_limit]]\nrate = 5\n", 2, "is a bare number"),
        ("[[rate_limit]]\nrate = \"5\"\n", 2, "`150/5m`"),
        ("[[rate_limit]]\npath_prefix = \"users\"\n", 2, "a path such as"),
        ("[[rate_limit]]\nspacing = \"30\"\n", 2, "`30s`"),
        ("[[rate_limit]]\nconcurrent = 0\n", 2, "an integer from 1"),
        ("[[rate_limit]]\nmethods = [\"get\"]\n", 2, "[\"GET\", \"POST\"]"),
        ("[[rate_limit]]\nrate = \"5/s\"\nprofile = \"digital\"\n", 3, "names no profile"),
        ("[[rate_limit]]\npath = \"/x\"\n", 2, "path_prefix, methods, rate"),
        ("[rate_limit]\nrate = \"5/s\"\n", 1, "in double brackets"),
        (
            "[[rate_limit]]\npath_prefix = \"/x\"\n[[rate_limit]]\npath_prefix = \"/x\"\n",
            3,
            "one table for each",
        ),
        ("[rate]\nmax = 5\n", 2, "is a bare number"),
    ] {
        std::fs::write(&path, text).unwrap();
        let launch = serve("http://127.0.0.1:9").flag("config", &path);
        refused(launch, &[&format!("{}:{line}", path.display()), expected]).await;
    }
}
