//! What the token endpoint's refusal means, in plain words, and what in the configuration looks like its
//! cause. Values in, words out.

use crate::{
    config::{ClientAuth, Grant, OAuth, SecretSource},
    oauth::Why,
    secret::Secret,
};

/// What happened, in the words of the endpoint and then in plain ones.
pub(super) fn in_plain_words(why: &Why) -> String {
    match (why, meaning(why)) {
        (_, Some(meaning)) => format!("{why}\n{meaning}"),
        (_, None) => why.to_string(),
    }
}

/// The meaning of the errors of RFC 6749 section 5.2.
fn meaning(why: &Why) -> Option<&'static str> {
    let Why::Refused { error, description, .. } = why else { return None };
    let description = description.as_deref().unwrap_or_default().to_lowercase();
    if ["disabled", "deactivated", "inactive", "not active", "locked", "suspended", "expired"]
        .into_iter()
        .any(|word| description.contains(word))
    {
        return Some(
            "In plain words: the credentials are known, but no longer (or not yet) allowed to log in.",
        );
    }
    Some(match error.as_deref()? {
        "invalid_client" => {
            "In plain words: the token endpoint does not know this client, or this is not its secret, or the client \
             has been disabled."
        }
        "invalid_grant" => {
            "In plain words: the client is known, but what it logs in with (user or access key) is wrong, expired or \
             deactivated."
        }
        "unauthorized_client" => {
            "In plain words: the client is known, but disabled or not allowed to log in this way."
        }
        "unsupported_grant_type" => "In plain words: this token endpoint does not log anybody in this way.",
        "invalid_scope" => {
            "In plain words: the scopes asked for do not exist, or this client was not granted them."
        }
        "invalid_request" => {
            "In plain words: the token endpoint misses something in the request, or finds something twice; often the \
             grant does not belong to this endpoint."
        }
        _ => return None,
    })
}

/// The next step: the usual one, after what the configuration itself gives away.
pub(super) fn next_step(why: &Why, oauth: &OAuth) -> String {
    let mut steps = match why {
        Why::Refused { .. } | Why::Unusable(_) | Why::Redirected { .. } => suspicions(oauth),
        Why::Untrusted(_)
        | Why::Unreachable(_)
        | Why::Failed(_)
        | Why::RateLimited
        | Why::TimedOut
        | Why::Pending
        | Why::Stopped => Vec::new(),
    };
    steps.push(why.hint().to_owned());
    steps.join(" ")
}

/// What looks wrong; each a sentence of its own.
fn suspicions(oauth: &OAuth) -> Vec<String> {
    let (client, key) = (oauth.grant.client(), oauth.grant.key());
    let mut found = Vec::new();
    if client.is_some_and(|client| is_like_an_access_key_id(&client.id)) {
        found.push(
            "CXONE_CLIENT_ID looks like an access key's identifier: if it is one, it belongs into \
             CXONE_ACCESS_KEY_ID (with CXONE_GRANT=password or access_key)."
                .to_owned(),
        );
    }
    if key.is_some_and(|key| is_like_a_client_id(&key.id)) {
        found.push(
            "CXONE_ACCESS_KEY_ID looks like a client identifier: if it is one, it belongs into CXONE_CLIENT_ID."
                .to_owned(),
        );
    }
    if let (Some(client), Some(key)) = (client, key)
        && client.id == key.id
    {
        found.push(
            "CXONE_CLIENT_ID and CXONE_ACCESS_KEY_ID are equal: one of them is copied wrongly.".to_owned(),
        );
    }
    for (name, credentials) in [("CXONE_CLIENT", client), ("CXONE_ACCESS_KEY", key)] {
        let Some(credentials) = credentials else { continue };
        let secret = text(&credentials.secret).reveal();
        if secret == credentials.id {
            found.push(format!("{name}_ID and {name}_SECRET are equal: one of them is copied wrongly."));
        }
        for (part, value) in [("ID", credentials.id.as_str()), ("SECRET", secret)] {
            if value.contains(char::is_whitespace) {
                found.push(format!("{name}_{part} has white space in it, as a wrapped line leaves it."));
            }
            if is_quoted(value) {
                found
                    .push(format!("{name}_{part} has quotation marks around it, which count as part of it."));
            }
        }
    }
    found.extend(wrong_door(oauth));
    found
}

/// A grant and a token endpoint that do not belong together, by CXone's usual paths.
fn wrong_door(oauth: &OAuth) -> Option<String> {
    let path = oauth.token_url.path().trim_end_matches('/');
    let door = if path.ends_with("/token/access-key") {
        "access_key"
    } else if path.ends_with("/auth/token") && !path.ends_with("/oauth/token") {
        "password"
    } else if path.ends_with("/api/v2/oauth/token") {
        "client_credentials"
    } else {
        return None;
    };
    let grant = oauth.grant.word();
    (grant != door).then(|| {
        format!(
            "The path of CXONE_TOKEN_URL is that of the grant {door}, and CXONE_GRANT is {grant}: one of them is wrong."
        )
    })
}

/// CXone's access keys are Base32: capitals and digits, often with `=` at the end.
fn is_like_an_access_key_id(id: &str) -> bool {
    let digits = id.trim_end_matches('=');
    digits.len() >= 32
        && digits.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte))
}

