//! As whom requests go: the grant, what it needs, and what it has no use for.
//!
//! Decides which options belong to which grant; [`super::build`] puts the result into the configuration.

use crate::invalid::Invalid;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use url::Url;

use super::{
    ClientAuth, Credentials, Grant, OAuth, SecretSource, Warning,
    faults::{Chosen, Fault, Missing},
    judge::{Faulty, Judge, unfit_value},
    options::{self as o, Entry},
    sources::Source,
    urls::{self, BaseUrl},
    values,
};
use crate::secret::Secret;

/// The grants by their words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ClientCredentials,
    Password,
    AccessKey,
}

const WAYS: &[(&str, Way)] = &[
    ("client_credentials", Way::ClientCredentials),
    ("password", Way::Password),
    ("access_key", Way::AccessKey),
];

const WITH_CLIENT: &[&str] = &["client_credentials", "password"];
const WITH_KEY: &[&str] = &["password", "access_key"];
const WITH_AREA: &[&str] = &["access_key"];

/// The options that not every grant uses, and the grants that use them.
static USERS: &[(&Entry, &[&str])] = &[
    (&o::CLIENT_ID, WITH_CLIENT),
    (&o::CLIENT_SECRET, WITH_CLIENT),
    (&o::CLIENT_SECRET_FILE, WITH_CLIENT),
    (&o::CLIENT_AUTH, WITH_CLIENT),
    (&o::ACCESS_KEY_ID, WITH_KEY),
    (&o::ACCESS_KEY_SECRET, WITH_KEY),
    (&o::ACCESS_KEY_SECRET_FILE, WITH_KEY),
    (&o::AREA, WITH_AREA),
    (&o::SCOPES, WITH_CLIENT),
];

/// The identifier of one set of credentials, and the two ways to its secret.
struct Trio {
    id: &'static Entry,
    secret: &'static Entry,
    file: &'static Entry,
}

const CLIENT: Trio = Trio { id: &o::CLIENT_ID, secret: &o::CLIENT_SECRET, file: &o::CLIENT_SECRET_FILE };
const KEY: Trio =
    Trio { id: &o::ACCESS_KEY_ID, secret: &o::ACCESS_KEY_SECRET, file: &o::ACCESS_KEY_SECRET_FILE };

/// Everything about tokens. `base_url` is `None` where it has a fault of its own.
pub(super) fn oauth(judge: &mut Judge<'_>, base_url: Option<&BaseUrl>) -> Result<OAuth, Faulty> {
    let way = judge.value(&o::GRANT, |text| values::one_of(text, WAYS));
    let scopes = judge.optional(&o::SCOPES, values::scopes).map(Option::flatten);
    let refresh_margin = judge.duration(&o::REFRESH_MARGIN);
    // What is needed and what is superfluous is not known before the grant is.
    let way = way?;
    let chosen = chosen(judge, way);
    find_unused(judge, &chosen);
    let grant = grant(judge, way, &chosen);
    let token_url = token_url(judge, way, &chosen, base_url);
    Ok(OAuth { grant: grant?, scopes: scopes?, token_url: token_url?, refresh_margin: refresh_margin? })
}

fn chosen(judge: &Judge<'_>, way: Way) -> Chosen {
    let word = WAYS.iter().find(|(_, known)| *known == way).map_or("", |(word, _)| *word);
    let origin = judge.layers.of(&o::GRANT).next().map_or(Source::Default, |found| found.source.clone());
    Chosen { word, origin }
}

/// Whoever sets what the grant does not use has something else in mind than what would happen. Where the
/// grant comes from a stronger source, though, it was meant to win over what stands in the weaker ones.
fn find_unused(judge: &mut Judge<'_>, chosen: &Chosen) {
    let layers = judge.layers;
    for &(entry, users) in USERS.iter().filter(|(_, users)| !users.contains(&chosen.word)) {
        for found in layers.not_weaker_than(&o::GRANT, entry) {
            let (name, origin, needed_by) = (entry.name(), found.source.clone(), chosen.clone());
            judge.keep(Fault::Unused { name, origin, needed_by, users });
        }
    }
}

fn grant(judge: &mut Judge<'_>, way: Way, chosen: &Chosen) -> Result<Grant, Faulty> {
    match way {
        Way::ClientCredentials => {
            let auth = client_auth(judge, ClientAuth::Body);
            let client = credentials(judge, &CLIENT, chosen);
            Ok(Grant::ClientCredentials { client: client?, auth: auth? })
        }
        Way::Password => {
            let auth = client_auth(judge, ClientAuth::Basic);
            let client = credentials(judge, &CLIENT, chosen);
            let key = credentials(judge, &KEY, chosen);
            Ok(Grant::Password { client: client?, auth: auth?, key: key? })
        }
        Way::AccessKey => Ok(Grant::AccessKey { key: credentials(judge, &KEY, chosen)? }),
    }
}

