//! `key`: makes a key for a client, and the table that lets the proxy know it.

use std::io::{self, Write};

use aws_lc_rs::rand;

use super::{complaint::complain, ending::Ending, result};
use crate::access::Key;

/// Runs the command for the client `name`.
pub(super) fn run(name: &str) -> Ending {
    let mut chance = [0; 32];
    if rand::fill(&mut chance).is_err() {
        complain("this machine gives no random numbers, so no key can be made");
        return Ending::Failed;
    }
    print(name, &Key::from_chance(chance), &mut io::stdout().lock())
}

fn print(name: &str, key: &Key, out: &mut impl Write) -> Ending {
    let text = format!(
        "The key of the client {name}. It is shown this once, and nothing here keeps it:\n\n    {}\n\n\
         The client sends it as `X-Proxy-Key: KEY`, as `Authorization: Bearer KEY`, or as the password of Basic\n\
         with any user name.\n\n\
         The table for the clients file (clients_file, CXONE_PROXY_CLIENTS):\n\n\
         [[client]]\nname = \"{name}\"\nkey_sha256 = \"{}\"\n",
        key.reveal(),
        key.digest()
    );
    result::write("the key", text.as_bytes(), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_the_key() {
        let mut out = Vec::new();
        assert_eq!(print("crm", &Key::from_chance([1; 32]), &mut out), Ending::Well);
        let text = String::from_utf8(out).unwrap();
        let table = &text[text.find("[[client]]").unwrap()..];
        let document = toml_edit::Document::parse(table).unwrap();
        let client = document["client"].as_array_of_tables().unwrap().get(0).unwrap();
        let key = text.lines().find_map(|line| line.trim().strip_prefix("cxk_")).unwrap();
        let digest = crate::access::KeyDigest::of(format!("cxk_{key}").as_bytes()).to_string();
        assert_eq!((client["name"].as_str(), client["key_sha256"].as_str()), (Some("crm"), Some(&*digest)));
    }

    #[test]
    fn a_key_that_cannot_be_written_is_a_failure() {
        let mut full: [u8; 0] = [];
        assert_eq!(print("a", &Key::from_chance([1; 32]), &mut full.as_mut_slice()), Ending::Failed);
    }
}