/// Registered applications are known by a UUID (RFC 9562).
fn is_like_a_client_id(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_quoted(value: &str) -> bool {
    ['"', '\''].into_iter().any(|mark| value.len() > 1 && value.starts_with(mark) && value.ends_with(mark))
}

fn text(source: &SecretSource) -> &Secret {
    match source {
        SecretSource::Value(secret) | SecretSource::File { at_start: secret, .. } => secret,
    }
}

/// How the client proves who it is, in the configuration's words.
pub(super) fn client_auth(grant: &Grant) -> Option<&'static str> {
    let auth = match grant {
        Grant::ClientCredentials { auth, .. } | Grant::Password { auth, .. } => *auth,
        Grant::AccessKey { .. } => return None,
    };
    Some(match auth {
        ClientAuth::Basic => "basic",
        ClientAuth::BasicRaw => "basic_raw",
        ClientAuth::Body => "body",
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{config::Credentials, oauth::GrantType};

    const UUID: &str = "6f1c9a52-3b7e-4d0a-9c1f-0a2b3c4d5e6f";
    const KEY_ID: &str = "YIBB5YYUSVFXEMUVKH5RIWQZ2D3O2Y4FJ2LJCSAHKLVH5YE5EYZA====";

    fn credentials(id: &str, secret: &str) -> Credentials {
        Credentials { id: id.to_owned(), secret: SecretSource::Value(Secret::new(secret.to_owned())) }
    }

    fn oauth(grant: Grant, token_url: &str) -> OAuth {
        let refresh_margin = Duration::from_mins(5);
        OAuth { grant, scopes: None, token_url: token_url.parse().unwrap(), refresh_margin }
    }

    fn of_client(id: &str, secret: &str) -> OAuth {
        let grant = Grant::ClientCredentials { client: credentials(id, secret), auth: ClientAuth::Body };
        oauth(grant, "https://api.example/api/v2/oauth/token")
    }

    fn of_key(id: &str, secret: &str) -> OAuth {
        let grant = Grant::AccessKey { key: credentials(id, secret) };
        oauth(grant, "https://na1.example/authentication/v1/token/access-key")
    }

    fn refused(error: &str, description: Option<&str>) -> Why {
        Why::Refused {
            status: 400,
            grant: GrantType::ClientCredentials,
            error: Some(error.to_owned()),
            description: description.map(str::to_owned),
        }
    }

    #[test]
    fn each_error_of_the_standard_has_plain_words_of_its_own() {
        let errors = [
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "unauthorized_client",
            "unsupported_grant_type",
            "invalid_scope",
        ];
        let words: std::collections::HashSet<_> =
            errors.map(|error| meaning(&refused(error, None)).unwrap()).into();
        assert_eq!(words.len(), errors.len());
        assert_eq!(meaning(&refused("something_else", None)), None);
        let disabled = in_plain_words(&refused("invalid_client", Some("Client is Disabled")));
        assert!(disabled.contains("Client is Disabled\n") && disabled.contains("no longer"), "{disabled}");
        assert_eq!(in_plain_words(&Why::TimedOut), Why::TimedOut.to_string());
    }

    #[test]
    fn mistaken_identifiers_are_recognised() {
        for (oauth, due) in [
            (of_client(KEY_ID, "s"), "CXONE_CLIENT_ID looks like an access key"),
            (of_key(UUID, "s"), "CXONE_ACCESS_KEY_ID looks like a client"),
            (of_client("same", "same"), "CXONE_CLIENT_ID and CXONE_CLIENT_SECRET are equal"),
            (of_client("app", "two words"), "CXONE_CLIENT_SECRET has white space"),
            (of_client("my app", "s"), "CXONE_CLIENT_ID has white space"),
            (of_key("'key'", "s"), "CXONE_ACCESS_KEY_ID has quotation marks"),
            (of_key(KEY_ID, "\"s\""), "CXONE_ACCESS_KEY_SECRET has quotation marks"),
        ] {
            let found = suspicions(&oauth);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(due), "{found:?}");
            let step = next_step(&refused("invalid_client", None), &oauth);
            assert!(step.starts_with(&found[0]) && step.contains("Check CXONE_CLIENT_ID"), "{step}");
            assert_eq!(next_step(&Why::TimedOut, &oauth), Why::TimedOut.hint());
        }
    }

    #[test]
    fn usual_credentials_raise_no_suspicion() {
        assert_eq!(suspicions(&of_client(UUID, "s3cr3t")), [""; 0]);
        assert_eq!(suspicions(&of_client("app@vendor", "s3cr3t")), [""; 0]);
        assert_eq!(suspicions(&of_key(KEY_ID, "s3cr3t")), [""; 0]);
    }

    #[test]
    fn a_grant_at_another_grants_door_is_recognised() {
        let doors = [
            ("client_credentials", "https://x.example/api/v2/oauth/token"),
            ("password", "https://x.example/auth/token"),
            ("access_key", "https://x.example/authentication/v1/token/access-key"),
        ];
        let grants = || {
            let key = || credentials(KEY_ID, "k3y");
            let client = || credentials(UUID, "s3cr3t");
            [
                Grant::ClientCredentials { client: client(), auth: ClientAuth::Body },
                Grant::Password { client: client(), auth: ClientAuth::Basic, key: key() },
                Grant::AccessKey { key: key() },
            ]
        };
        for (door, url) in doors {
            for grant in grants() {
                let word = grant.word();
                let found = wrong_door(&oauth(grant, url));
                assert_eq!(found.is_some(), word != door, "{word} at {url}");
                assert!(found.is_none_or(|found| found.contains(door) && found.contains(word)));
            }
        }
        for grant in grants() {
            assert_eq!(wrong_door(&oauth(grant, "https://x.example/elsewhere")), None);
        }
    }
}