fn client_auth(judge: &mut Judge<'_>, otherwise: ClientAuth) -> Result<ClientAuth, Faulty> {
    let words =
        [("basic", ClientAuth::Basic), ("basic_raw", ClientAuth::BasicRaw), ("body", ClientAuth::Body)];
    let auth = judge.optional(&o::CLIENT_AUTH, |text| values::one_of(text, &words))?.unwrap_or(otherwise);
    let layers = judge.layers;
    if auth == ClientAuth::BasicRaw
        && let Some(found) = layers.of(&o::CLIENT_ID).next().filter(|found| found.text.contains(':'))
    {
        let reason = "contains a colon, where `basic_raw` would end it (`basic` and `body` carry it)";
        return Err(judge.keep(unfit_value(found, Invalid::because(reason))));
    }
    Ok(auth)
}

fn credentials(judge: &mut Judge<'_>, trio: &Trio, chosen: &Chosen) -> Result<Credentials, Faulty> {
    let id = judge
        .optional(trio.id, values::identifier)
        .and_then(|id| id.ok_or_else(|| judge.keep(missing(trio.id, None, chosen))));
    let secret = secret(judge, trio, chosen);
    Ok(Credentials { id: id?, secret: secret? })
}

fn missing(entry: &'static Entry, instead: Option<&'static Entry>, chosen: &Chosen) -> Fault {
    // Nobody needs to be told of a grant that nobody chose.
    let needed_by = (chosen.origin != Source::Default).then(|| chosen.clone());
    Fault::Missing(Missing { entry, instead, needed_by })
}

fn secret(judge: &mut Judge<'_>, trio: &Trio, chosen: &Chosen) -> Result<SecretSource, Faulty> {
    let layers = judge.layers;
    let value = judge.optional(trio.secret, values::secret);
    let (strongest, contradictions) = layers.stronger_of(trio.secret, trio.file);
    if !contradictions.is_empty() {
        // Which of the two is meant is what the operator has to say first.
        judge.faults.extend(contradictions);
        return Err(Faulty);
    }
    let Some(found) = strongest else {
        return Err(judge.keep(missing(trio.secret, Some(trio.file), chosen)));
    };
    if found.entry == trio.secret {
        return value?.map(SecretSource::Value).ok_or(Faulty);
    }
    let path = PathBuf::from(&found.text);
    let (at_start, is_public) = secret_file(&path).map_err(|unfit| judge.keep(unfit_value(found, unfit)))?;
    if is_public {
        judge.warnings.push(Warning::SecretReadableByAll(path.clone()));
    }
    Ok(SecretSource::File { path, at_start })
}

/// What the file holds, and whether every user of the machine can read it.
fn secret_file(path: &Path) -> Result<(Secret, bool), Invalid> {
    let secret = values::secret_in_file(path)?;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    Ok((secret, mode & 0o004 != 0))
}

fn token_url(
    judge: &mut Judge<'_>,
    way: Way,
    chosen: &Chosen,
    base_url: Option<&BaseUrl>,
) -> Result<Url, Faulty> {
    let given = judge.optional(&o::TOKEN_URL, urls::token_url)?;
    if way == Way::AccessKey {
        return access_key_url(judge, chosen, given);
    }
    if let Some(url) = given {
        return Ok(url);
    }
    if way == Way::Password {
        return urls::token_url(urls::PASSWORD_TOKEN_URL).map_err(|_| Faulty);
    }
    // Without a base URL its own fault has been kept.
    urls::token_url_of(base_url.ok_or(Faulty)?).map_err(|unfit| {
        let layers = judge.layers;
        layers.of(&o::BASE_URL).next().map_or(Faulty, |found| judge.keep(unfit_value(found, unfit)))
    })
}

fn access_key_url(judge: &mut Judge<'_>, chosen: &Chosen, given: Option<Url>) -> Result<Url, Faulty> {
    let layers = judge.layers;
    let area = judge.optional(&o::AREA, values::area);
    let (strongest, contradictions) = layers.stronger_of(&o::TOKEN_URL, &o::AREA);
    judge.faults.extend(contradictions);
    let Some(found) = strongest else {
        return Err(judge.keep(missing(&o::AREA, Some(&o::TOKEN_URL), chosen)));
    };
    if *found.entry == o::TOKEN_URL {
        return given.ok_or(Faulty);
    }
    let area = area?.ok_or(Faulty)?;
    urls::access_key_url_of(&area).map_err(|unfit| judge.keep(unfit_value(found, unfit)))
}
