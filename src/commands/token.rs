//! `token`: one valid access token on standard output, nothing else there.

use std::io::{self, Write};

use super::{
    complaint::{complain, misconfigured},
    ending::Ending,
    obtain::{NoToken, obtain},
    result,
};
use crate::{
    config::{Environment, Flags},
    tokens::AccessToken,
};

/// Runs the command. Blocks for ten seconds at most.
pub fn run(flags: &Flags, environment: &Environment) -> Ending {
    end(obtain(flags, environment), &mut io::stdout().lock())
}

fn end(obtained: Result<AccessToken, NoToken>, out: &mut impl Write) -> Ending {
    match obtained {
        Ok(token) => {
            let line = format!("{}\n", token.text().reveal());
            result::write("the token", line.as_bytes(), out)
        }
        Err(NoToken::Config(error)) => misconfigured(&error),
        Err(NoToken::Unavailable(reason)) => {
            complain(&format!("no token: {reason}. {}", reason.hint()));
            Ending::Failed
        }
        Err(error @ NoToken::Endpoint(_)) => {
            complain(&format!("configuration error: {error}"));
            Ending::Misconfigured
        }
        Err(error @ NoToken::Machine(_)) => {
            complain(&error.to_string());
            Ending::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::obtain::tests::asked, *};

    const TOKEN: &str =
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"access_token\":\"t0ken\",\"token_type\":\"Bearer\"}";

    #[test]
    fn the_token_and_a_newline_are_all_there_is() {
        let mut out = Vec::new();
        assert_eq!(end(asked(TOKEN).0, &mut out), Ending::Well);
        assert_eq!(out, b"t0ken\n");
    }

    #[test]
    fn nothing_is_printed_without_one() {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n{\"error\":\"invalid_client\"}";
        let mut out = Vec::new();
        assert_eq!(end(asked(refusal).0, &mut out), Ending::Failed);
        let wrong = crate::config::load(&Flags::default(), &Environment::default()).unwrap_err();
        assert_eq!(end(Err(wrong.into()), &mut out), Ending::Misconfigured);
        assert!(out.is_empty());
    }

    #[test]
    fn a_token_that_cannot_be_written_is_a_failure() {
        let mut full: [u8; 0] = [];
        assert_eq!(end(asked(TOKEN).0, &mut full.as_mut_slice()), Ending::Failed);
    }
}
