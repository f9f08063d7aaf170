//! What looks wrong in the credentials and the address of a token endpoint that refused them. Pure: values in,
//! words out. What the refusal itself means is said by [`crate::tokens::Failure`].

use crate::cause::Cause;
use crate::tokens::{Credentials, SecretPlace, SecretSource, Settings};

/// What looks wrong, where the cause is one that a wrong setting explains; each a sentence of its own.
pub(super) fn suspicions(cause: &Cause, oauth: &Settings) -> Vec<String> {
    let is_of_a_setting =
        matches!(cause, Cause::Refused { .. } | Cause::Unusable(_) | Cause::Redirected { .. });
    if is_of_a_setting { of(oauth) } else { Vec::new() }
}

fn of(oauth: &Settings) -> Vec<String> {
    let (client, key) = (oauth.grant.client(), oauth.grant.key());
    let mut found = Vec::new();
    if client.is_some_and(|client| is_like_an_access_key_id(&client.id)) {
        found.push(
            "CXONE_CLIENT_ID looks like an access key's identifier: if it is one, put it into CXONE_ACCESS_KEY_ID (with \
             CXONE_GRANT=password or access_key)."
                .to_owned(),
        );
    }
    if key.is_some_and(|key| is_like_a_client_id(&key.id)) {
        found.push(
            "CXONE_ACCESS_KEY_ID looks like a client identifier: if it is one, put it into CXONE_CLIENT_ID."
                .to_owned(),
        );
    }
    if let (Some(client), Some(key)) = (client, key)
        && client.id == key.id
    {
        found.push(
            "CXONE_CLIENT_ID and CXONE_ACCESS_KEY_ID are equal: one of them is a wrong copy.".to_owned(),
        );
    }
    found.extend(client.into_iter().flat_map(|client| of_pair("CXONE_CLIENT", client)));
    found.extend(key.into_iter().flat_map(|key| of_pair("CXONE_ACCESS_KEY", key)));
    found.extend(wrong_endpoint(oauth));
    found
}

/// What looks wrong in one identifier and its secret; the variables' names begin with `prefix`.
fn of_pair(prefix: &str, credentials: &Credentials) -> Vec<String> {
    let id_name = format!("{prefix}_ID");
    let secret_name = match &credentials.secret {
        SecretSource::Value(_) => format!("{prefix}_SECRET"),
        SecretSource::Read { place: SecretPlace::File(path), .. } => {
            format!("the secret in {}", path.display())
        }
        SecretSource::Read { place, .. } => format!("what {place} prints"),
    };
    let secret = credentials.secret.at_start().reveal();
    let mut found = Vec::new();
    if secret == credentials.id {
        found.push(format!("{id_name} and {secret_name} are equal: one of them is a wrong copy."));
    }
    for (name, value) in [(&id_name, credentials.id.as_str()), (&secret_name, secret)] {
        if value.contains(char::is_whitespace) {
            found.push(format!(
                "{} has white space in it: a line break often leaves some.",
                capitalised(name)
            ));
        }
        if is_quoted(value) {
            found.push(format!(
                "{} has quotation marks around it, which are sent as a part of it.",
                capitalised(name)
            ));
        }
    }
    found
}

fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase()).unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

/// A grant and a token endpoint that do not belong together, by CXone's usual paths.
fn wrong_endpoint(oauth: &Settings) -> Option<String> {
    let path = oauth.token_url.path().trim_end_matches('/');
    let usual = if path.ends_with("/token/access-key") {
        "access_key"
    } else if path.ends_with("/auth/token") && !path.ends_with("/oauth/token") {
        "password"
    } else if path.ends_with("/api/v2/oauth/token") {
        "client_credentials"
    } else {
        return None;
    };
    let grant = oauth.grant.grant_type().as_str();
    (grant != usual).then(|| {
        format!(
            "The path of CXONE_TOKEN_URL is that of the grant {usual}, and CXONE_GRANT is {grant}: one of them is wrong."
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cause::Origins;
    use crate::{
        secret::Secret,
        tokens::{ClientAuth, Grant, Scopes},
    };

    const UUID: &str = "6f1c9a52-3b7e-4d0a-9c1f-0a2b3c4d5e6f";
    const KEY_ID: &str = "YIBB5YYUSVFXEMUVKH5RIWQZ2D3O2Y4FJ2LJCSAHKLVH5YE5EYZA====";

    fn credentials(id: &str, secret: &str) -> Credentials {
        Credentials { id: id.to_owned(), secret: SecretSource::Value(Secret::new(secret.to_owned())) }
    }

    fn oauth(grant: Grant, token_url: &str) -> Settings {
        let refresh_margin = Duration::from_mins(5);
        let token_url = token_url.parse().unwrap();
        Settings { grant, scopes: Scopes::default(), token_url, refresh_margin, origins: Origins::default() }
    }

    fn of_client(id: &str, secret: &str) -> Settings {
        let grant = Grant::ClientCredentials { client: credentials(id, secret), auth: ClientAuth::Body };
        oauth(grant, "https://api.example/api/v2/oauth/token")
    }

    fn of_key(id: &str, secret: &str) -> Settings {
        let grant = Grant::AccessKey { key: credentials(id, secret) };
        oauth(grant, "https://na1.example/authentication/v1/token/access-key")
    }

    fn refused() -> Cause {
        Cause::Refused { status: 400, error: Some("invalid_client".to_owned()), description: None }
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
            let found = suspicions(&refused(), &oauth);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(due), "{found:?}");
            for unrelated in [Cause::ServerError(500), Cause::RateLimited, Cause::Unreachable(String::new())]
            {
                assert_eq!(suspicions(&unrelated, &oauth), [""; 0], "{unrelated}");
            }
        }
    }

    #[test]
    fn a_secret_out_of_a_file_is_named_by_its_file() {
        let at_start = Secret::new("two words".to_owned());
        let secret = SecretSource::Read { place: SecretPlace::File("/run/secret".into()), at_start };
        let client = Credentials { id: "app".to_owned(), secret };
        let grant = Grant::ClientCredentials { client, auth: ClientAuth::Body };
        let found = suspicions(&refused(), &oauth(grant, "https://x.example/elsewhere"));
        assert_eq!(
            found,
            ["The secret in /run/secret has white space in it: a line break often leaves some."]
        );
    }

    #[test]
    fn usual_credentials_raise_no_suspicion() {
        assert_eq!(suspicions(&refused(), &of_client(UUID, "s3cr3t")), [""; 0]);
        assert_eq!(suspicions(&refused(), &of_client("app@vendor", "s3cr3t")), [""; 0]);
        assert_eq!(suspicions(&refused(), &of_key(KEY_ID, "s3cr3t")), [""; 0]);
    }

    #[test]
    fn a_grant_at_another_grants_endpoint_is_recognised() {
        let endpoints = [
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
        for (usual, url) in endpoints {
            for grant in grants() {
                let word = grant.grant_type().as_str();
                let found = wrong_endpoint(&oauth(grant, url));
                assert_eq!(found.is_some(), word != usual, "{word} at {url}");
                assert!(found.is_none_or(|found| found.contains(usual) && found.contains(word)));
            }
        }
        for grant in grants() {
            assert_eq!(wrong_endpoint(&oauth(grant, "https://x.example/elsewhere")), None);
        }
    }
}
