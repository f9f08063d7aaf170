//! The configuration file: it is the operator's, and whatever stands in it must be answered with all of its errors.

use std::fs;

use bolero::check;

use super::{Environment, Flags, load};
use crate::fuzz::text;

const SECRET: &str = "in-no-error-message";
const WORDS: &[&str] = &[
    "\n",
    " = ",
    "\"",
    "[",
    "]",
    "[[profile]]\n",
    "[upstream]\n",
    "[oauth]\n",
    "[profile.upstream]\n",
    "[retry]\n",
    "[limits]\n",
    "[guard]\n",
    "listen = \"127.0.0.1:0\"\n",
    "listen = \"unix:/run/x.sock,mode=0660\"\n",
    "base_url = \"http://localhost:1/a/\"\n",
    "base_url = \"https://api.example\"\n",
    "region = \"eu\"\n",
    "name = \"a\"\n",
    "host = \"a.localhost\"\n",
    "path_prefix = \"/a\"\n",
    "client_id = \"id\"\n",
    "grant = \"access_key\"\n",
    "area = \"na1\"\n",
    "credentials = \"a\"\n",
    "max_wait = \"30s\"\n",
    "replay_buffer = \"1MiB\"\n",
    "in_flight = 0\n",
    "allowed_hosts = [\"a\", \"*\"]\n",
    "discover = true\n",
    "client_secret = \"in-no-error-message\"\n",
    "18446744073709551616",
    "\u{feff}",
    "#",
];

#[test]
fn fuzz() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fuzz.toml");
    let flags = Flags { config: Some(path.clone().into()), values: Vec::new() };
    let environment =
        Environment::default().with("CXONE_CLIENT_ID", "id").with("CXONE_CLIENT_SECRET", SECRET);
    check!().with_generator(text(WORDS)).for_each(|text| {
        fs::write(&path, text).unwrap();
        match load(&flags, &environment) {
            Ok(loaded) => assert!(!loaded.config.profiles.is_empty()),
            Err(error) => {
                assert!(!error.faults.is_empty(), "an error says what is wrong");
                for fault in error.faults {
                    let line = fault.to_string();
                    assert!(!line.is_empty() && !line.contains(SECRET), "{line}");
                }
            }
        }
    });
}
